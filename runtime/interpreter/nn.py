"""Convolution, matrix product, pooling and normalisation of the graph dialect.

Half precision is computed in single precision and rounded once; other floats in their own width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...ir.core import Operation
from ...ir.dialects.nn import AvgPool2dOp, BatchNormOp, Conv2dOp, ConvTranspose2dOp, LrnOp, MatMulOp, MaxPool2dOp
from .kernel import Array, Kernel
from .windows import reduce_windows, window_columns, window_counts

COLUMN_ELEMENTS = 1 << 23
"""A convolution unfolds as many output rows at once as stay below this many elements."""

EXACT_IN_FLOAT64 = 1 << 53
"""Integers below this have an exact 64 bit float."""


def _working(x: Array) -> np.dtype[Any]:
    return np.dtype(np.float64) if x.dtype == np.float64 else np.dtype(np.float32)


def conv2d(op: Conv2dOp, operands: Sequence[Array]) -> Array:
    """y[n, o, i, j] = bias[o] + sum over c, k, l of x[n, c, i*sh + k*dh - top, j*sw + l*dw - left] * w[o, c, k, l]."""
    x, weight, *bias = operands
    dtype, groups = _working(x), op.groups
    batch, filters, rows, columns = op.result.shape
    channels, kernel = x.shape[1], (weight.shape[2], weight.shape[3])
    top, left, bottom, right = op.pads
    padded = np.pad(x.astype(dtype, copy=False), ((0, 0), (0, 0), (top, bottom), (left, right)))
    inner, outer = channels // groups * kernel[0] * kernel[1], filters // groups
    matrix = weight.astype(dtype, copy=False).reshape(groups, outer, inner)
    result = np.empty((batch, groups, outer, rows, columns), dtype)
    band = max(1, COLUMN_ELEMENTS // max(1, batch * channels * kernel[0] * kernel[1] * columns))
    for first in range(0, rows, band):
        count = min(band, rows - first)
        unfolded = window_columns(padded, kernel, op.strides, op.dilations, (first, count), columns)
        flat = unfolded.reshape(batch, groups, inner, count * columns)
        result[:, :, :, first : first + count] = np.matmul(matrix, flat).reshape(batch, groups, outer, count, columns)
    result = result.reshape(batch, filters, rows, columns)
    if bias:
        result += bias[0].astype(dtype, copy=False).reshape(1, -1, 1, 1)
    return result.astype(x.dtype, copy=False)


def conv_transpose2d(op: ConvTranspose2dOp, operands: Sequence[Array]) -> Array:
    """Every input element adds its multiple of the kernel at stride distance; then the padding is cut off."""
    x, weight, *bias = operands
    dtype, groups = _working(x), op.groups
    batch, channels, height, width = x.shape
    per_group, kernel_rows, kernel_columns = weight.shape[1:]
    taps = per_group * kernel_rows * kernel_columns
    _, filters, rows, columns = op.result.shape
    (sh, sw), (dh, dw), (top, left, bottom, right) = op.strides, op.dilations, op.pads
    matrix = weight.astype(dtype, copy=False).reshape(groups, channels // groups, taps).transpose(0, 2, 1)
    flat = x.astype(dtype, copy=False).reshape(batch, groups, channels // groups, height * width)
    products = np.matmul(matrix, flat).reshape(batch, groups * per_group, kernel_rows, kernel_columns, height, width)
    full_rows = max(rows + top + bottom, (height - 1) * sh + dh * (kernel_rows - 1) + 1)
    full_columns = max(columns + left + right, (width - 1) * sw + dw * (kernel_columns - 1) + 1)
    # Negative pads add empty rows and columns; the frame holds them on every side.
    before_rows, before_columns = max(0, -top), max(0, -left)
    full = np.zeros((batch, filters, full_rows + before_rows, full_columns + before_columns), dtype)
    for k in range(kernel_rows):
        for m in range(kernel_columns):
            i, j = before_rows + k * dh, before_columns + m * dw
            full[:, :, i : i + (height - 1) * sh + 1 : sh, j : j + (width - 1) * sw + 1 : sw] += products[:, :, k, m]
    i, j = before_rows + top, before_columns + left
    result = full[:, :, i : i + rows, j : j + columns]
    if bias:
        result = result + bias[0].astype(dtype, copy=False).reshape(1, -1, 1, 1)
    return result.astype(x.dtype, copy=False)


def matmul(op: MatMulOp, operands: Sequence[Array]) -> Array:
    """The matrix product; integers wrap as their type does."""
    lhs, rhs = operands
    if lhs.dtype.kind == "f":
        dtype = _working(lhs)
        return np.asarray(np.matmul(lhs.astype(dtype, copy=False), rhs.astype(dtype, copy=False))).astype(lhs.dtype)
    largest = [int(max(abs(int(a.min(initial=0))), int(a.max(initial=0)))) for a in (lhs, rhs)]
    if largest[0] * largest[1] * lhs.shape[-1] < EXACT_IN_FLOAT64:
        return np.asarray(np.matmul(lhs.astype(np.float64), rhs.astype(np.float64))).astype(np.int64).astype(lhs.dtype)
    return np.asarray(np.matmul(lhs, rhs))


def batch_norm(op: BatchNormOp, operands: Sequence[Array]) -> Array:
    """(x - mean) * scale / sqrt(variance + epsilon) + bias along axis 1."""
    x = operands[0]
    dtype = _working(x)
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale, bias, mean, variance = (array.astype(dtype, copy=False).reshape(shape) for array in operands[1:])
    factor = scale / np.sqrt(variance + dtype.type(op.epsilon))
    return np.asarray((x.astype(dtype, copy=False) - mean) * factor + bias).astype(x.dtype, copy=False)


def max_pool2d(op: MaxPool2dOp, operands: Sequence[Array]) -> Array:
    """The maximum under each window."""
    (x,) = operands
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return reduce_windows(x, np.maximum, lowest, op, op.kernel)


def avg_pool2d(op: AvgPool2dOp, operands: Sequence[Array]) -> Array:
    """The sum under each window by the number of its elements that count."""
    (x,) = operands
    dtype = _working(x)
    total = reduce_windows(x.astype(dtype, copy=False), np.add, 0, op, op.kernel)
    counts = window_counts(op, (x.shape[2], x.shape[3]), op.kernel, count_pads=op.count_pads)
    return np.asarray(total / counts.astype(dtype)).astype(x.dtype, copy=False)


def lrn(op: LrnOp, operands: Sequence[Array]) -> Array:
    """x / (bias + alpha / size * s)^beta; s sums x^2 over channels c - (size - 1) // 2 .. c + size // 2."""
    (x,) = operands
    dtype = _working(x)
    wide = x.astype(dtype, copy=False)
    channels = x.shape[1]
    before, after = min((op.size - 1) // 2, channels), min(op.size // 2, channels)
    squares = np.pad(np.square(wide), [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = np.zeros_like(wide)
    for offset in range(before + 1 + after):
        total += squares[:, offset : offset + channels]
    return np.asarray(wide / (op.bias + op.alpha / op.size * total) ** op.beta).astype(x.dtype, copy=False)


KERNELS: Mapping[type[Operation], Kernel] = {
    Conv2dOp: conv2d,
    ConvTranspose2dOp: conv_transpose2d,
    MatMulOp: matmul,
    BatchNormOp: batch_norm,
    MaxPool2dOp: max_pool2d,
    AvgPool2dOp: avg_pool2d,
    LrnOp: lrn,
}
