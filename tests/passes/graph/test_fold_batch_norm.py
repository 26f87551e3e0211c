"""fold-batch-norm: scales and shifts of channels move into weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snc.ir.core import Value
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.location import Location
from snc.passes.graph.fold_batch_norm import FoldBatchNorm

from ..nets import Net, after, assert_same_values, only, ops_of

ROUNDING = 1e-5
"""Weights are rounded to 32 bits (6e-8 of each) and sums of up to 36 products are taken of them."""


def folded(module: ModuleOp) -> ModuleOp:
    result = after(module, FoldBatchNorm())
    assert_same_values(module, result, rounding=ROUNDING)
    return result


def batch_norm(net: Net, x: Value, **options: Any) -> Value:
    channels = x.shape[1] if len(x.shape) > 1 else 1
    return net(
        nn.BatchNormOp(
            x=x,
            scale=net.random(channels),
            bias=net.random(channels),
            mean=net.random(channels),
            variance=net.positive(channels),
            **options,
        )
    )


def conv(net: Net, x: Value, filters: int = 4, groups: int = 1, *, bias: bool = False, **options: Any) -> Value:
    weight = net.random(filters, x.shape[1] // groups, 3, 3)
    vector = net.random(filters) if bias else None
    return net(nn.Conv2dOp(x=x, weight=weight, bias=vector, groups=groups, **options))


class TestBehindAConvolution:
    @pytest.mark.parametrize("groups", [1, 2, 4])
    @pytest.mark.parametrize("bias", [False, True])
    def test_batch_norm_changes_weights_and_bias(self, groups: int, bias: bool) -> None:
        net = Net((1, 4, 5, 5))
        x = conv(net, net.x, 8, groups, bias=bias, pads=(1, 0, 1, 2))
        assert ops_of(folded(net.module(batch_norm(net, x)))) == ["nn.conv2d"]

    def test_weights_are_those_of_the_formula(self) -> None:
        net = Net((1, 1, 3, 3))
        weight, gamma, beta, mean, variance = 2.0, 3.0, 5.0, 7.0, 0.0
        x = net(nn.Conv2dOp(x=net.x, weight=net.constant([[[[weight]]]]), bias=net.constant([1.0])))
        numbers = [net.constant([number]) for number in (gamma, beta, mean, variance)]
        names = ("scale", "bias", "mean", "variance")
        x = net(nn.BatchNormOp(x=x, epsilon=0.25, **dict(zip(names, numbers, strict=True))))
        new = only(folded(net.module(x)), nn.Conv2dOp)
        assert isinstance(new.weight.owner, ConstantOp) and new.bias is not None
        assert isinstance(new.bias.owner, ConstantOp)
        assert new.weight.owner.value == weight * gamma / 0.5
        assert new.bias.owner.value == (1 - mean) * gamma / 0.5 + beta

    @pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), (), (1,), (1, 1, 1, 1)])
    def test_constants_of_each_spelling_fold(self, shape: tuple[int, ...]) -> None:
        net = Net((1, 2, 5, 5))
        x = conv(net, net.x)
        x = net(nn.AddOp(lhs=net.random(*shape), rhs=x))
        x = net(nn.SubOp(lhs=net.random(*shape), rhs=x))
        x = net(nn.SubOp(lhs=x, rhs=net.random(*shape)))
        x = net(nn.MulOp(lhs=x, rhs=net.random(*shape)))
        x = net(nn.NegOp(x=net(nn.DivOp(lhs=x, rhs=net.positive(*shape)))))
        assert ops_of(folded(net.module(x))) == ["nn.conv2d"]

    def test_a_pure_scale_makes_no_bias(self) -> None:
        net = Net((1, 2, 5, 5))
        result = folded(net.module(net(nn.MulOp(lhs=conv(net, net.x), rhs=net.random(4, 1, 1)))))
        assert only(result, nn.Conv2dOp).bias is None

    @pytest.mark.parametrize("groups", [1, 2])
    def test_transposed_convolutions_fold_too(self, groups: int) -> None:
        net = Net((1, 4, 3, 3))
        op = nn.ConvTranspose2dOp(
            x=net.x, weight=net.random(4, 6 // groups, 2, 2), groups=groups, strides=(2, 2), output_padding=(1, 0)
        )
        assert ops_of(folded(net.module(batch_norm(net, net(op))))) == ["nn.conv_transpose2d"]

    def test_a_result_that_others_read_stays(self) -> None:
        net = Net((1, 2, 5, 5))
        x = conv(net, net.x)
        module = net.module(x, batch_norm(net, x))
        assert ops_of(folded(module)) == ["nn.conv2d", "nn.conv2d"]

    def test_a_constant_along_another_axis_stays(self) -> None:
        net = Net((1, 2, 5, 5))
        module = net.module(net(nn.MulOp(lhs=conv(net, net.x), rhs=net.random(3, 1))))
        assert ops_of(folded(module)) == ["nn.conv2d", "nn.mul"]

    def test_a_constant_that_widens_the_result_stays(self) -> None:
        net = Net((1, 2, 5, 5))
        module = net.module(net(nn.MulOp(lhs=conv(net, net.x), rhs=net.random(3, 1, 1, 1))))
        assert ops_of(folded(module)) == ["nn.conv2d", "nn.mul"]

    def test_weights_that_would_overflow_stay(self) -> None:
        net = Net((1, 2, 5, 5))
        huge = net.constant(np.full((4, 1, 1), 3e38))
        module = net.module(net(nn.MulOp(lhs=conv(net, net.x), rhs=huge)))
        assert ops_of(after(module, FoldBatchNorm()))[0] == "nn.conv2d"
        assert len(ops_of(after(module, FoldBatchNorm()))) == 2

    def test_division_by_zero_stays(self) -> None:
        net = Net((1, 2, 5, 5))
        module = net.module(net(nn.DivOp(lhs=conv(net, net.x), rhs=net.constant(np.zeros((4, 1, 1))))))
        assert ops_of(after(module, FoldBatchNorm())) == ["nn.conv2d", "nn.div"]

    def test_the_new_convolution_stands_for_all_nodes(self) -> None:
        net = Net((1, 2, 5, 5))
        x = conv(net, net.x)
        y = batch_norm(net, x)
        assert x.owner is not None and y.owner is not None
        x.owner.location, y.owner.location = Location(("/conv",)), Location(("/bn",))
        assert only(folded(net.module(y)), nn.Conv2dOp).location == Location(("/conv", "/bn"))


class TestBeforeAConvolution:
    @pytest.mark.parametrize("groups", [1, 2])
    def test_batch_norm_folds_when_there_is_no_padding(self, groups: int) -> None:
        net = Net((1, 4, 5, 5))
        assert ops_of(folded(net.module(conv(net, batch_norm(net, net.x), groups=groups)))) == ["nn.conv2d"]

    def test_batch_norm_on_both_sides_folds(self) -> None:
        net = Net((1, 4, 5, 5))
        assert ops_of(folded(net.module(batch_norm(net, conv(net, batch_norm(net, net.x)))))) == ["nn.conv2d"]

    def test_a_shift_before_padding_becomes_a_depthwise_convolution(self) -> None:
        net = Net((1, 4, 5, 5))
        result = folded(net.module(conv(net, batch_norm(net, net.x), pads=(1, 1, 1, 1))))
        depthwise, dense = [op for op in result.walk() if isinstance(op, nn.Conv2dOp)]
        assert (depthwise.groups, depthwise.weight.shape) == (4, (4, 1, 1, 1))
        assert dense.pads == (1, 1, 1, 1)

    def test_a_pure_scale_folds_before_padding(self) -> None:
        net = Net((1, 4, 5, 5))
        x = net(nn.MulOp(lhs=net.x, rhs=net.random(4, 1, 1)))
        assert ops_of(folded(net.module(conv(net, x, pads=(1, 1, 1, 1))))) == ["nn.conv2d"]

    def test_a_scalar_scale_stays_because_it_may_belong_to_an_activation(self) -> None:
        net = Net((1, 4, 5, 5))
        x = net(nn.MulOp(lhs=net.x, rhs=net.constant(1 / 6)))
        assert ops_of(folded(net.module(conv(net, x)))) == ["nn.mul", "nn.conv2d"]

    def test_the_normalisation_of_photographs_folds_as_one(self) -> None:
        net = Net((1, 3, 5, 5))
        x = net(nn.DivOp(lhs=net.x, rhs=net.constant(255.0)))
        x = net(nn.DivOp(lhs=net(nn.SubOp(lhs=x, rhs=net.random(1, 3, 1, 1))), rhs=net.positive(1, 3, 1, 1)))
        assert ops_of(folded(net.module(conv(net, x)))) == ["nn.conv2d"]


class TestStandingAlone:
    def test_batch_norm_mul_and_add_before_an_activation_are_one_depthwise_convolution(self) -> None:
        """What is left of a DenseNet exported with its scales split off."""
        net = Net((1, 3, 5, 5))
        x = net(nn.MulOp(lhs=batch_norm(net, net.x), rhs=net.random(3, 1, 1)))
        x = net(nn.ClampOp(x=net(nn.AddOp(lhs=x, rhs=net.random(3, 1, 1))), low=0.0))
        result = folded(net.module(conv(net, x, pads=(1, 1, 1, 1))))
        assert ops_of(result) == ["nn.conv2d", "nn.clamp", "nn.conv2d"]

    def test_other_ranks_get_a_mul_and_an_add(self) -> None:
        for shape in ((2, 3), (1, 3, 4), (1, 2, 2, 2, 2)):
            net = Net(shape)
            assert ops_of(folded(net.module(batch_norm(net, net.x)))) == ["nn.mul", "nn.add"]

    def test_scalars_stay(self) -> None:
        net = Net((1, 3, 5, 5))
        x = net(nn.AddOp(lhs=net(nn.MulOp(lhs=net.x, rhs=net.constant(0.2))), rhs=net.constant([0.5])))
        assert ops_of(folded(net.module(x))) == ["nn.mul", "nn.add"]

    def test_batch_norm_with_parameters_that_are_no_constants_stays(self) -> None:
        net = Net((1, 3, 5, 5), (3,))
        numbers = dict.fromkeys(("scale", "bias", "mean"), net.body.arguments[1])
        module = net.module(net(nn.BatchNormOp(x=net.x, variance=net.positive(3), **numbers)))
        assert ops_of(folded(module)) == ["nn.batch_norm"]


class TestDenseLayers:
    def dense(self, net: Net, x: Value, columns: int = 5) -> Value:
        product = net(nn.MatMulOp(lhs=x, rhs=net.random(x.shape[-1], columns)))
        return net(nn.AddOp(lhs=product, rhs=net.random(columns)))

    def test_the_canonical_layer_is_left_alone(self) -> None:
        net = Net((2, 6))
        module = net.module(self.dense(net, self.dense(net, net.x)))
        assert ops_of(folded(module)) == ["nn.matmul", "nn.add", "nn.matmul", "nn.add"]

    def test_batch_norm_behind_folds(self) -> None:
        net = Net((2, 6))
        x = net(nn.MulOp(lhs=batch_norm(net, self.dense(net, net.x)), rhs=net.random(1, 5)))
        assert ops_of(folded(net.module(x))) == ["nn.matmul", "nn.add"]

    def test_batch_norm_before_folds_into_weights_and_bias(self) -> None:
        net = Net((2, 6))
        assert ops_of(folded(net.module(self.dense(net, batch_norm(net, net.x))))) == ["nn.matmul", "nn.add"]
        net = Net((2, 6))
        product = net(nn.MatMulOp(lhs=batch_norm(net, net.x), rhs=net.random(6, 3)))
        assert ops_of(folded(net.module(product))) == ["nn.matmul", "nn.add"]

    def test_batch_norm_on_both_sides_folds(self) -> None:
        net = Net((2, 6))
        x = batch_norm(net, self.dense(net, batch_norm(net, net.x)))
        assert ops_of(folded(net.module(x))) == ["nn.matmul", "nn.add"]

    def test_a_scale_alone_makes_no_bias(self) -> None:
        net = Net((2, 3, 6))
        x = net(nn.MulOp(lhs=net(nn.MatMulOp(lhs=net.x, rhs=net.random(6, 4))), rhs=net.random(4)))
        assert ops_of(folded(net.module(x))) == ["nn.matmul"]

    def test_a_subtraction_becomes_the_bias(self) -> None:
        net = Net((2, 6))
        x = net(nn.SubOp(lhs=net(nn.MatMulOp(lhs=net.x, rhs=net.random(6, 4))), rhs=net.random(4)))
        assert ops_of(folded(net.module(x))) == ["nn.matmul", "nn.add"]

    def test_scores_of_two_inputs_keep_their_scale(self) -> None:
        net = Net((4, 6), (6, 4))
        x = net(nn.MatMulOp(lhs=net.x, rhs=net.body.arguments[1]))
        assert ops_of(folded(net.module(net(nn.MulOp(lhs=x, rhs=net.random(4)))))) == ["nn.matmul", "nn.mul"]
