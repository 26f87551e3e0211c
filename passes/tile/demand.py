"""What a block needs in the SRAM of a processing element for tiles of a given extent."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects import quant
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import uniform
from ...ir.types import IntegerType
from ..quant.numerics import magnitudes
from .geometry import (
    MAC_ROW_BYTES,
    WORD_BYTES,
    Boxes,
    Plan,
    Stage,
    align,
    clip_boxes,
    source_boxes,
    stage_boxes,
    tile_pitches,
    window_boxes,
)

Array = NDArray[Any]
Tile = tuple[int, int, int, int]
"""Extent of a piece: channels, rows and columns of the block's result, and the reduction."""

FILTER_GROUP = 4
"""Filters and channels are grouped by four in a filter block."""


@frozen(eq=False)
class Parameter:
    """Integers that a stage reads: one record per output channel ([C, n]) or one for all ([n])."""

    stage: int
    per_channel: bool
    values: Array

    @property
    def record_bytes(self) -> int:
        """Bytes of one record."""
        return int(self.values.shape[-1]) * self.values.itemsize


def summed_axes(plan: Plan) -> tuple[int, ...]:
    """The axes of a MAC array block's weights along which each output sums."""
    return (0,) if plan.core == "matmul" else (1, 2, 3)


def bias_of(plan: Plan) -> Array:
    """The bias of a MAC array block with the zero point of its input folded in, one i64 per output channel."""
    op = plan.stages[0].op
    folded = -uniform(op.operands[0]).zero_point * plan.weight.sum(axis=summed_axes(plan), dtype=np.int64)
    if len(op.operands) > 2 and isinstance(op.operands[2].owner, ConstantOp):
        folded = folded + op.operands[2].owner.value.astype(np.int64)
    return np.asarray(folded)


@lru_cache(maxsize=16)
def parameters(plan: Plan) -> tuple[Parameter, ...]:
    """The parameters of every stage, in the order of the stages.

    Behind the MAC array the next rescale, perhaps of pooled sums, adds the bias; where none follows, stage 0 has an
    identity rescale that does.
    """
    found: list[Parameter] = []
    pending = bias_of(plan) if plan.on_mac_array else None
    rescales = (quant.RescaleOp, quant.RescaleFloatOp)
    behind = next((stage.op for stage in plan.stages[1:] if not isinstance(stage.op, quant.MaxPool2dOp)), None)
    if pending is not None and not isinstance(behind, rescales):
        ones, zeros = np.ones_like(pending), np.zeros_like(pending)
        found.append(Parameter(0, True, np.stack([pending, ones, zeros], axis=1).astype(np.int32)))
        pending = None
    for index, op in enumerate(stage.op for stage in plan.stages):
        match op:
            case quant.RescaleOp():
                found.append(_rescale(index, op, pending, plan.view.channels))
                pending = None
            case quant.RescaleFloatOp():
                found.append(_rescale_float(index, op, pending, plan.view.channels))
                pending = None
            case quant.AddFloatOp():
                found.append(Parameter(index, False, np.append(op.scales, op.offset).astype(np.float32)))
            case quant.AddOp():
                found.append(Parameter(index, False, np.array([*op.multipliers, op.shift], np.int64).astype(np.int32)))
            case quant.MulOp() | quant.AvgPool2dOp():
                found.append(Parameter(index, False, np.array([op.multiplier, op.shift], np.int32)))
            case quant.TableOp():
                found.append(Parameter(index, op.table.ndim == 2, op.table))
            case quant.SoftmaxOp():
                found.append(Parameter(index, False, np.append(op.exponentials, np.int32(op.scale)).astype(np.int32)))
            case quant.LrnOp():
                shifts = np.array([op.in_shift, op.out_shift], np.int32)
                found.append(Parameter(index, False, np.concatenate([shifts, op.factors.astype(np.int32)])))
            case _:
                pass
    return tuple(found)


def _rescale(index: int, op: quant.RescaleOp, bias: Array | None, channels: int) -> Parameter:
    if bias is None and op.multiplier.ndim == 0:
        return Parameter(index, False, np.array([0, op.multiplier, op.shift], np.int64).astype(np.int32))
    added = np.zeros(channels, np.int64) if bias is None else bias
    columns = [added, np.broadcast_to(op.multiplier, (channels,)), np.broadcast_to(op.shift, (channels,))]
    return Parameter(index, True, np.stack([column.astype(np.int64) for column in columns], axis=1).astype(np.int32))


def _rescale_float(index: int, op: quant.RescaleFloatOp, bias: Array | None, channels: int) -> Parameter:
    if bias is None and op.scale.ndim == 0:
        return Parameter(index, False, np.append(np.int32(0), op.scale.reshape(1).view(np.int32)))
    added = np.zeros(channels, np.int32) if bias is None else bias.astype(np.int32)
    scale = np.ascontiguousarray(np.broadcast_to(op.scale, (channels,)))
    return Parameter(index, True, np.stack([added, scale.view(np.int32)], axis=1))


def first_boxes(plan: Plan, boxes: Boxes, reduction: Array, *, inner: bool = False) -> Boxes:
    """The part of the first feature map under `boxes` of the first stage's result; `reduction` is [n, 2].

    Boxes of a convolution reach into the padding, those of a pooling are cut at the map's edge; with `inner` they are
    as large as a piece in the middle of the map has them.
    """
    found = window_boxes(boxes, plan.stages[0].window)
    match plan.core:
        case "conv":
            channels = plan.weight.shape[1]
            group = boxes[:, 0, 0] // (plan.weight.shape[0] // plan.groups)
            found[:, 0, :] = (group * channels)[:, None] + reduction
        case "matmul":
            whole = np.broadcast_to([0, 1], reduction.shape)
            found = np.stack([whole, boxes[:, 1, :], reduction], axis=1)
        case "channels":
            found[:, 0, :] = [0, plan.first.view.channels]
        case _:
            pass
    return found if inner or plan.core in ("conv", "depthwise") else clip_boxes(found, plan.first.view)


def stage_pitches(plan: Plan, stage: int, boxes: Boxes) -> tuple[Array, Array, Array]:
    """Channel pitch, row pitch and bytes of a stage's result tiles; accumulator rows fill whole 16 byte words."""
    entry = plan.stages[stage]
    raw = stage == 0 and plan.on_mac_array
    size = 4 if raw else entry.dtype.itemsize
    return tile_pitches(boxes, size, minor=entry.view.minor, row_unit=MAC_ROW_BYTES if raw else WORD_BYTES)


def first_pitches(plan: Plan, boxes: Boxes) -> tuple[Array, Array, Array]:
    """Pitches and bytes of the first feature map's tiles."""
    unit = MAC_ROW_BYTES if plan.on_mac_array else WORD_BYTES
    return tile_pitches(boxes, plan.first.dtype.itemsize, minor=plan.first.view.minor, row_unit=unit)


def source_pitches(stage: Stage, boxes: Boxes) -> tuple[Array, Array, Array]:
    """Pitches and bytes of the tiles of a stage's second operand."""
    if stage.source is None:
        raise ValueError(f"{stage.op} reads one feature map")
    return tile_pitches(boxes, stage.source.dtype.itemsize, minor=stage.source.view.minor, row_unit=WORD_BYTES)


def filter_bytes(plan: Plan, channels: Array | int, reduction: Array | int) -> Any:
    """Bytes of the weights for `channels` outputs and `reduction` inputs, as the MAC array reads them."""
    if not plan.on_mac_array:
        return channels * 0
    itemsize = plan.weight.itemsize
    match plan.core:
        case "conv":
            taps = int(np.prod(plan.weight.shape[2:]))
            return align(channels, FILTER_GROUP) * align(reduction, FILTER_GROUP) * taps * itemsize
        case "depthwise":
            return channels * int(np.prod(plan.weight.shape[2:])) * itemsize
        case _:
            return reduction * align(channels * itemsize, MAC_ROW_BYTES)


@frozen
class Demand:
    """Bytes of each region of a PE; `post` are the per-channel parameters, `fixed` those of the whole block."""

    first: int
    weights: int
    post: int
    fixed: int
    partial: int
    stages: tuple[int, ...]
    sources: tuple[int, ...]

    def total(self, *, weight_slots: int) -> int:
        """All regions together, each aligned to 16 bytes."""
        sizes = [self.first, self.fixed, self.partial, *self.stages, *self.sources]
        sizes += [self.weights + self.post] * weight_slots
        return sum(int(align(size, MAC_ROW_BYTES)) for size in sizes)


def demand(plan: Plan, tile: Tile) -> Demand:
    """What the largest piece of this tile needs."""
    found = demands(plan, np.array([tile], np.int64))
    return Demand(
        first=int(found.first[0]),
        weights=int(found.weights[0]),
        post=int(found.post[0]),
        fixed=found.fixed,
        partial=int(found.partial[0]),
        stages=tuple(int(each[0]) for each in found.stages),
        sources=tuple(int(each[0]) for each in found.sources),
    )


@frozen(eq=False)
class Demands:
    """`Demand` of n tiles at once, int64[n] each."""

    first: Array
    weights: Array
    post: Array
    fixed: int
    partial: Array
    stages: tuple[Array, ...]
    sources: tuple[Array, ...]


def demands(plan: Plan, tiles: Array) -> Demands:
    """What the largest piece of each tile [n, 4] needs."""
    channels, reduction = tiles[:, 0], tiles[:, 3]
    nothing = np.zeros(len(tiles), np.int64)
    box = np.stack([np.broadcast_to(nothing[:, None], (len(tiles), 3)), tiles[:, :3]], axis=2)
    span = np.stack([nothing, reduction], axis=1)
    boxes = stage_boxes(plan, box)
    if plan.core == "channels":
        span = np.stack([nothing, nothing + plan.first.view.channels], axis=1)
    first = first_pitches(plan, first_boxes(plan, boxes[0], span, inner=True))[2]
    stages = [stage_pitches(plan, i, each)[2] for i, each in enumerate(boxes)]
    found = parameters(plan)
    if any(parameter.stage == 0 for parameter in found) and plan.on_mac_array:
        stages.insert(1, stage_pitches(plan, 0, boxes[0])[2])
    sources = [
        source_pitches(stage, source_boxes(each, stage.source))[2]
        for stage, each in zip(plan.stages, boxes, strict=True)
        if stage.source is not None
    ]
    cut = reduction < plan.reduction if plan.on_mac_array else nothing > 0
    return Demands(
        first=first,
        weights=nothing + filter_bytes(plan, channels, reduction),
        post=channels * sum(entry.record_bytes for entry in found if entry.per_channel),
        fixed=sum(int(align(entry.record_bytes, WORD_BYTES)) for entry in found if not entry.per_channel),
        partial=np.where(cut, stages[0], 0),
        stages=tuple(stages),
        sources=tuple(sources),
    )


def accumulator_parts(plan: Plan, bits: int) -> int:
    """The least number of equal reduction parts for which no sum can leave `bits` bits, from the real weights.

    Raises ValueError when even single steps of the reduction overflow.
    """
    if not plan.on_mac_array or bits >= 32:
        return 1
    op = plan.stages[0].op
    kind = uniform(op.operands[0]).storage
    if not isinstance(kind, IntegerType):
        raise TypeError(f"expected integers, found {kind}")
    largest = max(-kind.low, kind.high)
    limit = (1 << (bits - 1)) // largest
    if magnitudes(plan.weight, summed_axes(plan)).max(initial=0) < limit:
        return 1
    weight = np.abs(plan.weight.astype(np.int64))
    by_step = weight.T if plan.core == "matmul" else weight.sum(axis=(2, 3))
    for parts in range(2, plan.reduction + 1):
        each = -(-plan.reduction // parts)
        starts = np.arange(0, plan.reduction, each)
        if np.add.reduceat(by_step, starts, axis=1).max(initial=0) < limit:
            return parts
    raise ValueError(f"sums of single products exceed {bits} bits")
