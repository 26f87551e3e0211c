"""What follows the sums of a block's pieces: a task for each stage, then the way of the results to their map."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import SHAPE, Element, Kernel, Phase
from ...passes.tile.demand import first_boxes, first_pitches, source_pitches, stage_pitches
from ...passes.tile.geometry import Boxes, extents, source_boxes, stage_boxes
from .constants import Records
from .emit import BlockEmitter, Operand, element
from .kernels import IDENTITY, Columns, pads, stage_columns, swapped, window_columns
from .maps import Tiles, overlap
from .maxima import SeparablePool
from .rows import records

Array = NDArray[Any]


@frozen(eq=False)
class Post:
    """The parameters of channels: they lie at `place` (a weight slot, perhaps another PE's) as in `records[index]`."""

    place: Operand
    records: Records
    index: Array


def finish(emitter: BlockEmitter, q: Array, boxes: Boxes, post: Post | None, *, stored: int = 0, tile: int = 0) -> int:
    """All stages behind the core, a step each, and the store of the result; returns the step before the store.

    The step `stored`, if there is one, still reads the results that the stages replace. `tile` is the place of the
    first feature map's tile, for blocks that are not built around the MAC array.
    """
    running, pitches = process(emitter, q, boxes, post, stored=stored, tile=tile)
    emitter.rows.next_step()
    store(emitter, q, boxes, running, pitches)
    return emitter.rows.step - 1


def process(
    emitter: BlockEmitter, q: Array, boxes: Boxes, post: Post | None, *, stored: int = 0, tile: int = 0
) -> tuple[Operand, tuple[Array, Array]]:
    """All stages behind the core, as `finish` does; returns where the results lie and their pitches."""
    started = emitter.rows.step
    tiles = stage_boxes(emitter.plan, boxes)
    first_stage = 1 if emitter.plan.on_mac_array else 0
    running, pitches = _start(emitter, q, tiles[0], tile)
    if emitter.identity_bias:
        _next_stage(emitter, started, stored)
        operand = _parameter(emitter, 0, q, post)
        running, pitches = _stage_task(
            emitter, q, 0, tiles[0], tiles[0], running, pitches, operand, emitter.results[1], identity=True
        )
    number = 0
    for position in range(first_stage, len(emitter.plan.stages)):
        stage = emitter.plan.stages[position]
        _next_stage(emitter, started, stored)
        operand = _parameter(emitter, position, q, post)
        second: Operand | None = None
        if stage.source is not None:
            second = (emitter.sources[number][0][q], emitter.sources[number][1][q])
            number += 1
        target = emitter.results[position + (1 if emitter.identity_bias else 0)]
        before = tiles[position - 1] if position else first_boxes(emitter.plan, tiles[0], np.zeros((len(q), 2), int))
        if stage.maxima:
            running, pitches = _pool_by_maxima(emitter, q, position, before, tiles[position], running, pitches, target)
            continue
        running, pitches = _stage_task(
            emitter, q, position, before, tiles[position], running, pitches, operand, target, second=second
        )
    return running, pitches


def _next_stage(emitter: BlockEmitter, started: int, stored: int) -> None:
    """A step for a stage; the first one waits for an earlier store, too."""
    first = emitter.rows.step == started
    emitter.rows.next_step((*emitter.rows.behind, stored) if first else None)


def _start(emitter: BlockEmitter, q: Array, boxes: Boxes, tile: int) -> tuple[Operand, tuple[Array, Array]]:
    if emitter.plan.on_mac_array:
        pitch = stage_pitches(emitter.plan, 0, boxes)
        return (emitter.results[0][0][q], emitter.results[0][1][q]), (pitch[0], pitch[1])
    wanted = first_boxes(emitter.plan, boxes, np.zeros((len(q), 2), np.int64))
    pitch = first_pitches(emitter.plan, wanted)
    return (emitter.first[tile][0][q], emitter.first[tile][1][q]), (pitch[0], pitch[1])


def _parameter(emitter: BlockEmitter, stage: int, q: Array, post: Post | None) -> Operand | None:
    for entry in emitter.parameters:
        if entry.stage != stage:
            continue
        if not entry.per_channel:
            if emitter.fixed is None:
                raise ValueError("the shared parameters were not loaded")
            return emitter.fixed_region[0][q], emitter.fixed_region[1][q] + int(emitter.fixed.parameters[stage][0])
        if post is None:
            raise ValueError("the parameters of the channels were not loaded")
        return post.place[0], post.place[1] + post.records.parameters[stage][post.index]
    return None


def _stage_task(
    emitter: BlockEmitter,
    q: Array,
    position: int,
    before: Boxes,
    boxes: Boxes,
    running: Operand,
    pitches: tuple[Array, Array],
    parameter: Operand | None,
    target: Operand,
    *,
    second: Operand | None = None,
    identity: bool = False,
) -> tuple[Operand, tuple[Array, Array]]:
    stage = emitter.plan.stages[position]
    y_channel, y_row, _ = stage_pitches(emitter.plan, position, boxes)
    source_dtype = _running_dtype(emitter, position, identity=identity)
    shape: Columns = window_columns(stage.window, before, boxes) | {
        "a_type": element(source_dtype),
        "b_type": element(source_dtype),
        "y_type": int(Element.I32) if identity else element(stage.dtype),
        "a_channel": pitches[0],
        "a_row": pitches[1],
        "a_column": source_dtype.itemsize,
        "y_channel": y_channel,
        "y_row": y_row,
    }
    shape |= (
        IDENTITY
        if identity
        else stage_columns(stage, before, boxes, _record_bytes(emitter, position), relu_apart=emitter.relu_apart)
    )
    operands: dict[str, Array | int] = {
        "a": running[0],
        "a_address": running[1],
        "y": target[0][q],
        "y_address": target[1][q],
    }
    if parameter is not None:
        operands |= {"p": parameter[0], "p_address": parameter[1]}
    if second is not None and stage.source is not None:
        wanted = source_boxes(boxes, stage.source)
        b_channel, b_row, _ = source_pitches(stage, wanted)
        steps = [0 if repeated else 1 for repeated in stage.source.repeated]
        shape |= {
            "b_type": element(stage.source.dtype),
            "b_channel": b_channel * steps[0],
            "b_row": b_row * steps[1],
            "b_column": stage.source.dtype.itemsize * steps[2],
        }
        operands |= {"b": second[0], "b_address": second[1]}
        if stage.swapped:
            shape, operands = swapped(shape), swapped(operands)
    emitter.rows.tasks(emitter.layer, emitter.pes[q], Phase.POST, records(SHAPE, len(q), shape), operands)
    return (target[0][q], target[1][q]), (y_channel, y_row)


def _pool_by_maxima(
    emitter: BlockEmitter,
    q: Array,
    position: int,
    before: Boxes,
    boxes: Boxes,
    running: Operand,
    pitches: tuple[Array, Array],
    target: Operand,
) -> tuple[Operand, tuple[Array, Array]]:
    """A max pooling without windows, a step for each maximum; the tiles that it reads are changed."""
    stage = emitter.plan.stages[position]
    view = emitter.plan.stages[position - 1].view if position else emitter.plan.first.view
    _, rows_in, columns_in = extents(before)
    padding = pads(stage, before, boxes)
    pool = SeparablePool(stage, view, extents(boxes), (rows_in, columns_in), padding, running, pitches)
    result, (y_channel, y_row, _) = (target[0][q], target[1][q]), stage_pitches(emitter.plan, position, boxes)
    code = element(stage.dtype)
    common = {"kernel": int(Kernel.MAXIMUM), "a_type": code, "b_type": code, "y_type": code}
    columns = list(pool.columns(result, (y_channel, y_row)))
    for number, each in enumerate((*pool.rows(), *columns)):
        if number:
            emitter.rows.next_step()
        shapes = records(SHAPE, len(each.pieces), each.shape | common)
        emitter.rows.tasks(emitter.layer, emitter.pes[q[each.pieces]], Phase.POST, shapes, each.operands)
    return (result, (y_channel, y_row)) if columns else pool.kept


def _record_bytes(emitter: BlockEmitter, position: int) -> int:
    """Bytes from channel to channel of a stage's parameters; 0 where all channels share them."""
    own = (entry.record_bytes for entry in emitter.parameters if entry.stage == position and entry.per_channel)
    return next(own, 0)


def _running_dtype(emitter: BlockEmitter, position: int, *, identity: bool) -> np.dtype[Any]:
    """The type of what a stage reads first."""
    if identity or (position == 1 and emitter.plan.on_mac_array):
        return np.dtype(np.int32)
    return emitter.plan.stages[position - 1].dtype if position else emitter.plan.first.dtype


def store(emitter: BlockEmitter, q: Array, boxes: Boxes, running: Operand, pitches: tuple[Array, Array]) -> None:
    """Sends results to the map, in the open step."""
    view = emitter.plan.view
    tiles = Tiles(boxes, running[0], running[1], pitches[0], pitches[1])
    found = overlap(tiles, emitter.output.segments(view), view, emitter.output.itemsize, load=False)
    emitter.rows.transfers(
        emitter.layer,
        Phase.RESULTS,
        found.boxes,
        found.tile_buffer,
        found.tile_address,
        found.map_buffer,
        found.map_address,
    )
