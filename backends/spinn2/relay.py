"""How an input tile spreads over a double block: from QPE to QPE, then inside each (Kelber, Wu et al. 2020, section 3).

A tile reaches one QPE of each double block that needs it. From there neighbours hand it on; in the end the copies
double in each QPE.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...passes.tile.rotation import power_at_least
from .machine import Machine, Qpe

Array = NDArray[Any]
Round: TypeAlias = list[tuple[int, int]]
"""Copies at the same time: who hands on, to whom."""
Copies: TypeAlias = tuple[Array, Array, Array]
"""Source and target elements of copies, and the group of each."""


@frozen(eq=False)
class Ground:
    """Where the computing elements lie: so many follow each other in a QPE, so many QPEs in a double block.

    `places` are row and column of the QPEs, [QPEs, 2]. `stores` and `ports` hold, for each double block, the QPEs
    [n, 2] from which its share of a map comes: its storage QPE, or those at which packets of its DRAM port enter the
    mesh.
    """

    per_qpe: int
    qpes: int
    places: Array
    stores: tuple[Array, ...]
    ports: tuple[Array, ...]

    @classmethod
    def of(cls, machine: Machine) -> Ground:
        """The floor plan of a machine."""
        floor = machine.floor_plan
        return cls(
            machine.mesh.pes_per_qpe,
            floor.qpes_per_block * floor.blocks_per_double_block,
            _places(machine.compute_qpes),
            tuple(_places((each.storage_qpe,)) for each in floor.double_blocks),
            tuple(_places(machine.dram.ports[each.dram_port].attach_qpes) for each in floor.double_blocks),
        )

    def in_turn(self, elements: Array) -> Array:
        """The elements in another order: those of the double blocks in turn."""
        return elements[np.argsort(elements % (self.per_qpe * self.qpes), kind="stable")]

    def relay(self, qpes: Array, *, on_chip: bool, together: bool) -> tuple[int, list[Round]]:
        """`relay` among some QPEs of one double block, by number, for a map that is kept on the chip or in DRAM."""
        doors = (self.stores if on_chip else self.ports)[int(qpes[0]) // self.qpes]
        first, rounds = relay(self.places[qpes], doors, together=together)
        return int(qpes[first]), [[(int(qpes[a]), int(qpes[b])) for a, b in copies] for copies in rounds]


def relay(places: Array, doors: Array, *, together: bool) -> tuple[int, list[Round]]:
    """The first of `places` [n, 2] that a tile reaches, and the copies that bring it to the others, round by round.

    The first is the nearest to one of `doors` [m, 2]. Then each that has the tile hands it to one that is as near as
    any without it or, `together`, to all of them in a round. Of equally near ones that farthest from all others comes
    first: the tile starts in a corner and goes along the sides.
    """
    apart = _distances(places, places)
    by_remoteness = np.argsort(-apart.sum(axis=1), kind="stable")
    first = int(by_remoteness[np.argmin(_distances(places, doors).min(axis=1)[by_remoteness])])
    holders, waiting = [first], [each for each in by_remoteness.tolist() if each != first]
    rounds: list[Round] = []
    while waiting:
        near = apart[np.ix_(holders, waiting)].min()
        copies: Round = []
        more = True
        while more:
            more = False
            for giver in holders:
                taker = next((each for each in waiting if apart[giver, each] == near), None)
                if taker is not None:
                    waiting.remove(taker)
                    copies.append((giver, taker))
                    more = together
        holders += [taker for _, taker in copies]
        rounds.append(copies)
    return first, rounds


@frozen(eq=False)
class Spread:
    """Who gets a tile from whom. A group is a tile in a double block; `first` is the element that loads it, [groups].

    `rounds` of copies between QPEs and `inside` them are (source, target, group), an entry for each copy.
    """

    first: Array
    rounds: list[Copies]
    inside: list[Copies]

    @classmethod
    def of(cls, tile: Array, working: Array, ground: Ground, *, on_chip: bool) -> Spread:
        """For the elements that are `working`, which need the tiles `tile`.

        Where most elements of a QPE hand on at the same time, its router falls behind with their packets, and the host
        hears of their first copies with the last ones only: all copies of one QPE are one round.
        """
        qpe = working // ground.per_qpe
        tiles = int(tile.max()) + 1
        _, group = np.unique(qpe // ground.qpes * tiles + tile[working], return_inverse=True)
        nobody = ground.per_qpe * len(ground.places)
        heads = np.full((int(group.max()) + 1, len(ground.places)), nobody, np.int64)
        np.minimum.at(heads, (group, qpe), working)
        kinds, kind = np.unique(heads < nobody, axis=0, return_inverse=True)
        first = np.zeros(len(heads), np.int64)
        rounds: list[list[Copies]] = []
        for number, there in enumerate(kinds):
            alike = np.flatnonzero(kind.reshape(-1) == number)
            crowded = on_chip and 2 * len(alike) > ground.per_qpe
            entry, relayed = ground.relay(np.flatnonzero(there), on_chip=on_chip, together=crowded)
            first[alike] = heads[alike, entry]
            rounds += [[] for _ in relayed[len(rounds) :]]
            for found, copies in zip(rounds, relayed, strict=False):
                found += [(heads[alike, giver], heads[alike, taker], alike) for giver, taker in copies]
        key = group * len(ground.places) + qpe
        return cls(first, [_joined(each) for each in rounds], _doubling(working, key, group))


def _doubling(working: Array, key: Array, group: Array) -> list[Copies]:
    """Copies among elements with one `key`, from the first of them on, until all have one."""
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    count = np.diff(np.append(first, len(key)))
    rank = np.arange(len(key)) - np.repeat(first, count)
    found = []
    step = power_at_least(int(count.max())) // 2
    while step:
        taker = np.flatnonzero(rank % (2 * step) == step)
        found.append((working[order[taker - step]], working[order[taker]], group[order[taker]]))
        step //= 2
    return found


def _joined(parts: list[Copies]) -> Copies:
    source, target, group = (np.concatenate([each[i] for each in parts]) for i in range(3))
    return source, target, group


def staggered(chunks: int, rounds: int) -> Iterator[tuple[int, int]]:
    """(chunk, round) of all rounds of work on chunks that come one after the other, about in the order of time."""
    for turn in range(chunks + rounds - 1):
        for chunk in range(max(0, turn + 1 - rounds), min(chunks, turn + 1)):
            yield chunk, turn - chunk


def _places(qpes: tuple[Qpe, ...]) -> Array:
    return np.array([[each.y, each.x] for each in qpes], np.int64)


def _distances(some: Array, others: Array) -> Array:
    """[n, m] routers from each of some places to each of others."""
    return np.abs(some[:, None] - others[None]).sum(axis=2)
