"""How inputs and weights spread over the floor plan, against the logs of Kelber, Wu et al. 2020."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import load_machine
from snc.backends.spinn2.relay import Ground, relay
from snc.backends.spinn2.schedule import schedule
from snc.ir.dialects.nn import Conv2dOp
from snc.ir.dialects.spinn2_tables import BufferKind, Phase
from snc.passes.tile.geometry import Plan
from snc.runtime.spinn2.dataflow import unordered
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.timer import time_program

from ...passes.nets import Net
from .compiling import fixed_point, tiled_by_hand
from .small_machines import small_machine

PAPER = load_machine("spinn2-2020")
GROUND = Ground.of(PAPER)
FIRST = np.arange(8)
"""The QPEs of the first double block: rows 0 to 3, columns 0 and 1. Its storage QPE is the one at 3, 2."""


def ways(*, on_chip: bool, together: bool, qpes: np.ndarray = FIRST) -> tuple[list[int], list[set[tuple[int, ...]]]]:
    """Where a tile arrives, and the rounds of copies as (row, column, row, column)."""
    entry, rounds = GROUND.relay(qpes, on_chip=on_chip, together=together)
    places = GROUND.places.tolist()
    return places[entry], [{(*places[giver], *places[taker]) for giver, taker in copies} for copies in rounds]


class TestRelay:
    def test_a_tile_from_the_chip_goes_across_and_then_along_both_sides(self) -> None:
        entry, rounds = ways(on_chip=True, together=False)
        assert entry == [3, 1]
        assert rounds == [
            {(3, 1, 3, 0)},
            {(3, 1, 2, 1), (3, 0, 2, 0)},
            {(2, 1, 1, 1), (2, 0, 1, 0)},
            {(1, 1, 0, 1), (1, 0, 0, 0)},
        ]

    def test_copies_of_one_qpe_may_be_one_round(self) -> None:
        entry, rounds = ways(on_chip=True, together=True)
        assert entry == [3, 1]
        assert rounds == [
            {(3, 1, 3, 0), (3, 1, 2, 1)},
            {(3, 0, 2, 0), (2, 1, 1, 1)},
            {(2, 0, 1, 0), (1, 1, 0, 1)},
            {(1, 0, 0, 0)},
        ]

    def test_a_tile_from_dram_starts_in_a_corner(self) -> None:
        assert [ways(on_chip=False, together=False, qpes=FIRST + 8 * n)[0] for n in range(4)] == [
            [0, 0],
            [0, 5],
            [5, 5],
            [4, 0],
        ]

    @given(
        st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12),
        st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=3),
        st.booleans(),
    )
    def test_every_place_gets_one_copy_from_one_that_has_it(
        self, some: set[tuple[int, int]], doors: set[tuple[int, int]], together: bool
    ) -> None:
        places = np.array(sorted(some))
        first, rounds = relay(places, np.array(sorted(doors)), together=together)
        reached = [first]
        for copies in rounds:
            givers = [giver for giver, _ in copies]
            assert copies and set(givers) <= set(reached)
            assert together or len(set(givers)) == len(givers)
            reached += [taker for _, taker in copies]
        assert sorted(reached) == list(range(len(places)))


def two_layers(tiles: tuple[int, int], parts: int) -> Program:
    """A 1 x 1 convolution of 64 channels on 16 x 16 positions, cut into (rows, columns) of tiles and so many parts.

    The layer before it leaves its inputs in the storage QPEs.
    """
    net = Net((1, 16, 16, 16))
    x = net(Conv2dOp(x=net.x, weight=net.random(64, 16, 1, 1)))
    module = net.module(net(Conv2dOp(x=x, weight=net.random(4 * parts, 64, 1, 1))))

    def tile(plan: Plan) -> tuple[int, int, int, int]:
        if plan.reduction == 16:
            return 4, 4, 16, 16
        return 4, 16 // tiles[0], 16 // tiles[1], 64

    return schedule(tiled_by_hand(fixed_point(module), tile), PAPER, "kelber2020")


class TestInputs:
    @pytest.mark.parametrize(("tiles", "links"), [((16, 1), 12), ((8, 1), 6), ((4, 1), 7)])
    def test_take_as_many_tiles_as_in_the_logs(self, tiles: tuple[int, int], links: int) -> None:
        """With 16 tiles (CONV_8), two elements share a port of the router; with 8 (CONV_7) and 4 (CONV_11), copies
        double in each QPE at the end. A link takes the packets of a tile and 30 clocks of messages.
        """
        program = two_layers(tiles, 32)
        packets = 64 * 256 // (tiles[0] * tiles[1]) // 16
        found = int(time_program(program, clocks_of(PAPER, "kelber2020")).phase_clocks[1, Phase.INPUTS])
        assert links * packets <= found <= links * (packets + 30) + 64

    def test_no_more_steps_read_a_map_than_are_known_to_be_in_any_order(self) -> None:
        """Four neighbours in each row of tiles read the same packets of a map in DRAM, one after the other."""
        net = Net((1, 2, 160, 160))
        x = net(Conv2dOp(x=net.x, weight=net.random(64, 2, 1, 1)))
        module = net.module(net(Conv2dOp(x=x, weight=net.random(64, 64, 1, 3), pads=(0, 1, 0, 1))))

        def tile(plan: Plan) -> tuple[int, int, int, int]:
            return (4, 16, 160, 2) if plan.reduction == 2 else (4, 80, 8, 64)

        program = schedule(tiled_by_hand(fixed_point(module), tile), PAPER, "kelber2020")
        rows = program.transfers[(program.transfers["layer"] == 1) & (program.transfers["phase"] == Phase.INPUTS)]
        outside = program.buffers["memory"][rows["src"]] >= program.processing_elements
        assert len(np.unique(rows["step"][outside])) == 4
        assert unordered(program) == []

    def test_a_map_in_dram_lies_behind_the_ports_that_load_it(self) -> None:
        """Five rows of tiles, of which the first double block works on four."""
        net = Net((1, 4, 10, 16))
        x = net(Conv2dOp(x=net.x, weight=net.random(8, 4, 1, 1)))
        fixed = fixed_point(net.module(net(Conv2dOp(x=x, weight=net.random(8, 8, 1, 1)))))
        machine = small_machine(double_blocks=2, qpes=2, pes_per_qpe=2, ports=2, data_bytes=256)
        program = schedule(tiled_by_hand(fixed, lambda plan: (4, 2, 16, plan.reduction)), machine, "kelber2020")
        maps = program.buffers[program.buffers["kind"] == BufferKind.MAP]
        sizes = [sorted(maps["bytes"][maps["memory"] == program.processing_elements + port]) for port in range(2)]
        assert 8 * 16 * 8 in sizes[0] and 8 * 16 * 2 in sizes[1]


class TestWeights:
    def test_parts_go_round_the_ring_of_blocks(self) -> None:
        """16 parts, all in each block: seven hops for each, from every block to the next one only."""
        program = two_layers((8, 2), 16)
        memory, elements = program.buffers["memory"].astype(np.int64), program.processing_elements
        rows = program.transfers[(program.transfers["layer"] == 1) & (program.transfers["phase"] == Phase.WEIGHTS)]
        source, target = memory[rows["src"]], memory[rows["dst"]]
        copied = source < elements
        block = np.full(elements // 4, -1)
        for number, qpe in enumerate(PAPER.compute_qpes):
            block[PAPER.qpes.index(qpe)] = number // 4
        giver, taker = block[source[copied] // 4], block[target[copied] // 4]
        assert len(giver) == 7 * 16
        assert ((giver + 1) % 8 == taker).all()

    def test_the_first_parts_go_on_while_the_last_ones_come(self) -> None:
        program = two_layers((8, 2), 16)
        times = time_program(program, clocks_of(PAPER, "kelber2020"))
        chosen = (program.transfers["layer"] == 1) & (program.transfers["phase"] == Phase.WEIGHTS)
        rows = program.transfers[chosen]
        inside = program.buffers["memory"].astype(np.int64)[rows["src"]] < program.processing_elements
        assert times.transfer_start[chosen][inside].min() < times.transfer_end[chosen][~inside].max()
