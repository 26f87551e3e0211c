"""Pads, reductions and matrix products in the one form that later stages take."""

from __future__ import annotations

import math

import numpy as np

from ...ir.core import Operation, Value
from ...ir.dialects.nn import (
    AbsOp,
    AddOp,
    AvgPool2dOp,
    CastOp,
    ClampOp,
    Conv2dOp,
    ExpOp,
    HardSigmoidOp,
    MatMulOp,
    MaxPool2dOp,
    PadOp,
    ReduceOp,
    ReshapeOp,
    SigmoidOp,
    SliceOp,
    SoftmaxOp,
    SqrtOp,
    TransposeOp,
    Unary,
    Windowed,
)
from ...ir.rewriter import RewritePattern, Rewriter
from ...ir.shapes import normal_axes
from ...ir.spec import BOOL, INTS
from .matching import constant_of, insert_constant, is_float, only_user

_NON_NEGATIVE = (AbsOp, ExpOp, HardSigmoidOp, SigmoidOp, SoftmaxOp, SqrtOp)
_KEEP_SIGN = (AvgPool2dOp, MaxPool2dOp, ReshapeOp, SliceOp, TransposeOp)


class PadIntoWindow(RewritePattern):
    """A constant pad of rows and columns becomes the padding of the window operation behind it, where that is exact.

    Convolutions pad with 0. Max pooling pads with nothing, which is what -inf means, and 0 where the input has no
    value below 0 and every window meets the input. Average pooling pads with zeros that count.
    """

    def match_and_rewrite(self, op: Windowed, rewriter: Rewriter) -> None:
        pad = op.operands[0].owner
        if not isinstance(pad, PadOp) or pad.mode != "constant" or pad.x.tensor.rank != 4 or not is_float(pad.x):
            return
        if any((*pad.before[:2], *pad.after[:2])):
            return
        added = (*pad.before[2:], *pad.after[2:])
        pads = tuple(a + b for a, b in zip(op.pads, added, strict=True))
        attributes = {**op.attributes, "pads": INTS.encode(pads)}
        match op:
            case Conv2dOp() if pad.value == 0:
                pass
            case MaxPool2dOp() if _max_ignores(pad, op, pads):
                pass
            case AvgPool2dOp() if pad.value == 0 and not op.ceil and (op.count_pads or not any(op.pads)):
                attributes["count_pads"] = BOOL.encode(True)
            case _:
                return
        rewriter.replace_with(op, type(op).create([pad.x, *op.operands[1:]], attributes), pad)


def _max_ignores(pad: PadOp, op: MaxPool2dOp, pads: tuple[int, ...]) -> bool:
    if op.ceil:
        return False
    if pad.value == -math.inf:
        return True
    meets = op.dilations == (1, 1) and all(p < op.kernel[i % 2] for i, p in enumerate(pads))
    return pad.value == 0 and meets and never_negative(pad.x)


def never_negative(value: Value) -> bool:
    """Whether no element can be below zero, as far as the operations right above tell."""
    op = value.owner
    while isinstance(op, _KEEP_SIGN):
        op = op.operands[0].owner
    return isinstance(op, _NON_NEGATIVE) or (isinstance(op, ClampOp) and op.high >= op.low >= 0)


class ReduceToPool(RewritePattern):
    """A mean or maximum over rows, columns or both of a feature map is a pooling with one window."""

    def match_and_rewrite(self, op: ReduceOp, rewriter: Rewriter) -> None:
        x = op.x
        if x.tensor.rank != 4 or not is_float(x) or op.kind not in ("mean", "max") or not x.tensor.size:
            return
        axes = normal_axes(op.axes, 4)
        if not axes or min(axes) < 2:
            return
        kernel = (x.shape[2] if 2 in axes else 1, x.shape[3] if 3 in axes else 1)
        pooling = AvgPool2dOp if op.kind == "mean" else MaxPool2dOp
        pooled = pooling(x=x, kernel=kernel)
        if op.keep_dims:
            rewriter.replace_with(op, pooled)
            return
        rewriter.insert_before(op, pooled).location = op.location
        rewriter.replace_with(op, ReshapeOp(x=pooled.out, shape=op.out.shape))


class FlatMatMul(RewritePattern):
    """A product of any tensor with a constant matrix or vector is a product of two matrices between reshapes."""

    def match_and_rewrite(self, op: MatMulOp, rewriter: Rewriter) -> None:
        weight = constant_of(op.rhs)
        if weight is None or weight.ndim not in (1, 2) or (weight.ndim == 2 and op.lhs.tensor.rank == 2):
            return
        inner = weight.shape[0]
        rows = math.prod(op.lhs.shape[:-1])
        rhs = op.rhs if weight.ndim == 2 else insert_constant(op, weight.reshape(inner, 1), rewriter)
        lhs = rewriter.insert_before(op, ReshapeOp(x=op.lhs, shape=(rows, inner), location=op.location))
        product = rewriter.insert_before(op, MatMulOp(lhs=lhs.out, rhs=rhs, location=op.location))
        rewriter.replace_with(op, ReshapeOp(x=product.out, shape=op.out.shape))


class BiasBeforeReshape(RewritePattern):
    """reshape(matmul) + b becomes reshape(matmul + b), so that the bias stands beside its product."""

    def match_and_rewrite(self, op: AddOp, rewriter: Rewriter) -> None:
        reshape, bias = op.lhs.owner, constant_of(op.rhs)
        if not isinstance(reshape, ReshapeOp) or bias is None or not _reshapes_product(reshape):
            return
        columns = reshape.x.shape[-1]
        same_last = reshape.shape[-1:] == (columns,) and op.out.shape == reshape.shape
        if not same_last or any(size != 1 for size in bias.shape[:-1]):
            return
        vector = insert_constant(op, np.broadcast_to(bias.reshape(-1), (columns,)), rewriter)
        total = rewriter.insert_before(op, AddOp(lhs=reshape.x, rhs=vector, location=op.location))
        rewriter.replace_with(op, ReshapeOp(x=total.out, shape=reshape.shape))


class ActivationBeforeReshape(RewritePattern):
    """f(reshape(dense)) becomes reshape(f(dense)) for an elementwise f."""

    def match_and_rewrite(self, op: Unary, rewriter: Rewriter) -> None:
        reshape = op.x.owner
        if not isinstance(reshape, ReshapeOp) or isinstance(op, CastOp) or not _reshapes_product(reshape):
            return
        moved = rewriter.insert_before(op, type(op).create([reshape.x], op.attributes, location=op.location))
        rewriter.replace_with(op, ReshapeOp(x=moved.result, shape=reshape.shape))


def _reshapes_product(reshape: ReshapeOp) -> bool:
    """Whether a reshape with one use reads a rank-2 product, alone or with its bias, that nobody else uses."""
    if only_user(reshape.out) is None or only_user(reshape.x) is None or reshape.x.tensor.rank != 2:
        return False
    op: Operation | None = reshape.x.owner
    if isinstance(op, AddOp) and constant_of(op.rhs) is not None:
        op = op.lhs.owner
    return isinstance(op, MatMulOp) and constant_of(op.rhs) is not None


STRUCTURE: tuple[RewritePattern, ...] = (
    *(PadIntoWindow(), ReduceToPool(), FlatMatMul(), BiasBeforeReshape(), ActivationBeforeReshape()),
)
