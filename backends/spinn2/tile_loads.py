"""Tiles of feature maps on their way into processing elements: loads, padding, copies from element to element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.quant import UniformType
from ...ir.dialects.spinn2_tables import SHAPE, Kernel, Phase
from ...passes.tile.demand import first_boxes, first_pitches, source_pitches
from ...passes.tile.geometry import Boxes, Source, View, extents, source_boxes, stage_boxes
from .constants import line_boxes
from .emit import BlockEmitter, Operand, element
from .maps import Tiles, overlap
from .rows import records

Array = NDArray[Any]


def load_first(
    emitter: BlockEmitter,
    q: Array,
    boxes: Boxes,
    reduction: Array,
    slot: int = 0,
    *,
    pad: bool = True,
    steps: int = 1,
) -> None:
    """Loads the first feature map's tiles for `boxes` of the first stage's result.

    With `pad` a step more fills their padding. `slot` chooses one of the places for tiles. In several `steps` some
    channels come at a time, so that others may use the NoC between them.
    """
    wanted = first_boxes(emitter.plan, boxes, reduction)
    pitches = first_pitches(emitter.plan, wanted)
    low, count = wanted[:, 0, 0], wanted[:, 0, 1] - wanted[:, 0, 0]
    for step in range(steps):
        part = wanted.copy()
        part[:, 0] = np.stack([low + count * step // steps, low + count * (step + 1) // steps], axis=1)
        buffer, address = emitter.first[slot]
        start = np.array(address)
        start[q] += (part[:, 0, 0] - low) * pitches[0]
        if step:
            emitter.rows.next_step()
        _load(emitter, q, part, emitter.plan.first, (buffer, start), pitches)
    if pad and _padded(emitter.plan.first.view, wanted).size:
        emitter.rows.next_step()
        pad_tiles(emitter, q, boxes, reduction, slot)


def pad_tiles(emitter: BlockEmitter, q: Array, boxes: Boxes, reduction: Array, slot: int = 0) -> None:
    """Fills the padding of tiles that have some, a task for each, in the open step; after they have been loaded."""
    wanted = first_boxes(emitter.plan, boxes, reduction)
    low, high = _inner(emitter.plan.first.view, wanted)
    size, padded = wanted[:, 1:, 1] - wanted[:, 1:, 0], _padded(emitter.plan.first.view, wanted)
    inner = np.clip(high - low, 0, None)[padded]
    none = np.zeros((len(padded), 2), np.int64)
    _pad(emitter, q[padded], wanted[padded], slot, none, size[padded], low[padded], inner)


def pad_first(emitter: BlockEmitter, q: Array, boxes: Boxes, reduction: Array, slot: int) -> None:
    """Fills the padding of tiles, a strip at each side that has some, in the open step; before or after a load."""
    wanted = first_boxes(emitter.plan, boxes, reduction)
    low, high = _inner(emitter.plan.first.view, wanted)
    size = wanted[:, 1:, 1] - wanted[:, 1:, 0]
    low, high = np.minimum(low, size), np.maximum(high, np.minimum(low, size))
    nothing = np.zeros(len(q), np.int64)
    strips = [
        (nothing, low[:, 0], nothing, size[:, 1]),
        (high[:, 0], size[:, 0], nothing, size[:, 1]),
        (low[:, 0], high[:, 0], nothing, low[:, 1]),
        (low[:, 0], high[:, 0], high[:, 1], size[:, 1]),
    ]
    for top, bottom, left, right in strips:
        some = np.flatnonzero((bottom > top) & (right > left))
        start = np.stack([top, left], axis=1)[some]
        extent = np.stack([bottom - top, right - left], axis=1)[some]
        none = np.zeros((len(some), 2), np.int64)
        _pad(emitter, q[some], wanted[some], slot, start, extent, none, none)


def _padded(view: View, wanted: Boxes) -> Array:
    """Which tiles of a map have padding."""
    low, high = _inner(view, wanted)
    return np.flatnonzero(np.any((low > 0) | (high < wanted[:, 1:, 1] - wanted[:, 1:, 0]), axis=1))


def _inner(view: View, wanted: Boxes) -> tuple[Array, Array]:
    """First and end [n, 2] of the rows and columns of tiles that a map has."""
    low = np.clip(-wanted[:, 1:, 0], 0, None)
    return low, np.minimum(wanted[:, 1:, 1], np.array(view.shape[1:])) - wanted[:, 1:, 0]


def _pad(
    emitter: BlockEmitter, q: Array, wanted: Boxes, slot: int, start: Array, extent: Array, low: Array, inner: Array
) -> None:
    """Tasks that fill rows and columns from `start` of tiles, but for `inner` positions from `low` on."""
    channel_pitch, row_pitch, _ = first_pitches(emitter.plan, wanted)
    kind = emitter.plan.block.inputs[emitter.plan.first.index].element
    code = element(emitter.plan.first.dtype)
    shapes = records(
        SHAPE,
        len(q),
        {
            "kernel": int(Kernel.PAD),
            "a_type": code,
            "b_type": code,
            "y_type": code,
            "channels": extents(wanted)[0],
            "height": extent[:, 0],
            "width": extent[:, 1],
            "height_in": inner[:, 0],
            "width_in": inner[:, 1],
            "pad_top": low[:, 0],
            "pad_left": low[:, 1],
            "y_channel": channel_pitch,
            "y_row": row_pitch,
            "zero_y": kind.zero_point if isinstance(kind, UniformType) else 0,
        },
    )
    offset = start[:, 0] * row_pitch + start[:, 1] * emitter.plan.first.dtype.itemsize
    target = emitter.first[slot]
    emitter.rows.tasks(
        emitter.layer, emitter.pes[q], Phase.POST, shapes, {"y": target[0][q], "y_address": target[1][q] + offset}
    )


def copy_first(emitter: BlockEmitter, source: Array, target: Array, boxes: Boxes, reduction: Array) -> None:
    """Copies the tiles for `boxes` from the PEs `source` to the PEs `target`, padding and all."""
    wanted = first_boxes(emitter.plan, boxes, reduction)
    channels, rows, columns = extents(wanted)
    _, pitch, _ = first_pitches(emitter.plan, wanted)
    emitter.rows.transfers(
        emitter.layer,
        Phase.INPUTS,
        line_boxes(columns * emitter.plan.first.dtype.itemsize, channels * rows, pitch),
        emitter.first[0][0][source],
        emitter.first[0][1][source],
        emitter.first[0][0][target],
        emitter.first[0][1][target],
    )


def load_sources(emitter: BlockEmitter, q: Array, boxes: Boxes) -> None:
    """Loads the second operands of all stages for `boxes` of the block's result."""
    number = 0
    for stage, each in zip(emitter.plan.stages, stage_boxes(emitter.plan, boxes), strict=True):
        if stage.source is None:
            continue
        wanted = source_boxes(each, stage.source)
        _load(emitter, q, wanted, stage.source, emitter.sources[number], source_pitches(stage, wanted))
        number += 1


def _load(
    emitter: BlockEmitter, q: Array, boxes: Boxes, source: Source, region: Operand, pitches: tuple[Array, Array, Array]
) -> None:
    tiles = Tiles(boxes, region[0][q], region[1][q], pitches[0], pitches[1])
    held = emitter.inputs[source.index]
    found = overlap(tiles, held.segments(source.view), source.view, held.itemsize, load=True)
    emitter.rows.transfers(
        emitter.layer,
        Phase.INPUTS,
        found.boxes,
        found.map_buffer,
        found.map_address,
        found.tile_buffer,
        found.tile_address,
    )
