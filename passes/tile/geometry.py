"""How a block is seen by its split: stages, views and the boxes that a piece of the result needs of each input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ...ir.core import BlockArgument, Operation, Value
from ...ir.dialects import quant
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import UniformType
from ...ir.dialects.tile import BlockOp
from ...ir.types import IntegerType

Array = NDArray[Any]
Boxes = NDArray[np.int64]
"""[n, 3, 2]: n boxes, lower and upper bound of channels, rows and columns."""

MAC_ROW_BYTES = 16
WORD_BYTES = 4


@frozen
class View:
    """A tensor as channels x rows x columns.

    `minor` says that channels are neighbours in memory (a matrix [rows, channels], columns = 1); otherwise memory holds
    one plane of rows after the other.
    """

    channels: int
    rows: int
    columns: int
    minor: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.rows, self.columns

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.channels * self.rows * self.columns


@frozen
class Window:
    """A window that walks over rows and columns: kernel, stride, dilation, padding before."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)

    def extent(self, axis: int) -> int:
        """Input positions under one window along rows (0) or columns (1)."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1


@frozen(eq=False)
class Source:
    """A feature map that a stage reads: the block's input and how it is seen; `axes` of size 1 are repeated."""

    index: int
    view: View
    dtype: np.dtype[Any]
    repeated: tuple[bool, bool, bool] = (False, False, False)


@frozen(eq=False)
class Stage:
    """One operation of a block.

    `source` is the feature map that it reads besides the running value, which is the block's first feature map and then
    the result of the stage before. `swapped` says that the running value is the second operand, `maxima` that a max
    pooling takes maxima of whole rows and columns instead of windows.
    """

    op: Operation
    view: View
    dtype: np.dtype[Any]
    window: Window = field(factory=Window)
    source: Source | None = None
    swapped: bool = False
    maxima: bool = False


@frozen(eq=False)
class Plan:
    """A block ready to be split: its stages in order and the view of its result."""

    block: BlockOp
    core: str
    stages: tuple[Stage, ...]
    first: Source

    @property
    def view(self) -> View:
        """The view of the block's result."""
        return self.stages[-1].view

    @property
    def on_mac_array(self) -> bool:
        return self.core in ("conv", "depthwise", "matmul")

    @property
    def weight(self) -> Array:
        """The integer weights of a MAC array block."""
        owner = self.stages[0].op.operands[1].owner
        if not isinstance(owner, ConstantOp):
            raise TypeError(f"the weights of {self.block} are not constant")
        return owner.value

    @property
    def groups(self) -> int:
        op = self.stages[0].op
        return op.groups if isinstance(op, quant.Conv2dOp) else 1

    @property
    def reduction(self) -> int:
        """Length of the sum that input splitting may cut: channels of one group, rows of the matrix; else 1."""
        if self.core == "conv":
            return int(self.weight.shape[1])
        return int(self.weight.shape[0]) if self.core == "matmul" else 1


def storage_dtype(value: Value) -> np.dtype[Any]:
    """The dtype that holds a quantised or plain integer value."""
    kind = value.element
    if not isinstance(kind, UniformType | IntegerType):
        raise TypeError(f"expected integers, found {value.type}")
    return kind.dtype


def plan_block(block: BlockOp) -> Plan:
    """The plan of a block; raises ValueError with the reason when its tensors cannot be seen as feature maps."""
    chain = block.chain
    axis = channel_axis(chain)
    stages: list[Stage] = []
    first: Source | None = None
    running: Value | None = None
    for op in chain:
        maps = [value for value in op.operands if not isinstance(value.owner, ConstantOp)]
        view = _view(block.core, op.results[0], axis)
        others = [value for value in maps if value is not running]
        source: Source | None = None
        if running is None:
            lead = next((value for value in others if value.shape == op.results[0].shape), others[0])
            others.remove(lead)
            if block.core == "pointwise" and lead.shape != op.results[0].shape:
                raise ValueError(f"no operand has the shape of the result, {op.results[0].type}")
            first = _source(block.core, lead, axis, _input_view(block.core, lead, axis))
            running = lead
        if others:
            source = _source(block.core, others[0], axis, view)
        swapped = len(op.operands) > 1 and op.operands[1] is running and op.operands[0] is not running
        dtype = storage_dtype(op.results[0])
        stages.append(Stage(op, view, dtype, _window(op), source, swapped))
        running = op.results[0]
    if first is None:
        raise ValueError("a block needs a feature map")
    return Plan(block, block.core, tuple(stages), first)


def channel_axis(chain: Sequence[Operation]) -> int | None:
    """The axis along which some operation has parameters of its own; None when all are uniform."""
    axes = set()
    for op in chain:
        rank = op.results[0].tensor.rank
        if isinstance(op, quant.RescaleOp) and op.multiplier.ndim:
            axes.add(op.axis % rank)
        if isinstance(op, quant.RescaleFloatOp) and op.scale.ndim:
            axes.add(op.axis % rank)
        if isinstance(op, quant.TableOp) and op.table.ndim == 2:
            axes.add(op.axis % rank)
    if len(axes) > 1:
        raise ValueError(f"parameters along several axes: {sorted(axes)}")
    return axes.pop() if axes else None


def _planar(shape: tuple[int, ...]) -> View:
    """[1, C, H, W] or [1, C, L] as it is."""
    return View(shape[1], *(shape[2:] if len(shape) == 4 else (1, shape[2])))


def _view(core: str, value: Value, axis: int | None) -> View:
    shape = value.shape
    if core == "matmul":
        return View(shape[-1], math.prod(shape[:-1]), 1, minor=True)
    if core == "rows":
        return _row_view(value, axis)
    if len(shape) in (3, 4) and shape[0] == 1 and axis in (None, 1):
        return _planar(shape)
    if core != "pointwise":
        raise ValueError(f"a batch of {shape[0] if shape else 0}, expected 1")
    if axis is None:
        return View(1, 1, math.prod(shape))
    before, channels, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if after == 1:
        return View(channels, before, 1, minor=True)
    if before == 1:
        return View(channels, 1, after)
    raise ValueError(f"parameters along axis {axis} of {value.type}")


def _row_view(value: Value, axis: int | None) -> View:
    """Rows of the softmax axis, which must be the last one but for axes of size 1."""
    owner = value.owner
    along = owner.axis if isinstance(owner, quant.SoftmaxOp) else axis
    if along is None:
        raise ValueError("no axis to normalise over")
    along %= value.tensor.rank
    if math.prod(value.shape[along + 1 :]) != 1:
        raise ValueError(f"softmax along axis {along} of {value.type}, expected the last axis")
    return View(1, math.prod(value.shape[:along]), value.shape[along])


def _input_view(core: str, value: Value, axis: int | None) -> View | None:
    if core == "matmul":
        return View(1, math.prod(value.shape[:-1]), value.shape[-1])
    if core == "rows":
        return None
    return _view(core, value, axis)


def _source(core: str, value: Value, axis: int | None, view: View | None) -> Source:
    if not isinstance(value, BlockArgument):
        raise ValueError("a block reads feature maps through its arguments")
    if view is None:
        (op,) = value.users
        view = _row_view(op.results[0], axis)
    if value.tensor.size == view.size:
        return Source(value.index, view, storage_dtype(value))
    if value.tensor.size == 1:
        return Source(value.index, View(1, 1, 1), storage_dtype(value), (True, True, True))
    (op, _), *_ = value.uses
    shape = (1,) * (op.results[0].tensor.rank - value.tensor.rank) + value.shape
    if view.minor or len(shape) not in (3, 4) or shape[0] != 1:
        raise ValueError(f"{value.type} is broadcast in a way that no tile can follow")
    own = _planar(shape)
    flags = tuple(a == 1 and b != 1 for a, b in zip(own.shape, view.shape, strict=True))
    if any(a != b and not flag for a, b, flag in zip(own.shape, view.shape, flags, strict=True)):
        raise ValueError(f"{value.type} does not broadcast to the block's result")
    return Source(value.index, own, storage_dtype(value), (flags[0], flags[1], flags[2]))


def _window(op: Operation) -> Window:
    match op:
        case quant.Conv2dOp():
            kernel = op.weight.shape[2:]
            return Window((kernel[0], kernel[1]), _pair(op.strides), _pair(op.dilations), _pair(op.pads[:2]))
        case quant.MaxPool2dOp():
            return Window(_pair(op.kernel), _pair(op.strides), _pair(op.dilations), _pair(op.pads[:2]))
        case quant.AvgPool2dOp():
            return Window(_pair(op.kernel), _pair(op.strides), (1, 1), _pair(op.pads[:2]))
        case _:
            return Window()


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[1]


def extents(boxes: Boxes) -> tuple[Array, Array, Array]:
    """Channels, rows and columns of boxes."""
    size = boxes[:, :, 1] - boxes[:, :, 0]
    return size[:, 0], size[:, 1], size[:, 2]


def window_boxes(boxes: Boxes, window: Window) -> Boxes:
    """The rows and columns of the input under `boxes` of the result; they may reach into the padding."""
    grown = boxes.copy()
    for axis in (0, 1):
        low, high = boxes[:, axis + 1, 0], boxes[:, axis + 1, 1]
        grown[:, axis + 1, 0] = low * window.stride[axis] - window.before[axis]
        grown[:, axis + 1, 1] = (high - 1) * window.stride[axis] - window.before[axis] + window.extent(axis)
    return grown


def clip_boxes(boxes: Boxes, view: View) -> Boxes:
    """Boxes cut to a view."""
    limits = np.array(view.shape)[None, :, None]
    return np.clip(boxes, 0, limits)


def stage_boxes(plan: Plan, boxes: Boxes) -> list[Boxes]:
    """Boxes of every stage's result for `boxes` of the block's result, last stage last."""
    found = [boxes]
    for stage in reversed(plan.stages[1:]):
        found.append(clip_boxes(window_boxes(found[-1], stage.window), _previous(plan, stage).view))
    return found[::-1]


def core_extent(plan: Plan, rows: Any, columns: Any) -> tuple[Any, Any]:
    """Rows and columns of the first stage's result under so many of the block's result: integers or arrays of them."""
    for stage in plan.stages[1:]:
        rows, columns = rows * stage.window.stride[0], columns * stage.window.stride[1]
    return rows, columns


def _previous(plan: Plan, stage: Stage) -> Stage:
    return plan.stages[plan.stages.index(stage) - 1]


def source_boxes(boxes: Boxes, source: Source) -> Boxes:
    """The part of a second operand under `boxes`: all of a repeated axis."""
    found = boxes.copy()
    for axis, repeated in enumerate(source.repeated):
        if repeated:
            found[:, axis, 0], found[:, axis, 1] = 0, 1
    return found


def grid_bounds(size: int, tile: int) -> Array:
    """[n, 2] lower and upper bounds of tiles of `tile` (the last one may be smaller) over `size`."""
    low = np.arange(0, size, tile, dtype=np.int64)
    return np.stack([low, np.minimum(low + tile, size)], axis=1)


def align(value: Array | int, unit: int) -> Any:
    """`value` rounded up to a multiple of `unit`."""
    return -(-value // unit) * unit


def tile_pitches(boxes: Boxes, itemsize: int, *, minor: bool, row_unit: int) -> tuple[Array, Array, Array]:
    """Pitch from channel to channel, from row to row, and total bytes of tiles that hold `boxes`."""
    channels, rows, columns = (boxes[:, i, 1] - boxes[:, i, 0] for i in range(3))
    if minor:
        row = align(channels * itemsize, row_unit)
        return np.full_like(row, itemsize), row, row * rows
    row = align(columns * itemsize, row_unit)
    return row * rows, row, row * rows * channels
