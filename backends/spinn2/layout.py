"""Layout operations of the graph as transfers between maps; whatever they do is separable, axis by axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import UniformType
from ...ir.dialects.spinn2_tables import BOX, NO_BUFFER, Copy, Phase
from ...ir.shapes import normal_axis
from .maps import FeatureMap
from .rows import Rows, records

Array = NDArray[Any]


def axis_offsets(op: Operation) -> list[Array]:
    """For every axis of the result, the offset in elements of each index in the operation's input.

    The element at result index (i, j, ...) is the input's at offsets[0][i] + offsets[1][j] + ... Raises ValueError for
    an operation of which that is not true. The indices of a gather count as one axis, whatever their shape.
    """
    x = op.operands[0]
    pitch = [math.prod(x.shape[axis + 1 :]) for axis in range(x.tensor.rank)]
    match op:
        case nn.TransposeOp():
            return [np.arange(x.shape[axis]) * pitch[axis] for axis in op.permutation]
        case nn.SliceOp():
            return [
                (start + step * np.arange(count)) * each
                for start, count, step, each in zip(op.starts, op.counts, op.steps, pitch, strict=True)
            ]
        case nn.ExpandOp():
            lead = op.out.tensor.rank - x.tensor.rank
            steps = [0] * lead + [0 if size == 1 else each for size, each in zip(x.shape, pitch, strict=True)]
            return [np.arange(size) * step for size, step in zip(op.out.shape, steps, strict=True)]
        case nn.ResizeNearestOp():
            front = [np.arange(size) * each for size, each in zip(x.shape[:-2], pitch, strict=False)]
            return [*front, np.array(op.rows) * pitch[-2], np.array(op.columns) * pitch[-1]]
        case nn.PadOp():
            return [
                _padded_index(size, before, after, op.mode) * each
                for size, before, after, each in zip(x.shape, op.before, op.after, pitch, strict=True)
            ]
        case nn.GatherOp():
            return _gather_offsets(op, pitch)
        case _:
            raise ValueError(f"{op.name} is no layout operation")


def _padded_index(size: int, before: int, after: int, mode: str) -> Array:
    return np.asarray(np.pad(np.arange(size), (before, after), mode=mode))  # type: ignore[call-overload]


def _gather_offsets(op: nn.GatherOp, pitch: list[int]) -> list[Array]:
    owner = op.indices.owner
    if not isinstance(owner, ConstantOp):
        raise ValueError("the indices of a gather must be constant")
    axis = normal_axis(op.axis, op.x.tensor.rank)
    whole = [np.arange(size) * each for size, each in zip(op.x.shape, pitch, strict=True)]
    index = owner.value.astype(np.int64)
    picked = np.where(index < 0, index + op.x.shape[axis], index) * pitch[axis]
    return [*whole[:axis], picked.reshape(-1), *whole[axis + 1 :]]


def schedule_layout(rows: Rows, layer: int, op: Operation, sources: list[FeatureMap], target: FeatureMap) -> None:
    """Transfers for one layout operation between dense maps; inputs of a concat that lie in place cost nothing."""
    rows.next_step()
    match op:
        case nn.ConcatOp():
            _concat(rows, layer, op, sources, target)
        case nn.PadOp() if op.mode == "constant":
            _pad(rows, layer, op, sources[0], target)
        case _:
            offsets = axis_offsets(op)
            shape = tuple(len(each) for each in offsets)
            _gather(rows, layer, offsets, sources[0], target, shape, shape, 0)


def _dense(held: FeatureMap) -> tuple[int, int]:
    if held.dense is None:
        raise ValueError("a layout operation works on whole maps")
    return held.dense


def _concat(rows: Rows, layer: int, op: nn.ConcatOp, sources: list[FeatureMap], target: FeatureMap) -> None:
    axis = normal_axis(op.axis, op.out.tensor.rank)
    outer = math.prod(op.out.shape[:axis])
    row = math.prod(op.out.shape[axis:]) * target.itemsize
    buffer, address = _dense(target)
    at = 0
    for value, held in zip(op.inputs, sources, strict=True):
        size = math.prod(value.shape[axis:]) * target.itemsize
        source_buffer, source_address = _dense(held)
        if (source_buffer, source_address) != (buffer, address + at):
            box = {"copy": int(Copy.BOX), "n0": 1, "n1": outer, "n2": 1, "bytes": size, "element": target.itemsize}
            pitches = {"src_1": size if outer > 1 else 0, "dst_1": row if outer > 1 else 0}
            rows.transfers(
                layer,
                Phase.LAYOUT,
                records(BOX, 1, {**box, **pitches}),
                source_buffer,
                source_address,
                buffer,
                address + at,
            )
        at += size


def _pad(rows: Rows, layer: int, op: nn.PadOp, source: FeatureMap, target: FeatureMap) -> None:
    """Fills the whole result, then copies the input into it."""
    kind = op.out.element
    value = round(op.value)
    if isinstance(kind, UniformType):
        step = round(op.value / kind.scale) + kind.zero_point
        value = min(max(step, kind.storage.low), kind.storage.high)
    buffer, address = _dense(target)
    fill = {
        "copy": int(Copy.FILL),
        "n0": 1,
        "n1": 1,
        "n2": 1,
        "bytes": target.size * target.itemsize,
        "element": target.itemsize,
        "value": value,
    }
    rows.transfers(layer, Phase.LAYOUT, records(BOX, 1, fill), NO_BUFFER, 0, buffer, address)
    rows.next_step()
    shape = op.out.shape
    pitch = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    start = sum(before * each for before, each in zip(op.before, pitch, strict=True))
    offsets = [np.arange(size) * math.prod(op.x.shape[axis + 1 :]) for axis, size in enumerate(op.x.shape)]
    _gather(rows, layer, offsets, source, target, op.x.shape, shape, start)


def _gather(
    rows: Rows,
    layer: int,
    offsets: list[Array],
    source: FeatureMap,
    target: FeatureMap,
    shape: tuple[int, ...],
    whole: tuple[int, ...],
    start: int,
) -> None:
    """Copies the elements at `offsets` (one array an axis) to a box of `shape` inside `whole`, from element `start`."""
    item = target.itemsize
    if math.prod(shape) == 0:
        return
    pitch = [math.prod(whole[axis + 1 :]) for axis in range(len(whole))]
    axes = [(each, step) for each, step in zip(offsets, pitch, strict=True) if len(each) > 1]
    merged: list[tuple[Array, int]] = []
    for each, step in axes:
        if merged and merged[-1][1] == step * len(each):
            outer = merged.pop()[0]
            merged.append(((outer[:, None] + each[None, :]).reshape(-1), step))
        else:
            merged.append((each, step))
    merged = _three_axes(merged, axes)
    element = item
    while len(merged) < 3:
        merged.insert(0, (np.zeros(1, np.int64), 0))
    constant = sum(int(each[0]) for each in offsets if len(each) == 1)
    source_buffer, source_address = _dense(source)
    buffer, address = _dense(target)
    at = rows.offsets(np.concatenate([each for each, _ in merged]) * item)
    box = {
        "copy": int(Copy.GATHER),
        "n0": len(merged[0][0]),
        "n1": len(merged[1][0]),
        "n2": len(merged[2][0]),
        "bytes": element,
        "dst_0": merged[0][1] * item,
        "dst_1": merged[1][1] * item,
        "at": at,
        "element": item,
    }
    rows.transfers(
        layer,
        Phase.LAYOUT,
        records(BOX, 1, box),
        source_buffer,
        source_address + constant * item,
        buffer,
        address + start * item,
    )


def _three_axes(merged: list[tuple[Array, int]], axes: list[tuple[Array, int]]) -> list[tuple[Array, int]]:
    """At most three axes, the last one dense in the result, and none longer than need be."""
    if len(merged) == 1 and len(axes) > 1:
        # One dense run: keep the last two axes apart, so that the offsets table stays short.
        last, before = axes[-1], axes[-2]
        front = axes[:-2]
        offsets = np.zeros(1, np.int64)
        for each, _ in front:
            offsets = (offsets[:, None] + each[None, :]).reshape(-1)
        step = front[-1][1] if front else 0
        return [(offsets, step), before, last]
    if len(merged) > 3 or (merged and merged[-1][1] != 1):
        raise ValueError("a layout operation over more than three axes with gaps between them")
    return merged


def inputs_of(op: Operation) -> tuple[Value, ...]:
    """The feature maps that a layout operation reads."""
    return op.operands[:1] if isinstance(op, nn.GatherOp) else op.operands
