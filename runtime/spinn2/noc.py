"""Packets on their way through the mesh: which routers or links each flow occupies.

A packet goes along its row first, then along its column (XY routing), and passes every router from the first to the
last. Flows are arrays; a *group* is whatever the caller adds up over.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen

from .clocks import Integers, NocClocks

CELLS_AT_ONCE = 1 << 22
DIRECTIONS = 4


@frozen(eq=False)
class Flows:
    """`packets` from router `start` to router `end`, for a `group`; flows of one `stream` carry the same packets."""

    group: Integers
    start: Integers
    end: Integers
    packets: Integers
    stream: Integers

    def of(self, chosen: np.typing.NDArray[np.bool_] | Integers) -> Flows:
        """Some of the flows."""
        return Flows(
            self.group[chosen], self.start[chosen], self.end[chosen], self.packets[chosen], self.stream[chosen]
        )


def join_flows(parts: list[Flows]) -> Flows:
    """All flows; streams keep their numbers."""
    names = ("group", "start", "end", "packets", "stream")
    return Flows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def hops(start: Integers, end: Integers, noc: NocClocks) -> Integers:
    """Routers between two routers, the first not counted."""
    return np.abs(start // noc.columns - end // noc.columns) + np.abs(start % noc.columns - end % noc.columns)


def occupied(flows: Flows, noc: NocClocks) -> tuple[Integers, Integers, Integers]:
    """(group, place, packets) of every place of the mesh that packets pass, each pair once.

    A place is a router, or with `per_lane` one of its DIRECTIONS outgoing links: 4 * router + (east, west, south,
    north). With multicast, flows of one stream share their packets wherever their ways coincide.
    """
    places = noc.routers * (DIRECTIONS if noc.per_lane else 1)
    key, packets = flows.group, flows.packets
    if noc.multicast:
        streams, key = np.unique(flows.stream, return_inverse=True)
        group_of, packets_of = np.zeros((2, len(streams)), np.int64)
        group_of[key], packets_of[key] = flows.group, flows.packets
        packets = np.ones_like(packets)
    order = np.argsort(key, kind="stable")
    names, first = np.unique(key[order], return_index=True)
    bounds = np.append(first, len(order))
    at_once = max(1, CELLS_AT_ONCE // (places + 1))
    found: list[tuple[Integers, Integers, Integers]] = []
    for low in range(0, len(names), at_once):
        high = min(low + at_once, len(names))
        rows = order[bounds[low] : bounds[high]]
        slot = np.searchsorted(names[low:high], key[rows])
        ways = _Ways(flows.start[rows], flows.end[rows], noc)
        weight = packets[rows].astype(np.float64)
        loads = (ways.links if noc.per_lane else ways.routers)(slot, high - low, weight)
        at, place = np.nonzero(loads)
        found.append((names[low + at], place, loads[at, place]))
    group, place, load = (
        np.concatenate([each[i] for each in found]) if found else np.zeros(0, np.int64) for i in range(3)
    )
    if noc.multicast:
        return group_of[group], place, packets_of[group]
    return group, place, load


class _Ways:
    """The two legs of every flow, as runs of routers."""

    def __init__(self, start: Integers, end: Integers, noc: NocClocks) -> None:
        self.rows, self.columns = noc.rows, noc.columns
        self.sy, self.sx = start // noc.columns, start % noc.columns
        self.ey, self.ex = end // noc.columns, end % noc.columns

    def _runs(
        self,
        slot: Integers,
        slots: int,
        weight: np.ndarray,
        low: Integers,
        high: Integers,
        line: Integers,
        lines: int,
        length: int,
    ) -> Integers:
        """int64[slots, lines, length]: sums of weights over positions low .. high - 1 of a line."""
        base = (slot * lines + line) * (length + 1)
        size = slots * lines * (length + 1)
        change = np.bincount(base + low, weight, size) - np.bincount(base + high, weight, size)
        return np.cumsum(change.reshape(slots, lines, length + 1), axis=2)[:, :, :-1].round().astype(np.int64)

    def _along_row(self, slot: Integers, slots: int, weight: np.ndarray, low: Integers, high: Integers) -> Integers:
        """Sums over columns low .. high - 1 of the first router's row."""
        return self._runs(slot, slots, weight, low, high, self.sy, self.rows, self.columns)

    def _along_column(self, slot: Integers, slots: int, weight: np.ndarray, low: Integers, high: Integers) -> Integers:
        """Sums over rows low .. high - 1 of the last router's column."""
        found = self._runs(slot, slots, weight, low, high, self.ex, self.columns, self.rows)
        return found.transpose(0, 2, 1)

    def routers(self, slot: Integers, slots: int, weight: np.ndarray) -> Integers:
        """int64[slots, routers]: packets through each router."""
        row = self._along_row(slot, slots, weight, np.minimum(self.sx, self.ex), np.maximum(self.sx, self.ex) + 1)
        # The router where a packet turns is part of its row.
        down = self.ey > self.sy
        low = np.where(down, self.sy + 1, self.ey)
        high = np.where(down, self.ey + 1, self.sy)
        column = self._along_column(slot, slots, weight, low, np.maximum(low, high))
        return (row + column).reshape(slots, -1)

    def links(self, slot: Integers, slots: int, weight: np.ndarray) -> Integers:
        """int64[slots, DIRECTIONS * routers]: packets through each outgoing link."""
        east = self._along_row(slot, slots, weight, self.sx, np.maximum(self.sx, self.ex))
        west = self._along_row(slot, slots, weight, np.minimum(self.sx, self.ex) + 1, self.sx + 1)
        south = self._along_column(slot, slots, weight, self.sy, np.maximum(self.sy, self.ey))
        north = self._along_column(slot, slots, weight, np.minimum(self.sy, self.ey) + 1, self.sy + 1)
        return np.stack([east, west, south, north], axis=-1).reshape(slots, -1)
