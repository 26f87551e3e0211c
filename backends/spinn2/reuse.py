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
from ...passes.tile.rotation import Rotation, plan_rotation, power_at_least
from .constants import Records, part_records
from .emit import BlockEmitter
from .waves import channel_parts, result_grid

Array = NDArray[Any]


def schedule_reuse(emitter: BlockEmitter, per_qpe: int, per_double_block: int) -> None:
    """All pieces of a convolution without groups, on the greatest power of two of PEs that there are."""
    plan, rows = emitter.plan, emitter.rows
    boxes, part = result_grid(plan, emitter.tile)
    parts = channel_parts(boxes, part)
    spatial = boxes[part == 0]
    rotation = plan_rotation(len(spatial), len(parts), len(emitter.pes), per_qpe, per_double_block)
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
        _load_tiles(emitter, spatial, tile, np.flatnonzero(busy), parts[0], per_double_block)
        for first_part in range(0, len(parts), rotation.group):
            _load_parts(emitter, found, rotation, first_part, len(parts), per_qpe)
            _rotate(emitter, found, rotation, first_part, parts, spatial, tile, busy)


def _load_tiles(
    emitter: BlockEmitter, spatial: Array, tile: Array, working: Array, channels: Array, per_double_block: int
) -> None:
    """Each double block loads a tile once; then the number of PEs that have it doubles with every step."""

    def needed(q: Array) -> tuple[Array, Array]:
        core = stage_boxes(emitter.plan, _with_part(spatial[tile[q]], channels))[0]
        return core, np.broadcast_to(np.array([0, emitter.plan.reduction]), (len(q), 2))

    order = np.lexsort([working, tile[working], working // per_double_block])
    holders = working[order]
    key = (holders // per_double_block) * len(spatial) + tile[holders]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    count = np.diff(np.append(first, len(key)))
    rank = np.arange(len(key)) - np.repeat(first, count)
    emitter.rows.next_step()
    emitter.load_first(holders[rank == 0], *needed(holders[rank == 0]))
    step = power_at_least(int(count.max())) // 2
    while step:
        taker = np.flatnonzero(rank % (2 * step) == step)
        emitter.rows.next_step()
        emitter.copy_first(holders[taker - step], holders[taker], *needed(holders[taker]))
        step //= 2


def _with_part(boxes: Array, channels: Array) -> Array:
    """`boxes` with these output channels ([2] or [n, 2])."""
    changed = boxes.copy()
    changed[:, 0, :] = channels
    return changed


def _load_parts(
    emitter: BlockEmitter, found: Records, rotation: Rotation, first_part: int, total: int, per_qpe: int
) -> None:
    """Each part comes from DRAM once; then the number of teams that have it doubles with every step.

    Every other QPE's parts come while those of the others are copied on.
    """
    lead = np.arange(min(rotation.group, total - first_part))
    second = lead // per_qpe % 2 == 1
    halves = [lead[~second], lead[second]] if rotation.teams > 1 and second.any() else [lead]
    levels = power_at_least(rotation.teams).bit_length() - 1
    for step in range(len(halves) + levels):
        emitter.rows.next_step()
        for number, half in enumerate(halves):
            if step == number:
                emitter.load_records(half, found, first_part + half, 0)
            elif 0 < step - number <= levels:
                apart = rotation.teams >> (step - number)
                team = np.arange(0, rotation.teams, 2 * apart)
                source = (team[:, None] * rotation.group + half).reshape(-1)
                size = np.tile(found.size[first_part + half], len(team))
                emitter.copy_slots(source, source + apart * rotation.group, size, 0, 0, Phase.WEIGHTS)


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
    computed = stored = 0
    for moved in range(rotation.moves):
        if moved:
            _migrate(emitter, found, rotation, first_part, len(parts), moved, slot)
            slot, computed, stored = 1 - slot, 0, 0
        for turn in range(rotation.turns):
            source = rotation.source_of(place, turn)
            number = first_part + rotation.part_at(source, moved)
            active = np.flatnonzero(busy & (number < len(parts)))
            if not active.size:
                continue
            holder, index = (base + source)[active], number[active]
            pieces = _with_part(spatial[tile[active]], parts[index])
            buffer, address = emitter.slots[slot]
            # The next sums may begin while the last results are still on their way.
            rows.next_step((computed,) if computed else None)
            emitter.load_sources(active, pieces)
            core = stage_boxes(plan, pieces)[0]
            whole = np.broadcast_to(np.array([0, plan.reduction]), (len(active), 2))
            emitter.mac(active, core, whole, (buffer[holder], address[holder] + found.weights[index]))
            computed = emitter.finish(active, pieces, (buffer[holder], address[holder]), found, index, stored=stored)
            stored = rows.step


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
