"""The timer against clocks counted by hand, and laws that every timeline keeps."""

from __future__ import annotations

import re
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import machine_text, parse_machine
from snc.compiler.driver import compile
from snc.compiler.self_test import small_model
from snc.ir.dialects.spinn2_tables import BufferKind, Copy, Element, Kernel, Phase
from snc.runtime.spinn2.clocks import ArmClocks, Clocks, DramClocks, HostClocks, MacClocks, NocClocks
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.timer import Timeline, roofline, time_program

from .spinn2_networks import random_network
from .spinn2_programs import Builder

HOST = 20
"""Clocks of the host's messages around each step."""


def three_in_a_row() -> Clocks:
    """Three PEs, each with a router of its own, and a DRAM port at both ends."""
    return Clocks(
        processing_elements=3,
        hertz=250_000_000,
        sram_port_bytes_per_clock=16,
        mac=MacClocks(16, 4, 16, (1,), 2, 4, 4, 10, 1.27, 1.18, 1.75, 2.5),
        arm=ArmClocks(2.0, 8.0, 8.0, 2.5, 12.0, 18.75, 8.0, 8.0, 12.0, 4.0, 8.0, 40.0, 8.0),
        noc=NocClocks(
            rows=1,
            columns=3,
            router_of_pe=np.arange(3),
            attach=np.array([[0, 0, 0], [2, 2, 2]]),
            packet_bytes=16,
            packets=2,
            clocks=1,
            per_lane=False,
            request_packets=1,
            pe_packets_per_clock=1,
            hop_clocks=2.0,
            multicast=False,
        ),
        dram=DramClocks(ports=2, bytes=8, clocks=1, interface_clocks=6, attach_clocks=3.5),
        host=HostClocks(10, 1, 0, 0, 0),
    )


CLOCKS = three_in_a_row()
WEST, EAST = 3, 4
"""The memories behind the two DRAM ports."""


def copy(builder: Builder, source: int, target: int, size: int, *, step: int = 1, kind: int = BufferKind.TILE) -> None:
    """A transfer of `size` bytes from memory to memory."""
    src, dst = builder.buffer(source, size), builder.buffer(target, size)
    builder.rows["buffers"][src]["kind"] = kind
    builder.transfer(step, builder.add("boxes", copy=Copy.BOX, n0=1, n1=1, bytes=size), dst, src)


def copies(*ways: tuple[int, int, int], kind: int = BufferKind.TILE) -> Program:
    """One step of transfers (source, target, bytes)."""
    builder = Builder()
    for source, target, size in ways:
        copy(builder, source, target, size, kind=kind)
    return builder.build()


def task(kernel: Kernel, *, weights_at: int = 0, **fields: Any) -> Program:
    """One task on PE 0, whose operand b lies on PE `weights_at`."""
    builder = Builder()
    shape = builder.add("shapes", kernel=kernel, **fields)
    a, b, y = builder.buffer(0, 64), builder.buffer(weights_at, 64), builder.buffer(0, 64)
    builder.task(1, shape, a=a, b=b, y=y)
    return builder.build()


def clocks_taken(program: Program, clocks: Clocks = CLOCKS) -> int:
    return time_program(program, clocks).total_clocks


WINDOW = {"kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}


class TestTasks:
    def test_conv(self) -> None:
        # 2 groups of 4 filters, 3 rows, 2 groups of 16 columns, 5 channels of 9 taps; results of 16 + 4 columns.
        ideal, results = 2 * 3 * 2 * 5 * 9, 2 * 3 * 4 * (4 + 1)
        program = task(Kernel.CONV, channels=8, height=3, width=20, channels_in=5, **WINDOW)
        assert ideal == 540
        assert clocks_taken(program) == 638 + results + 10 + HOST

    def test_conv_of_single_taps_stalls_more(self) -> None:
        program = task(
            Kernel.CONV, channels=4, height=1, width=16, channels_in=100, **(WINDOW | {"kernel_h": 1, "kernel_w": 1})
        )
        assert clocks_taken(program) == 127 + 16 + 10 + HOST

    def test_a_stride_costs_its_stride_1_output(self) -> None:
        strided = task(
            Kernel.CONV, channels=4, height=2, width=10, channels_in=4, **(WINDOW | {"stride_h": 2, "stride_w": 2})
        )
        plain = task(Kernel.CONV, channels=4, height=3, width=19, channels_in=4, **WINDOW)
        assert clocks_taken(strided) == clocks_taken(plain)
        able = attrs.evolve(CLOCKS, mac=attrs.evolve(CLOCKS.mac, conv_strides=(1, 2)))
        assert clocks_taken(strided, able) < clocks_taken(strided)

    def test_matmul_with_one_row_uses_one_row_of_four(self) -> None:
        one = task(Kernel.MATMUL, height=1, channels_in=64, width=32)
        four = task(Kernel.MATMUL, height=4, channels_in=64, width=32)
        assert clocks_taken(one) == 224 + 1 * 8 + 10 + HOST
        assert clocks_taken(four) == 224 + 4 * 8 + 10 + HOST
        assert (
            clocks_taken(task(Kernel.MATMUL, weights_at=1, height=1, channels_in=64, width=32)) == 320 + 8 + 10 + HOST
        )

    def test_wide_operands_take_two_clocks_a_step(self) -> None:
        wide = task(Kernel.MATMUL, a_type=Element.I16, height=1, channels_in=64, width=32)
        assert clocks_taken(wide) == 448 + 8 + 10 + HOST

    @pytest.mark.parametrize(
        ("kernel", "fields", "clocks"),
        [
            (Kernel.REQUANTIZE, {"a_type": Element.I32, "low": -128, "zero_y": 3}, 24 * 8),
            (Kernel.REQUANTIZE, {"a_type": Element.I32, "low": -128, "zero_y": -128}, 24 * 8),
            (Kernel.REQUANTIZE, {"a_type": Element.I32, "low": -128, "zero_y": -128, "count": 1}, 24 * 16),
            (Kernel.REQUANTIZE, {"a_type": Element.I32, "low": 0, "zero_y": 0}, 24 * 10.5),
            (Kernel.REQUANTIZE, {"a_type": Element.I8, "low": 0, "zero_y": 0}, 24 * 10.5),
            (Kernel.ADD, {"low": -128, "zero_y": 0}, 24 * 8),
            (Kernel.ADD, {"low": -128, "zero_y": -128, "count": 1}, 24 * 16),
            (Kernel.PAD, {"y_channel": 48, "height_in": 1, "width_in": 2}, 2 * 48 / 4 * 2),
            (Kernel.PAD, {"y_channel": 48, "y_row": 16}, 2 * 3 * 2),
            (Kernel.MAX_POOL, {"height_in": 6, "width_in": 8}, 2 * 48 * 12),
            (Kernel.LRN, {"kernel_h": 5}, 24 * 5 * 8),
        ],
    )
    def test_arm(self, kernel: Kernel, fields: dict[str, int], clocks: float) -> None:
        assert clocks_taken(task(kernel, channels=2, height=3, width=4, **fields)) == clocks + HOST

    def test_tasks_of_one_pe_queue_and_those_of_others_do_not(self) -> None:
        builder = Builder()
        shape = builder.add("shapes", kernel=Kernel.ADD, channels=1, height=1, width=100, low=-128)
        for pe in (0, 0, 1):
            builder.task(1, shape, pe=pe, y=builder.buffer(pe, 100))
        times = time_program(builder.build(), CLOCKS)
        assert times.task_start.tolist() == [0, 800, 0]
        assert times.task_end.tolist() == [800, 1600, 800]
        assert times.total_clocks == 1600 + HOST


class TestTransfers:
    def test_dram_bounds_a_load(self) -> None:
        # There and back: 2 routers of 2 clocks, interface and attach point.
        assert clocks_taken(copies((WEST, 1, 1600))) == 200 + 2 * (2 * 2 + 6) + 7 + HOST

    def test_ports_of_dram_work_at_once(self) -> None:
        both = clocks_taken(copies((WEST, 0, 1600), (EAST, 2, 1600)))
        assert both == clocks_taken(copies((WEST, 0, 1600)))
        assert clocks_taken(copies((WEST, 0, 1600), (WEST, 1, 1600))) >= both + 200

    def test_a_store_to_dram_goes_one_way(self) -> None:
        assert clocks_taken(copies((1, WEST, 1600))) == 200 + int(np.ceil(2 * 2 + 9.5)) + HOST

    def test_routers_share_what_passes_them(self) -> None:
        # Both pass the middle router, which takes two clocks a packet; the links on its two sides differ.
        slow = attrs.evolve(CLOCKS.noc, packets=1, clocks=2)
        program = copies((0, 1, 3200), (1, 2, 3200))
        assert clocks_taken(program, attrs.evolve(CLOCKS, noc=slow)) == 800 + 2 * 2 + HOST
        per_lane = attrs.evolve(slow, per_lane=True)
        assert clocks_taken(program, attrs.evolve(CLOCKS, noc=per_lane)) == 400 + 2 * 2 + HOST

    def test_elements_send_what_they_hold(self) -> None:
        """Nobody asks for packets, not for those of a map either."""
        slow = attrs.evolve(CLOCKS, noc=attrs.evolve(CLOCKS.noc, packets=1))
        for kind in (BufferKind.TILE, BufferKind.MAP):
            assert clocks_taken(copies((0, 1, 1600), kind=kind), slow) == 100 + 2 * 2 + HOST

    def test_multicast_shares_the_way(self) -> None:
        builder = Builder()
        source = builder.buffer(0, 1600)
        builder.rows["buffers"][source]["kind"] = BufferKind.TILE
        box = builder.add("boxes", copy=Copy.BOX, n0=1, n1=1, bytes=1600)
        for pe in (1, 2):
            builder.transfer(1, box, builder.buffer(pe, 1600), source)
        slow = attrs.evolve(CLOCKS.noc, packets=1, clocks=2)
        alone = attrs.evolve(CLOCKS, noc=slow)
        shared = attrs.evolve(CLOCKS, noc=attrs.evolve(slow, multicast=True))
        assert clocks_taken(builder.build(), alone) == 2 * 200 + 3 * 2 + HOST
        assert clocks_taken(builder.build(), shared) == 200 + 3 * 2 + HOST

    def test_within_a_pe_only_its_memory_works(self) -> None:
        times = time_program(copies((0, 0, 1600)), CLOCKS)
        assert times.total_clocks == 2 * 100 + HOST
        assert times.noc_bytes == 0
        assert times.busy["noc"] == 0


ORDERED = attrs.evolve(CLOCKS, host=attrs.evolve(CLOCKS.host, orders_transfers=True))
"""The same machine, whose host orders transfers."""
ROUND = ((0, 1, 160), (1, 2, 160), (2, 0, 160))
"""Each element gives ten packets to the next one: ten reads and ten writes of its SRAM; the way back has two hops."""


def moves(*ways: tuple[int, int, int]) -> Program:
    """One step in which weights move on (source, target, bytes)."""
    return in_phase(copies(*ways, kind=BufferKind.WEIGHTS), Phase.MIGRATION)


def in_phase(program: Program, phase: Phase) -> Program:
    """The same transfers for another reason."""
    program.transfers["phase"] = phase
    return program


class TestOrders:
    def test_elements_wait_for_the_first_order_that_concerns_them(self) -> None:
        # The orders are for elements 1, 2 and 0; the second one is the first that concerns element 2.
        assert clocks_taken(moves(*ROUND)) == 20 + 3 * 2 + HOST
        assert clocks_taken(moves(*ROUND), ORDERED) == 2 + 20 + 3 * 2 + HOST

    def test_so_many_orders_a_clock(self) -> None:
        busy = attrs.evolve(ORDERED, host=attrs.evolve(ORDERED.host, tasks_per_clock=2))
        assert clocks_taken(moves(*ROUND), busy) == 1 + 20 + 3 * 2 + HOST

    def test_an_element_is_told_once_in_a_step(self) -> None:
        # The order for element 1 comes second, and covers the last transfer, too.
        program = moves((0, 0, 16), (0, 1, 160), (2, 1, 160))
        assert clocks_taken(program) == 20 + 2 * 2 + HOST
        assert clocks_taken(program, ORDERED) == 2 + 20 + 2 * 2 + HOST

    def test_routers_wait_too(self) -> None:
        slow = attrs.evolve(ORDERED, noc=attrs.evolve(ORDERED.noc, packets=1, clocks=4))
        assert clocks_taken(moves((2, 2, 16), (0, 1, 160)), slow) == 2 + 10 * 4 + 2 * 2 + HOST

    def test_dram_works_from_the_first_order_on(self) -> None:
        # The last of three tiles leaves the port long after its order.
        program = copies((WEST, 0, 160), (WEST, 1, 160), (WEST, 2, 160))
        assert clocks_taken(program, ORDERED) == clocks_taken(program) + 1

    def test_maps_are_sent_by_order_and_tiles_handed_on_as_they_come(self) -> None:
        tile, stored = (
            in_phase(copies((0, 1, 160), kind=kind), Phase.INPUTS) for kind in (BufferKind.TILE, BufferKind.MAP)
        )
        assert clocks_taken(tile, ORDERED) == clocks_taken(tile) == clocks_taken(stored)
        assert clocks_taken(stored, ORDERED) == clocks_taken(stored) + 1

    @pytest.mark.parametrize("kind", [BufferKind.ACCUMULATOR, BufferKind.RESULT])
    @pytest.mark.parametrize("phase", [Phase.MIGRATION, Phase.RESULTS])
    def test_sums_and_results_are_sent_without_an_order(self, kind: BufferKind, phase: Phase) -> None:
        program = in_phase(copies(*ROUND, kind=kind), phase)
        assert clocks_taken(program, ORDERED) == clocks_taken(program)


class TestSteps:
    def build(self, *, waits: bool) -> Program:
        builder = Builder()
        copy(builder, WEST, 0, 1600, step=1)
        copy(builder, EAST, 2, 1600, step=2)
        if waits:
            builder.add("depends", before=1, after=2)
        return builder.build()

    def test_a_step_waits_for_those_that_it_depends_on_only(self) -> None:
        alone = clocks_taken(copies((WEST, 0, 1600)))
        assert clocks_taken(self.build(waits=True)) == 2 * alone
        assert clocks_taken(self.build(waits=False)) == alone

    def test_a_resource_serves_steps_in_order(self) -> None:
        builder = Builder()
        for step in (1, 2):
            copy(builder, WEST, 0, 1600, step=step)
        assert clocks_taken(builder.build()) == clocks_taken(copies((WEST, 0, 1600))) + 200

    def test_fixed_times_of_the_host(self) -> None:
        clocks = attrs.evolve(CLOCKS, host=HostClocks(10, 1, setup_clocks=1000, layer_clocks=100, cleanup_clocks=10))
        times = time_program(self.build(waits=True), clocks)
        assert times.total_clocks == clocks_taken(self.build(waits=True)) + 1110
        assert times.phase_clocks.sum() + times.setup_clocks + times.cleanup_clocks == times.total_clocks

    def test_no_rows_take_no_time(self) -> None:
        times = time_program(Builder().build(), CLOCKS)
        assert times.total_clocks == 0
        assert times.phase_clocks.shape == (1, len(Phase))


def programs() -> st.SearchStrategy[Program]:
    """Random programs of several steps on three PEs."""
    return st.integers(0, 2**32 - 1).map(lambda seed: random_network(np.random.default_rng(seed))[0])


def same(first: Timeline, second: Timeline) -> bool:
    pairs = zip(attrs.astuple(first, recurse=False), attrs.astuple(second, recurse=False), strict=True)
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


FASTER = {
    "DRAM": attrs.evolve(CLOCKS, dram=attrs.evolve(CLOCKS.dram, bytes=11)),
    "NoC": attrs.evolve(CLOCKS, noc=attrs.evolve(CLOCKS.noc, packets=3)),
    "hops": attrs.evolve(CLOCKS, noc=attrs.evolve(CLOCKS.noc, hop_clocks=1.0)),
    "SRAM": attrs.evolve(CLOCKS, sram_port_bytes_per_clock=32),
    "stalls": attrs.evolve(CLOCKS, mac=attrs.evolve(CLOCKS.mac, conv_stall=1.0, conv_1x1_stall=1.1)),
    "columns": attrs.evolve(CLOCKS, mac=attrs.evolve(CLOCKS.mac, columns=32)),
    "ARM": attrs.evolve(CLOCKS, arm=attrs.evolve(CLOCKS.arm, add=7.5)),
    "host": attrs.evolve(CLOCKS, host=attrs.evolve(CLOCKS.host, interface_clocks=9)),
}
"""The machine, better in one way."""


class TestLaws:
    @given(program=programs(), clocks=st.sampled_from((CLOCKS, ORDERED)))
    @settings(deadline=None, max_examples=40)
    def test_time_and_rows(self, program: Program, clocks: Clocks) -> None:
        times = time_program(program, clocks)
        assert times.total_clocks >= roofline(program, clocks) > 0
        assert times.phase_clocks.sum() == times.total_clocks == times.step_end.max()
        assert all(0 <= share <= 1 for share in times.busy.values())
        for rows, start, end in (
            (program.tasks, times.task_start, times.task_end),
            (program.transfers, times.transfer_start, times.transfer_end),
        ):
            step = np.searchsorted(times.steps, rows["step"])
            assert np.all(times.step_start[step] <= start)
            assert np.all(start <= end)
            assert np.all(end <= times.step_end[step])

    @given(program=programs())
    @settings(deadline=None, max_examples=20)
    def test_two_runs_agree(self, program: Program) -> None:
        assert same(time_program(program, CLOCKS), time_program(program, CLOCKS))

    @given(program=programs())
    @settings(deadline=None, max_examples=20)
    def test_orders_save_no_time(self, program: Program) -> None:
        assert clocks_taken(program, ORDERED) >= clocks_taken(program)

    @given(program=programs(), ordered=st.booleans())
    @settings(deadline=None, max_examples=20)
    def test_a_better_machine_is_not_slower(self, program: Program, ordered: bool) -> None:
        known = clocks_taken(program, ORDERED if ordered else CLOCKS)
        for name, clocks in FASTER.items():
            faster = attrs.evolve(clocks, host=attrs.evolve(clocks.host, orders_transfers=ordered))
            assert clocks_taken(program, faster) <= known, name

    @given(
        size=st.integers(2, 5000),
        share=st.floats(0.01, 0.99),
        ends=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    )
    @settings(deadline=None, max_examples=40)
    def test_splitting_a_transfer_keeps_its_bytes_and_saves_no_time(
        self, size: int, share: float, ends: tuple[int, int]
    ) -> None:
        first = min(max(int(size * share), 1), size - 1)
        whole = time_program(copies((*ends, size)), CLOCKS)
        split = time_program(copies((*ends, first), (*ends, size - first)), CLOCKS)
        assert split.dram_bytes.tolist() == whole.dram_bytes.tolist()
        assert split.noc_bytes == whole.noc_bytes
        assert split.total_clocks >= whole.total_clocks


@pytest.fixture(scope="module", params=["baseline", "kelber2020"])
def program(request: pytest.FixtureRequest) -> Program:
    return compile(small_model(), mapping=request.param).program


class TestCompiledNetworks:
    def machine(self, **values: int) -> Clocks:
        text = machine_text("spinn2-2020")
        for key, value in values.items():
            text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
            assert count == 1
        return clocks_of(parse_machine(text, "test.toml"))

    def test_dram_carries_constants_inputs_and_outputs(self, program: Program) -> None:
        behind = program.buffers["memory"] >= program.processing_elements
        least = sum(array.nbytes for array in program.arrays)
        least += int((program.ports["n0"] * program.ports["bytes"])[behind[program.ports["buffer"]]].sum())
        assert time_program(program, self.machine()).dram_bytes.sum() >= least > 0

    def test_seconds_fall_with_the_clock_and_the_bandwidth(self, program: Program) -> None:
        known = time_program(program, self.machine()).latency_s
        assert time_program(program, self.machine(clock_hz=500_000_000)).latency_s <= known
        assert time_program(program, self.machine(bytes_per_second=4_000_000_000)).latency_s <= known
        assert time_program(program, self.machine(clock_hz=125_000_000)).latency_s >= known

    def test_never_below_the_roofline(self, program: Program) -> None:
        clocks = self.machine()
        assert time_program(program, clocks).total_clocks >= roofline(program, clocks) > 0
