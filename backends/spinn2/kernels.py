"""What the operation of a stage says about its tasks: kernel, zero points, limits, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects import quant
from ...ir.dialects.quant import UniformType, uniform
from ...ir.dialects.spinn2_tables import Kernel
from ...passes.tile.geometry import Boxes, Stage, Window, extents

Array = NDArray[Any]
Columns = dict[str, Array | int]

I32_LIMITS = (-(1 << 31), (1 << 31) - 1)

IDENTITY: Columns = {"kernel": int(Kernel.REQUANTIZE), "p_pitch": 12, "low": I32_LIMITS[0], "high": I32_LIMITS[1]}
"""A rescale that adds the bias of each channel and changes nothing else."""


RECTIFYING = (quant.RescaleOp, quant.RescaleFloatOp, quant.AddOp, quant.AddFloatOp, quant.MulOp)
"""Operations whose lower limit may be a ReLU."""


def stage_columns(stage: Stage, before: Boxes, boxes: Boxes, record_bytes: int, *, relu_apart: bool = False) -> Columns:
    """Columns of the shapes table for a stage that makes `boxes` of `before`.

    `record_bytes` is the size of a channel's parameters, 0 where all channels share them; with `relu_apart` a limit at
    the zero point is a pass of its own.
    """
    op = stage.op
    common: Columns = {}
    if isinstance(op, quant.Limited):
        common = {"low": op.low, "high": op.high, "zero_y": op.target.zero_point}
    if isinstance(op, RECTIFYING):
        common |= {"count": int(relu_apart and op.low >= op.target.zero_point)}
    info = np.iinfo(stage.dtype)
    whole: Columns = {"low": int(info.min), "high": int(info.max)}
    match op:
        case quant.RescaleOp() | quant.RescaleFloatOp():
            code = Kernel.REQUANTIZE if isinstance(op, quant.RescaleOp) else Kernel.REQUANTIZE_FLOAT
            kind = op.x.element
            zero = kind.zero_point if isinstance(kind, UniformType) else 0
            return common | {"kernel": int(code), "zero_a": zero, "p_pitch": record_bytes}
        case quant.AddFloatOp():
            return common | {"kernel": int(Kernel.ADD_FLOAT)}
        case quant.AddOp() | quant.MulOp():
            code = Kernel.ADD if isinstance(op, quant.AddOp) else Kernel.MUL
            zeros = {"zero_a": uniform(op.lhs).zero_point, "zero_b": uniform(op.rhs).zero_point}
            return common | zeros | {"kernel": int(code)}
        case quant.ExtremumOp():
            return whole | {"kernel": int(Kernel.MAXIMUM if op.maximum else Kernel.MINIMUM)}
        case quant.TableOp():
            return common | {"kernel": int(Kernel.TABLE), "p_pitch": record_bytes}
        case quant.MaxPool2dOp():
            return whole | {"kernel": int(Kernel.MAX_POOL)} | _pad_columns(stage, before, boxes)
        case quant.AvgPool2dOp():
            zero = uniform(op.x).zero_point
            extra = {"kernel": int(Kernel.AVG_POOL), "zero_a": zero, "count": op.count}
            return common | extra | _pad_columns(stage, before, boxes)
        case quant.SoftmaxOp():
            return common | {"kernel": int(Kernel.SOFTMAX)}
        case quant.LrnOp():
            return common | {
                "kernel": int(Kernel.LRN),
                "kernel_h": op.size,
                "zero_a": uniform(op.x).zero_point,
            }
        case _:
            raise ValueError(f"{op} has no task")


def window_columns(window: Window, before: Boxes, boxes: Boxes) -> Columns:
    """Columns of the shapes table for the extents of tasks that make `boxes` of `before`, and for their windows."""
    channels, rows, columns = extents(boxes)
    channels_in, rows_in, columns_in = extents(before)
    return {
        "channels_in": channels_in,
        "height_in": rows_in,
        "width_in": columns_in,
        "channels": channels,
        "height": rows,
        "width": columns,
        "kernel_h": window.kernel[0],
        "kernel_w": window.kernel[1],
        "stride_h": window.stride[0],
        "stride_w": window.stride[1],
        "dilation_h": window.dilation[0],
        "dilation_w": window.dilation[1],
    }


OPERAND_COLUMNS = ("type", "channel", "row", "column", "address")
"""What the columns of operand a and of operand b are called behind their letter."""


def swapped(columns: Columns) -> Columns:
    """The columns with operands a and b exchanged; zero points already follow the operation."""
    names = {"a": "b", "b": "a"}
    names |= {f"{one}_{name}": f"{other}_{name}" for name in OPERAND_COLUMNS for one, other in (("a", "b"), ("b", "a"))}
    return {names.get(name, name): values for name, values in columns.items()}


def pads(stage: Stage, before: Boxes, boxes: Boxes) -> tuple[Array, Array]:
    """Rows and columns between the first window's start and the tile's start (the tile is cut at the map's edge)."""
    start = boxes[:, 1:, 0] * np.array(stage.window.stride) - np.array(stage.window.before)
    padding = before[:, 1:, 0] - start
    return padding[:, 0], padding[:, 1]


def _pad_columns(stage: Stage, before: Boxes, boxes: Boxes) -> Columns:
    top, left = pads(stage, before, boxes)
    return {"pad_top": top, "pad_left": left}
