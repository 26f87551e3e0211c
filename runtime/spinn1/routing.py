"""Follows every packet through the routing tables: which chips, links and cores the spikes of each vertex reach."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn1_tables import LINKS
from .checks import Integers, field
from .errors import netlist_error
from .machine_checks import ABSENT, CORES, chip_of, first_entries, neighbours, tile_keys
from .netlist import Netlist

LOCAL = -1
"""Link by which a packet comes that starts on this chip."""
MAX_VISITS = 1 << 25
"""Chips that all packets together may pass."""
MAX_PAIRS = 1 << 22
"""Packets times entries that are compared at once."""
NO_ENTRY = -1


@frozen(eq=False)
class Paths:
    """All int64, one row a passage. A *sender* is a row of `placements` whose vertex has a key.

    `visit_sender`, `visit_chip`: packets of this sender pass this router. `hop_sender`, `hop_chip`, `hop_link`: they
    leave the chip by this link. `sender`, `receiver`: they reach the vertex of this row of `placements`; ordered by
    sender, then receiver. `depth` is the number of hops to it.
    """

    visit_sender: Integers
    visit_chip: Integers
    hop_sender: Integers
    hop_chip: Integers
    hop_link: Integers
    sender: Integers
    receiver: Integers
    depth: Integers


def follow(netlist: Netlist) -> Paths:
    """The paths of all packets of a validated netlist.

    Raises NetlistError for a packet that is lost, comes back to a chip, leaves the machine, takes a dead link, reaches
    a core without a vertex or another tile, and for tiles that are not connected as tile 0 is.
    """
    chips, vertices = netlist.chips, netlist.vertices
    beside = neighbours(chips, netlist.width, netlist.height)
    chip_of_row = chip_of(netlist.placements, chips, "placements")
    keys = tile_keys(vertices, netlist.tiles, netlist.key_stride)
    masks = np.tile(field(vertices, "mask"), netlist.tiles)
    sender = np.flatnonzero(masks)
    chip, link = chip_of_row[sender], np.full(len(sender), LOCAL)
    visits: list[tuple[Integers, ...]] = []
    hops: list[tuple[Integers, ...]] = []
    ends: list[tuple[Integers, ...]] = []
    total, depth = 0, 0
    while len(sender):
        total += len(sender)
        if total > MAX_VISITS or depth > len(chips):
            raise _lost(netlist, int(sender[0]), "goes round in a circle", "routes that end")
        entry = _matches(netlist, chip, keys[sender], masks[sender])
        nowhere = (entry == NO_ENTRY) & (link == LOCAL)
        if nowhere.any():
            first = int(np.argmax(nowhere))
            raise _lost(netlist, int(sender[first]), "matches no entry where it starts", "a routing entry")
        straight = np.left_shift(1, np.where(link == LOCAL, 0, (link + 3) % len(LINKS)))
        route = np.where(entry == NO_ENTRY, straight, field(netlist.routes, "route")[entry])
        visits.append((sender, chip))
        row, core = np.nonzero(route[:, None] >> np.arange(len(LINKS), len(LINKS) + CORES) & 1)
        ends.append((sender[row], chip[row], core, np.full(len(row), depth)))
        row, out = np.nonzero(route[:, None] >> np.arange(len(LINKS)) & 1)
        sender, chip = sender[row], chip[row]
        dead = (field(chips, "links")[chip] >> out) & 1 == 0
        if dead.any():
            first = int(np.argmax(dead))
            found = f"link {out[first]} of chip {_name(netlist, int(chip[first]))}"
            raise _lost(netlist, int(sender[first]), f"takes a dead link, {found}", "links that work")
        hops.append((sender, chip, out))
        # The next chip sees the packet come in by the link that leads back.
        chip, link = beside[chip, out], (out + 3) % len(LINKS)
        depth += 1
    visit_sender, visit_chip = _columns(visits, 2)
    _check_trees(netlist, visit_sender, visit_chip)
    hop_sender, hop_chip, hop_link = _columns(hops, 3)
    end_sender, end_chip, end_core, end_depth = _columns(ends, 4)
    receiver = _receivers(netlist, chip_of_row, end_sender, end_chip, end_core)
    order = np.lexsort((receiver, end_sender))
    paths = Paths(
        visit_sender=visit_sender,
        visit_chip=visit_chip,
        hop_sender=hop_sender,
        hop_chip=hop_chip,
        hop_link=hop_link,
        sender=end_sender[order],
        receiver=receiver[order],
        depth=end_depth[order],
    )
    _check_tiles(netlist, paths)
    return paths


def _columns(parts: list[tuple[Integers, ...]], width: int) -> list[Integers]:
    if not parts:
        return [np.zeros(0, np.int64) for _ in range(width)]
    return [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]


def _matches(netlist: Netlist, chip: Integers, key: Integers, mask: Integers) -> Integers:
    """First entry that the packets (keys under masks) match on their chips, or NO_ENTRY: int64[packets]."""
    first = first_entries(netlist.routes, netlist.chips)
    start, count = first[chip], first[chip + 1] - first[chip]
    found = np.full(len(chip), NO_ENTRY, np.int64)
    ends = np.cumsum(count)
    entry_key, entry_mask = field(netlist.routes, "key"), field(netlist.routes, "mask")
    begin = 0
    while begin < len(chip):
        done = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, done + MAX_PAIRS, side="right")))
        part = np.arange(begin, stop)
        packet = np.repeat(part, count[part])
        entry = np.arange(len(packet)) - np.repeat(ends[part] - count[part] - done, count[part]) + start[packet]
        common = entry_mask[entry] & mask[packet]
        hit = (key[packet] & common) == (entry_key[entry] & common)
        packet, entry = packet[hit], entry[hit]
        # Of the hits of a packet, the first stays: assignments run from the last entry to the first.
        found[packet[::-1]] = entry[::-1]
        begin = stop
    split = (found != NO_ENTRY) & (entry_mask[found] & ~mask != 0) if len(entry_mask) else found != NO_ENTRY
    if split.any():
        row = int(found[np.argmax(split)])
        expected = "a mask that does not tell the neurons of one vertex apart"
        raise netlist_error("mask is not valid", node=f"routes[{row}].mask", found=entry_mask[row], expected=expected)
    return found


def _check_trees(netlist: Netlist, sender: Integers, chip: Integers) -> None:
    """No packet passes a chip twice."""
    place = np.sort(sender * len(netlist.chips) + chip)
    again = np.flatnonzero(np.diff(place) == 0)
    if len(again):
        who, where = divmod(int(place[again[0]]), len(netlist.chips))
        message = f"comes to chip {_name(netlist, where)} by two ways"
        raise _lost(netlist, who, message, "a tree for each key")


def _receivers(netlist: Netlist, chip_of_row: Integers, sender: Integers, chip: Integers, core: Integers) -> Integers:
    """Rows of `placements` behind cores."""
    host = np.full(len(netlist.chips) * CORES, ABSENT, np.int64)
    host[chip_of_row * CORES + netlist.placements["p"]] = np.arange(len(netlist.placements))
    found = host[chip * CORES + core]
    stray = found == ABSENT
    if stray.any():
        first = int(np.argmax(stray))
        where = f"core {core[first]} of chip {_name(netlist, int(chip[first]))}"
        raise _lost(netlist, int(sender[first]), f"reaches {where}", "cores that run a vertex")
    tile = netlist.placements["tile"]
    foreign = tile[found] != tile[sender]
    if foreign.any():
        first = int(np.argmax(foreign))
        message = f"reaches tile {tile[found[first]]}"
        raise _lost(netlist, int(sender[first]), message, "cores of its own tile")
    return found


def _check_tiles(netlist: Netlist, paths: Paths) -> None:
    """Every tile is connected as tile 0 is."""
    vertices = max(len(netlist.vertices), 1)
    links = np.stack([paths.sender % vertices, paths.receiver % vertices])
    tile = paths.sender // vertices
    count = np.bincount(tile, minlength=netlist.tiles)
    same = count == count[0]
    if same.all():
        own = links.reshape(2, netlist.tiles, int(count[0]))
        same = (own == own[:, :1]).all(axis=(0, 2))
    if not same.all():
        row = int(np.argmin(same)) * vertices
        raise _lost(netlist, row, "do not reach what those of tile 0 reach", "tiles that are alike", plural=True)


def _name(netlist: Netlist, chip: int) -> str:
    return f"({netlist.chips['x'][chip]}, {netlist.chips['y'][chip]})"


def _lost(netlist: Netlist, row: int, message: str, expected: str, *, plural: bool = False) -> Exception:
    placement = netlist.placements[row]
    who = f"packets of tile {placement['tile']}" if plural else "a packet"
    key = int(netlist.vertices["key"][placement["vertex"]]) + int(placement["tile"]) * netlist.key_stride
    return netlist_error(f"{who} {message}", node=f"placements[{row}]", found=f"key {key:#010x}", expected=expected)
