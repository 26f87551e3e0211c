"""Products of a vector with a matrix: every PE keeps its share of the vector, the matrix streams through all of them.

Each PE multiplies its rows of the matrix, some columns at a time; the sums of all PEs are added up in a tree while the
next columns arrive. So every weight is loaded once, and loading may run ahead as far as there is room for it. Each tree
has its root in another PE, so that all ARM cores add as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import Phase
from ...passes.tile.demand import Tile, filter_bytes, stage_pitches
from ...passes.tile.geometry import MAC_ROW_BYTES, Boxes, Plan, align, extents, grid_bounds, stage_boxes
from .constants import Records, line_boxes, part_records
from .emit import BlockEmitter
from .stages import Post, finish
from .tile_loads import load_first

Array = NDArray[Any]

SUM_BYTES = 4
WIDTHS = (32, 64, 128, 256)
MOST_CHUNKS = 128
LOAD_STEPS = 4
"""Steps in which the weights of all lanes come, so that more urgent ones need not wait for long."""


@frozen
class StreamSplit:
    """`tile` columns of the result and rows of the matrix for each of `lanes` PEs at a time."""

    tile: Tile
    lanes: int
    result_slots: int = 8
    """Trees that may be under way at a time: each takes long, and has few bytes."""

    @classmethod
    def of(cls, plan: Plan, elements: int) -> StreamSplit:
        """All PEs share the reduction; narrow columns, so that little is left when the last have arrived."""
        view = plan.view
        width = next((each for each in WIDTHS if -(-view.channels // each) <= MOST_CHUNKS), WIDTHS[-1])
        lanes = min(elements, max(plan.reduction // 4, 1))
        return cls((min(width, view.channels), 1, 1, -(-plan.reduction // lanes)), lanes)


def schedule_streams(emitter: BlockEmitter, split: StreamSplit, nearest: Array) -> None:
    """All of a matrix product whose input is a single row; `nearest` is the DRAM port next to each PE."""
    plan, rows = emitter.plan, emitter.rows
    columns, lanes = grid_bounds(plan.view.channels, split.tile[0]), np.arange(split.lanes)
    # As equal as can be, so that every DRAM port has as much to send.
    spans = np.stack([lanes, lanes + 1], axis=1) * plan.reduction // split.lanes
    weights = part_records(
        rows,
        emitter.dram,
        plan,
        emitter.layer,
        [],
        np.repeat(columns, len(spans), axis=0),
        np.tile(spans, (len(columns), 1)),
        weights=True,
        ports=np.tile(nearest[lanes], len(columns)),
    )
    post = part_records(
        rows, emitter.dram, plan, emitter.layer, emitter.parameters, columns, np.zeros_like(columns), weights=False
    )
    rows.next_step()
    roots = np.arange(len(columns)) * len(lanes) // len(columns) % len(lanes)
    emitter.load_fixed(np.unique(roots))
    load_first(emitter, lanes, _core(plan, columns[0], len(lanes)), spans)
    for number, column in enumerate(columns):
        slot = number % len(emitter.slots)
        emitter.use_set(number)
        for turn in range(LOAD_STEPS):
            some = lanes[lanes % LOAD_STEPS == turn]
            rows.next_step()
            emitter.load_records(some, weights, number * len(spans) + some, slot)
        core = _core(plan, column, len(lanes))
        buffer, address = emitter.slots[slot]
        rows.next_step()
        emitter.mac(lanes, core, spans, (buffer[lanes], address[lanes]))
        _add_up(emitter, core, int(roots[number]), number % split.result_slots)
        _finish(emitter, post, number, column, slot, int(roots[number]))


def _core(plan: Plan, column: Array, count: int) -> Boxes:
    """The box of some columns of the result, `count` times."""
    box = np.array([[column, [0, 1], [0, 1]]], np.int64)
    return np.repeat(stage_boxes(plan, box)[0], count, axis=0)


def _add_up(emitter: BlockEmitter, core: Boxes, root: int, slot: int) -> None:
    """Half of the lanes send their sums to the other half, which adds them, until `root` alone is left."""
    buffer, address = emitter.partial[0], emitter.partial[1] + slot * emitter.demand.partial
    width, lines, _ = extents(core)
    _, pitch, _ = stage_pitches(emitter.plan, 0, core)
    lanes = len(core)
    while lanes > 1:
        upper = lanes - lanes // 2
        giver = (root + np.arange(upper, lanes)) % len(core)
        taker = (giver - upper) % len(core)
        emitter.rows.next_step()
        emitter.rows.transfers(
            emitter.layer,
            Phase.MIGRATION,
            line_boxes(width[giver] * SUM_BYTES, lines[giver], pitch[giver]),
            emitter.results[0][0][giver],
            emitter.results[0][1][giver],
            buffer[taker],
            address[taker],
        )
        emitter.rows.next_step()
        emitter.accumulate(taker, core[taker], (buffer[taker], address[taker]))
        lanes = upper


def _finish(emitter: BlockEmitter, post: Records, number: int, column: Array, slot: int, root: int) -> None:
    """What follows the sums, on lane `root`; its parameters lie behind the weights."""
    plan = emitter.plan
    one, index = np.array([root]), np.array([number])
    behind = int(align(filter_bytes(plan, emitter.tile[0], emitter.tile[3]), MAC_ROW_BYTES))
    place = (emitter.slots[slot][0][one], emitter.slots[slot][1][one] + behind)
    if int(post.size[number]):
        emitter.rows.next_step()
        emitter.rows.transfers(
            emitter.layer, Phase.WEIGHTS, post.boxes(index), post.buffer[index], post.address[index], *place
        )
    box = np.array([[column, [0, 1], [0, 1]]], np.int64)
    finish(emitter, one, box, Post(place, post, index))
