"""Windows that walk over the rows and columns of feature maps [N, C, H, W]."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...ir.dialects.nn import AvgPool2dOp, MaxPool2dOp
from .kernel import Array


def window_columns(
    padded: Array,
    kernel: tuple[int, int],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    rows: tuple[int, int],
    columns: int,
) -> Array:
    """What every window sees: [N, C * KH * KW, rows * columns], for `rows` = (first, count) of the result.

    `padded` must hold every element that a window touches.
    """
    batch, channels = padded.shape[:2]
    n, c, h, w = padded.strides
    first, count = rows
    view = as_strided(
        padded[:, :, first * strides[0] :],
        (batch, channels, kernel[0], kernel[1], count, columns),
        (n, c, h * dilations[0], w * dilations[1], h * strides[0], w * strides[1]),
        writeable=False,
    )
    return view.reshape(batch, channels * kernel[0] * kernel[1], count * columns)


def reduce_windows(
    x: Array, combine: np.ufunc, neutral: float, op: MaxPool2dOp | AvgPool2dOp, kernel: tuple[int, ...]
) -> Array:
    """Combines what every window sees, rows first, then columns; elements outside x are `neutral`."""
    result = op.window_shape((x.shape[2], x.shape[3]), kernel, ceil=op.ceil)
    for axis in (0, 1):
        stride, dilation, before = op.strides[axis], op.dilations[axis], op.pads[axis]
        reach = (result[axis] - 1) * stride + dilation * (kernel[axis] - 1) + 1
        widths = [(0, 0)] * 4
        widths[2 + axis] = (before, max(0, reach - before - x.shape[2 + axis]))
        padded = np.moveaxis(np.pad(x, widths, constant_values=neutral), 2 + axis, 0)
        span = (result[axis] - 1) * stride + 1
        total = padded[:span:stride].copy()
        for tap in range(1, kernel[axis]):
            combine(total, padded[tap * dilation : tap * dilation + span : stride], out=total)
        x = np.moveaxis(total, 0, 2 + axis)
    return x


def window_counts(op: AvgPool2dOp, size: tuple[int, int], kernel: tuple[int, ...], *, count_pads: bool) -> Array:
    """Elements that count under each window, [rows, columns]: those inside the input, with `count_pads` its padding.

    What a last window reaches beyond the padding (with `ceil`) never counts.
    """
    result = op.window_shape(size, kernel, ceil=op.ceil)
    along = []
    for axis in (0, 1):
        before, after = op.pads[axis], op.pads[axis + 2]
        starts = np.arange(result[axis]) * op.strides[axis] - before
        taps = starts[:, None] + np.arange(kernel[axis]) * op.dilations[axis]
        low, high = (-before, size[axis] + after) if count_pads else (0, size[axis])
        along.append(((taps >= low) & (taps < high)).sum(axis=1))
    return np.multiply.outer(along[0], along[1])
