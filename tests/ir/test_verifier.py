"""The verifier finds every broken rule, names the ONNX node first, and reports all of them at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from snc.ir.attributes import FloatAttr, IntAttr
from snc.ir.builder import Builder
from snc.ir.context import Context
from snc.ir.core import Block, Operation, Value
from snc.ir.diagnostics import VerifyError
from snc.ir.dialects import default_context
from snc.ir.dialects.builtin import BUILTIN, ConstantOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AddOp, ClampOp, Conv2dOp
from snc.ir.parser import parse_module
from snc.ir.types import F32, I8, TensorType
from snc.ir.verifier import verify

from ..strategies import modules

TEXT = """module {
  func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x6x6xf32> {
    %w = builtin.constant {value = dense<0.1> : tensor<4x3x3x3xf32>} : () -> tensor<4x3x3x3xf32> loc("/w")
    %0 = nn.conv2d %x, %w : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32> loc("/conv")
    %1 = nn.clamp %0 {low = 0.0} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32> loc("/relu")
    return %1 : tensor<1x4x6x6xf32> loc("/end")
  }
} loc("/module")
"""


class Net:
    """The module of TEXT and its operations."""

    def __init__(self) -> None:
        self.module = parse_module(TEXT)
        self.main = self.module.main
        self.constant, self.conv, self.clamp, self.end = self.main.body.ops

    def swap(self, first: Operation, second: Operation) -> None:
        """Moves `first` behind `second`."""
        block = self.main.body
        block._detach(first)
        block._insert(first, second.next)


def remove_return(net: Net) -> None:
    net.end._drop()
    net.main.body._detach(net.end)


def foreign_value(net: Net) -> None:
    other = Block([TensorType((1, 4, 6, 6), F32)])
    net.clamp._set_operand(0, other.arguments[0])


def stale_use(net: Net) -> None:
    net.conv.results[0]._uses[net.end, 3] = None


def lost_use(net: Net) -> None:
    net.conv.results[0]._uses.clear()


def use_by_a_detached_operation(net: Net) -> None:
    ClampOp(x=net.conv.results[0])


def set_attribute(op: str, name: str, value: IntAttr | FloatAttr | None) -> Callable[[Net], None]:
    def breaks(net: Net) -> None:
        attributes = getattr(net, op).attributes
        attributes.pop(name, None)
        if value is not None:
            attributes[name] = value

    return breaks


def set_type(op: str, value_type: TensorType) -> Callable[[Net], None]:
    def breaks(net: Net) -> None:
        getattr(net, op).results[0].type = value_type

    return breaks


BROKEN: dict[str, tuple[Callable[[Net], None], str, str, str]] = {
    "use before definition": (lambda net: net.swap(net.conv, net.clamp), "/relu", "SNC0351", "where it is not defined"),
    "value of another block": (foreign_value, "/relu", "SNC0351", "where it is not defined"),
    "terminator in the middle": (lambda net: net.swap(net.end, net.constant), "/end", "SNC0351", "ends a block"),
    "listed use that nobody makes": (stale_use, "/end", "SNC0351", "lists a use as operand 3"),
    "use by an operation outside": (
        use_by_a_detached_operation,
        "an operation outside",
        "SNC0351",
        "lists a use as operand 0",
    ),
    "use that is not listed": (lost_use, "/relu", "SNC0351", "not in the list of uses"),
    "operand of another kind": (set_type("constant", TensorType((4, 3, 3, 3), I8)), "/conv", "SNC0352", "of floats"),
    "operand of another rank": (set_type("constant", TensorType((4,), F32)), "/conv", "SNC0352", "of rank 4"),
    "missing attribute": (set_attribute("conv", "groups", None), "/conv", "SNC0352", "groups .* is missing"),
    "attribute of another kind": (
        set_attribute("conv", "strides", IntAttr(1)),
        "/conv",
        "SNC0352",
        "strides: expected",
    ),
    "undeclared attribute": (
        set_attribute("conv", "colour", IntAttr(1)),
        "/conv",
        "SNC0352",
        "'colour' is not declared",
    ),
    "attribute of no dialect": (
        set_attribute("conv", "paint.x", IntAttr(1)),
        "/conv",
        "SNC0352",
        "no dialect to explain",
    ),
    "stored type not inferred": (set_type("clamp", TensorType((4,), F32)), "/relu", "SNC0353", "wrong result types"),
    "what infer refuses": (set_attribute("conv", "groups", IntAttr(3)), "/conv", "SNC0353", "3 groups do not fit"),
    "what check refuses": (set_attribute("clamp", "low", FloatAttr(float("nan"))), "/relu", "SNC0354", "be numbers"),
    "function without return": (remove_return, "operation 2", "SNC0354", "ends with return"),
}


class TestVerify:
    @settings(deadline=None, max_examples=40)
    @given(modules())
    def test_accepts_what_is_built_by_the_rules(self, module: ModuleOp) -> None:
        verify(module, default_context())

    @pytest.mark.parametrize("rule", BROKEN)
    def test_finds(self, rule: str) -> None:
        breaks, node, code, message = BROKEN[rule]
        net = Net()
        verify(net.module, default_context())
        breaks(net)
        with pytest.raises(VerifyError, match=message) as caught:
            verify(net.module, default_context())
        found = [diagnostic for diagnostic in caught.value.diagnostics if diagnostic.code == code]
        assert any(diagnostic.node.startswith(node) for diagnostic in found), str(caught.value)

    def test_reports_everything_at_once(self) -> None:
        net = Net()
        set_attribute("conv", "colour", IntAttr(1))(net)
        set_attribute("clamp", "low", FloatAttr(float("nan")))(net)
        with pytest.raises(VerifyError) as caught:
            verify(net.module)
        assert [diagnostic.node for diagnostic in caught.value.diagnostics] == ["/conv", "/relu"]

    def test_refuses_operations_outside_the_context(self) -> None:
        with pytest.raises(VerifyError, match=r"no dialect has the operation nn\.conv2d"):
            verify(Net().module, Context([BUILTIN]))

    def test_takes_attributes_with_a_dialect_prefix(self) -> None:
        net = Net()
        set_attribute("conv", "quant.range", FloatAttr(0.5))(net)
        verify(net.module, default_context())


class TestCheckOfOptionalOperands:
    def conv(self, *shapes: tuple[int, ...]) -> ModuleOp:
        """A module of one convolution with constants of these shapes as operands."""
        module = ModuleOp(body=Block())
        build = Builder(module.body)
        values: list[Value] = [build.insert(ConstantOp(value=np.zeros(shape, np.float32))).out for shape in shapes]
        op = build.insert(Conv2dOp(x=values[0], weight=values[1]))
        for value in values[2:]:
            op._operands.append(value)
            value._uses[op, len(op._operands) - 1] = None
        return module

    def test_takes_one_or_none(self) -> None:
        verify(self.conv((1, 1, 3, 3), (1, 1, 1, 1)))
        verify(self.conv((1, 1, 3, 3), (1, 1, 1, 1), (1,)))

    def test_refuses_more(self) -> None:
        with pytest.raises(VerifyError, match="expected 2 to 3 operands, found 4"):
            verify(self.conv((1, 1, 3, 3), (1, 1, 1, 1), (1,), (1,)))


def test_regions_see_values_from_outside_unless_isolated() -> None:
    text = """module { func @main(%x: tensor<i8>, %y: tensor<i8>) -> tensor<i8> {
      %z = tile.block %x {core = "rows"} ({ ^(%a: tensor<i8>): tile.yield %y : (tensor<i8>) -> () })
        : (tensor<i8>) -> tensor<i8>
      return %z : tensor<i8> } }"""
    module = parse_module(text)
    verify(module)
    inner = ModuleOp(body=Block())
    x = module.main.body.arguments[0]
    Builder(inner.body).insert(AddOp(lhs=x, rhs=x))
    Builder.before_op(module.main.return_op).insert(inner)
    with pytest.raises(VerifyError, match="used where it is not defined"):
        verify(module)


def test_a_return_outside_a_function_is_a_terminator_all_the_same() -> None:
    module = ModuleOp(body=Block())
    Builder(module.body).insert(ReturnOp(values=()))
    Builder(module.body).insert(ReturnOp(values=()))
    with pytest.raises(VerifyError, match="ends a block"):
        verify(module)
