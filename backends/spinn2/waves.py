"""The plain schedule: pieces are dealt to processing elements wave by wave, each loads what it needs and stores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...passes.tile.demand import Tile
from ...passes.tile.geometry import Boxes, Plan, grid_bounds, stage_boxes
from .constants import Records, part_records
from .emit import BlockEmitter
from .stages import Post, finish
from .tile_loads import load_first, load_sources

Array = NDArray[Any]


def result_grid(plan: Plan, tile: Tile) -> tuple[Boxes, Array]:
    """Boxes of all pieces of the result, channel part by channel part, and the channel part of each.

    Parts of a grouped convolution never cross a group.
    """
    view = plan.view
    if plan.core == "conv" and plan.groups > 1:
        each = view.channels // plan.groups
        inner = grid_bounds(each, min(tile[0], each))
        parts = (inner[None] + (np.arange(plan.groups) * each)[:, None, None]).reshape(-1, 2)
    else:
        parts = grid_bounds(view.channels, tile[0])
    row_bounds, column_bounds = grid_bounds(view.rows, tile[1]), grid_bounds(view.columns, tile[2])
    p, r, c = np.meshgrid(
        np.arange(len(parts)), np.arange(len(row_bounds)), np.arange(len(column_bounds)), indexing="ij"
    )
    boxes = np.stack([parts[p.ravel()], row_bounds[r.ravel()], column_bounds[c.ravel()]], axis=1)
    return boxes, p.ravel()


def channel_parts(boxes: Boxes, part: Array) -> Array:
    """[n, 2] output channels of each part."""
    _, first = np.unique(part, return_index=True)
    return boxes[first, 0, :]


def schedule_waves(emitter: BlockEmitter, *, by_rows: bool = False, ahead: bool = False) -> None:
    """All pieces of the block, as many at once as there are processing elements.

    Channel part by channel part or, `by_rows`, row by row. With several places for operands waves use them in turn.
    With `ahead` weights and parameters have steps of their own, which need not wait for the feature maps.
    """
    plan = emitter.plan
    boxes, part = result_grid(plan, emitter.tile)
    order = np.lexsort([part, boxes[:, 2, 0], boxes[:, 1, 0]]) if by_rows else np.arange(len(boxes))
    spans = grid_bounds(plan.reduction, emitter.tile[3])
    found = part_spans(emitter, channel_parts(boxes, part), spans)
    boxes, part = boxes[order], part[order]
    count = len(emitter.pes)
    emitter.rows.next_step()
    emitter.load_fixed(np.arange(min(count, len(boxes))))
    if ahead:
        emitter.rows.next_step()
    for start in range(0, len(boxes), count):
        here = boxes[start : start + count]
        q = np.arange(len(here))
        parts = part[start : start + count]
        core = stage_boxes(plan, here)[0]
        emitter.use_set(start // count)
        turn = start // count * len(spans)
        for number, span in enumerate(spans):
            tile_slot, weight_slot = (turn + number) % len(emitter.first), (turn + number) % len(emitter.slots)
            index = parts * len(spans) + number
            reduction = np.broadcast_to(span, (len(here), 2))
            if number or start:
                emitter.rows.next_step()
            if found is not None:
                emitter.load_records(q, found, index, weight_slot)
                if ahead:
                    emitter.rows.next_step()
            if number == 0:
                load_sources(emitter, q, here)
            load_first(emitter, q, core, reduction, tile_slot)
            if plan.on_mac_array and found is not None:
                slot = emitter.slots[weight_slot]
                emitter.rows.next_step()
                weights = (slot[0][q], slot[1][q] + found.weights[index])
                emitter.mac(q, core, reduction, weights, into_partial=number > 0, slot=tile_slot)
                if number:
                    emitter.rows.next_step()
                    emitter.accumulate(q, core, (emitter.partial[0][q], emitter.partial[1][q]))
        post: Post | None = None
        if found is not None:
            slot, last = emitter.slots[weight_slot], parts * len(spans) + len(spans) - 1
            post = Post((slot[0][q], slot[1][q]), found, last)
        finish(emitter, q, here, post, tile=tile_slot)


def part_spans(emitter: BlockEmitter, parts: Array, spans: Array) -> Records | None:
    """Weights and per-channel parameters, a record for each channel part and reduction span."""
    if not emitter.plan.on_mac_array and not any(entry.per_channel for entry in emitter.parameters):
        return None
    channels = np.repeat(parts, len(spans), axis=0)
    reduction = np.tile(spans, (len(parts), 1))
    return part_records(
        emitter.rows,
        emitter.dram,
        emitter.plan,
        emitter.layer,
        emitter.parameters,
        channels,
        reduction,
        weights=emitter.plan.on_mac_array,
    )
