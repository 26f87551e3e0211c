"""Packets reach the cores that the synapses name, and every way to get lost is told."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn1.errors import NetlistError
from snc.runtime.spinn1.netlist import Netlist
from snc.runtime.spinn1.routing import follow

from .netlists import EAST, KEY_BITS, Drawn, Shape, draw, random_shape


def wanted(drawn: Drawn) -> set[tuple[int, int]]:
    """Pairs of rows of `placements` that synapses connect."""
    netlist = drawn.netlist
    owner = np.repeat(np.arange(len(netlist.vertices)), netlist.vertices["count"])
    pairs = owner[drawn.synapses[:, :2]]
    shift = np.arange(netlist.tiles)[:, None, None] * len(netlist.vertices)
    return {(int(a), int(b)) for a, b in (pairs + shift).reshape(-1, 2)}


def changed(netlist: Netlist, change: Callable[[np.ndarray], None]) -> Netlist:
    """The netlist with other routes."""
    routes = netlist.routes.copy()
    change(routes)
    return attrs.evolve(netlist, routes=routes)


class TestFollow:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=40, deadline=None)
    def test_packets_reach_exactly_the_cores_that_synapses_name(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        drawn = draw(rng, random_shape(rng))
        paths = follow(drawn.netlist)
        assert set(zip(paths.sender.tolist(), paths.receiver.tolist(), strict=True)) == wanted(drawn)
        assert len(paths.visit_chip) == len(paths.hop_chip) + np.count_nonzero(
            np.tile(drawn.netlist.vertices["mask"], drawn.netlist.tiles)
        )

    def test_counts_the_hops_to_each_core(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist
        paths = follow(netlist)
        place = [netlist.placements[column].astype(int) for column in ("x", "y")]
        far = sum(abs(axis[paths.receiver] - axis[paths.sender]) for axis in place)
        np.testing.assert_array_equal(paths.depth, far)

    def test_the_first_entry_that_matches_counts(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist
        first = netlist.routes[:1].copy()
        first["route"] = 0
        dropped = attrs.evolve(netlist, routes=np.concatenate([first, netlist.routes]))
        with pytest.raises(NetlistError, match="tile 0"):
            follow(dropped)
        behind = attrs.evolve(netlist, routes=np.concatenate([netlist.routes[:1], first, netlist.routes[1:]]))
        np.testing.assert_array_equal(follow(behind).receiver, follow(netlist).receiver)

    def test_refuses_a_packet_without_an_entry_at_its_start(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist
        with pytest.raises(NetlistError, match="matches no entry where it starts"):
            follow(attrs.evolve(netlist, routes=netlist.routes[:0]))

    def test_refuses_a_packet_that_goes_straight_on_for_ever(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape(tiles=1)).netlist

        def east(routes: np.ndarray) -> None:
            routes["route"] = 1 << EAST

        with pytest.raises(NetlistError, match=r"circle|two ways"):
            follow(changed(netlist, east))

    def test_refuses_a_dead_link(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist
        chips = netlist.chips.copy()
        chips["links"] = 0
        with pytest.raises(NetlistError, match="takes a dead link"):
            follow(attrs.evolve(netlist, chips=chips))

    def test_refuses_a_core_without_a_vertex(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist

        def core_0(routes: np.ndarray) -> None:
            routes["route"] |= 1 << 6

        with pytest.raises(NetlistError, match="reaches core 0"):
            follow(changed(netlist, core_0))

    def test_refuses_packets_that_reach_another_tile(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist
        other = attrs.evolve(netlist, placements=netlist.placements.copy())
        count = len(netlist.vertices)
        for column in ("x", "y", "p"):
            swapped = other.placements[column]
            swapped[:count], swapped[count : 2 * count] = swapped[count : 2 * count].copy(), swapped[:count].copy()
        with pytest.raises(NetlistError):
            follow(other)

    def test_refuses_entries_that_split_the_neurons_of_a_vertex(self) -> None:
        netlist = draw(np.random.default_rng(3), Shape()).netlist

        def split(routes: np.ndarray) -> None:
            routes["mask"] |= 1

        with pytest.raises(NetlistError, match="tell the neurons of one vertex apart"):
            follow(changed(netlist, split))

    def test_refuses_tiles_that_are_not_alike(self) -> None:
        rng = np.random.default_rng(4)
        netlist = draw(rng, Shape(density=1.0)).netlist
        own = np.flatnonzero(netlist.routes["key"] >> KEY_BITS == 2)
        keys = netlist.routes["key"]

        def cut_off(routes: np.ndarray) -> None:
            routes["route"][own[keys[own] == keys[own].min()]] = 0

        with pytest.raises(NetlistError, match="packets of tile 2"):
            follow(changed(netlist, cut_off))
