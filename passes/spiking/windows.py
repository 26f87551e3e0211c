"""Windows over feature maps without a batch, [C, H, W], in plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ...ir.dialects.nn import MaxPool2dOp

Array = NDArray[Any]


def covering_pads(op: MaxPool2dOp) -> tuple[int, int, int, int]:
    """The pads with which a window without `ceil` reaches as far as `op` does."""
    sizes, counts = op.x.shape[2:], op.out.shape[2:]
    after = [
        max(0, (counts[i] - 1) * op.strides[i] + op.dilations[i] * (op.kernel[i] - 1) + 1 - sizes[i] - op.pads[i])
        for i in (0, 1)
    ]
    return (op.pads[0], op.pads[1], after[0], after[1])


def correlate(
    x: Array,
    weight: Array,
    shape: tuple[int, ...],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Array:
    """Cross-correlation of x [C, H, W] with weight [O, C / groups, KH, KW], in f64; `shape` is that of the result."""
    filters, rows, columns = shape
    after = [
        max(0, (count - 1) * strides[i] + dilations[i] * (weight.shape[2 + i] - 1) + 1 - x.shape[1 + i] - pads[i])
        for i, count in enumerate((rows, columns))
    ]
    padded = np.pad(x.astype(np.float64), ((0, 0), (pads[0], after[0]), (pads[1], after[1])))
    span = [dilations[i] * (weight.shape[2 + i] - 1) + 1 for i in (0, 1)]
    windows = sliding_window_view(padded, span, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]][:, :rows, :columns]
    grouped = windows.reshape(groups, -1, *windows.shape[1:])
    by_group = weight.astype(np.float64).reshape(groups, filters // groups, *weight.shape[1:])
    return np.einsum("gcrqkl,gockl->gorq", grouped, by_group, optimize=True).reshape(shape)


def window_counts(op: MaxPool2dOp) -> Array:
    """How many elements of the input each window of a pooling holds, [rows, columns]."""
    size = op.x.shape[2:]
    shape = (1, *op.out.shape[2:])
    ones = np.ones((1, 1, *op.kernel))
    return correlate(np.ones((1, *size)), ones, shape, op.strides, op.pads, op.dilations, 1)[0]
