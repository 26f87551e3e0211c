"""The paper's schedule of convolutions: inputs stay, weights wander (Kelber, Wu et al. 2020, section 3).

Every processing element keeps one tile of the input and one part of the weights. It computes with the weights of its
neighbours in the QPE, read over the NoC without a copy; then the parts move on between QPEs, blocks and double blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import Phase
from ...passes.tile.geometry import grid_bounds, stage_boxes
from ...passes.tile.rotation import Rotation, plan_rotation
from .constants import Records, part_records
from .emit import BlockEmitter
from .waves import channel_parts, result_grid

Array = NDArray[Any]


def schedule_reuse(emitter: BlockEmitter, per_qpe: int) -> None:
    """All pieces of a convolution without groups, on the greatest power of two of PEs that there are."""
    plan, rows = emitter.plan, emitter.rows
    boxes, part = result_grid(plan, emitter.tile)
    parts = channel_parts(boxes, part)
    spatial = boxes[part == 0]
    rotation = plan_rotation(len(spatial), len(parts), len(emitter.pes), per_qpe)
    reduction = grid_bounds(plan.reduction, plan.reduction)
    found = part_records(
        rows,
        emitter.dram,
        plan,
        emitter.layer,
        emitter.parameters,
        parts,
        np.repeat(reduction, len(parts), axis=0),
        weights=True,
    )
    q = np.arange(rotation.elements)
    place, team = q % rotation.group, q // rotation.group
    rows.next_step()
    emitter.load_fixed(q)
    for first_tile in range(0, len(spatial), rotation.tiles * rotation.teams):
        tile = first_tile + team * rotation.tiles + rotation.tile_of(place)
        busy = (rotation.tile_of(place) < rotation.tiles) & (tile < len(spatial))
        working = np.flatnonzero(busy)
        if first_tile:
            rows.next_step()
        core = stage_boxes(plan, _with_part(spatial[tile[working]], parts[0]))[0]
        emitter.load_first(working, core, np.broadcast_to(reduction[0], (len(working), 2)))
        for first_part in range(0, len(parts), rotation.group):
            _load_parts(emitter, found, rotation, first_part, len(parts))
            _rotate(emitter, found, rotation, first_part, parts, spatial, tile, busy)


def _with_part(boxes: Array, channels: Array) -> Array:
    """`boxes` with these output channels ([2] or [n, 2])."""
    changed = boxes.copy()
    changed[:, 0, :] = channels
    return changed


def _load_parts(emitter: BlockEmitter, found: Records, rotation: Rotation, first_part: int, total: int) -> None:
    """Each part comes from DRAM once; the other teams copy it from the first."""
    rows = emitter.rows
    rows.next_step()
    lead = np.arange(min(rotation.group, total - first_part))
    emitter.load_records(lead, found, first_part + lead, 0)
    others = np.arange(rotation.group, rotation.elements)
    others = others[others % rotation.group < len(lead)]
    if others.size:
        rows.next_step()
        source = others % rotation.group
        emitter.copy_slots(source, others, found.size[first_part + source], 0, 0, Phase.WEIGHTS)


def _rotate(
    emitter: BlockEmitter,
    found: Records,
    rotation: Rotation,
    first_part: int,
    parts: Array,
    spatial: Array,
    tile: Array,
    busy: Array,
) -> None:
    """All turns and moves of one set of parts."""
    plan, rows = emitter.plan, emitter.rows
    q = np.arange(rotation.elements)
    place, base = q % rotation.group, q - q % rotation.group
    slot = 0
    for moved in range(rotation.moves):
        if moved:
            _migrate(emitter, found, rotation, first_part, len(parts), moved, slot)
            slot = 1 - slot
        for turn in range(rotation.turns):
            source = rotation.source_of(place, turn)
            number = first_part + rotation.part_at(source, moved)
            active = np.flatnonzero(busy & (number < len(parts)))
            if not active.size:
                continue
            holder, index = (base + source)[active], number[active]
            pieces = _with_part(spatial[tile[active]], parts[index])
            buffer, address = emitter.slots[slot]
            rows.next_step()
            emitter.load_sources(active, pieces)
            core = stage_boxes(plan, pieces)[0]
            whole = np.broadcast_to(np.array([0, plan.reduction]), (len(active), 2))
            emitter.mac(active, core, whole, (buffer[holder], address[holder] + found.weights[index]))
            emitter.finish(active, pieces, (buffer[holder], address[holder]), found, index)


def _migrate(
    emitter: BlockEmitter, found: Records, rotation: Rotation, first_part: int, total: int, moved: int, slot: int
) -> None:
    """Every PE takes over the part of the PE `stride` places on, into its other weight slot."""
    q = np.arange(rotation.elements)
    place, base = q % rotation.group, q - q % rotation.group
    number = first_part + rotation.part_at(place, moved)
    target = q[number < total]
    source = (base + (place + rotation.stride) % rotation.group)[target]
    emitter.rows.next_step()
    emitter.copy_slots(source, target, found.size[number[target]], slot, 1 - slot, Phase.MIGRATION)
