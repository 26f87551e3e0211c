"""Convolution and matrix product in integers: weights, biases and room for the sums."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType
from .lowering import Array, Lowering, Unfit, constant_value, integers, single
from .numerics import magnitudes

ROUNDING_SHARE = 1 / 16
"""Most of an output step that rounding weights to make room in the accumulator may cost."""


def fit_sums(
    weight: Array, scales: Array, bias: Value | None, kind: UniformType, axis: int, step: float
) -> tuple[Array, Array, Array | None]:
    """Weights, scales and i32 bias for which no sum can leave 32 bits.

    A channel whose bias is too large in units of its tiny scale gets a scale that is a power of two larger; its weights
    are rounded to it. Raises Unfit when that would cost more than ROUNDING_SHARE of an output step (`step`, in real
    units), which means that the weights themselves are too many.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    steps = np.zeros(scales.size)
    if bias is not None:
        constant = constant_value(bias)
        if constant is None:
            raise Unfit("its bias is not constant")
        steps = np.rint(constant.astype(np.float64).reshape(-1) / (kind.scale * scales))
    largest = max(kind.storage.high - kind.zero_point, kind.zero_point - kind.storage.low)
    bound = np.abs(steps) + magnitudes(weight, others) * float(largest)
    excess = np.maximum(np.ceil(np.log2(np.maximum(bound, 1) / 2.0**30)), 0).astype(np.int64)
    excess = np.where(bound < 2.0**31, 0, excess)
    if np.any(excess):
        grown = scales * 2.0**excess
        terms = np.count_nonzero(weight, axis=others)
        cost = np.where(excess > 0, 0.5 * terms * largest * grown * kind.scale / step, 0.0)
        if np.any(cost > ROUNDING_SHARE):
            worst = int(cost.argmax())
            raise Unfit(f"the sum of output channel {worst} can reach {bound[worst]:.3g}, beyond 32 bits")
        shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
        weight = np.rint(weight / 2.0 ** excess.reshape(shape)).astype(weight.dtype)
        steps, scales = np.rint(steps / 2.0**excess), grown
    return weight, scales, steps.astype(np.int32) if bias is not None else None


def weight_of(value: Value, axis: int) -> tuple[Array, Array]:
    """Integer weights and their scales along `axis`; raises Unfit for weights that do not fit 8 or 16 bits."""
    owner = value.owner
    if not isinstance(owner, DequantizeOp):
        raise Unfit("its weights are not constant" if constant_value(value) is None else "its weights carry no scale")
    source = owner.x.owner
    if isinstance(source, quant.StorageCastOp):
        source = source.x.owner
    if isinstance(source, QuantizeOp) and isinstance(source.x.owner, ConstantOp):
        steps = _quantize_constant(source, source.x.owner.value)
    elif isinstance(source, ConstantOp):
        steps = source.value
    else:
        raise Unfit("its weights are not constant")
    rank = steps.ndim
    if owner.scale.ndim and owner.axis % rank != axis:
        raise Unfit(f"its weights have one scale per index of axis {owner.axis}, expected axis {axis}")
    centred = steps
    if np.any(owner.zero_point):
        centred = steps.astype(np.int64) - quant.along_axis(owner.zero_point.astype(np.int64), owner.axis, rank)
    low, high = int(centred.min(initial=0)), int(centred.max(initial=0))
    fitting = [dtype for dtype in (np.int8, np.int16) if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max]
    if not fitting:
        raise Unfit(f"its weights span {low} .. {high}, beyond 16 bits")
    scale = np.broadcast_to(owner.scale.astype(np.float64), (steps.shape[axis],))
    return centred.astype(fitting[0]), scale


def _quantize_constant(op: QuantizeOp, value: Array) -> Array:
    scale = quant.along_axis(op.scale, op.axis, value.ndim)
    zero = quant.along_axis(op.zero_point.astype(np.int64), op.axis, value.ndim)
    steps = np.rint(value.astype(np.float32) / scale).astype(np.int64) + zero
    return np.clip(steps, op.storage.low, op.storage.high)


def lower_conv2d(op: nn.Conv2dOp, lowering: Lowering) -> Value:
    x = single(op.x)
    kind = quant.uniform(x)
    weight, scale = weight_of(op.weight, 0)
    weight, scale, bias = fit_sums(weight, scale, op.bias, kind, 0, lowering.target.scale)
    constant = lowering.insert(ConstantOp(value=weight))
    product = lowering.insert(
        quant.Conv2dOp(
            x=x,
            weight=constant.out,
            bias=None if bias is None else lowering.insert(ConstantOp(value=bias)).out,
            strides=op.strides,
            pads=op.pads,
            dilations=op.dilations,
            groups=op.groups,
        )
    )
    return lowering.rescale(product.out, kind.scale, scale)


def lower_matmul(op: Operation | None, bias: Value | None, lowering: Lowering) -> Value:
    if not isinstance(op, nn.MatMulOp):
        raise Unfit("expected a matrix product")
    x = integers(op.lhs)
    kind = quant.uniform(x)
    if op.rhs.tensor.rank != 2:
        raise Unfit(f"its right side is {op.rhs.type}, expected a constant matrix")
    weight, scale = weight_of(op.rhs, 1)
    weight, scale, steps = fit_sums(weight, scale, bias, kind, 1, lowering.target.scale)
    constant = lowering.insert(ConstantOp(value=weight))
    product = lowering.insert(
        quant.MatMulOp(
            x=x,
            weight=constant.out,
            bias=None if steps is None else lowering.insert(ConstantOp(value=steps)).out,
        )
    )
    return lowering.rescale(product.out, kind.scale, scale, axis=product.out.tensor.rank - 1)
