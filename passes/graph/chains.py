"""Two operations that one can stand for, with bit for bit the same result."""

from __future__ import annotations

import math

from ...ir.core import Operation, Value
from ...ir.dialects.nn import (
    Binary,
    CastOp,
    ConcatOp,
    ExpandOp,
    PadOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from ...ir.dialects.quant import DequantizeOp
from ...ir.rewriter import RewritePattern, Rewriter
from ...ir.shapes import broadcast, normal_axis
from ...ir.spec import INT
from ...ir.types import FloatType, IntegerType, Type
from .matching import constant_of

_MANTISSA = {16: 11, 32: 24, 64: 53}


class ReshapeOfReshape(RewritePattern):
    """reshape(reshape(x)) is a reshape of x."""

    def match_and_rewrite(self, op: ReshapeOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, ReshapeOp):
            rewriter.replace_with(op, ReshapeOp(x=inner.x, shape=op.shape), inner)


class TransposeOfTranspose(RewritePattern):
    """transpose(transpose(x, p), q) is transpose(x, p after q)."""

    def match_and_rewrite(self, op: TransposeOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, TransposeOp):
            permutation = tuple(inner.permutation[axis] for axis in op.permutation)
            rewriter.replace_with(op, TransposeOp(x=inner.x, permutation=permutation), inner)


class ExpandOfExpand(RewritePattern):
    """expand(expand(x)) is an expand of x."""

    def match_and_rewrite(self, op: ExpandOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, ExpandOp):
            rewriter.replace_with(op, ExpandOp(x=inner.x, shape=op.out.shape), inner)


class ExpandIntoBinary(RewritePattern):
    """A binary operation broadcasts on its own where the other operand has the full shape."""

    def match_and_rewrite(self, op: Binary, rewriter: Rewriter) -> None:
        for index, value in enumerate(op.operands):
            inner = value.owner
            other = op.operands[1 - index]
            if isinstance(inner, ExpandOp) and broadcast(inner.x.shape, other.shape) == op.out.shape:
                rewriter.set_operand(op, index, inner.x)


class SliceOfSlice(RewritePattern):
    """slice(slice(x)) is a slice of x."""

    def match_and_rewrite(self, op: SliceOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if not isinstance(inner, SliceOp):
            return
        starts = tuple(a + b * c for a, b, c in zip(inner.starts, inner.steps, op.starts, strict=True))
        steps = tuple(a * b for a, b in zip(inner.steps, op.steps, strict=True))
        rewriter.replace_with(op, SliceOp(x=inner.x, starts=starts, counts=op.counts, steps=steps), inner)


class PadOfPad(RewritePattern):
    """Two constant pads with the same value are one."""

    def match_and_rewrite(self, op: PadOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if not isinstance(inner, PadOp) or not op.mode == inner.mode == "constant" or op.value != inner.value:
            return
        before = tuple(a + b for a, b in zip(inner.before, op.before, strict=True))
        after = tuple(a + b for a, b in zip(inner.after, op.after, strict=True))
        rewriter.replace_with(op, PadOp(x=inner.x, before=before, after=after, value=op.value), inner)


class CastOfCast(RewritePattern):
    """cast(cast(x, B), C) is cast(x, C) when B holds every value of x and the way through it makes no difference."""

    def match_and_rewrite(self, op: CastOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if not isinstance(inner, CastOp):
            return
        source, middle, target = inner.x.element, inner.to, op.to
        # A number out of range wraps when it is cast from an integer and is undefined when it is cast from a float.
        may_overflow = isinstance(middle, FloatType) and isinstance(target, IntegerType) and target.width > 1
        if holds(middle, source) and (not may_overflow or holds(target, source)):
            rewriter.replace_with(op, CastOp(x=inner.x, to=target), inner)


def holds(wide: Type, narrow: Type) -> bool:
    """Whether every value of the element type `narrow` is one of `wide`."""
    match wide, narrow:
        case IntegerType(), IntegerType():
            return wide.low <= narrow.low and narrow.high <= wide.high
        case FloatType(), IntegerType():
            return max(-narrow.low, narrow.high) <= 1 << _MANTISSA[wide.width]
        case FloatType(), FloatType():
            return wide.width >= narrow.width
        case _:
            return wide == narrow


class ConcatWithoutEmpty(RewritePattern):
    """Empty inputs of a concat go away, and a concat of a concat along the same axis is one."""

    def match_and_rewrite(self, op: ConcatOp, rewriter: Rewriter) -> None:
        axis = normal_axis(op.axis, op.out.tensor.rank)
        inputs: list[Value] = []
        for value in op.inputs:
            inner = value.owner
            same_axis = isinstance(inner, ConcatOp) and normal_axis(inner.axis, value.tensor.rank) == axis
            if isinstance(inner, ConcatOp) and same_axis and len(value.uses) == 1:
                inputs.extend(inner.inputs)
            elif value.shape[axis]:
                inputs.append(value)
        if inputs and tuple(inputs) != op.inputs:
            rewriter.replace_with(op, ConcatOp(inputs=tuple(inputs), axis=axis))


class MovementOfWeights(RewritePattern):
    """transpose(dequantize(constant)) is dequantize(transpose(constant)), so that quantised weights can move.

    The same for a reshape where one scale holds for the whole tensor, or where the axis of the scales stays whole.
    """

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        if not isinstance(op, TransposeOp | ReshapeOp):
            return
        inner = op.x.owner
        if not isinstance(inner, DequantizeOp) or constant_of(inner.x) is None:
            return
        attributes = dict(inner.attributes)
        if inner.scale.ndim:
            axis = normal_axis(inner.axis, op.x.tensor.rank)
            moved_axis = op.permutation.index(axis) if isinstance(op, TransposeOp) else _kept_axis(op, axis)
            if moved_axis is None:
                return
            attributes["axis"] = INT.encode(moved_axis)
        moved = rewriter.insert_before(op, type(op).create([inner.x], op.attributes, location=op.location))
        rewriter.replace_with(op, DequantizeOp.create([moved.result], attributes), inner)


def _kept_axis(op: ReshapeOp, axis: int) -> int | None:
    """Which axis of a reshape's result is axis `axis` of its input; None when that axis is split or joined."""
    before, size = math.prod(op.x.shape[:axis]), op.x.shape[axis]
    for index, found in enumerate(op.shape):
        if found == size and math.prod(op.shape[:index]) == before:
            return index
    return None


CHAINS: tuple[RewritePattern, ...] = (
    *(ReshapeOfReshape(), TransposeOfTranspose(), ExpandOfExpand(), ExpandIntoBinary(), SliceOfSlice(), PadOfPad()),
    *(CastOfCast(), ConcatWithoutEmpty(), MovementOfWeights()),
)
