"""The routing tables of all chips: trees, then entries, then compression, proven key by key."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...ir.dialects.spinn1_tables import ROUTE
from .compress import NO_ENTRY, Table, compress
from .machine import Chip, Machine
from .place import Places
from .route import UnreachableError, multicast

Array = NDArray[Any]


def routing_tables(machine: Machine, places: Places, vertices: Array, reaches: Array, stride: int) -> Array:
    """The ROUTE table for tiles whose keys lie `stride` apart.

    `reaches` [pairs, 2] are sending and receiving vertices in rising order. Raises DoesNotFit when a chip has too few
    entries or defects cut a chip off.
    """
    senders, net_of = np.unique(reaches[:, 0], return_inverse=True)
    tiles = np.arange(places.tiles)[:, None]
    net = tiles * len(senders) + net_of
    chip, core = places.chip[:, reaches[:, 1]], places.core[:, reaches[:, 1]]
    source = places.chip[:, senders].reshape(-1)
    try:
        hops = multicast(machine, source, net.reshape(-1), chip.reshape(-1), core.reshape(-1))
    except UnreachableError as error:
        raise _cut_off(machine, error) from None
    tile, sender = np.divmod(hops.net, max(len(senders), 1))
    key = (vertices["key"][senders[sender]] + tile * stride).astype(np.uint32)
    mask = vertices["mask"][senders[sender]]

    order = np.argsort(hops.chip, kind="stable")
    begins = np.searchsorted(hops.chip[order], np.arange(len(machine.chips) + 1))
    parts = [np.zeros(0, ROUTE)]
    problems = []
    for number in sorted(range(len(machine.chips)), key=lambda number: machine.chips[number]):
        of = order[begins[number] : begins[number + 1]]
        if not of.size:
            continue
        table = compressed(Table(key[of], mask[of], hops.route[of]), hops.straight[of])
        if len(table) > machine.router.application_entries:
            problems.append(_too_long(machine, machine.chips[number], len(table), len(of)))
        rows = np.zeros(len(table), ROUTE)
        rows["x"], rows["y"] = machine.chips[number]
        rows["key"], rows["mask"], rows["route"] = table.key, table.mask, table.route
        parts.append(rows)
    if problems:
        raise DoesNotFit(problems)
    return np.concatenate(parts)


def compressed(table: Table, straight: Array) -> Table:
    """`compress`, and the proof: every key of the table is looked up in both."""
    shorter = compress(table, straight)
    found = shorter.look_up(table.key)
    wrong = np.flatnonzero((found != table.route) & ~((found == NO_ENTRY) & straight))
    if wrong.size:
        raise AssertionError(f"key {int(table.key[wrong[0]]):#010x} is routed otherwise after compression")
    return shorter


def _too_long(machine: Machine, chip: Chip, need: int, before: int) -> Diagnostic:
    return Diagnostic(
        "SNC0578",
        f"the routing table of chip ({chip.x}, {chip.y}) is full",
        found=f"{need} entries, {before} before compression",
        expected=f"at most {machine.router.application_entries}",
        help="more neurons on a core (--neurons-per-core): fewer slices send packets; or fewer tiles (--tiles)",
    )


def _cut_off(machine: Machine, error: UnreachableError) -> DoesNotFit:
    source, target = machine.chips[error.source], machine.chips[error.target]
    return DoesNotFit(
        Diagnostic(
            "SNC0580",
            f"no packet comes from chip ({source.x}, {source.y}) to chip ({target.x}, {target.y})",
            found="dead chips and links around them",
            expected="a way between any two chips that work together",
            help="list the chip in dead_chips of the machine file, so that nothing is placed there",
        )
    )
