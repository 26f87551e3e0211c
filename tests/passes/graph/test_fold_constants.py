"""fold-constants: what is known before the first input is known afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from snc.ir.core import Operation, Value
from snc.ir.diagnostics import ModelError
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.dialects.quant import DequantizeOp, QuantizeOp
from snc.ir.types import F16, F32, F64, I1, I8, I32, I64, U8, ElementType
from snc.passes.base import PassContext
from snc.passes.graph.fold_constants import FoldConstants

from ..nets import Net, after, assert_same_values, only, ops_of


def folded(module: ModuleOp) -> ModuleOp:
    result = after(module, FoldConstants())
    assert_same_values(module, result)
    return result


class TestEvaluation:
    def test_removes_the_shape_arithmetic_of_exporters(self) -> None:
        """Gather from a shape, halve, concatenate, compare, select: one constant, and here not even that."""
        net = Net((1, 8, 6, 6))
        shape = net.constant([1, 8, 6, 6], np.int64)
        rows = net(nn.GatherOp(x=shape, indices=net.constant([2], np.int64)))
        half = net(nn.DivOp(lhs=rows, rhs=net.constant([2], np.int64)))
        real = net(nn.CeilOp(x=net(nn.CastOp(x=half, to=F32))))
        both = net(nn.ConcatOp(inputs=(net(nn.CastOp(x=real, to=I64)), rows), axis=0))
        odd = net(nn.CompareOp(lhs=both, rhs=net.constant([3, 3], np.int64), predicate="gt"))
        picked = net(nn.SelectOp(condition=odd, on_true=both, on_false=rows))
        scale = net(nn.CastOp(x=net(nn.ReduceOp(x=picked, kind="prod", axes=(0,), keep_dims=False)), to=F32))
        result = folded(net.module(net(nn.MulOp(lhs=net.x, rhs=scale))))
        assert ops_of(result) == ["nn.mul"]
        assert only(result, ConstantOp).value == 36

    def test_leaves_quantised_weights_as_they_are(self) -> None:
        net = Net((1, 2))
        parameters = {"scale": np.array([0.5, 0.25], np.float32), "zero_point": np.zeros(2, np.int8)}
        weight = net(DequantizeOp(x=net.constant([[1, 2], [3, 4]], np.int8), **parameters))
        again = net(DequantizeOp(x=net(QuantizeOp(x=net.random(2, 2), to=I8, **parameters)), **parameters))
        module = net.module(net(nn.MatMulOp(lhs=net(nn.MatMulOp(lhs=net.x, rhs=weight)), rhs=again)))
        assert ops_of(after(module, FoldConstants())) == ops_of(module)

    def test_removes_what_nobody_uses(self) -> None:
        net = Net((2, 2))
        net(nn.ReduceOp(x=net(nn.ExpOp(x=net.x)), kind="sum", axes=(0,)))
        assert ops_of(folded(net.module(net.x))) == []

    def test_names_the_node_of_a_constant_that_does_not_exist(self) -> None:
        net = Net((2,))
        net.builder.insert(bad := nn.GatherOp(x=net.random(3), indices=net.constant([5], np.int64)))
        module = net.module(net(nn.AddOp(lhs=net.x, rhs=bad.out)))
        with pytest.raises(ModelError, match=r"indices 5 \.\. 5 leave an axis of 3"):
            after(module, FoldConstants())

    def test_leaves_what_would_exceed_the_limit_and_says_so(self) -> None:
        net = Net((4, 4))
        filled = net(nn.ExpandOp(x=net.constant([0.5]), shape=(4, 4)))
        module = net.module(net(nn.MatMulOp(lhs=net.x, rhs=filled)))
        context = PassContext()
        limited = after(module, FoldConstants(max_bytes=63), context=context)
        assert ops_of(limited) == ["nn.expand", "nn.matmul"]
        assert [(d.code, d.severity) for d in context.warnings] == [("SNC0381", "warning")]
        assert ops_of(after(module, FoldConstants(max_bytes=64))) == ["nn.matmul"]

    def test_counts_all_that_it_folds_against_the_limit(self) -> None:
        net = Net((4, 4))
        filled = [net(nn.ExpandOp(x=net.constant([number]), shape=(4, 4))) for number in (0.5, 0.25)]
        products = [net(nn.MatMulOp(lhs=net.x, rhs=value)) for value in filled]
        module = net.module(*products)
        assert ops_of(after(module, FoldConstants(max_bytes=127))).count("nn.expand") == 1
        assert ops_of(after(module, FoldConstants(max_bytes=128))).count("nn.expand") == 0

    def test_folds_beyond_the_limit_what_makes_the_constants_smaller(self) -> None:
        net = Net((4,))
        total = net(nn.ReduceOp(x=net.random(4, 4), kind="sum", axes=(0,), keep_dims=False))
        module = net.module(net(nn.AddOp(lhs=net.x, rhs=total)))
        assert ops_of(after(module, FoldConstants(max_bytes=0))) == ["nn.add"]

    @pytest.mark.parametrize(("axis", "moved_axis"), [(0, 2), (1, 0), (-1, 1)])
    def test_moves_quantised_weights_as_integers(self, axis: int, moved_axis: int) -> None:
        net = Net((1, 3, 4))
        scale = np.arange(1, (2, 3, 4)[axis] + 1, dtype=np.float32)
        weight = net.constant(net.rng.integers(-9, 9, (2, 3, 4)), np.int8)
        floats = net(DequantizeOp(x=weight, scale=scale, zero_point=np.zeros(len(scale), np.int8), axis=axis))
        turned = net(nn.TransposeOp(x=floats, permutation=(1, 2, 0)))
        result = folded(net.module(net(nn.MatMulOp(lhs=net.x, rhs=turned))))
        assert ops_of(result) == ["quant.dequantize", "nn.matmul"]
        assert only(result, DequantizeOp).axis == moved_axis

    @pytest.mark.parametrize(("shape", "axis"), [((4, 1, 3), 0), ((1, 4, 3), 1), ((4, 3, 1, 1), 0), ((2, 2, 3), None)])
    def test_reshapes_quantised_weights_whose_scales_keep_their_axis(
        self, shape: tuple[int, ...], axis: int | None
    ) -> None:
        net = Net(shape)
        weight = net.constant(np.arange(12).reshape(4, 3), np.int8)
        scale = np.arange(1, 5, dtype=np.float32)
        floats = net(DequantizeOp(x=weight, scale=scale, zero_point=np.zeros(4, np.int8), axis=0))
        shaped = net(nn.ReshapeOp(x=floats, shape=shape))
        result = folded(net.module(net(nn.MulOp(lhs=net.x, rhs=shaped))))
        assert ops_of(result) == ["quant.dequantize", *(["nn.reshape"] if axis is None else []), "nn.mul"]
        assert only(result, DequantizeOp).axis == (axis or 0)

    def test_reshapes_quantised_weights_with_one_scale(self) -> None:
        for scale, ops in (
            (np.float32(0.5), ["quant.dequantize", "nn.matmul"]),
            (np.full(6, 0.5, np.float32), ["quant.dequantize", "nn.reshape", "nn.matmul"]),
        ):
            net = Net((1, 2))
            weight = net.constant([1, 2, 3, 4, 5, 6], np.int8)
            zeros = np.zeros(scale.shape, np.int8)
            floats = net(DequantizeOp(x=weight, scale=scale, zero_point=zeros, axis=0))
            matrix = net(nn.ReshapeOp(x=floats, shape=(2, 3)))
            assert ops_of(folded(net.module(net(nn.MatMulOp(lhs=net.x, rhs=matrix))))) == ops


def identities() -> dict[str, Operation]:
    """Operations on x [2, 3, 4, 4] that return it."""
    net = Net((2, 3, 4, 4))
    x, zero, one = net.x, net.constant([-0.0]), net.constant([[1.0]])
    return {
        "reshape": nn.ReshapeOp(x=x, shape=(2, 3, 4, 4)),
        "transpose": nn.TransposeOp(x=x, permutation=(0, 1, 2, 3)),
        "cast": nn.CastOp(x=x, to=F32),
        "expand": nn.ExpandOp(x=x, shape=(3, 1, 1)),
        "pad": nn.PadOp(x=x, before=(0,) * 4, after=(0,) * 4, mode="reflect"),
        "concat": nn.ConcatOp(inputs=(x,), axis=-1),
        "slice": nn.SliceOp(x=x, starts=(0,) * 4, counts=(2, 3, 4, 4), steps=(1,) * 4),
        "gather": nn.GatherOp(x=x, indices=net.constant([0, -2, 2], np.int64), axis=1),
        "resize": nn.ResizeNearestOp(x=x, rows=(0, 1, 2, 3), columns=(0, 1, 2, 3)),
        "mul": nn.MulOp(lhs=one, rhs=x),
        "div": nn.DivOp(lhs=x, rhs=one),
        "add": nn.AddOp(lhs=zero, rhs=x),
        "sub": nn.SubOp(lhs=x, rhs=net.constant([0.0])),
        "clamp": nn.ClampOp(x=x),
        "max_pool": nn.MaxPool2dOp(x=x, kernel=(1, 1)),
        "select": nn.SelectOp(condition=net.constant([True], bool), on_true=x, on_false=zero),
        "reduce": nn.ReduceOp(x=x, kind="max", axes=()),
        "neg": nn.NegOp(x=net(nn.NegOp(x=x))),
    }


class TestIdentities:
    @pytest.mark.parametrize("name", identities())
    def test_returns_the_operand(self, name: str) -> None:
        net = Net((2, 3, 4, 4))
        op = identities()[name]
        copies: dict[Value, Value] = {}
        for value in op.operands:
            copies[value] = copied(net, value)
        same = net(type(op).create([copies[value] for value in op.operands], op.attributes))
        assert ops_of(folded(net.module(net(nn.AbsOp(x=same))))) == ["nn.abs"]

    def test_keeps_an_addition_that_turns_minus_zero_into_zero(self) -> None:
        net = Net((3,))
        assert ops_of(folded(net.module(net(nn.AddOp(lhs=net.x, rhs=net.constant([0.0])))))) == ["nn.add"]
        net = Net((3,))
        assert ops_of(folded(net.module(net(nn.SubOp(lhs=net.x, rhs=net.constant([-0.0])))))) == ["nn.sub"]

    def test_drops_an_integer_addition_of_zero(self) -> None:
        net = Net((3,), element=I64)
        assert ops_of(folded(net.module(net(nn.AddOp(lhs=net.x, rhs=net.constant([0], np.int64)))))) == []

    def test_keeps_a_neutral_constant_that_widens_the_operand(self) -> None:
        net = Net((3,))
        assert ops_of(folded(net.module(net(nn.MulOp(lhs=net.x, rhs=net.constant([[1.0]])))))) == ["nn.mul"]

    def test_turns_a_transpose_of_ones_into_a_reshape(self) -> None:
        net = Net((1, 5, 1, 1))
        assert ops_of(folded(net.module(net(nn.TransposeOp(x=net.x, permutation=(0, 2, 3, 1)))))) == ["nn.reshape"]
        net = Net((1, 5, 1, 3))
        assert ops_of(folded(net.module(net(nn.TransposeOp(x=net.x, permutation=(2, 1, 0, 3)))))) == []

    def test_keeps_a_transpose_of_a_square(self) -> None:
        net = Net((3, 3))
        assert ops_of(folded(net.module(net(nn.TransposeOp(x=net.x, permutation=(1, 0)))))) == ["nn.transpose"]

    def test_turns_a_maximum_over_single_elements_into_a_reshape(self) -> None:
        net = Net((2, 1, 3))
        module = net.module(net(nn.ReduceOp(x=net.x, kind="max", axes=(1,), keep_dims=False)))
        assert ops_of(folded(module)) == ["nn.reshape"]


def copied(net: Net, value: Value) -> Value:
    """The same value in another net: its input, a constant, or an operation on the input."""
    match value.owner:
        case None:
            return net.x
        case ConstantOp() as op:
            return net.constant(op.value, op.value.dtype)
        case op:
            return net(type(op).create([net.x], op.attributes))


class TestChains:
    def test_merges_movements(self) -> None:
        net = Net((2, 3, 4))
        x = net(nn.TransposeOp(x=net(nn.TransposeOp(x=net.x, permutation=(1, 2, 0))), permutation=(1, 0, 2)))
        x = net(nn.ReshapeOp(x=net(nn.ReshapeOp(x=x, shape=(12, 2))), shape=(2, 12)))
        x = net(nn.SliceOp(x=x, starts=(1, 10), counts=(2, 5), steps=(-1, -2)))
        x = net(nn.SliceOp(x=x, starts=(0, 3), counts=(2, 2), steps=(1, -2)))
        x = net(nn.PadOp(x=net(nn.PadOp(x=x, before=(1, 0), after=(0, 1))), before=(0, 2), after=(1, 0)))
        x = net(nn.ExpandOp(x=net(nn.ExpandOp(x=x, shape=(2, 4, 5))), shape=(3, 1, 4, 5)))
        result = folded(net.module(x))
        assert ops_of(result) == ["nn.transpose", "nn.reshape", "nn.slice", "nn.pad", "nn.expand"]

    def test_undoes_a_transpose_and_its_inverse(self) -> None:
        net = Net((2, 3, 4))
        x = net(nn.TransposeOp(x=net(nn.TransposeOp(x=net.x, permutation=(1, 2, 0))), permutation=(2, 0, 1)))
        assert ops_of(folded(net.module(x))) == []

    def test_keeps_pads_of_different_values_apart(self) -> None:
        net = Net((3,))
        x = net(nn.PadOp(x=net(nn.PadOp(x=net.x, before=(1,), after=(0,))), before=(0,), after=(1,), value=1.0))
        assert ops_of(folded(net.module(x))) == ["nn.pad", "nn.pad"]

    def test_lets_a_binary_operation_broadcast_on_its_own(self) -> None:
        net = Net((2, 3), (3,))
        wide = net(nn.ExpandOp(x=net.body.arguments[1], shape=(2, 3)))
        assert ops_of(folded(net.module(net(nn.AddOp(lhs=wide, rhs=net.x))))) == ["nn.add"]

    def test_joins_concats_and_drops_empty_inputs(self) -> None:
        net = Net((2, 3))
        empty = net(nn.SliceOp(x=net.x, starts=(0, 0), counts=(2, 0), steps=(1, 1)))
        inner = net(nn.ConcatOp(inputs=(net.x, empty), axis=1))
        result = folded(net.module(net(nn.ConcatOp(inputs=(inner, net.x), axis=-1))))
        assert len(only(result, nn.ConcatOp).inputs) == 2

    @pytest.mark.parametrize(
        ("source", "middle", "target", "merged"),
        [
            (F32, F64, F32, True),
            (F32, F64, F16, True),
            (I8, F32, I8, True),
            (U8, I64, F32, True),
            (I1, F32, I1, True),
            (F32, F16, F32, False),
            (I32, F32, I32, False),
            (I8, F32, U8, False),
            (F32, F64, I8, False),
            (F32, I32, F32, False),
        ],
    )
    def test_merges_casts_through_a_type_that_holds_everything(
        self, source: ElementType, middle: ElementType, target: ElementType, merged: bool
    ) -> None:
        net = Net((5,), element=source)
        module = net.module(net(nn.CastOp(x=net(nn.CastOp(x=net.x, to=middle)), to=target)))
        expected = ([] if source == target else ["nn.cast"]) if merged else ["nn.cast", "nn.cast"]
        assert ops_of(after(module, FoldConstants())) == expected
