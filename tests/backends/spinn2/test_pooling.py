"""Max pooling by windows or by maxima, before or behind the rescale: the cheapest way, and always the same values."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.estimate import LayerCost
from snc.backends.spinn2.machine import Machine, parse_machine
from snc.backends.spinn2.maxima import separable
from snc.backends.spinn2.pooling import cheapest_pooling
from snc.backends.spinn2.schedule import schedule
from snc.backends.spinn2.splits import Splits
from snc.compiler.pipelines import Spinn2Options
from snc.ir.diagnostics import DoesNotFit
from snc.ir.dialects import quant
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.dialects.nn import AvgPool2dOp, ClampOp, Conv2dOp, HardSwishOp, MaxPool2dOp
from snc.ir.dialects.spinn2_tables import Element, Kernel
from snc.ir.dialects.tile import BlockOp
from snc.ir.rewriter import Rewriter
from snc.ir.spec import DENSE
from snc.passes.tile.geometry import Plan, plan_block
from snc.runtime.spinn2.arm_clocks import arm_clocks
from snc.runtime.spinn2.program import Program

from ...passes.nets import Net
from .compiling import assert_exact, fixed_point, tiled
from .small_machines import small_machine_text

WINDOWS = (
    (2, 2, 2, 2),
    (3, 3, 2, 2),
    (3, 3, 1, 1),
    (3, 3, 3, 3),
    (1, 2, 1, 2),
    (2, 1, 2, 1),
    (3, 2, 2, 3),
    (2, 2, 1, 1),
    (1, 2, 2, 2),
)
"""Rows and columns of windows and their strides."""
COSTS = ("quantize_clocks_per_element", "max_pool_i8_clocks_per_input", "max_pool_i32_clocks_per_input")
MAXIMUM = "maximum_clocks_per_element"


def machine_with(costs: dict[str, float], **sizes: int) -> Machine:
    """A small machine whose ARM cores take so many clocks."""
    text = small_machine_text(data_bytes=1 << 16, **sizes)
    for name, clocks in costs.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {clocks}", text, flags=re.MULTILINE)
        assert count == 1
    return parse_machine(text, "small.toml")


def drawn_machine(data: st.DataObject) -> Machine:
    """A small machine with any costs."""
    costs = {name: data.draw(st.sampled_from((1.0, 2.5, 8.0, 18.75, 40.0))) for name in (*COSTS, MAXIMUM)}
    bits = data.draw(st.sampled_from((20, 24, 29)))
    return machine_with(costs, qpes=data.draw(st.integers(1, 2)), pes_per_qpe=4, accumulator_bits=bits)


def refuse(_module: ModuleOp, _machine: Machine) -> None:
    """Stands for a mapping kelber2020 that does not fit."""
    raise DoesNotFit([])


def optimized(module: ModuleOp, machine: Machine, level: int = 0) -> Program:
    """The program of `optimized`, never that of kelber2020."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snc.backends.spinn2.schedule._paper_program", refuse)
        return schedule(module, machine, "optimized", level)


def fused(size: tuple[int, int], window: tuple[int, int], *, channels: int = 4, filters: int = 8) -> ModuleOp:
    """A convolution, a ReLU and a max pooling whose windows do not overlap."""
    net = Net((1, channels, size[0] * window[0], size[1] * window[1]))
    weight, bias = net.random(filters, channels, 3, 3), net.random(filters)
    y = net(Conv2dOp(x=net.x, weight=weight, bias=bias, pads=(1, 1, 1, 1)))
    y = net(ClampOp(x=y, low=0.0, high=math.inf))
    return net.module(net(MaxPool2dOp(x=y, kernel=window, strides=window)))


def plans(module: ModuleOp) -> list[Plan]:
    """The plans of all blocks."""
    return [plan_block(op) for op in module.main.body.ops if isinstance(op, BlockOp)]


def kernels(program: Program) -> set[Kernel]:
    """The kernels that a program runs."""
    return {Kernel(int(kernel)) for kernel in program.shapes["kernel"][program.tasks["shape"]]}


class TestValues:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_a_fused_pooling_is_exact_whatever_it_costs(self, data: st.DataObject) -> None:
        window = data.draw(st.sampled_from(((2, 2), (3, 3), (1, 2), (2, 1), (3, 2), (4, 4))))
        size = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
        net = Net((1, 4 * data.draw(st.integers(1, 6)), size[0] * window[0], size[1] * window[1]))
        weight = net.random(data.draw(st.integers(1, 20)), net.x.shape[1], 3, 3)
        y = net(Conv2dOp(x=net.x, weight=weight, bias=net.random(weight.shape[0]), pads=(1, 1, 1, 1)))
        match data.draw(st.sampled_from(("none", "relu", "table"))):
            case "relu":
                y = net(ClampOp(x=y, low=0.0, high=data.draw(st.sampled_from((2.0, math.inf)))))
            case "table":
                y = net(HardSwishOp(x=y))
        module = net.module(net(MaxPool2dOp(x=y, kernel=window, strides=window)))
        rescale, bits = data.draw(st.sampled_from((("multiplier", 8), ("float", 8), ("multiplier", 16))))
        options, machine = Spinn2Options(rescale=rescale, bits=bits), drawn_machine(data)
        fixed = fixed_point(module, options)
        assert_exact(fixed, optimized(tiled(fixed, options, machine), machine, data.draw(st.integers(0, 1))))

    @settings(max_examples=80, deadline=None)
    @given(st.data())
    def test_a_pooling_of_its_own_is_exact_padded_or_not(self, data: st.DataObject) -> None:
        tall, wide, *strides = data.draw(st.sampled_from(WINDOWS))
        kernel = (tall, wide)
        size = tuple(data.draw(st.integers(each, 24)) for each in kernel)
        pads = tuple(data.draw(st.integers(0, each - 1)) for each in (*kernel, *kernel))
        net = Net((1, data.draw(st.integers(1, 24)), *size))
        ceil = data.draw(st.booleans())
        y = net(MaxPool2dOp(x=net.x, kernel=kernel, strides=tuple(strides), pads=pads, ceil=ceil))
        fixed, machine = fixed_point(net.module(y)), drawn_machine(data)
        assert_exact(fixed, optimized(tiled(fixed, Spinn2Options(), machine), machine, data.draw(st.integers(0, 1))))

    def test_a_falling_rescale_stays_before_the_pooling(self) -> None:
        fixed = fixed_point(fused((4, 4), (2, 2)))
        (rescale,) = (op for op in fixed.walk() if isinstance(op, quant.RescaleOp))
        signs = np.where(np.arange(len(rescale.multiplier)) % 3, 1, -1)
        Rewriter().set_attribute(rescale, "multiplier", DENSE.encode((rescale.multiplier * signs).astype(np.int32)))
        machine = machine_with({}, pes_per_qpe=4)
        module = tiled(fixed, Spinn2Options(), machine)
        (plan,) = plans(module)
        found = cheapest_pooling(plan, clocks_of(machine))
        assert [stage.op.name for stage in found.stages] == [stage.op.name for stage in plan.stages]
        assert_exact(fixed, optimized(module, machine))

    def test_sums_that_could_wrap_are_not_pooled(self) -> None:
        fixed = fixed_point(fused((4, 4), (2, 2)))
        (core,) = (op for op in fixed.walk() if isinstance(op, quant.Conv2dOp))
        bias = core.operands[2].owner
        assert isinstance(bias, ConstantOp)
        far = np.full(bias.value.shape, (1 << 31) - 1000, np.int32)
        Rewriter().set_attribute(bias, "value", DENSE.encode(far))
        machine = machine_with({}, pes_per_qpe=4)
        module = tiled(fixed, Spinn2Options(), machine)
        (plan,) = plans(module)
        found = cheapest_pooling(plan, clocks_of(machine))
        assert isinstance(found.stages[1].op, quant.RescaleOp)
        assert_exact(fixed, optimized(module, machine))


class TestChoice:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_a_fused_pooling_takes_the_arm_cores_no_longer_than_any_of_four_ways(self, data: st.DataObject) -> None:
        costs = {name: float(data.draw(st.integers(1, 40))) for name in (*COSTS, MAXIMUM)}
        window = data.draw(st.sampled_from(((2, 2), (3, 3), (1, 2), (3, 2))))
        module = fused((4, 4), window)
        machine = machine_with(costs, pes_per_qpe=4)
        fixed = fixed_point(module)
        program = optimized(tiled(fixed, Spinn2Options(), machine), machine)
        inputs, left = 8 * 16 * math.prod(window), 1 / math.prod(window)
        quantize, narrow, wide, maximum = costs.values()
        ways = {
            "windows": quantize + narrow,
            "maxima": quantize + maximum * (1 - left),
            "windows of sums": wide + quantize * left,
            "maxima of sums": maximum * (1 - left) + quantize * left,
        }
        clocks = arm_clocks(program.shapes, clocks_of(machine).arm)[program.tasks["shape"]]
        counted = np.isin(
            program.shapes["kernel"][program.tasks["shape"]], (Kernel.REQUANTIZE, Kernel.MAX_POOL, Kernel.MAXIMUM)
        )
        (plan,) = plans(tiled(fixed, Spinn2Options(), machine))
        chosen = cheapest_pooling(plan, clocks_of(machine))
        estimate = LayerCost(chosen, clocks_of(machine)).arm(*(np.array(n) for n in plan.view.shape))
        assert float(estimate) == pytest.approx(inputs * min(ways.values()))
        # Each task is rounded up to whole clocks.
        assert -1e-6 <= clocks[counted].sum() - inputs * min(ways.values()) < counted.sum()

    @pytest.mark.parametrize(
        ("kernel", "stride", "pads", "expected"),
        [
            ((2, 2), (2, 2), (0, 0, 0, 0), Kernel.MAXIMUM),
            ((3, 3), (3, 3), (0, 0, 0, 0), Kernel.MAXIMUM),
            ((3, 3), (1, 1), (1, 1, 1, 1), Kernel.MAX_POOL),
            ((2, 2), (1, 1), (0, 0, 0, 0), Kernel.MAX_POOL),
        ],
    )
    def test_a_pooling_of_its_own_follows_the_clock_table(
        self, kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, ...], expected: Kernel
    ) -> None:
        net = Net((1, 8, 12, 12))
        y = net(MaxPool2dOp(x=net.x, kernel=kernel, strides=stride, pads=pads))
        machine = machine_with({}, pes_per_qpe=4)
        program = optimized(tiled(fixed_point(net.module(y)), Spinn2Options(), machine), machine)
        assert kernels(program) == {expected}

    @pytest.mark.parametrize("maximum", [1.0, 40.0])
    @pytest.mark.parametrize("op_class", [MaxPool2dOp, AvgPool2dOp])
    def test_the_estimate_of_a_piece_is_what_its_tasks_take(self, op_class: type[Any], maximum: float) -> None:
        net, tile = Net((1, 8, 13, 13)), (4, 3, 2, 1)
        module = fixed_point(net.module(net(op_class(x=net.x, kernel=(3, 3), strides=(2, 2)))))
        machine = machine_with({MAXIMUM: maximum}, pes_per_qpe=4)
        (plan,) = plans(tiled(module, Spinn2Options(), machine))
        cost = LayerCost(cheapest_pooling(plan, clocks_of(machine)), clocks_of(machine))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Splits, "waves", lambda _self, _plan, _tile: [tile])
            program = optimized(tiled(module, Spinn2Options(), machine), machine)
        clocks = arm_clocks(program.shapes, clocks_of(machine).arm)[program.tasks["shape"]]
        pieces = 2 * 2 * 3
        assert clocks.sum() == pieces * float(cost.arm(*(np.array(n) for n in tile[:3])))

    def test_ways_that_cost_the_same_leave_the_windows(self) -> None:
        machine = machine_with({"max_pool_i8_clocks_per_input": 6.0, MAXIMUM: 8.0}, pes_per_qpe=4)
        net = Net((1, 8, 12, 12))
        y = net(MaxPool2dOp(x=net.x, kernel=(2, 2), strides=(2, 2)))
        (plan,) = plans(tiled(fixed_point(net.module(y)), Spinn2Options(), machine))
        assert cheapest_pooling(plan, clocks_of(machine)) is plan

    def test_sums_are_pooled_on_the_machine_of_the_paper(self) -> None:
        machine = machine_with({}, pes_per_qpe=4)
        program = optimized(tiled(fixed_point(fused((4, 4), (2, 2))), Spinn2Options(), machine), machine)
        assert Kernel.MAX_POOL not in kernels(program)
        shapes = program.shapes[program.tasks["shape"]]
        assert set(shapes["a_type"][shapes["kernel"] == Kernel.MAXIMUM]) == {Element.I32}

    @pytest.mark.parametrize("mapping", ["kelber2020", "baseline"])
    def test_the_other_mappings_pool_by_windows(self, mapping: str) -> None:
        machine, options = machine_with({}, pes_per_qpe=4), Spinn2Options(mapping=mapping)
        program = schedule(tiled(fixed_point(fused((4, 4), (2, 2))), options, machine), machine, mapping)
        assert Kernel.MAX_POOL in kernels(program) and Kernel.MAXIMUM not in kernels(program)


class TestSeparable:
    @staticmethod
    def stage_of(size: tuple[int, int], **attributes: Any) -> tuple[Any, Any]:
        """The stage of a max pooling of a map of one channel and the view of that map."""
        net = Net((1, 1, *size))
        module = fixed_point(net.module(net(MaxPool2dOp(x=net.x, **attributes))))
        (plan,) = plans(tiled(module, Spinn2Options(), machine_with({})))
        return plan.stages[0], plan.first.view

    @pytest.mark.parametrize(
        ("size", "attributes", "expected"),
        [
            ((8, 8), {"kernel": (2, 2), "strides": (2, 2)}, True),
            ((112, 112), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}, True),
            # The last column of windows has one column of the map and the padding, the first the other one.
            ((113, 113), {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}, False),
            ((8, 8), {"kernel": (2, 2), "strides": (1, 1)}, False),
            ((9, 9), {"kernel": (2, 2), "strides": (2, 2), "dilations": (2, 2)}, False),
            ((8, 8), {"kernel": (2, 1), "strides": (2, 2)}, False),
            ((8, 8), {"kernel": (2, 1), "strides": (2, 1)}, True),
        ],
    )
    def test_needs_a_row_of_its_own_in_each_window_and_two_columns_inside_the_map(
        self, size: tuple[int, int], attributes: dict[str, Any], expected: bool
    ) -> None:
        assert separable(*self.stage_of(size, **attributes)) is expected
