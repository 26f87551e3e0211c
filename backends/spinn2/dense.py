"""The schedule of matrix products: lanes of processing elements share the reduction and add up their partial sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import Phase
from ...passes.tile.demand import first_boxes, first_pitches, stage_pitches
from ...passes.tile.geometry import extents, grid_bounds, stage_boxes
from .constants import Records, line_boxes, part_records
from .emit import BlockEmitter
from .stages import Post, finish
from .tile_loads import load_first
from .waves import channel_parts, result_grid

Array = NDArray[Any]

MAX_LANES = 16
SUM_BYTES = 4


def schedule_dense(emitter: BlockEmitter, *, share: bool = False) -> None:
    """Every result tile is computed by `lanes` PEs; each walks over its share of the reduction.

    With `share` a piece of the input is fetched once and handed on to the PEs that need it, too.
    """
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
        _one_wave(emitter, boxes, part, here, spans, lanes, weights, share=share)
        q = np.arange(len(here)) * lanes
        rows.next_step()
        emitter.load_records(q, post, part[here], 0)
        place = (emitter.slots[0][0][q], emitter.slots[0][1][q])
        finish(emitter, q, boxes[here], Post(place, post, part[here]))


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
    *,
    share: bool,
) -> tuple[int, ...]:
    """Loads what the lanes multiply at a turn, behind the step `after`; returns the steps that bring it."""
    rows, slot = emitter.rows, turn % len(emitter.first)
    span = turn * (int(lane.max()) + 1) + lane
    active = np.flatnonzero(span < len(spans))
    core = stage_boxes(emitter.plan, boxes[tile[active]])[0]
    rows.next_step((after,))
    index = part[tile[active]] * len(spans) + span[active]
    if not share:
        emitter.load_records(active, weights, index, turn % len(emitter.slots))
        load_first(emitter, active, core, spans[span[active]], slot)
        return (rows.step,)
    handed = _load_once(emitter, active, core, spans[span[active]], slot)
    rows.next_step((after,))
    emitter.load_records(active, weights, index, turn % len(emitter.slots))
    return handed, rows.step


def _load_once(emitter: BlockEmitter, q: Array, core: Array, reduction: Array, slot: int) -> int:
    """Loads every piece of the input to one of the PEs `q`; then those that have it double with every step."""
    rows = emitter.rows
    key = np.unique(np.concatenate([core[:, 1], reduction], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(key, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(key[order], key[order])
    first = order[rank == 0]
    load_first(emitter, q[first], core[first], reduction[first], slot)
    buffer, address = emitter.first[slot]
    wanted = first_boxes(emitter.plan, core, reduction)
    channels, lines, columns = extents(wanted)
    _, pitch, _ = first_pitches(emitter.plan, wanted)
    have = 1
    while have <= rank.max():
        takers = np.flatnonzero((rank >= have) & (rank < 2 * have))
        giver, taker = order[takers - have], order[takers]
        rows.next_step()
        rows.transfers(
            emitter.layer,
            Phase.INPUTS,
            line_boxes(columns[taker] * emitter.plan.first.dtype.itemsize, (channels * lines)[taker], pitch[taker]),
            buffer[q[giver]],
            address[q[giver]],
            buffer[q[taker]],
            address[q[taker]],
        )
        have *= 2
    return rows.step


def _one_wave(
    emitter: BlockEmitter,
    boxes: Array,
    part: Array,
    here: Array,
    spans: Array,
    lanes: int,
    weights: Records,
    *,
    share: bool,
) -> None:
    """All turns of one wave; with two places for operands, those of the next turn come while this one computes."""
    plan, rows = emitter.plan, emitter.rows
    tile = np.repeat(here, lanes)
    lane = np.tile(np.arange(lanes), len(here))
    turns = -(-len(spans) // lanes)
    done = rows.step
    loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, 0, done, share=share)
    for turn in range(turns):
        ready, more = loaded, turn + 1 < turns
        if more and len(emitter.slots) > 1:
            loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, turn + 1, done, share=share)
        active = np.flatnonzero(turn * lanes + lane < len(spans))
        core = stage_boxes(plan, boxes[tile[active]])[0]
        rows.next_step((*ready, done))
        slot = emitter.slots[turn % len(emitter.slots)]
        operand = (slot[0][active], slot[1][active])
        span = spans[turn * lanes + lane[active]]
        emitter.mac(active, core, span, operand, into_partial=turn > 0, slot=turn % len(emitter.first))
        if turn:
            rows.next_step()
            emitter.accumulate(active, core, (emitter.partial[0][active], emitter.partial[1][active]))
        done = rows.step
        if more and len(emitter.slots) == 1:
            loaded = _load_turn(emitter, boxes, part, tile, lane, spans, weights, turn + 1, done, share=share)
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
