"""Steps that do not wait for each other, directly or through others, never touch a buffer that one of them writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from numpy.typing import NDArray

from snc.backends.spinn2.machine import Machine
from snc.compiler.pipelines import Spinn2Options
from snc.ir.builder import Builder
from snc.ir.core import Block, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import Conv2dOp, MatMulOp
from snc.ir.dialects.spinn2_tables import NO_BUFFER
from snc.ir.types import F32, TensorType
from snc.runtime.spinn2.dataflow import unordered
from snc.runtime.spinn2.program import Program

from .compiling import compile_module
from .layers import large_layers
from .small_machines import small_machine, small_machines


def network(weights: Callable[[Builder, Value], Value], shape: tuple[int, ...]) -> ModuleOp:
    """A network of one layer."""
    body = Block([TensorType(shape, F32)], ["image"])
    builder = Builder(body)
    result = weights(builder, body.arguments[0])
    builder.insert(ReturnOp(values=(result,)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", input_names=("image",), body=body))
    return module


def convolution() -> ModuleOp:
    """8 to 32 channels on 16 x 16."""

    def layer(builder: Builder, x: Value) -> Value:
        weight = builder.insert(ConstantOp(value=drawn(32, 8, 3, 3))).out
        return builder.insert(Conv2dOp(x=x, weight=weight, pads=(1, 1, 1, 1))).out

    return network(layer, (1, 8, 16, 16))


def product() -> ModuleOp:
    """600 to 20 features."""

    def layer(builder: Builder, x: Value) -> Value:
        return builder.insert(MatMulOp(lhs=x, rhs=builder.insert(ConstantOp(value=drawn(600, 20))).out)).out

    return network(layer, (1, 600))


def drawn(*shape: int) -> NDArray[np.float32]:
    """Seeded weights."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def reached(program: Program, steps: int) -> list[int]:
    """For each step a bit mask of the steps that have ended before it starts."""
    found = [0] * (steps + 1)
    waits: list[list[int]] = [[] for _ in range(steps + 1)]
    for before, after in program.depends.tolist():
        waits[after].append(before)
    for step in range(1, steps + 1):
        for before in waits[step]:
            found[step] |= found[before] | 1 << before
    return found


def uses(program: Program) -> dict[int, list[tuple[int, bool]]]:
    """Steps that use each buffer, and whether they write it."""
    found: dict[int, list[tuple[int, bool]]] = {}
    reads = [(program.tasks, name, False) for name in "abp"] + [(program.transfers, "src", False)]
    for rows, name, writes in [*reads, (program.tasks, "y", True), (program.transfers, "dst", True)]:
        pairs = np.unique(np.stack([rows[name].astype(np.int64), rows["step"].astype(np.int64)], axis=1), axis=0)
        for buffer, step in pairs.tolist():
            if buffer != NO_BUFFER:
                found.setdefault(buffer, []).append((step, writes))
    return found


def assert_ordered(program: Program) -> None:
    """Of two steps that touch a buffer, one of them writing, the later waits for the earlier."""
    steps = int(max(program.tasks["step"].max(initial=0), program.transfers["step"].max(initial=0)))
    before = reached(program, steps)
    for users in uses(program).values():
        for first, writes in users:
            for second, also in users:
                if first < second and (writes or also):
                    assert before[second] >> first & 1, (first, second)


class TestWaits:
    def test_stores_of_a_convolution_overlap_the_next_sums_only(self) -> None:
        machine = small_machine(pes_per_qpe=4, data_bytes=8192)
        _, program = compile_module(convolution(), Spinn2Options(mapping="kelber2020"), machine)
        assert np.bincount(program.depends["before"]).max() > 1
        assert_ordered(program)

    def test_a_matrix_product_loads_ahead(self) -> None:
        machine = small_machine(pes_per_qpe=2, data_bytes=8192)
        _, program = compile_module(product(), Spinn2Options(mapping="kelber2020"), machine)
        assert np.bincount(program.depends["before"]).max() > 1
        assert_ordered(program)

    def test_quadrants_of_the_baseline_do_not_wait_for_each_other(self) -> None:
        machine = small_machine(qpes=2, ports=2, data_bytes=8192)
        _, program = compile_module(convolution(), Spinn2Options(mapping="baseline"), machine)
        assert unordered(program) == []
        steps = int(program.transfers["step"].max())
        before = reached(program, steps)
        free = [step for step in range(2, steps) if not before[step + 1] >> step & 1]
        assert len(free) > steps // 4

    @given(module=large_layers(), machine=small_machines(least_bytes=4352, most_bytes=16384))
    @settings(deadline=None, max_examples=25)
    def test_conflicting_steps_are_ordered(self, module: ModuleOp, machine: Machine) -> None:
        _, program = compile_module(module, Spinn2Options(mapping="kelber2020"), machine)
        assert_ordered(program)
