"""fold-batch-norm: scales and shifts of channels move into the weights beside them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.nn import AddOp, BatchNormOp, Conv2dOp, ConvTranspose2dOp, MatMulOp, MulOp
from ...ir.rewriter import RewritePattern, Rewriter, apply_patterns
from ..base import Pass, PassContext
from .affine import Affine, Vector, read_affine
from .matching import EraseDead, constant_of, insert_constant, only_user

Array = NDArray[Any]


@frozen
class FoldBatchNorm(Pass):
    """Folds batch normalisation, and constants that scale or shift channels, into weights and biases.

        y = batch_norm(conv2d(x, w, b))  becomes  y = conv2d(x, w', b')
        w' = w * g / sqrt(var + eps)     b' = (b - mean) * g / sqrt(var + eps) + beta

    The same with mul, add, sub, div and neg by a constant per channel in the place of batch_norm, and behind
    conv_transpose2d and `add(matmul(x, w), b)`. Per-channel constants before a convolution fold forwards unless they
    would shift the zeros of its padding. What is left per channel becomes a depthwise 1 x 1 convolution (feature maps)
    or, for a batch_norm on another rank, a mul and an add. A scalar constant that stands alone stays as it is: it is a
    part of activations such as hard swish, or a change of scale.

    Keeps: every output up to the rounding of 32 bit weights. w' and b' are computed in 64 bit and rounded once, so a
    sum of products moves by a few units in the last place of the sum of their magnitudes.
    """

    name: ClassVar[str] = "fold-batch-norm"
    idempotent: ClassVar[bool] = True

    def run(self, module: ModuleOp, context: PassContext) -> None:
        # What is dead goes at once: it must not count as a second reader of a value.
        for patterns in ((IntoConvolution(), IntoMatMul()), (IntoFollowing(),), (Standalone(),)):
            apply_patterns(module, (EraseDead(), *patterns))


class IntoConvolution(RewritePattern):
    """An affine operation behind a convolution that nobody else reads changes its weights."""

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        affine = read_affine(op, 1)
        if affine is None or only_user(affine.x) is not op:
            return
        match affine.x.owner:
            case Conv2dOp() as conv:
                per_output = affine.scale[:, None, None, None]
            case ConvTranspose2dOp() as conv:
                channels, per_group = conv.weight.shape[:2]
                by_group = affine.scale.reshape(conv.groups, 1, per_group)
                per_output = np.repeat(by_group, channels // conv.groups, axis=1).reshape(channels, per_group, 1, 1)
            case _:
                return
        weight, bias = constant_of(conv.weight), _bias(conv, len(affine.scale))
        if weight is None or bias is None:
            return
        arrays = _rounded(weight.dtype, weight * per_output, bias * affine.scale + affine.shift)
        if arrays is not None:
            _replace(op, conv, conv.x, arrays, rewriter)


class IntoMatMul(RewritePattern):
    """Affine operations behind a matrix product become at most one add behind a product of other weights.

    `add(matmul(x, w), b)` itself is the canonical dense layer and stays.
    """

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        last = read_affine(op, -1)
        if last is None or only_user(last.x) is not op:
            return
        middle = last.x.owner
        first = read_affine(middle, -1) if isinstance(middle, AddOp) else None
        affine = last if first is None else last.after(first)
        product = affine.x.owner
        if not isinstance(product, MatMulOp) or only_user(affine.x) is None or product.rhs.tensor.rank != 2:
            return
        weight = constant_of(product.rhs)
        if weight is None or (first is None and isinstance(op, AddOp)):
            return
        arrays = _rounded(weight.dtype, weight * affine.scale, affine.shift)
        if arrays is None:
            return
        absorbed = [middle] if isinstance(middle, AddOp) else []
        rhs = insert_constant(product, arrays[0], rewriter, like=product.rhs)
        new = MatMulOp(lhs=product.lhs, rhs=rhs)
        if first is None and not affine.shift.any():
            rewriter.replace_with(op, new, product)
            return
        rewriter.insert_before(op, new).location = product.location
        bias = insert_constant(op, arrays[1], rewriter)
        rewriter.replace_with(op, AddOp(lhs=new.out, rhs=bias), *absorbed)


class IntoFollowing(RewritePattern):
    """A run of affine operations before a convolution or a matrix product, read by it alone, changes its weights.

    conv2d(a * x + c, w, b) = conv2d(x, w * a, b + sum(w * c)), where padding adds no c: with padding only for c = 0.
    """

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        match op:
            case Conv2dOp():
                self._convolution(op, rewriter)
            case MatMulOp() if op.rhs.tensor.rank == 2 and op.lhs.tensor.rank > 1:
                self._product(op, rewriter)

    def _convolution(self, op: Conv2dOp, rewriter: Rewriter) -> None:
        run = _run_ending_at(op.x, 1)
        weight, bias = constant_of(op.weight), _bias(op, op.weight.shape[0])
        if run is None or weight is None or bias is None:
            return
        affine, absorbed = run
        if affine.uniform or (any(op.pads) and affine.shift.any()):
            return
        filters, per_group, *kernel = weight.shape
        grouped = weight.astype(np.float64).reshape(op.groups, filters // op.groups, per_group, *kernel)
        scale = affine.scale.reshape(op.groups, 1, per_group, 1, 1)
        shift = affine.shift.reshape(op.groups, 1, per_group, 1, 1)
        moved = bias + (grouped * shift).sum(axis=(2, 3, 4)).reshape(filters)
        arrays = _rounded(weight.dtype, (grouped * scale).reshape(weight.shape), moved)
        if arrays is not None:
            _replace(op, op, affine.x, arrays, rewriter, *absorbed)

    def _product(self, op: MatMulOp, rewriter: Rewriter) -> None:
        run = _run_ending_at(op.lhs, -1)
        weight = constant_of(op.rhs)
        if run is None or weight is None or run[0].uniform:
            return
        affine, absorbed = run
        wide = weight.astype(np.float64)
        arrays = _rounded(weight.dtype, wide * affine.scale[:, None], affine.shift @ wide)
        if arrays is None:
            return
        new = MatMulOp(lhs=affine.x, rhs=insert_constant(op, arrays[0], rewriter, like=op.rhs))
        if not affine.shift.any():
            rewriter.replace_with(op, new, *absorbed)
            return
        user = only_user(op.out)
        following = read_affine(user, -1) if isinstance(user, AddOp) else None
        rewriter.insert_before(op, new).location = op.location
        if user is not None and following is not None:
            bias = insert_constant(user, (arrays[1] + following.shift).astype(weight.dtype), rewriter)
            rewriter.replace_with(user, AddOp(lhs=new.out, rhs=bias), *absorbed)
            rewriter.erase(op)
        else:
            bias = insert_constant(op, arrays[1], rewriter)
            rewriter.replace_with(op, AddOp(lhs=new.out, rhs=bias), *absorbed)


class Standalone(RewritePattern):
    """A run of affine operations with nothing to fold into becomes a depthwise 1 x 1 convolution, or mul and add."""

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        if not op.results or _continues(op):
            return
        run = _run_ending_at(op.results[0], 1, any_uses=True)
        if run is None or run[0].uniform:
            return
        affine, members = run
        absorbed = members[:-1]
        x = affine.x
        arrays = _rounded(x.element.dtype, affine.scale, affine.shift)
        if arrays is None:
            return
        scale, shift = arrays
        if x.tensor.rank == 4:
            weight = insert_constant(op, scale.reshape(-1, 1, 1, 1), rewriter)
            bias = insert_constant(op, shift, rewriter) if shift.any() else None
            rewriter.replace_with(op, Conv2dOp(x=x, weight=weight, bias=bias, groups=x.shape[1]), *absorbed)
        elif any(isinstance(member, BatchNormOp) for member in members):
            shape = (-1, *(1 for _ in x.shape[2:]))
            scaled = MulOp(lhs=x, rhs=insert_constant(op, scale.reshape(shape), rewriter), location=op.location)
            rewriter.insert_before(op, scaled)
            bias = insert_constant(op, shift.reshape(shape), rewriter)
            rewriter.replace_with(op, AddOp(lhs=scaled.out, rhs=bias), *absorbed)


def _continues(op: Operation) -> bool:
    """Whether the one reader of `op` is affine too, so that the run goes on."""
    user = only_user(op.results[0])
    return user is not None and read_affine(user, 1) is not None


def _run_ending_at(value: Value, axis: int, *, any_uses: bool = False) -> tuple[Affine, list[Operation]] | None:
    """The affine operations that end in `value`, as one, and themselves in order; None when there are none.

    Values inside the run have one use each; so has `value` itself unless `any_uses`.
    """
    if not any_uses and only_user(value) is None:
        return None
    found: Affine | None = None
    members: list[Operation] = []
    while value.owner is not None and (found is None or only_user(value) is not None):
        affine = read_affine(value.owner, axis)
        if affine is None or _is_dense_bias(value.owner, affine):
            break
        members.insert(0, value.owner)
        found = affine if found is None else found.after(affine)
        value = affine.x
    return None if found is None else (found, members)


def _is_dense_bias(op: Operation, affine: Affine) -> bool:
    product = affine.x.owner
    return isinstance(op, AddOp) and isinstance(product, MatMulOp) and constant_of(product.rhs) is not None


def _bias(conv: Conv2dOp | ConvTranspose2dOp, channels: int) -> Vector | None:
    """The bias in 64 bit, zeros where there is none; None when it is no constant."""
    if conv.bias is None:
        return np.zeros(channels)
    bias = constant_of(conv.bias)
    return None if bias is None else bias.astype(np.float64)


def _rounded(dtype: np.dtype[Any], *arrays: Array) -> list[Array] | None:
    """The arrays in `dtype`; None when a number leaves its range."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = [array.astype(dtype) for array in arrays]
    return rounded if all(np.isfinite(array).all() for array in rounded) else None


def _replace(
    op: Operation,
    conv: Conv2dOp | ConvTranspose2dOp,
    x: Value,
    arrays: list[Array],
    rewriter: Rewriter,
    *absorbed: Operation,
) -> None:
    """Replaces `op` by `conv` on `x` with other weights and bias; a bias of zeros that was none stays none."""
    operands = [x, insert_constant(op, arrays[0], rewriter, like=conv.weight)]
    if conv.bias is not None or arrays[1].any():
        operands.append(insert_constant(op, arrays[1], rewriter, like=conv.bias))
    new = type(conv).create(operands, conv.attributes)
    rewriter.replace_with(op, new, *(() if op is conv else (conv,)), *absorbed)
