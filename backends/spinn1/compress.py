"""Shorter routing tables with the same answers.

The entries of a chip have masks that are prefixes (zones of keys), none inside another. The keys form a binary tree; an
entry at an inner node may answer for all keys below it, and entries further down, looked up first, for the exceptions.
Going up, each node learns which routes suit most of what lies below it; going down, a node that does not take over its
parent's route gets an entry (Draves, King, Venkatachary, Zill: Constructing Optimal IP Routing Tables, 1999). Keys that
never come to the chip may get any answer. Where packets go straight on, having no entry will do, too, as long as no
wider entry catches them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Array = NDArray[Any]

NO_ENTRY = 0
"""Stands for the route of a packet that matches nothing; no entry routes to nowhere."""

WHOLE = 0xFFFF_FFFF


@frozen(eq=False)
class Table:
    """The entries of one chip: u32 keys and masks, routes (bits 0-5 links, 6-23 cores); the first match counts."""

    key: Array
    mask: Array
    route: Array

    def __len__(self) -> int:
        return len(self.key)

    def look_up(self, keys: Array) -> Array:
        """The route of each key, NO_ENTRY where nothing matches."""
        found = np.zeros(len(keys), np.int64)
        open_ = np.ones(len(keys), bool)
        for key, mask, route in zip(self.key, self.mask, self.route, strict=True):
            hit = open_ & (keys & mask == key)
            found[hit] = route
            open_ &= ~hit
        return found


@frozen(eq=False)
class _Node:
    """A set of keys with a common prefix: a single entry, or two halves that differ in the bit behind the prefix."""

    key: int
    mask: int
    suits: frozenset[int]
    halves: tuple[_Node, ...] = field(default=())


def compress(table: Table, straight: Array) -> Table:
    """A table that routes every key of `table` alike, the widest entries last.

    `straight` [entries] says where no entry at all would do. Raises ValueError for masks that are no prefixes and for
    entries that overlap.
    """
    order = np.argsort(table.key, kind="stable")
    columns = (table.key[order], table.mask[order], table.route[order], straight[order])
    keys, masks, routes, free = (column.tolist() for column in columns)
    if not keys:
        return table
    for i, (key, mask) in enumerate(zip(keys, masks, strict=True)):
        if (mask | (WHOLE >> mask.bit_count())) != WHOLE or mask & (WHOLE >> mask.bit_count()):
            raise ValueError(f"mask {mask:#010x} is no prefix")
        if i and (key ^ keys[i - 1]) & masks[i - 1] & mask == 0:
            raise ValueError(f"key {key:#010x} lies in the zone of {keys[i - 1]:#010x}")
    leaves = [
        _Node(key, mask, frozenset((route, NO_ENTRY) if may_go else (route,)))
        for key, mask, route, may_go in zip(keys, masks, routes, free, strict=True)
    ]
    found: list[tuple[int, int, int]] = []
    _descend(_grow(leaves, 0, len(leaves)), NO_ENTRY, found)
    found.sort(key=lambda entry: (-entry[1], entry[0]))
    rows = np.array(found, np.int64).reshape(-1, 3)
    return Table(rows[:, 0].astype(np.uint32), rows[:, 1].astype(np.uint32), rows[:, 2])


def _grow(leaves: list[_Node], low: int, high: int) -> _Node:
    """The tree over leaves low .. high - 1, which are in the order of their keys."""
    if high - low == 1:
        return leaves[low]
    first, last = leaves[low].key, leaves[high - 1].key
    differs = (first ^ last).bit_length()
    middle = _first_with(leaves, low, high, 1 << (differs - 1))
    halves = (_grow(leaves, low, middle), _grow(leaves, middle, high))
    both = halves[0].suits & halves[1].suits
    mask = WHOLE >> differs << differs
    return _Node(first & mask, mask, both or halves[0].suits | halves[1].suits, halves)


def _first_with(leaves: list[_Node], low: int, high: int, bit: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        if leaves[middle].key & bit:
            high = middle
        else:
            low = middle
    return high


def _descend(node: _Node, inherited: int, found: list[tuple[int, int, int]]) -> None:
    """Adds the entries below `node`, whose keys go to `inherited` unless a longer entry says otherwise."""
    if inherited not in node.suits:
        chosen = min(node.suits - {NO_ENTRY}, default=NO_ENTRY)
        if chosen != NO_ENTRY:
            found.append((node.key, node.mask, chosen))
            inherited = chosen
    for half in node.halves:
        _descend(half, inherited, found)
