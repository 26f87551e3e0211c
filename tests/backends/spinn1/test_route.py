"""Multicast trees: every target once, shortest ways, defects avoided."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.description import Chip, Link
from snc.backends.spinn1.machine import LINKS, Machine, load_machine
from snc.backends.spinn1.route import LINK_BITS, NO_LINK, UnreachableError, link_tree, multicast

BOARD, TORUS = load_machine("spinn5"), load_machine("spinn5-3")


def damaged(machine: Machine, chips: tuple[Chip, ...], links: tuple[Link, ...]) -> Machine:
    return attrs.evolve(machine, defects=attrs.evolve(machine.defects, dead_chips=chips, dead_links=links))


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    whole = draw(st.sampled_from([BOARD, TORUS]))
    chips = tuple(draw(st.lists(st.sampled_from(whole.chips), max_size=3, unique=True)))
    dead = draw(st.lists(st.tuples(st.sampled_from(whole.chips), st.integers(0, 5)), max_size=6, unique=True))
    return damaged(whole, chips, tuple(Link(*chip, link) for chip, link in dead))


def walk(machine: Machine, source: int, routes: dict[int, int], straight: set[int]) -> list[tuple[int, int]]:
    """Cores that a packet reaches; where it may go straight on it does so without an entry."""
    reached, todo, passed = [], [(source, NO_LINK)], 0
    while todo:
        chip, came = todo.pop()
        route = 1 << came if chip in straight else routes[chip]
        reached += [(chip, core) for core in range(18) if route >> (LINK_BITS + core) & 1]
        for link in range(len(LINKS)):
            if route >> link & 1:
                assert machine.neighbours[chip, link] >= 0
                todo.append((int(machine.neighbours[chip, link]), link))
        passed += 1
        assert passed <= len(machine.chips)
    return reached


class TestTrees:
    @settings(deadline=None, max_examples=40)
    @given(machines(), st.data())
    def test_reach_every_target_once_and_nothing_else(self, machine: Machine, data: st.DataObject) -> None:
        chips = st.integers(0, len(machine.chips) - 1)
        sources = data.draw(st.lists(chips, min_size=1, max_size=4))
        row = st.tuples(st.integers(0, len(sources) - 1), chips, st.integers(1, 17))
        targets = sorted(set(data.draw(st.lists(row, min_size=1, max_size=12))))
        net, chip, core = np.array(targets).T
        try:
            hops = multicast(machine, np.array(sources), net, chip, core)
        except UnreachableError as error:
            assert error.source in sources and error.target in chip
            return
        for number, source in enumerate(sources):
            mine = hops.net == number
            routes = dict(zip(hops.chip[mine].tolist(), hops.route[mine].tolist(), strict=True))
            straight = set(hops.chip[mine & hops.straight].tolist())
            wanted = [(c, p) for n, c, p in targets if n == number]
            assert source not in straight
            assert sorted(walk(machine, source, routes, straight) if routes else []) == wanted

    def test_take_the_shortest_way(self) -> None:
        start, end = (int(BOARD.number[y, x]) for x, y in ((0, 0), (4, 7)))
        hops = multicast(BOARD, np.array([start]), np.array([0]), np.array([end]), np.array([1]))
        assert len(hops.chip) == 8
        assert np.count_nonzero(hops.straight) == 5  # all but the ends and the one corner

    def test_share_their_common_part(self) -> None:
        start, near, far = (int(BOARD.number[y, x]) for x, y in ((0, 0), (2, 2), (4, 4)))
        hops = multicast(BOARD, np.array([start]), np.zeros(2, int), np.array([near, far]), np.array([1, 2]))
        assert len(hops.chip) == 5

    def test_have_the_length_of_a_hexagonal_mesh(self) -> None:
        start = int(BOARD.number[3, 3])
        (tree,) = link_tree(BOARD, np.array([start]), np.ones((1, len(BOARD.chips)), bool))
        for chip in BOARD.chips:
            dx, dy, (x, y) = chip.x - 3, chip.y - 3, chip
            steps = 0
            while (x, y) != (3, 3):
                along = LINKS[tree[BOARD.number[y, x]]]
                x, y, steps = x - along[0], y - along[1], steps + 1
            assert steps == (max(abs(dx), abs(dy)) if dx * dy >= 0 else abs(dx) + abs(dy))

    def test_that_cannot_be_are_named(self) -> None:
        island = Chip(4, 4)
        around = [
            Link(x, y, link)
            for x, y in BOARD.chips
            for link, (dx, dy) in enumerate(LINKS)
            if (x + dx, y + dy) == island
        ]
        machine = damaged(BOARD, (), tuple(around))
        there = int(machine.number[4, 4])
        with pytest.raises(UnreachableError) as caught:
            multicast(machine, np.array([0]), np.array([0]), np.array([there]), np.array([1]))
        assert (caught.value.source, caught.value.target) == (0, there)
