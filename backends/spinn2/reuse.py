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
from ...passes.tile.rotation import Places, Rotation, plan_rotation
from ...runtime.spinn2.kernels.dataflow import READERS
from .constants import Records, part_records
from .emit import BlockEmitter
from .relay import Ground, Spread, staggered
from .stages import Post, finish
from .tile_loads import copy_first, load_first, load_sources, pad_tiles
from .waves import channel_parts, result_grid

Array = NDArray[Any]


def schedule_reuse(emitter: BlockEmitter, places: Places, ports: Array, ground: Ground) -> None:
    """All pieces of a convolution without groups, on the greatest power of two of PEs that there are.

    `ports` are the DRAM ports of the double blocks of all PEs: weights lie behind the one that is to load them. Tiles
    spread over the `ground`.
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
    for first_tile in range(0, len(spatial), rotation.wave):
        tile = first_tile + own
        busy = (own >= 0) & (tile < len(spatial))
        _load_tiles(emitter, spatial, tile, np.flatnonzero(busy), parts[0], ground)
        for first_part in range(0, len(parts), rotation.group):
            _load_parts(emitter, found, rotation, first_part, len(parts), places)
            _rotate(emitter, found, rotation, first_part, parts, spatial, tile, busy, places.per_block)


def _load_tiles(
    emitter: BlockEmitter, spatial: Array, tile: Array, working: Array, channels: Array, ground: Ground
) -> None:
    """Each double block loads a tile once; then it is handed on from QPE to QPE, and doubles inside each.

    Tiles from the chip come at the same time. DRAM serves one element of each QPE after the other, so that a tile is
    handed on while others come. Double blocks are told in turn.
    """

    def needed(q: Array) -> tuple[Array, Array]:
        core = stage_boxes(emitter.plan, _with_part(spatial[tile[q]], channels))[0]
        return core, np.broadcast_to(np.array([0, emitter.plan.reduction]), (len(q), 2))

    rows, on_chip = emitter.rows, emitter.inputs[emitter.plan.first.index].on_chip
    spread = Spread.of(tile, working, ground, on_chip=on_chip)
    batch_of = np.zeros_like(spread.first) if on_chip else spread.first % ground.per_qpe
    batches = [batch_of == each for each in np.unique(batch_of)]
    start, last = rows.behind, list[int]()
    for number, batch in enumerate(batches):
        # Tiles of several batches share rows of the map, which no more steps than READERS may read in any order.
        last.append(rows.next_step(start if number < READERS else (last[number - READERS],)))
        first = ground.in_turn(spread.first[batch])
        load_first(emitter, first, *needed(first), pad=False)
    for number, batch in enumerate(batches):
        last[number] = rows.next_step((last[number],))
        pad_tiles(emitter, spread.first[batch], *needed(spread.first[batch]))
    copies = (*spread.rounds, *spread.inside)
    for number, round_ in staggered(len(batches), len(copies)):
        source, target, group = copies[round_]
        here = batches[number][group]
        last[number] = rows.next_step((last[number],))
        copy_first(emitter, source[here], target[here], *needed(target[here]))
    rows.follow(last)


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
    """Each part comes from DRAM once, for one element of each QPE after the other, and is then handed on to all teams.
    Double blocks are told in turn.

    Where each block is a team, parts go round the ring of blocks, while others come. Else each is handed on once while
    others come; then the number of teams that have it doubles with every step.
    """
    owner = _owners(rotation, places)[: total - first_part]
    place = np.arange(len(owner))
    team, size = rotation.team_of(owner), found.size[first_part + place]
    rows, start = emitter.rows, emitter.rows.behind

    def hand_on(here: Array, giver: Array, taker: Array) -> None:
        source, target = rotation.element_at(giver, here), rotation.element_at(taker, here)
        emitter.copy_slots(source, target, size[here], 0, 0, Phase.WEIGHTS)

    in_turn = np.argsort(owner % places.per_double_block, kind="stable")
    chunks = [in_turn[in_turn % places.per_qpe == index] for index in range(min(places.per_qpe, len(place)))]
    last = []
    for chunk in chunks:
        last.append(rows.next_step(start))
        emitter.load_records(owner[chunk], found, first_part + chunk, 0)
    apart = rotation.teams // 2
    hops = rotation.teams - 1 if rotation.group == places.per_block else min(apart, 1)
    for number, hop in staggered(len(chunks), hops):
        chunk = chunks[number]
        last[number] = rows.next_step((last[number],))
        giver = (team[chunk] + hop) % rotation.teams
        hand_on(chunk, giver, (giver + 1) % rotation.teams if hops > 1 else giver ^ apart)
    rows.follow(last)
    while hops == 1 and (apart := apart // 2):
        rows.next_step()
        here = np.tile(place, rotation.teams // (2 * apart))
        giver = team[here] ^ np.repeat(np.arange(0, rotation.teams, 2 * apart), len(place))
        hand_on(here, giver, giver ^ apart)


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
        for turn in range(rotation.own_turns):
            source = rotation.source_of(place, rotation.first_turn(team) + turn)
            number = first_part + rotation.part_at(source, moved)
            active = np.flatnonzero(busy & (number < len(parts)))
            if not active.size:
                continue
            holder, index = rotation.element_at(team, source)[active], number[active]
            pieces = _with_part(spatial[tile[active]], parts[index])
            buffer, address = emitter.slots[slot]
            # The next sums may begin while the last results are still on their way, unless these replace what is read.
            rows.next_step((computed, stored) if computed and replacing else (computed,) if computed else None)
            load_sources(emitter, active, pieces)
            core = stage_boxes(plan, pieces)[0]
            whole = np.broadcast_to(np.array([0, plan.reduction]), (len(active), 2))
            emitter.mac(active, core, whole, (buffer[holder], address[holder] + found.weights[index]))
            computed = finish(
                emitter, active, pieces, Post((buffer[holder], address[holder]), found, index), stored=stored
            )
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
