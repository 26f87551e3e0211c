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
from ...passes.tile.rotation import Places, Rotation, plan_rotation, power_at_least
from .constants import Records, part_records
from .emit import BlockEmitter
from .stages import finish
from .waves import channel_parts, result_grid

Array = NDArray[Any]


def schedule_reuse(emitter: BlockEmitter, places: Places, ports: Array) -> None:
    """All pieces of a convolution without groups, on the greatest power of two of PEs that there are.

    `ports` are the DRAM ports of the double blocks of all PEs: weights lie behind the one that is to load them.
    """
    plan, rows = emitter.plan, emitter.rows
    boxes, part = result_grid(plan, emitter.tile)
    parts = channel_parts(boxes, part)
    spatial = boxes[part == 0]
    rotation = plan_rotation(len(spatial), len(parts), len(emitter.pes), places)
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
        ports=ports[np.resize(_owners(rotation, places), len(parts))],
    )
    q = np.arange(rotation.elements)
    own = rotation.tile_at(q)
    rows.next_step()
    emitter.load_fixed(q)
    for first_tile in range(0, len(spatial), rotation.tiles * rotation.teams):
        tile = first_tile + own
        busy = (own >= 0) & (tile < len(spatial))
        _load_tiles(emitter, spatial, tile, np.flatnonzero(busy), parts[0], places.per_double_block)
        for first_part in range(0, len(parts), rotation.group):
            _load_parts(emitter, found, rotation, first_part, len(parts), places)
            _rotate(emitter, found, rotation, first_part, parts, spatial, tile, busy, places.per_block)


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


def _owners(rotation: Rotation, places: Places) -> Array:
    """The element that takes the part of each place from DRAM: QPEs in turn from all double blocks."""
    place = np.arange(rotation.group)
    qpe = place // places.per_qpe
    per_double_block = max(places.per_double_block // rotation.group, 1)
    apart = max(rotation.teams // per_double_block, 1)
    team = qpe % apart * per_double_block + qpe // apart % per_double_block
    return rotation.element_at(team % rotation.teams, place)


def _load_parts(
    emitter: BlockEmitter, found: Records, rotation: Rotation, first_part: int, total: int, places: Places
) -> None:
    """Each part comes from DRAM once; then the number of teams that have it doubles with every step.

    One element of each QPE after the other gets its part, and hands it on a first time while the others' parts come.
    """
    owner = _owners(rotation, places)[: total - first_part]
    place = np.arange(len(owner))
    team = rotation.team_of(owner)
    size = found.size[first_part + place]
    start, rows = (emitter.rows.step,), emitter.rows
    apart = rotation.teams // 2

    def hand_on(here: Array, holders: Array) -> None:
        giver = (team[here] ^ holders[:, None]).reshape(-1)
        at = np.tile(place[here], len(holders))
        sizes = np.tile(size[here], len(holders))
        source, target = rotation.element_at(giver, at), rotation.element_at(giver ^ apart, at)
        emitter.copy_slots(source, target, sizes, 0, 0, Phase.WEIGHTS)

    chunks = [place[place % places.per_qpe == index] for index in range(min(places.per_qpe, len(place)))]
    loaded = []
    for chunk in chunks:
        loaded.append(rows.next_step(start))
        emitter.load_records(owner[chunk], found, first_part + chunk, 0)
    if not apart:
        rows.follow(loaded)
        return
    handed = []
    for chunk, step in zip(chunks, loaded, strict=True):
        handed.append(rows.next_step((step,)))
        hand_on(chunk, np.zeros(1, np.int64))
    rows.follow(handed)
    while apart := apart // 2:
        rows.next_step()
        hand_on(place, np.arange(0, rotation.teams, 2 * apart))


def _rotate(
    emitter: BlockEmitter,
    found: Records,
    rotation: Rotation,
    first_part: int,
    parts: Array,
    spatial: Array,
    tile: Array,
    busy: Array,
    per_block: int,
) -> None:
    """All turns and moves of one set of parts."""
    plan, rows = emitter.plan, emitter.rows
    q = np.arange(rotation.elements)
    place, team = rotation.place_of(q), rotation.team_of(q)
    replacing = any(held is emitter.output for held in emitter.inputs)
    slot = 0
    computed = stored = 0
    for moved in range(rotation.moves):
        if moved:
            slot = _migrate(emitter, found, rotation, first_part, len(parts), moved, slot, per_block)
            computed = stored = 0
        for turn in range(rotation.turns):
            source = rotation.source_of(place, turn)
            number = first_part + rotation.part_at(source, moved)
            active = np.flatnonzero(busy & (number < len(parts)))
            if not active.size:
                continue
            holder, index = rotation.element_at(team, source)[active], number[active]
            pieces = _with_part(spatial[tile[active]], parts[index])
            buffer, address = emitter.slots[slot]
            # The next sums may begin while the last results are still on their way, unless these replace what is read.
            rows.next_step((computed, stored) if computed and replacing else (computed,) if computed else None)
            emitter.load_sources(active, pieces)
            core = stage_boxes(plan, pieces)[0]
            whole = np.broadcast_to(np.array([0, plan.reduction]), (len(active), 2))
            emitter.mac(active, core, whole, (buffer[holder], address[holder] + found.weights[index]))
            computed = finish(emitter, active, pieces, (buffer[holder], address[holder]), found, index, stored=stored)
            stored = rows.step


def _migrate(
    emitter: BlockEmitter,
    found: Records,
    rotation: Rotation,
    first_part: int,
    total: int,
    moved: int,
    slot: int,
    per_block: int,
) -> int:
    """Every PE takes over the part of the next PE on the ring, into its other weight slot; returns the slot in use.

    Between double blocks, parts go from block to block round the ring of all blocks.
    """
    q = np.arange(rotation.elements)
    stride = rotation.ring_of(moved).stride
    if stride < rotation.together:
        hops, giver = 1, rotation.element_at(rotation.team_of(q), rotation.giver_of(rotation.place_of(q), moved))
    else:
        hops, giver = stride * rotation.teams // per_block, (q + per_block) % rotation.elements
    number = first_part + rotation.part_at(rotation.place_of(q), moved - 1)
    for _ in range(hops):
        number = number[giver]
        target = np.flatnonzero(number < total)
        emitter.rows.next_step()
        emitter.copy_slots(giver[target], target, found.size[number[target]], slot, 1 - slot, Phase.MIGRATION)
        slot = 1 - slot
    return slot
