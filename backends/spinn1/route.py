"""Multicast trees on the mesh: shortest paths from the source's chip, dead links avoided, joined where they coincide.

All trees are grown together, step by step, as arrays. The way to a chip depends on the source's chip alone, so the
paths of one source join into a tree: no packet comes to a chip twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .machine import LINKS, Machine

Array = NDArray[Any]

LINK_BITS = len(LINKS)
NO_LINK = -1


class UnreachableError(Exception):
    """Dead links and chips cut a chip off from another one."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(f"chip {target} from chip {source}")
        self.source = source
        self.target = target


@frozen(eq=False)
class Hops:
    """One row for each chip that a net's packets come to, in rising order of (net, chip).

    `route` has a bit for each link (0-5) and core (6-23) that they leave by; `straight` says that they leave where
    they would without an entry: opposite to where they came from, and nowhere else.
    """

    net: Array
    chip: Array
    route: Array
    straight: Array


def link_tree(machine: Machine, sources: Array, wanted: Array) -> Array:
    """[sources, chips] link by which each chip is come to from the source's chip, NO_LINK where it is not needed.

    `sources` are chip numbers; `wanted` [sources, chips] says where paths are asked for. Breadth first; of two equally
    short ways into a chip the one by the lower link counts.
    """
    neighbours = machine.neighbours
    reached = np.full((len(sources), len(machine.chips)), NO_LINK, np.int8)
    seen = np.zeros(reached.shape, bool)
    row, chip = np.arange(len(sources)), np.asarray(sources)
    seen[row, chip] = True
    while row.size and (wanted & ~seen).any():
        end = neighbours[chip].astype(np.int64)
        step, link = np.nonzero(end >= 0)
        source, target = row[step], end[step, link]
        fresh = ~seen[source, target]
        source, target, link = source[fresh], target[fresh], link[fresh]
        order = np.lexsort((link, target, source))
        source, target, link = source[order], target[order], link[order]
        first = np.ones(len(order), bool)
        first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
        row, chip = source[first], target[first]
        reached[row, chip] = link[first]
        seen[row, chip] = True
    missing = np.argwhere(wanted & ~seen)
    if missing.size:
        raise UnreachableError(int(sources[missing[0, 0]]), int(missing[0, 1]))
    return reached


def multicast(machine: Machine, source: Array, net: Array, chip: Array, core: Array) -> Hops:
    """The trees of `len(source)` nets: `source` [nets] chip numbers; target cores as rows (net, chip, core).

    Raises UnreachableError when there is no way.
    """
    chips = len(machine.chips)
    starts, start_of = np.unique(source, return_inverse=True)
    wanted = np.zeros((len(starts), chips), bool)
    wanted[start_of[net], chip] = True
    tree = link_tree(machine, starts, wanted)
    before = _behind(machine)

    places = [net * chips + chip]
    routes = [np.left_shift(1, LINK_BITS + core)]
    comes = [np.full(len(net), NO_LINK)]
    at = np.unique(places[0])
    while at.size:
        owner, here = np.divmod(at, chips)
        link = tree[start_of[owner], here].astype(np.int64)
        on = here != source[owner]
        owner, here, link = owner[on], here[on], link[on]
        behind = owner * chips + before[here, link]
        places += [owner * chips + here, behind]
        routes += [np.zeros(len(link), np.int64), np.left_shift(1, link)]
        comes += [link, np.full(len(link), NO_LINK)]
        at = np.unique(behind)
    return _gather(np.concatenate(places), np.concatenate(routes), np.concatenate(comes), chips)


def _behind(machine: Machine) -> Array:
    """[chips, 6]: the chip from which link l leads to a chip."""
    neighbours = machine.neighbours
    behind = np.full(neighbours.shape, -1, np.int64)
    start, link = np.nonzero(neighbours >= 0)
    behind[neighbours[start, link], link] = start
    return behind


def _gather(place: Array, route: Array, comes: Array, chips: int) -> Hops:
    """One row for each place (net and chip): what leaves it, and whether that is straight on."""
    if not place.size:
        empty = np.zeros(0, np.int64)
        return Hops(empty, empty, empty, empty.astype(bool))
    order = np.argsort(place, kind="stable")
    place, route, comes = place[order], route[order], comes[order]
    begin = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
    leaves = np.bitwise_or.reduceat(route, begin)
    arrives = np.maximum.reduceat(comes, begin)
    owner, here = np.divmod(place[begin], chips)
    # A packet that came by link l goes straight on by link l.
    straight = (arrives != NO_LINK) & (leaves == np.left_shift(1, np.maximum(arrives, 0)))
    return Hops(owner, here, leaves, straight)
