"""fuse-activations: one spelling for each activation, padding, pooling and dense layer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snc.ir.core import Value
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.location import Location
from snc.ir.types import I32
from snc.passes.graph.fuse_activations import FuseActivations

from ..nets import Net, after, assert_same_values, only, ops_of

ROUNDING = 1e-6
"""A spelled-out function and its operation differ by a few roundings of 6e-8 each."""


def fused(module: ModuleOp) -> ModuleOp:
    result = after(module, FuseActivations())
    assert_same_values(module, result, rounding=ROUNDING)
    return result


class Spelling(Net):
    """A net on a feature map with the arithmetic that exporters write."""

    def __init__(self) -> None:
        super().__init__((1, 2, 3, 3))

    def add(self, a: Value | float, b: Value | float) -> Value:
        return self(nn.AddOp(lhs=self._value(a), rhs=self._value(b)))

    def sub(self, a: Value | float, b: Value | float) -> Value:
        return self(nn.SubOp(lhs=self._value(a), rhs=self._value(b)))

    def mul(self, a: Value | float, b: Value | float) -> Value:
        return self(nn.MulOp(lhs=self._value(a), rhs=self._value(b)))

    def div(self, a: Value | float, b: Value | float) -> Value:
        return self(nn.DivOp(lhs=self._value(a), rhs=self._value(b)))

    def pow(self, a: Value, b: float) -> Value:
        return self(nn.PowOp(lhs=a, rhs=self._value(b)))

    def clip(self, x: Value, low: float, high: float) -> Value:
        lower = self(nn.MaximumOp(lhs=self._value(low), rhs=x))
        return self(nn.MinimumOp(lhs=lower, rhs=self._value(high)))

    def _value(self, x: Value | float) -> Value:
        return x if isinstance(x, Value) else self.constant(x)


def spellings() -> dict[str, tuple[str, ModuleOp]]:
    """Name of the spelling: (the one operation that it is, the net)."""
    found: dict[str, tuple[str, ModuleOp]] = {}

    def spell(name: str, op: str) -> Spelling:
        net = Spelling()
        nets.append((name, op, net))
        return net

    nets: list[tuple[str, str, Spelling]] = []
    results: list[Value] = []

    n = spell("relu6 as max and min", "nn.clamp")
    results.append(n.clip(n.x, 0, 6))
    n = spell("relu as select", "nn.clamp")
    positive = n(nn.CompareOp(lhs=n.x, rhs=n.constant(0), predicate="gt"))
    results.append(n(nn.SelectOp(condition=positive, on_true=n.x, on_false=n.constant(0))))
    n = spell("clamps in a row", "nn.clamp")
    results.append(n(nn.ClampOp(x=n(nn.ClampOp(x=n(nn.ClampOp(x=n.x, low=-1)), low=0)), high=4)))
    n = spell("leaky relu as max", "nn.leaky_relu")
    results.append(n(nn.MaximumOp(lhs=n.mul(0.1, n.x), rhs=n.x)))
    n = spell("leaky relu as select", "nn.leaky_relu")
    negative = n(nn.CompareOp(lhs=n.x, rhs=n.constant(0), predicate="le"))
    results.append(n(nn.SelectOp(condition=negative, on_true=n.mul(n.x, 2.5), on_false=n.x)))
    n = spell("leaky relu as prelu", "nn.leaky_relu")
    results.append(n(nn.PReluOp(x=n.x, slope=n.constant([[[0.25]], [[0.25]]]))))
    n = spell("hard sigmoid as mul, add, clip", "nn.hard_sigmoid")
    results.append(n.clip(n.add(n.mul(n.x, 0.2), 0.5), 0, 1))
    n = spell("hard sigmoid as add, clip, div", "nn.hard_sigmoid")
    results.append(n.div(n.clip(n.add(n.x, 3), 0, 6), 6))
    n = spell("hard swish, divided last", "nn.hard_swish")
    results.append(n.div(n.mul(n.x, n.clip(n.add(n.x, 3), 0, 6)), 6))
    n = spell("hard swish, gate divided", "nn.hard_swish")
    results.append(n.mul(n.div(n.clip(n.add(3, n.x), 0, 6), 6), n.x))
    n = spell("hard swish, factor first", "nn.hard_swish")
    results.append(n.mul(n.mul(n.x, 1 / 6), n.clip(n.add(n.x, 3), 0, 6)))
    n = spell("hard swish over hard sigmoid", "nn.hard_swish")
    results.append(n.mul(n.x, n(nn.HardSigmoidOp(x=n.x, alpha=1 / 6))))
    n = spell("sigmoid", "nn.sigmoid")
    results.append(n.div(1, n.add(1, n(nn.ExpOp(x=n(nn.NegOp(x=n.x)))))))
    n = spell("silu", "nn.silu")
    results.append(n.mul(n(nn.SigmoidOp(x=n.x)), n.x))
    n = spell("softplus", "nn.softplus")
    results.append(n(nn.LogOp(x=n.add(n(nn.ExpOp(x=n.x)), 1))))
    n = spell("softsign", "nn.softsign")
    results.append(n.div(n.x, n.add(n(nn.AbsOp(x=n.x)), 1)))
    n = spell("mish", "nn.mish")
    results.append(n.mul(n.x, n(nn.TanhOp(x=n(nn.LogOp(x=n.add(n(nn.ExpOp(x=n.x)), 1)))))))
    n = spell("gelu, halved last", "nn.gelu")
    results.append(n.mul(n.mul(n.x, n.add(n(nn.ErfOp(x=n.div(n.x, math.sqrt(2)))), 1)), 0.5))
    n = spell("gelu, halved first", "nn.gelu")
    results.append(n.mul(n.mul(0.5, n.x), n.add(1, n(nn.ErfOp(x=n.mul(n.x, math.sqrt(0.5)))))))
    n = spell("gelu by tanh with a power", "nn.gelu")
    inner = n.mul(math.sqrt(2 / math.pi), n.add(n.x, n.mul(0.044715, n.pow(n.x, 3))))
    results.append(n.mul(n.mul(0.5, n.x), n.add(1, n(nn.TanhOp(x=inner)))))
    n = spell("gelu by tanh with products", "nn.gelu")
    cube = n.mul(n.mul(n.mul(0.044715, n.x), n.x), n.x)
    inner = n.mul(n.add(cube, n.x), math.sqrt(2 / math.pi))
    results.append(n.mul(0.5, n.mul(n.x, n.add(n(nn.TanhOp(x=inner)), 1))))
    for (name, op, net), result in zip(nets, results, strict=True):
        found[name] = (op, net.module(result))
    return found


SPELLINGS = spellings()


class TestActivations:
    @pytest.mark.parametrize("name", SPELLINGS)
    def test_a_spelling_becomes_one_operation(self, name: str) -> None:
        op, module = SPELLINGS[name]
        assert ops_of(fused(module)) == [op]

    def test_the_location_names_every_node_in_order(self) -> None:
        _, module = SPELLINGS["gelu, halved last"]
        for op in module.main.body.ops:
            op.location = Location((op.name.removeprefix("nn."),))
        (new,) = [op for op in fused(module).walk() if op.name == "nn.gelu"]
        assert new.location.names == ("div", "erf", "add", "mul")

    @pytest.mark.parametrize("limits", [(0, 5), (-1, 6)])
    def test_another_clip_is_no_hard_swish(self, limits: tuple[float, float]) -> None:
        n = Spelling()
        module = n.module(n.div(n.mul(n.x, n.clip(n.add(n.x, 3), *limits)), 6))
        assert "nn.clamp" in ops_of(fused(module))

    def test_a_gate_on_another_value_stays_a_product(self) -> None:
        n = Spelling()
        module = n.module(n.mul(n.x, n(nn.SigmoidOp(x=n.add(n.x, 1)))))
        assert ops_of(fused(module)) == ["nn.add", "nn.sigmoid", "nn.mul"]

    def test_a_step_that_others_read_stays(self) -> None:
        n = Spelling()
        gate = n(nn.SigmoidOp(x=n.x))
        assert ops_of(fused(n.module(gate, n.mul(n.x, gate)))) == ["nn.sigmoid", "nn.silu"]

    def test_a_shared_product_or_clamp_or_sum_stays_as_it_is(self) -> None:
        n = Spelling()
        product = n.mul(n.x, n(nn.ClampOp(x=n.add(n.x, 3), low=0, high=6)))
        assert ops_of(fused(n.module(product, n.div(product, 6)))) == ["nn.add", "nn.clamp", "nn.mul", "nn.mul"]
        n = Spelling()
        clamp = n(nn.ClampOp(x=n.add(n.x, 3), low=0, high=6))
        assert ops_of(fused(n.module(clamp, n.div(clamp, 6)))) == ["nn.add", "nn.clamp", "nn.mul"]
        n = Spelling()
        total = n.add(n.x, 3)
        module = n.module(total, n.div(n(nn.ClampOp(x=total, low=0, high=6)), 6))
        assert ops_of(fused(module)) == ["nn.add", "nn.clamp", "nn.mul"]

    @pytest.mark.parametrize("offset", [2.0, 4.0])
    def test_another_offset_is_no_hard_swish(self, offset: float) -> None:
        n = Spelling()
        module = n.module(n.div(n.mul(n.x, n.clip(n.add(n.x, offset), 0, 6)), 6))
        assert ops_of(fused(module)) == ["nn.add", "nn.clamp", "nn.mul", "nn.mul"]

    def test_a_select_between_other_values_stays(self) -> None:
        n = Spelling()
        positive = n(nn.CompareOp(lhs=n.x, rhs=n.constant(0), predicate="gt"))
        other = n(nn.SelectOp(condition=positive, on_true=n.add(n.x, 1), on_false=n.mul(n.x, 2)))
        assert ops_of(fused(n.module(other)))[-1] == "nn.select"

    def test_a_negative_slope_makes_no_leaky_relu_of_a_maximum(self) -> None:
        n = Spelling()
        assert ops_of(fused(n.module(n(nn.MaximumOp(lhs=n.x, rhs=n.mul(n.x, -0.5)))))) == ["nn.mul", "nn.maximum"]

    def test_a_slope_above_one_makes_no_leaky_relu_of_a_maximum(self) -> None:
        n = Spelling()
        assert ops_of(fused(n.module(n(nn.MaximumOp(lhs=n.x, rhs=n.mul(n.x, 2)))))) == ["nn.mul", "nn.maximum"]

    @pytest.mark.parametrize(
        ("first", "second"), [((0, 1), (3, 5)), ((3, 5), (0, 1)), ((2, 1), (0, 9)), ((-1, 4), (0, 9)), ((0, 9), (4, 2))]
    )
    def test_clamps_merge_whatever_their_limits(self, first: tuple[float, float], second: tuple[float, float]) -> None:
        n = Spelling()
        inner = n(nn.ClampOp(x=n.x, low=first[0], high=first[1]))
        assert ops_of(fused(n.module(n(nn.ClampOp(x=inner, low=second[0], high=second[1]))))) == ["nn.clamp"]

    def test_integers_are_clamped_but_not_divided_otherwise(self) -> None:
        net = Net((4,), element=I32)
        limited = net(nn.MaximumOp(lhs=net.x, rhs=net.constant([-2], np.int32)))
        module = net.module(net(nn.DivOp(lhs=limited, rhs=net.constant([3], np.int32))))
        assert ops_of(fused(module)) == ["nn.clamp", "nn.div"]


class TestConstants:
    def test_sub_div_and_neg_become_add_and_mul_with_the_constant_on_the_right(self) -> None:
        n = Spelling()
        result = fused(n.module(n.sub(n.x, 2), n.sub(2, n.x), n.div(n.x, 3), n(nn.NegOp(x=n.x)), n.add(4, n.x)))
        assert ops_of(result) == ["nn.add", "nn.mul", "nn.add", "nn.mul", "nn.mul", "nn.add"]
        for op in result.main.body.ops:
            assert not isinstance(op, nn.Binary) or isinstance(op.rhs.owner, ConstantOp)

    def test_factors_in_a_row_merge(self) -> None:
        n = Spelling()
        x = n.mul(n.div(n.x, 4), n.constant([[[2.0]], [[3.0]]]))
        assert ops_of(fused(n.module(n.mul(x, 0.5)))) == ["nn.mul"]

    @pytest.mark.parametrize("divisor", [0.0, 3e38, 1e-45])
    def test_a_division_whose_reciprocal_is_no_normal_number_stays(self, divisor: float) -> None:
        n = Spelling()
        assert ops_of(after(n.module(n.div(n.x, divisor)), FuseActivations())) == ["nn.div"]


def padded(net: Net, value: float = 0.0, x: Value | None = None) -> Value:
    return net(nn.PadOp(x=net.x if x is None else x, before=(0, 0, 1, 0), after=(0, 0, 2, 1), value=value))


class TestPadding:
    def test_zeros_move_into_a_convolution(self) -> None:
        net = Net((1, 2, 5, 5))
        conv = nn.Conv2dOp(x=padded(net), weight=net.random(3, 2, 3, 3), bias=net.random(3), pads=(0, 1, 1, 0))
        result = fused(net.module(net(conv)))
        assert ops_of(result) == ["nn.conv2d"]
        assert only(result, nn.Conv2dOp).pads == (1, 1, 3, 1)

    def test_other_values_and_modes_stay(self) -> None:
        net = Net((1, 2, 5, 5))
        ones = nn.Conv2dOp(x=padded(net, 1.0), weight=net.random(3, 2, 3, 3))
        mirrored = net(nn.PadOp(x=net.x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), mode="reflect"))
        mirror = nn.Conv2dOp(x=mirrored, weight=net.random(3, 2, 3, 3))
        assert ops_of(fused(net.module(net(ones), net(mirror)))).count("nn.pad") == 2

    def test_padded_channels_stay(self) -> None:
        net = Net((1, 2, 5, 5))
        wide = net(nn.PadOp(x=net.x, before=(0, 1, 0, 0), after=(0, 0, 1, 1)))
        module = net.module(net(nn.Conv2dOp(x=wide, weight=net.random(3, 3, 3, 3))))
        assert ops_of(fused(module)) == ["nn.pad", "nn.conv2d"]

    def test_minus_infinity_moves_into_a_max_pool(self) -> None:
        net = Net((1, 2, 5, 5))
        module = net.module(net(nn.MaxPool2dOp(x=padded(net, -math.inf), kernel=(3, 3), strides=(2, 2))))
        assert ops_of(fused(module)) == ["nn.max_pool2d"]

    def test_zeros_move_into_a_max_pool_behind_a_relu_only(self) -> None:
        net = Net((1, 2, 5, 5))
        plain = net(nn.MaxPool2dOp(x=padded(net), kernel=(4, 4)))
        relu = net(nn.ClampOp(x=net.x, low=0.0))
        rectified = net(nn.MaxPool2dOp(x=padded(net, x=relu), kernel=(4, 4)))
        result = fused(net.module(plain, rectified))
        assert ops_of(result) == ["nn.pad", "nn.max_pool2d", "nn.clamp", "nn.max_pool2d"]

    def test_zeros_stay_before_a_max_pool_with_windows_of_padding_alone(self) -> None:
        net = Net((1, 2, 5, 5))
        relu = net(nn.ClampOp(x=net.x, low=0.0))
        module = net.module(net(nn.MaxPool2dOp(x=padded(net, x=relu), kernel=(2, 2))))
        assert ops_of(fused(module)) == ["nn.clamp", "nn.pad", "nn.max_pool2d"]

    @pytest.mark.parametrize(
        ("pads", "count_pads", "ceil", "moves"),
        [
            ((0, 0, 0, 0), False, False, True),
            ((1, 1, 1, 1), True, False, True),
            ((1, 1, 1, 1), False, False, False),
            ((0, 0, 0, 0), True, True, False),
        ],
    )
    def test_zeros_move_into_an_average_that_counts_them(
        self, pads: tuple[int, ...], count_pads: bool, ceil: bool, moves: bool
    ) -> None:
        net = Net((1, 2, 5, 5))
        pool = nn.AvgPool2dOp(x=padded(net), kernel=(3, 3), strides=(2, 2), pads=pads, count_pads=count_pads, ceil=ceil)
        assert ("nn.pad" not in ops_of(fused(net.module(net(pool))))) == moves


class TestReductions:
    @pytest.mark.parametrize("axes", [(2, 3), (-1, -2), (3,), (2,)])
    @pytest.mark.parametrize(("kind", "pool"), [("mean", "nn.avg_pool2d"), ("max", "nn.max_pool2d")])
    def test_a_mean_or_maximum_over_the_map_is_a_pooling(self, axes: tuple[int, ...], kind: str, pool: str) -> None:
        net = Net((1, 3, 4, 5))
        kept = net(nn.ReduceOp(x=net.x, kind=kind, axes=axes))
        dropped = net(nn.ReduceOp(x=net.x, kind=kind, axes=axes, keep_dims=False))
        assert ops_of(fused(net.module(kept, dropped))) == [pool, pool, "nn.reshape"]

    def test_a_mean_over_channels_stays(self) -> None:
        net = Net((1, 3, 4, 5))
        assert ops_of(fused(net.module(net(nn.ReduceOp(x=net.x, kind="mean", axes=(1,)))))) == ["nn.reduce"]

    def test_a_mean_of_one_element_is_a_reshape(self) -> None:
        net = Net((2, 3, 1))
        assert ops_of(fused(net.module(net(nn.ReduceOp(x=net.x, kind="mean", axes=(2,), keep_dims=False))))) == [
            "nn.reshape"
        ]


class TestDenseLayers:
    def test_layers_on_tokens_have_rank_two_with_their_bias_and_activation(self) -> None:
        net = Net((2, 3, 4))
        x = net(nn.MatMulOp(lhs=net.x, rhs=net.random(4, 5)))
        x = net(nn.ClampOp(x=net(nn.AddOp(lhs=net.random(5), rhs=x)), low=0.0))
        x = net(nn.AddOp(lhs=net(nn.MatMulOp(lhs=x, rhs=net.random(5, 4))), rhs=net.random(1, 1, 4)))
        result = fused(net.module(x))
        dense = ["nn.matmul", "nn.add"]
        assert ops_of(result) == ["nn.reshape", *dense, "nn.clamp", *dense, "nn.reshape"]
        assert all(op.lhs.tensor.rank == 2 for op in result.walk() if isinstance(op, nn.MatMulOp))

    @pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
    def test_a_product_with_a_vector_is_one_with_a_matrix(self, shape: tuple[int, ...]) -> None:
        net = Net(shape)
        result = fused(net.module(net(nn.MatMulOp(lhs=net.x, rhs=net.random(4)))))
        assert only(result, nn.MatMulOp).rhs.shape == (4, 1)

    def test_a_product_of_two_inputs_keeps_its_rank(self) -> None:
        net = Net((2, 3, 4), (2, 4, 3))
        module = net.module(net(nn.MatMulOp(lhs=net.x, rhs=net.body.arguments[1])))
        assert ops_of(fused(module)) == ["nn.matmul"]

    def test_a_constant_added_across_tokens_stays_behind_the_reshape(self) -> None:
        net = Net((2, 3, 4))
        product = net(nn.MatMulOp(lhs=net.x, rhs=net.random(4, 5)))
        module = net.module(net(nn.AddOp(lhs=product, rhs=net.random(3, 5))))
        assert ops_of(fused(module)) == ["nn.reshape", "nn.matmul", "nn.reshape", "nn.add"]
