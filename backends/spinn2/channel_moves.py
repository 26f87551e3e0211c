"""Operations that move whole channels: joins, slices and shuffles of feature maps, as transfers from map to map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.dialects import nn
from ...ir.dialects.spinn2_tables import Phase
from ...passes.tile.geometry import View
from .layout import axis_offsets
from .maps import FeatureMap, Segments, Tiles, overlap
from .rows import Rows

Array = NDArray[Any]

MOVES = (nn.ConcatOp, nn.SliceOp, nn.TransposeOp, nn.GatherOp, nn.ExpandOp)


@frozen(eq=False)
class ChannelMove:
    """What an operation does to maps whose channels are runs of equal size: result channel n is channel
    `channels[n]` of operand `operands[n]`, int64[n] each.
    """

    operands: Array
    channels: Array


def channel_move(op: Operation, plane: int) -> ChannelMove | None:
    """How an operation moves channels of `plane` elements; None if it does anything else."""
    if not isinstance(op, MOVES):
        return None
    if isinstance(op, nn.ConcatOp):
        return _join(op, plane)
    try:
        offsets = axis_offsets(op)
    except ValueError:
        return None
    size, inner = 1, len(offsets)
    while inner and size < plane:
        inner -= 1
        size *= len(offsets[inner])
    if size != plane or not np.array_equal(_sums(offsets[inner:]), np.arange(plane)):
        return None
    start = _sums(offsets[:inner])
    if np.any(start % plane):
        return None
    return ChannelMove(np.zeros(len(start), np.int64), start // plane)


def _join(op: nn.ConcatOp, plane: int) -> ChannelMove | None:
    if math.prod(op.out.shape[: op.axis % op.out.tensor.rank]) != 1:
        return None
    if any(value.tensor.size % plane for value in op.inputs):
        return None
    count = [value.tensor.size // plane for value in op.inputs]
    channels = [np.arange(each) for each in count]
    return ChannelMove(np.repeat(np.arange(len(count)), count), np.concatenate(channels))


def _sums(offsets: Sequence[Array]) -> Array:
    """All sums of one offset for each axis, the last axis running fastest."""
    total = np.zeros(1, np.int64)
    for each in offsets:
        total = (total[:, None] + each).reshape(-1)
    return total


def schedule_channel_move(
    rows: Rows, layer: int, move: ChannelMove, plane: int, sources: Sequence[FeatureMap], target: FeatureMap
) -> None:
    """Copies what does not lie in its place already; maps are dense or banded, with channels of `plane` elements."""
    rows.next_step()
    for index, source in enumerate(sources):
        to = np.flatnonzero(move.operands == index)
        here, there = _channels_of(target, plane, to), _channels_of(source, plane, move.channels[to])
        tiles = Tiles(here.boxes, here.buffer, here.address, here.channel_pitch, here.row_pitch)
        found = overlap(tiles, there, View(len(to), 1, plane), target.itemsize, load=True)
        moved = (found.map_buffer != found.tile_buffer) | (found.map_address != found.tile_address)
        rows.transfers(
            layer,
            Phase.LAYOUT,
            found.boxes[moved],
            found.map_buffer[moved],
            found.map_address[moved],
            found.tile_buffer[moved],
            found.tile_address[moved],
        )


def _channels_of(held: FeatureMap, plane: int, channels: Array) -> Segments:
    return held.segments(View(held.size // plane, 1, plane)).of_channels(channels)
