"""The fixed-point dialect in plain numpy: the equations of `ir/dialects/quant.py`, literally, in 64 bit integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...ir.core import Operation
from ...ir.dialects import nn, quant
from ...ir.dialects.quant import Limited, UniformType, along_axis, round_shift, uniform
from ...ir.types import IntegerType
from .kernel import Array, Kernel

Operands = Sequence[Array]

WINDOW_BYTES = 1 << 27
"""Most bytes of unfolded windows held at once."""


def _finish(op: Limited, value: Array) -> Array:
    """Adds the zero point, limits and stores in the type of the result."""
    return np.clip(value + op.target.zero_point, op.low, op.high).astype(op.target.dtype)


def _centred(x: Array, zero_point: int) -> Array:
    return x.astype(np.int64) - zero_point


def quantize(op: quant.QuantizeOp, operands: Operands) -> Array:
    (x,) = operands
    scale = along_axis(op.scale, op.axis, x.ndim).astype(np.float32)
    zero = along_axis(op.zero_point, op.axis, x.ndim).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.rint(x.astype(np.float32) / scale).astype(np.float64) + zero
    return np.clip(np.nan_to_num(steps, nan=0.0), op.storage.low, op.storage.high).astype(op.storage.dtype)


def dequantize(op: quant.DequantizeOp, operands: Operands) -> Array:
    (x,) = operands
    scale = along_axis(op.scale, op.axis, x.ndim).astype(np.float32)
    zero = along_axis(op.zero_point.astype(np.int64), op.axis, x.ndim)
    return (x.astype(np.int64) - zero).astype(np.float32) * scale


def wrap_i32(value: Array) -> Array:
    """A 64 bit integer array as the 32 bit accumulator holds it: two's complement."""
    return value.astype(np.int64).astype(np.int32)


def exact_product(a: Array, b: Array) -> Array:
    """Matrix product of integers, exact: in floats while every sum stays within their integers, else in int64."""
    if a.size == 0 or b.size == 0:
        return np.matmul(a, b)
    bound = int(np.abs(a).max()) * int(np.abs(b).max()) * a.shape[-1]
    if bound < 1 << 24:
        return np.rint(np.matmul(a.astype(np.float32), b.astype(np.float32))).astype(np.int64)
    if bound < 1 << 53:
        return np.rint(np.matmul(a.astype(np.float64), b.astype(np.float64))).astype(np.int64)
    return np.matmul(a, b)


def conv2d(op: quant.Conv2dOp, operands: Operands) -> Array:
    x, weight, *bias = operands
    batch = x.shape[0]
    filters, per_group, kernel_h, kernel_w = weight.shape
    top, left, bottom, right = op.pads
    centred = _centred(x, uniform(op.x).zero_point).astype(np.int32)
    padded = np.pad(centred, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = _windows(padded, (kernel_h, kernel_w), op.strides, op.dilations)
    rows, columns = op.out.shape[2:]
    acc = np.empty((batch, filters, rows, columns), np.int64)
    each = filters // op.groups
    wide = weight.astype(np.int64).reshape(op.groups, each, -1)
    at_once = max(1, WINDOW_BYTES // (8 * columns * per_group * kernel_h * kernel_w * batch))
    for group in range(op.groups):
        channels = slice(group * per_group, (group + 1) * per_group)
        filters_here = slice(group * each, (group + 1) * each)
        for row in range(0, rows, at_once):
            taken = windows[:, channels, row : row + at_once, :columns].transpose(0, 2, 3, 1, 4, 5)
            product = exact_product(taken.reshape(-1, wide.shape[-1]), wide[group].T)
            shaped = product.reshape(*taken.shape[:3], each).transpose(0, 3, 1, 2)
            acc[:, filters_here, row : row + at_once] = shaped
    if bias:
        acc += bias[0].astype(np.int64)[:, None, None]
    return wrap_i32(acc)


def matmul(op: quant.MatMulOp, operands: Operands) -> Array:
    x, weight, *bias = operands
    acc = exact_product(_centred(x, uniform(op.x).zero_point), weight.astype(np.int64))
    return wrap_i32(acc + bias[0].astype(np.int64) if bias else acc)


def rescale(op: quant.RescaleOp, operands: Operands) -> Array:
    (x,) = operands
    zero = 0 if isinstance(op.x.element, IntegerType) else uniform(op.x).zero_point
    multiplier = along_axis(op.multiplier.astype(np.int64), op.axis, x.ndim)
    return _finish(op, round_shift(_centred(x, zero) * multiplier, along_axis(op.shift, op.axis, x.ndim)))


def rescale_float(op: quant.RescaleFloatOp, operands: Operands) -> Array:
    (x,) = operands
    zero = 0 if isinstance(op.x.element, IntegerType) else uniform(op.x).zero_point
    product = wrap_i32(_centred(x, zero)).astype(np.float32) * along_axis(op.scale, op.axis, x.ndim)
    return _finish(op, np.rint(np.clip(product, -(2.0**31), 2.0**31)).astype(np.int64))


def scaled_sum(a: Array, scale: Array, added: Array) -> Array:
    """f32(f64(a) * scale + added)."""
    return (a.astype(np.float64) * scale.astype(np.float64) + added.astype(np.float64)).astype(np.float32)


def add_float(op: quant.AddFloatOp, operands: Operands) -> Array:
    total = scaled_sum(operands[1], op.scales[1], scaled_sum(operands[0], op.scales[0], op.offset))
    return np.clip(np.rint(np.clip(total, -(2.0**31), 2.0**31)), op.low, op.high).astype(op.target.dtype)


def add(op: quant.AddOp, operands: Operands) -> Array:
    a = _centred(operands[0], uniform(op.lhs).zero_point) * op.multipliers[0]
    b = _centred(operands[1], uniform(op.rhs).zero_point) * op.multipliers[1]
    return _finish(op, round_shift(a + b, op.shift))


def mul(op: quant.MulOp, operands: Operands) -> Array:
    a = _centred(operands[0], uniform(op.lhs).zero_point)
    b = _centred(operands[1], uniform(op.rhs).zero_point)
    return _finish(op, round_shift(a * b * op.multiplier, op.shift))


def table(op: quant.TableOp, operands: Operands) -> Array:
    (x,) = operands
    index = _centred(x, uniform(op.x).storage.low)
    if op.table.ndim == 1:
        return op.table[index].astype(op.target.dtype)
    channel = along_axis(np.arange(op.table.shape[0]), op.axis, x.ndim)
    return op.table[channel, index].astype(op.target.dtype)


def _windows(x: Array, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> Array:
    """[N, C, rows, columns, KH, KW]: a view of the input under every window."""
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    view = sliding_window_view(x, extent, axis=(2, 3))
    return view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def _pool_windows(op: Any, x: Array, fill: int) -> Array:
    """The windows of a pooling, those that hang over the end too; positions outside hold `fill`."""
    dilations = getattr(op, "dilations", (1, 1))
    shape = op.out.shape[2:]
    missing = [
        (shape[axis] - 1) * op.strides[axis] + dilations[axis] * (op.kernel[axis] - 1) + 1 - size - op.pads[axis]
        for axis, size in enumerate(x.shape[2:])
    ]
    widths = ((0, 0), (0, 0), (op.pads[0], max(missing[0], 0)), (op.pads[1], max(missing[1], 0)))
    padded = np.pad(x, widths, constant_values=fill)
    return _windows(padded, op.kernel, op.strides, dilations)[:, :, : shape[0], : shape[1]]


def max_pool2d(op: quant.MaxPool2dOp, operands: Operands) -> Array:
    (x,) = operands
    return _pool_windows(op, x, int(np.iinfo(x.dtype).min)).max(axis=(4, 5))


def avg_pool2d(op: quant.AvgPool2dOp, operands: Operands) -> Array:
    (x,) = operands
    centred = _centred(x, uniform(op.x).zero_point)
    total = _pool_windows(op, centred, 0).sum(axis=(4, 5))
    inside = _pool_windows(op, np.ones_like(centred[:1, :1]), 0).sum(axis=(4, 5))
    number = np.int64(op.count) if op.count else np.maximum(inside, 1)
    return _finish(op, (2 * total * op.multiplier + (number << op.shift)) // (number << (op.shift + 1)))


def softmax(op: quant.SoftmaxOp, operands: Operands) -> Array:
    (x,) = operands
    wide = x.astype(np.int64)
    exponentials = op.exponentials.astype(np.int64)[wide.max(axis=op.axis, keepdims=True) - wide]
    total = exponentials.sum(axis=op.axis, keepdims=True)
    return _finish(op, (2 * exponentials * op.scale + total) // (2 * total))


def lrn(op: quant.LrnOp, operands: Operands) -> Array:
    centred = _centred(operands[0], uniform(op.x).zero_point)
    before, after = (op.size - 1) // 2, op.size // 2
    squares = np.pad(centred**2, ((0, 0), (before, after), (0, 0), (0, 0)))
    total = sliding_window_view(squares, op.size, axis=1).sum(axis=-1)
    factor = op.factors.astype(np.int64)[np.minimum(total >> op.in_shift, 1023)]
    return _finish(op, round_shift(centred * factor, op.out_shift))


def extremum(op: quant.ExtremumOp, operands: Operands) -> Array:
    return (np.maximum if op.maximum else np.minimum)(operands[0], operands[1])


def binarize(op: quant.BinarizeOp, operands: Operands) -> Array:
    wide = np.int64 if operands[0].dtype.kind == "i" else np.float64
    total = np.add.reduce([term.astype(wide) for term in operands]) + op.bias
    return (total >= op.threshold).astype(op.out.element.dtype)


def pad(op: nn.PadOp, operands: Operands) -> Array:
    """A quantised tensor is padded with the integer that stands for `value`."""
    kind = op.x.element
    if op.mode != "constant" or not isinstance(kind, UniformType):
        return op.fold(operands)
    step = round(op.value / kind.scale) + kind.zero_point
    widths = list(zip(op.before, op.after, strict=True))
    return np.pad(operands[0], widths, constant_values=min(max(step, kind.storage.low), kind.storage.high))


KERNELS: Mapping[type[Operation], Kernel] = {
    quant.QuantizeOp: quantize,
    quant.DequantizeOp: dequantize,
    quant.Conv2dOp: conv2d,
    quant.MatMulOp: matmul,
    quant.RescaleOp: rescale,
    quant.RescaleFloatOp: rescale_float,
    quant.AddOp: add,
    quant.AddFloatOp: add_float,
    quant.MulOp: mul,
    quant.TableOp: table,
    quant.MaxPool2dOp: max_pool2d,
    quant.AvgPool2dOp: avg_pool2d,
    quant.SoftmaxOp: softmax,
    quant.LrnOp: lrn,
    quant.ExtremumOp: extremum,
    quant.BinarizeOp: binarize,
    nn.PadOp: pad,
}
