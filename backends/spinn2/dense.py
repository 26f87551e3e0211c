"""The schedule of matrix products: lanes of processing elements share the reduction and add up their partial sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import Phase
from ...passes.tile.demand import stage_pitches
from ...passes.tile.geometry import grid_bounds, stage_boxes
from .constants import Records, line_boxes, part_records
from .emit import BlockEmitter, extents
from .waves import channel_parts, result_grid

Array = NDArray[Any]

MAX_LANES = 16
SUM_BYTES = 4


def schedule_dense(emitter: BlockEmitter) -> None:
    """Every result tile is computed by `lanes` PEs; each walks over its share of the reduction."""
    plan, rows = emitter.plan, emitter.rows
    boxes, part = result_grid(plan, emitter.tile)
    parts = channel_parts(boxes, part)
    spans = grid_bounds(plan.reduction, emitter.tile[3])
    weights = part_records(
        rows,
        emitter.dram,
        plan,
        emitter.layer,
        [],
        np.repeat(parts, len(spans), axis=0),
        np.tile(spans, (len(parts), 1)),
        weights=True,
    )
    whole = np.zeros_like(parts)
    post = part_records(rows, emitter.dram, plan, emitter.layer, emitter.parameters, parts, whole, weights=False)
    count = len(emitter.pes)
    at_once = min(len(boxes), count)
    lanes = max(1, min(count // at_once, len(spans), MAX_LANES))
    rows.next_step()
    emitter.load_fixed(np.arange(at_once) * lanes)
    for start in range(0, len(boxes), at_once):
        here = np.arange(start, min(start + at_once, len(boxes)))
        _one_wave(emitter, boxes, part, here, spans, lanes, weights)
        q = np.arange(len(here)) * lanes
        rows.next_step()
        emitter.load_records(q, post, part[here], 0)
        slot = (emitter.slots[0][0][q], emitter.slots[0][1][q])
        emitter.finish(q, boxes[here], slot, post, part[here])


def _one_wave(
    emitter: BlockEmitter, boxes: Array, part: Array, here: Array, spans: Array, lanes: int, weights: Records
) -> None:
    plan, rows = emitter.plan, emitter.rows
    tile = np.repeat(here, lanes)
    lane = np.tile(np.arange(lanes), len(here))
    q = np.arange(len(tile))
    for turn, first in enumerate(range(0, len(spans), lanes)):
        active = np.flatnonzero(first + lane < len(spans))
        span = first + lane[active]
        index = part[tile[active]] * len(spans) + span
        core = stage_boxes(plan, boxes[tile[active]])[0]
        rows.next_step()
        emitter.load_first(q[active], core, spans[span])
        emitter.load_records(q[active], weights, index, 0)
        rows.next_step()
        slot = emitter.slots[0]
        operand = (slot[0][q[active]], slot[1][q[active]])
        emitter.mac(q[active], core, spans[span], operand, into_partial=turn > 0)
        if turn:
            rows.next_step()
            partial = (emitter.partial[0][q[active]], emitter.partial[1][q[active]])
            emitter.accumulate(q[active], core, partial)
    half = lanes
    while half > 1:
        upper = half - half // 2
        giver = np.flatnonzero((lane >= upper) & (lane < half))
        taker = giver - upper
        core = stage_boxes(plan, boxes[tile[giver]])[0]
        columns, lines, _ = extents(core)
        _, pitch, _ = stage_pitches(plan, 0, core)
        rows.next_step()
        rows.transfers(
            emitter.layer,
            Phase.MIGRATION,
            line_boxes(columns * SUM_BYTES, lines, pitch),
            emitter.results[0][0][q[giver]],
            emitter.results[0][1][q[giver]],
            emitter.partial[0][q[taker]],
            emitter.partial[1][q[taker]],
        )
        rows.next_step()
        emitter.accumulate(q[taker], core, (emitter.partial[0][q[taker]], emitter.partial[1][q[taker]]))
        half = upper
