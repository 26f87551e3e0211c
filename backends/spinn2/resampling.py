"""Operations that pick rows and columns of feature maps - enlarging, cropping - as transfers from map to map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.dialects import nn
from ...ir.dialects.spinn2_tables import BOX, Copy, Phase
from ...passes.tile.geometry import View
from .layout import axis_offsets
from .maps import FeatureMap, Segments
from .rows import Rows, records

Array = NDArray[Any]


@frozen(eq=False)
class Picks:
    """The element of the source at (channel, row, column) of the result is at (first_channel + channel, rows[row],
    columns[column]); rows, int64[n], never fall.
    """

    source: View
    result: View
    first_channel: int
    rows: Array
    columns: Array


def picks(op: Operation) -> Picks | None:
    """Which rows and columns an operation picks of a map [.., channels, rows, columns]; None if it is another one."""
    if not isinstance(op, nn.ResizeNearestOp | nn.SliceOp) or op.x.tensor.rank < 3:
        return None
    if math.prod(op.x.shape[:-3]) != 1 or op.out.tensor.size == 0:
        return None
    depth, height, width = op.x.shape[-3:]
    channel, row, column = axis_offsets(op)[-3:]
    channels, rows = channel // (height * width), row // width
    if np.any(np.diff(channels) != 1) or np.any(np.diff(rows) < 0):
        return None
    result = View(len(channels), len(rows), len(column))
    return Picks(View(depth, height, width), result, int(channels[0]), rows, column)


def schedule_picks(rows: Rows, layer: int, found: Picks, source: FeatureMap, target: FeatureMap) -> None:
    """One transfer for each row of a segment of the result and each segment that has channels of it."""
    ours, theirs, item = target.segments(found.result), source.segments(found.source), target.itemsize
    segment, row = _rows_of(ours)
    wanted = found.rows[row]
    low = np.maximum(ours.boxes[segment, 0, 0, None], theirs.boxes[:, 0, 0] - found.first_channel)
    high = np.minimum(ours.boxes[segment, 0, 1, None], theirs.boxes[:, 0, 1] - found.first_channel)
    inside = (theirs.boxes[:, 1, 0] <= wanted[:, None]) & (wanted[:, None] < theirs.boxes[:, 1, 1])
    line, giver = np.nonzero(inside & (low < high))
    taker, low, count = segment[line], low[line, giver], (high - low)[line, giver]
    from_channel = low + found.first_channel - theirs.boxes[giver, 0, 0]
    from_row = wanted[line] - theirs.boxes[giver, 1, 0]
    to_channel, to_row = low - ours.boxes[taker, 0, 0], row[line] - ours.boxes[taker, 1, 0]
    pitches = theirs.channel_pitch[giver], ours.channel_pitch[taker]
    first = int(found.columns[0])
    rows.next_step()
    rows.transfers(
        layer,
        Phase.LAYOUT,
        _boxes(rows, count, *pitches, found.columns - first, item),
        theirs.buffer[giver],
        theirs.address[giver] + from_channel * pitches[0] + from_row * theirs.row_pitch[giver] + first * item,
        ours.buffer[taker],
        ours.address[taker] + to_channel * pitches[1] + to_row * ours.row_pitch[taker],
    )


def _rows_of(segments: Segments) -> tuple[Array, Array]:
    """Every row of every segment: (segment, row of the map)."""
    low, high = segments.boxes[:, 1].T
    segment = np.repeat(np.arange(len(low)), high - low)
    start = np.cumsum(high - low) - (high - low)
    return segment, np.arange(len(segment)) - start[segment] + low[segment]


def _boxes(rows: Rows, count: Array, source: Array, target: Array, columns: Array, item: int) -> NDArray[np.void]:
    """A row of the result in `count` channels, whose pitches are `source` and `target`, int64[n]."""
    if np.array_equal(columns, np.arange(len(columns))):
        return records(
            BOX,
            len(count),
            {
                "copy": int(Copy.BOX),
                "n0": 1,
                "n1": count,
                "n2": 1,
                "bytes": len(columns) * item,
                "src_1": np.where(count > 1, source, 0),
                "dst_1": np.where(count > 1, target, 0),
                "element": item,
            },
        )
    kinds, kind = np.unique(np.stack([count, source], axis=1), axis=0, return_inverse=True)
    at = [rows.offsets(np.concatenate([np.arange(n) * pitch, [0], columns * item])) for n, pitch in kinds.tolist()]
    return records(
        BOX,
        len(count),
        {
            "copy": int(Copy.GATHER),
            "n0": count,
            "n1": 1,
            "n2": len(columns),
            "bytes": item,
            "dst_0": target,
            "at": np.array(at, np.int64)[kind.reshape(-1)],
            "element": item,
        },
    )
