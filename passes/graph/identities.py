"""Operations that return an operand as it is, bit for bit."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation, Value
from ...ir.dialects.nn import (
    AddOp,
    AvgPool2dOp,
    Binary,
    CastOp,
    ClampOp,
    ConcatOp,
    DivOp,
    ExpandOp,
    GatherOp,
    MaxPool2dOp,
    MulOp,
    NegOp,
    NotOp,
    PadOp,
    ReduceOp,
    ReshapeOp,
    ResizeNearestOp,
    SelectOp,
    SliceOp,
    SubOp,
    TransposeOp,
)
from ...ir.rewriter import RewritePattern, Rewriter
from ...ir.shapes import normal_axes, normal_axis
from .matching import constant_of, is_float, scalar_of


class Identity(RewritePattern):
    """Replaces an operation by the operand that it returns."""

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        same = returned_operand(op)
        if same is not None and same.type == op.result.type:
            rewriter.replace(op, same)


def returned_operand(op: Operation) -> Value | None:
    """The operand that `op` returns unchanged but for its shape, if there is one."""
    match op:
        case ReshapeOp() | CastOp() | ExpandOp():
            return op.x
        case TransposeOp():
            return op.x if list(op.permutation) == sorted(op.permutation) else None
        case PadOp():
            return op.x if not any((*op.before, *op.after)) else None
        case SliceOp():
            return op.x if not any(op.starts) and all(step == 1 for step in op.steps) else None
        case ConcatOp():
            return op.inputs[0] if len(op.inputs) == 1 else None
        case ResizeNearestOp():
            height, width = op.x.shape[-2:]
            return op.x if op.rows == tuple(range(height)) and op.columns == tuple(range(width)) else None
        case GatherOp():
            return op.x if _counts_up(op) else None
        case ClampOp():
            return op.x if op.low == -np.inf and op.high == np.inf else None
        case MaxPool2dOp():
            return op.x if _single_element(op) else None
        case ReduceOp():
            return op.x if _single_elements(op) and op.kind in ("prod", "max", "min") else None
        case SelectOp():
            condition = scalar_of(op.condition)
            return None if condition is None else (op.on_true if condition else op.on_false)
        case NegOp() | NotOp():
            inner = op.x.owner
            return inner.x if isinstance(inner, NegOp | NotOp) and type(inner) is type(op) else None
        case Binary():
            return _neutral(op)
    return None


def _single_element(op: MaxPool2dOp | AvgPool2dOp) -> bool:
    return op.kernel == op.strides == (1, 1) and not any(op.pads)


def _single_elements(op: ReduceOp) -> bool:
    return all(op.x.shape[axis] == 1 for axis in normal_axes(op.axes, op.x.tensor.rank))


def _counts_up(op: GatherOp) -> bool:
    indices = constant_of(op.indices)
    size = op.x.shape[normal_axis(op.axis, op.x.tensor.rank)]
    return indices is not None and indices.shape == (size,) and bool((indices % max(size, 1) == np.arange(size)).all())


def _neutral(op: Binary) -> Value | None:
    """The operand that the other one leaves as it is: x * 1, x / 1, x - 0, and x + 0 unless it turns -0.0 into 0.0."""
    pairs = [(op.lhs, op.rhs)]
    if isinstance(op, AddOp | MulOp):
        pairs.append((op.rhs, op.lhs))
    for x, c in pairs:
        number = scalar_of(c)
        if number is None:
            continue
        if isinstance(op, MulOp | DivOp) and number == 1:
            return x
        if isinstance(op, SubOp) and number == 0 and (not is_float(x) or not _negative_zeros(c, some=True)):
            return x
        if isinstance(op, AddOp) and number == 0 and (not is_float(x) or _negative_zeros(c, some=False)):
            return x
    return None


def _negative_zeros(value: Value, *, some: bool) -> bool:
    """Whether `some` or all of the zeros that fill a constant have a minus sign."""
    signs = np.signbit(np.asarray(constant_of(value)))
    return bool(signs.any() if some else signs.all())


class ReduceNothing(RewritePattern):
    """A product or extremum over axes of length 1 becomes a reshape."""

    def match_and_rewrite(self, op: ReduceOp, rewriter: Rewriter) -> None:
        if returned_operand(op) is not None:
            rewriter.replace_with(op, ReshapeOp(x=op.x, shape=op.out.shape))


class MeanOfOne(RewritePattern):
    """A sum or mean of single elements is a reshape, but for -0.0, which a sum turns into 0.0."""

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        if isinstance(op, AvgPool2dOp) and _single_element(op):
            rewriter.replace(op, op.x)
        elif isinstance(op, ReduceOp) and op.kind in ("sum", "mean") and _single_elements(op):
            rewriter.replace_with(op, ReshapeOp(x=op.x, shape=op.out.shape))


class TransposeOfOnes(RewritePattern):
    """A transpose that keeps the order of all axes longer than 1 becomes a reshape."""

    def match_and_rewrite(self, op: TransposeOp, rewriter: Rewriter) -> None:
        long = [axis for axis in op.permutation if op.x.shape[axis] != 1]
        if long == sorted(long) and op.x.shape != op.out.shape:
            rewriter.replace_with(op, ReshapeOp(x=op.x, shape=op.out.shape))


class TransposeToIdentity(RewritePattern):
    """A transpose that only swaps axes of length 1 with each other goes away."""

    def match_and_rewrite(self, op: TransposeOp, rewriter: Rewriter) -> None:
        long = [axis for axis in op.permutation if op.x.shape[axis] != 1]
        if long == sorted(long) and op.x.shape == op.out.shape:
            rewriter.replace(op, op.x)


IDENTITIES: tuple[RewritePattern, ...] = (Identity(), ReduceNothing(), TransposeOfOnes(), TransposeToIdentity())
