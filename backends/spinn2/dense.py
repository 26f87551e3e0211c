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


def _load_turn(
    emitter: BlockEmitter,
    boxes: Array,
    part: Array,
    tile: Array,
    lane: Array,
    spans: Array,
    weights: Records,
    turn: int,
    after: int,
) -> int:
    """Loads what the lanes multiply at a turn, behind the step `after`; returns the step."""
    span = turn * (int(lane.max()) + 1) + lane
    active = np.flatnonzero(span < len(spans))
    core = stage_boxes(emitter.plan, boxes[tile[active]])[0]
    emitter.rows.next_step((after,))
    index = part[tile[active]] * len(spans) + span[active]
    emitter.load_records(active, weights, index, turn % len(emitter.slots))
    emitter.load_first(active, core, spans[span[active]], turn % len(emitter.first))
    return emitter.rows.step


def _one_wave(
    emitter: BlockEmitter, boxes: Array, part: Array, here: Array, spans: Array, lanes: int, weights: Records
) -> None:
    """All turns of one wave; with two places for operands, those of the next turn come while this one computes."""
    plan, rows = emitter.plan, emitter.rows
    tile = np.repeat(here, lanes)
    lane = np.tile(np.arange(lanes), len(here))
    turns = -(-len(spans) // lanes)
    done = rows.step
    loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, 0, done)
    for turn in range(turns):
        ready, more = loaded, turn + 1 < turns
        if more and len(emitter.slots) > 1:
            loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, turn + 1, done)
        active = np.flatnonzero(turn * lanes + lane < len(spans))
        core = stage_boxes(plan, boxes[tile[active]])[0]
        rows.next_step((ready, done))
        slot = emitter.slots[turn % len(emitter.slots)]
        operand = (slot[0][active], slot[1][active])
        span = spans[turn * lanes + lane[active]]
        emitter.mac(active, core, span, operand, into_partial=turn > 0, slot=turn % len(emitter.first))
        if turn:
            rows.next_step()
            emitter.accumulate(active, core, (emitter.partial[0][active], emitter.partial[1][active]))
        done = rows.step
        if more and len(emitter.slots) == 1:
            loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, turn + 1, done)
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
            emitter.results[0][0][giver],
            emitter.results[0][1][giver],
            emitter.partial[0][taker],
            emitter.partial[1][taker],
        )
        rows.next_step()
        emitter.accumulate(taker, core, (emitter.partial[0][taker], emitter.partial[1][taker]))
        half = upper
