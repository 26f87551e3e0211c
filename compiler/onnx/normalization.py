"""Normalisation layers; all but batch normalisation and LRN are spelt out in plain arithmetic.

Half precision is widened to f32 inside, as `stash_type` 1 (the default) says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...ir.core import Value
from ...ir.dialects.nn import AddOp, BatchNormOp, DivOp, LrnOp, MulOp, ReciprocalOp, SqrtOp, SubOp
from ...ir.shapes import normal_axes, normal_axis
from .emit import at_least_f32, cast, reduce, reshape
from .node import Node
from .problems import malformed, unsupported

LRN_MAX_SIZE = 1 << 16
MVN_EPSILON = 1e-9
"""What MeanVarianceNormalization adds to the standard deviation (its function body in the ONNX standard)."""


def batch_normalization(node: Node) -> Value:
    """BatchNormalization with the stored mean and variance."""
    if node.opset < 9 and not node.attr_int("spatial", 1):
        raise unsupported("normalising every position by itself (spatial = 0) is not taken")
    if node.opset >= 14 and node.attr_int("training_mode", 0):
        raise unsupported("training mode is not taken", remedy="export the model for inference")
    node.refuse_outputs(1, "exists in training only")
    return node.add(
        BatchNormOp(
            x=node.input(0),
            scale=node.input(1),
            bias=node.input(2),
            mean=node.input(3),
            variance=node.input(4),
            epsilon=node.attr_float("epsilon", 1e-5),
        )
    )


def lrn(node: Node) -> Value:
    """LRN."""
    size = node.attr_int("size")
    if not 1 <= size <= LRN_MAX_SIZE:
        raise malformed("size does not fit", found=str(size), expected=f"1 to {LRN_MAX_SIZE}")
    return node.add(
        LrnOp(
            x=node.input(0),
            size=size,
            alpha=node.attr_float("alpha", 1e-4),
            beta=node.attr_float("beta", 0.75),
            bias=node.attr_float("bias", 1.0),
        )
    )


def instance_normalization(node: Node) -> Value:
    """InstanceNormalization: each channel of each sample by its own mean and variance."""
    x = node.input(0)
    if x.tensor.rank < 3:
        raise malformed("there is no spatial axis to normalise over", found=str(x.type))
    wide = at_least_f32(node, x)
    centred, inverse, _ = _standardize(node, wide, range(2, x.tensor.rank), node.attr_float("epsilon", 1e-5))
    shape = (1, x.shape[1], *[1] * (x.tensor.rank - 2))
    scaled = _affine(node, _mul(node, centred, inverse), node.input(1), node.input(2), shape)
    return cast(node, scaled, x.element)


def layer_normalization(node: Node) -> Sequence[Value]:
    """LayerNormalization: all axes from `axis` on; results are Y, Mean, InvStdDev."""
    x = node.input(0)
    _check_stash(node)
    axis = normal_axis(node.attr_int("axis", -1), x.tensor.rank)
    wide = at_least_f32(node, x)
    axes = range(axis, x.tensor.rank)
    centred, inverse, mean = _standardize(node, wide, axes, node.attr_float("epsilon", 1e-5))
    normal = cast(node, _mul(node, centred, inverse), x.element)
    scaled = _mul(node, normal, node.input(1))
    bias = node.optional(2)
    return (scaled if bias is None else node.add(AddOp(lhs=scaled, rhs=bias)), mean, inverse)


def rms_normalization(node: Node) -> Value:
    """RMSNormalization: x / sqrt(mean of squares + epsilon) * scale over all axes from `axis` on."""
    x = node.input(0)
    _check_stash(node)
    axis = normal_axis(node.attr_int("axis", -1), x.tensor.rank)
    wide = at_least_f32(node, x)
    squares = reduce(node, _mul(node, wide, wide), "mean", range(axis, x.tensor.rank))
    inverse = _inverse_root(node, squares, node.attr_float("epsilon", 1e-5))
    return _mul(node, cast(node, _mul(node, wide, inverse), x.element), node.input(1))


def group_normalization(node: Node) -> Value:
    """GroupNormalization: scale and bias by group in opset 18, by channel from 21 on."""
    x, groups = node.input(0), node.attr_int("num_groups")
    if node.opset >= 21:
        _check_stash(node)
    if x.tensor.rank < 2 or groups < 1 or x.shape[1] % groups:
        raise malformed(f"{groups} groups do not divide the channels", found=str(x.type))
    batch, channels, *size = x.shape
    wide = reshape(node, at_least_f32(node, x), (batch, groups, channels // groups * math.prod(size)))
    centred, inverse, _ = _standardize(node, wide, (2,), node.attr_float("epsilon", 1e-5))
    normal = _mul(node, centred, inverse)
    scale, bias = node.input(1), node.input(2)
    if node.opset < 21:
        return reshape(node, cast(node, _affine(node, normal, scale, bias, (1, groups, 1)), x.element), x.shape)
    shape = (1, channels, *[1] * len(size))
    return cast(node, _affine(node, reshape(node, normal, x.shape), scale, bias, shape), x.element)


def mean_variance_normalization(node: Node) -> Value:
    """MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9)."""
    x = node.input(0)
    axes = normal_axes(node.attr_ints("axes") or (0, 2, 3), x.tensor.rank)
    mean = reduce(node, x, "mean", axes)
    centred = node.add(SubOp(lhs=x, rhs=mean))
    deviation = node.add(SqrtOp(x=reduce(node, _mul(node, centred, centred), "mean", axes)))
    return node.add(DivOp(lhs=centred, rhs=node.add(AddOp(lhs=deviation, rhs=node.scalar(MVN_EPSILON, x)))))


def _check_stash(node: Node) -> None:
    if node.attr_int("stash_type", 1) != 1:
        raise unsupported("statistics in another type than f32 are not taken")


def _mul(node: Node, lhs: Value, rhs: Value) -> Value:
    return node.add(MulOp(lhs=lhs, rhs=rhs))


def _standardize(node: Node, x: Value, axes: Sequence[int], epsilon: float) -> tuple[Value, Value, Value]:
    """x - mean, 1 / sqrt(variance + epsilon) and the mean, over axes that are kept with size 1."""
    mean = reduce(node, x, "mean", axes)
    centred = node.add(SubOp(lhs=x, rhs=mean))
    variance = reduce(node, _mul(node, centred, centred), "mean", axes)
    return centred, _inverse_root(node, variance, epsilon), mean


def _inverse_root(node: Node, x: Value, epsilon: float) -> Value:
    shifted = node.add(AddOp(lhs=x, rhs=node.scalar(epsilon, x)))
    return node.add(ReciprocalOp(x=node.add(SqrtOp(x=shifted))))


def _affine(node: Node, x: Value, scale: Value, bias: Value, shape: Sequence[int]) -> Value:
    """x * scale + bias, both put into `shape` first."""
    if scale.tensor.size != math.prod(shape) or bias.shape != scale.shape:
        raise malformed("scale and bias do not fit", found=f"{scale.type} and {bias.type}", expected=str(list(shape)))
    factor, offset = (reshape(node, cast(node, value, x.element), shape) for value in (scale, bias))
    return node.add(AddOp(lhs=_mul(node, x, factor), rhs=offset))
