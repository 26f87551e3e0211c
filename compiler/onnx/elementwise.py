"""Arithmetic, comparison and logic, element by element with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from ...ir.core import Value
from ...ir.dialects.nn import (
    AbsOp,
    AddOp,
    Binary,
    CeilOp,
    ClampOp,
    CompareOp,
    DivOp,
    ErfOp,
    ExpOp,
    FloorOp,
    LogicalOp,
    LogOp,
    MaximumOp,
    MinimumOp,
    MulOp,
    NegOp,
    NotOp,
    PowOp,
    ReciprocalOp,
    RoundOp,
    SelectOp,
    SignOp,
    SqrtOp,
    SubOp,
    Unary,
)
from ...ir.dialects.quant import QuantizeOp, UniformType
from ...ir.types import I1, IntegerType
from .emit import cast, reshape
from .node import Node
from .problems import ELEMENT_TYPE, NodeProblem, malformed, unsupported
from .tensors import data_type_name, element_of_onnx

Importer = Callable[[Node], Value]


def unary(op_class: type[Unary]) -> Importer:
    """Importer of an operator that is one operation on one tensor."""

    def importer(node: Node) -> Value:
        return node.add(op_class(x=node.input(0)))

    return importer


def binary(op_class: type[Binary]) -> Importer:
    """Importer of an operator that is one operation on two tensors."""

    def importer(node: Node) -> Value:
        return node.add(op_class(lhs=node.input(0), rhs=node.input(1)))

    return importer


def chain(op_class: type[Binary]) -> Importer:
    """Importer of an operator on any number of tensors, taken from left to right."""

    def importer(node: Node) -> Value:
        return _chained(node, op_class)

    return importer


def mean(node: Node) -> Value:
    """Mean of any number of tensors."""
    total = _chained(node, AddOp)
    return node.add(DivOp(lhs=total, rhs=node.scalar(node.input_count, total)))


def _chained(node: Node, op_class: type[Binary]) -> Value:
    values = [node.plain(value) for value in node.every_stored()]
    return reduce(lambda lhs, rhs: node.add(op_class(lhs=lhs, rhs=rhs)), values)


def power(node: Node) -> Value:
    """Pow, in the element type of the base."""
    return node.add(PowOp(lhs=node.input(0), rhs=node.input(1)))


def modulo(node: Node) -> Value:
    """Mod of integers: a - trunc(a / b) * b, for fmod = 0 moved to the sign of b."""
    a, b = node.input(0), node.input(1)
    if not isinstance(a.element, IntegerType):
        raise unsupported("Mod is taken for integers only", found=str(a.type))
    remainder = _remainder(node, a, b)
    if node.attr_int("fmod", 0) or not a.element.signed:
        return remainder
    return _remainder(node, node.add(AddOp(lhs=remainder, rhs=b)), b)


def _remainder(node: Node, a: Value, b: Value) -> Value:
    quotient = node.add(DivOp(lhs=a, rhs=b))
    return node.add(SubOp(lhs=a, rhs=node.add(MulOp(lhs=quotient, rhs=b))))


def compare(predicate: str) -> Importer:
    """Importer of a comparison."""

    def importer(node: Node) -> Value:
        return node.add(CompareOp(lhs=node.input(0), rhs=node.input(1), predicate=predicate))

    return importer


def logical(kind: str) -> Importer:
    """Importer of a logical connective."""

    def importer(node: Node) -> Value:
        return node.add(LogicalOp(lhs=node.input(0), rhs=node.input(1), kind=kind))

    return importer


def where(node: Node) -> Value:
    """Where."""
    return node.add(SelectOp(condition=node.input(0), on_true=node.input(1), on_false=node.input(2)))


def cast_to(node: Node) -> Value:
    """Cast."""
    to = node.attr_int("to")
    element = element_of_onnx(to)
    if element is None:
        raise NodeProblem(ELEMENT_TYPE, f"casting to {data_type_name(to)} is not taken")
    return cast(node, node.input(0), element)


def cast_like(node: Node) -> Value:
    """CastLike."""
    return cast(node, node.input(0), node.input(1).element)


def clip(node: Node) -> Value:
    """Clip: limits are attributes before opset 11, inputs after; a limit left out is no limit."""
    if node.opset < 11:
        low, high = node.attr_float("min", -np.inf), node.attr_float("max", np.inf)
        return node.add(ClampOp(x=node.input(0), low=low, high=high))
    limits = node.optional(1), node.optional(2)
    known = [None if limit is None else node.known(limit) for limit in limits]
    for limit in limits:
        if limit is not None and limit.tensor.size != 1:
            raise malformed("a limit of Clip must be a scalar", found=str(limit.type))
    x = node.stored(0)
    if all(limit is None or array is not None for limit, array in zip(limits, known, strict=True)):
        low, high = (
            default if array is None else array.item() for default, array in zip((-np.inf, np.inf), known, strict=True)
        )
        return _clamp(node, x, low, high)
    x = node.plain(x)
    steps: Sequence[tuple[type[Binary], Value | None]] = ((MaximumOp, limits[0]), (MinimumOp, limits[1]))
    for op_class, limit in steps:
        if limit is not None:
            x = node.add(op_class(lhs=x, rhs=reshape(node, limit, ())))
    return x


def _clamp(node: Node, x: Value, low: float, high: float) -> Value:
    """The clamp; one behind a quantization moves before it, so that integers of fewer bits stay quantised.

    quantize(clamp(x, scale * (low - zero), scale * (high - zero))) equals clamp(quantize(x), low, high), because each
    limit is a point of the grid, which rounding returns to.
    """
    quantize = x.owner
    if not isinstance(x.element, UniformType) or not isinstance(quantize, QuantizeOp):
        return node.add(ClampOp(x=node.plain(x), low=low, high=high))
    kind = x.element
    low, high = max(low, kind.storage.low), min(high, kind.storage.high)
    clamped = node.add(
        ClampOp(x=quantize.x, low=kind.scale * (low - kind.zero_point), high=kind.scale * (high - kind.zero_point))
    )
    return node.add(QuantizeOp(x=clamped, scale=quantize.scale, zero_point=quantize.zero_point, to=quantize.to))


def boolean_not(node: Node) -> Value:
    """Not."""
    x = node.input(0)
    if x.element != I1:
        raise malformed("Not takes truth values", found=str(x.type))
    return node.add(NotOp(x=x))


ABS, NEG, CEIL, FLOOR, ROUND, SIGN = map(unary, (AbsOp, NegOp, CeilOp, FloorOp, RoundOp, SignOp))
EXP, LOG, SQRT, RECIPROCAL, ERF = map(unary, (ExpOp, LogOp, SqrtOp, ReciprocalOp, ErfOp))
ADD, SUB, MUL, DIV = map(binary, (AddOp, SubOp, MulOp, DivOp))
SUM, MAX, MIN = map(chain, (AddOp, MaximumOp, MinimumOp))
