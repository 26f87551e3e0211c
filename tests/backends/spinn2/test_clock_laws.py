"""Laws of the time that a compiled network takes, on machines of any size."""

from __future__ import annotations

import attrs
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import Machine, parse_machine
from snc.backends.spinn2.schedule import schedule
from snc.compiler.pipelines import Spinn2Options
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import Conv2dOp
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.timer import Timeline, roofline, time_program

from ...passes.nets import Net
from .compiling import compile_module, fixed_point, same_tables, tiled
from .layers import large_layers
from .small_machines import small_machine, small_machine_text, small_machines

MAPPINGS = st.sampled_from(("baseline", "kelber2020", "optimized"))
RULED = st.sampled_from(("baseline", "kelber2020"))
"""Mappings that follow rules and do not look at clocks."""
MACHINES = small_machines(least_bytes=4352)
FACTORS = st.integers(2, 5)


def times_of(program: Program, machine: Machine, mapping: str) -> Timeline:
    return time_program(program, clocks_of(machine, mapping))


def faster_elements(machine: Machine, factor: int) -> Machine:
    return attrs.evolve(machine, pe=attrs.evolve(machine.pe, clock_hz=machine.pe.clock_hz * factor))


def faster_network(machine: Machine, factor: int) -> Machine:
    return attrs.evolve(machine, noc=attrs.evolve(machine.noc, clock_hz=machine.noc.clock_hz * factor))


def faster_dram(machine: Machine, factor: int) -> Machine:
    rate = machine.dram.bytes_per_second * factor
    return attrs.evolve(machine, dram=attrs.evolve(machine.dram, bytes_per_second=rate))


def wider_ports(machine: Machine, factor: int) -> Machine:
    width = machine.pe.sram_port_bytes_per_clock * factor
    return attrs.evolve(machine, pe=attrs.evolve(machine.pe, sram_port_bytes_per_clock=width))


def busier_host(machine: Machine, factor: int) -> Machine:
    return attrs.evolve(machine, host=attrs.evolve(machine.host, tasks_per_clock=machine.host.tasks_per_clock * factor))


class TestOneProgram:
    @settings(max_examples=40)
    @given(large_layers(), MAPPINGS, MACHINES, FACTORS)
    def test_a_faster_part_never_costs_time(
        self, module: ModuleOp, mapping: str, machine: Machine, factor: int
    ) -> None:
        """Clocks rise by whole factors, as times are rounded up to clocks of the PEs."""
        _, program = compile_module(module, Spinn2Options(mapping=mapping), machine)
        known = times_of(program, machine, mapping)
        for faster in (faster_elements, faster_network, faster_dram, wider_ports, busier_host):
            found = times_of(program, faster(machine, factor), mapping)
            assert found.latency_s <= known.latency_s, faster.__name__
            assert found.dram_bytes.tolist() == known.dram_bytes.tolist()

    @settings(max_examples=25)
    @given(large_layers(), MAPPINGS, MACHINES, st.integers(1, 400))
    def test_any_greater_bandwidth_never_costs_time(
        self, module: ModuleOp, mapping: str, machine: Machine, percent: int
    ) -> None:
        _, program = compile_module(module, Spinn2Options(mapping=mapping), machine)
        rate = machine.dram.bytes_per_second * (100 + percent) // 100
        better = attrs.evolve(machine, dram=attrs.evolve(machine.dram, bytes_per_second=rate))
        assert times_of(program, better, mapping).total_clocks <= times_of(program, machine, mapping).total_clocks

    @settings(max_examples=25)
    @given(large_layers(), MAPPINGS, st.integers(1, 3))
    def test_elements_that_it_does_not_use_change_nothing(self, module: ModuleOp, mapping: str, more: int) -> None:
        """QPEs below the others; memories behind DRAM ports are numbered behind those of the PEs."""
        small = small_machine(qpes=2, data_bytes=8192)
        text = small_machine_text(qpes=2, data_bytes=8192)
        large = parse_machine(text.replace("qpe_rows = 3", f"qpe_rows = {3 + more}"), "large.toml")
        _, program = compile_module(module, Spinn2Options(mapping=mapping), small)
        shift = large.processing_elements - small.processing_elements
        assert shift == more * small.mesh.pes_per_qpe
        buffers = program.buffers.copy()
        buffers["memory"][buffers["memory"] >= small.processing_elements] += shift
        wider = attrs.evolve(program, buffers=buffers, processing_elements=large.processing_elements)
        known, found = times_of(program, small, mapping), times_of(wider, large, mapping)
        assert found.total_clocks == known.total_clocks
        np.testing.assert_array_equal(found.step_end, known.step_end)

    @settings(max_examples=40)
    @given(large_layers(), MAPPINGS, MACHINES)
    def test_dram_carries_constants_inputs_and_outputs_once_or_more(
        self, module: ModuleOp, mapping: str, machine: Machine
    ) -> None:
        _, program = compile_module(module, Spinn2Options(mapping=mapping), machine)
        times = times_of(program, machine, mapping)
        behind = program.buffers["memory"].astype(np.int64) >= program.processing_elements
        read = np.unique(program.constants["array"][behind[program.constants["buffer"]]])
        least = sum(program.arrays[index].nbytes for index in read.tolist())
        ports = program.ports[behind[program.ports["buffer"]]]
        written = ports[ports["output"] == 1]
        least += int((written["n0"].astype(np.int64) * written["bytes"]).sum())
        assert times.dram_bytes.sum() >= least
        assert times.total_clocks >= roofline(program, clocks_of(machine, mapping))

    @settings(max_examples=15)
    @given(large_layers(), MAPPINGS, MACHINES)
    def test_two_runs_take_the_same_clocks(self, module: ModuleOp, mapping: str, machine: Machine) -> None:
        options = Spinn2Options(mapping=mapping)
        first, second = (times_of(compile_module(module, options, machine)[1], machine, mapping) for _ in range(2))
        assert first.total_clocks == second.total_clocks
        for name in ("step_start", "step_end", "task_start", "task_end", "transfer_start", "transfer_end"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        np.testing.assert_array_equal(first.phase_clocks, second.phase_clocks)


class TestRules:
    """The paper's mappings follow rules that know nothing of clocks: time is monotone in these for networks, too."""

    @settings(max_examples=20)
    @given(large_layers(), RULED, MACHINES, FACTORS)
    def test_clocks_and_bandwidth_do_not_change_the_program(
        self, module: ModuleOp, mapping: str, machine: Machine, factor: int
    ) -> None:
        options = Spinn2Options(mapping=mapping)
        fixed = fixed_point(module, options)
        cut = tiled(fixed, options, machine)
        known = schedule(cut, machine, mapping)
        for faster in (faster_elements, faster_network, faster_dram):
            assert same_tables(schedule(cut, faster(machine, factor), mapping), known)

    def test_more_elements_may_cost_time(self) -> None:
        """Why there is no such law for their number: the rules give every element a part to hold, which takes copies.

        A single part of the weights on 2, 4 and 8 elements.
        """
        net = Net((1, 8, 16, 4))
        module = net.module(net(Conv2dOp(x=net.x, weight=net.random(4, 8, 3, 3), pads=(1, 1, 1, 1))))
        clocks = []
        for qpes in (1, 2, 4):
            machine = small_machine(double_blocks=2, qpes=qpes, pes_per_qpe=2, data_bytes=8192, ports=2)
            _, program = compile_module(module, Spinn2Options(mapping="kelber2020"), machine)
            clocks.append(times_of(program, machine, "kelber2020").total_clocks)
        assert clocks[1] < clocks[0] and clocks[1] < clocks[2] < clocks[0]
