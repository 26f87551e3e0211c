"""Convolutions by teams: each team of processing elements holds all tiles of the input, and has a share of the filters.

The members of a team that sit together in a QPE share filters: each holds one part of the weights and reads those of
its neighbours over the NoC. A part comes from DRAM once for a team and is handed on from neighbours to neighbours. What
may overlap is not said here: it follows from the bytes that steps share (see `order.py`).
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import BufferKind, Phase
from ...passes.tile.demand import Tile
from ...passes.tile.geometry import MAC_ROW_BYTES, Boxes, Plan, align, grid_bounds, stage_boxes
from .constants import Records, part_records
from .emit import BlockEmitter

Array = NDArray[Any]


@frozen
class TeamSplit:
    """How a convolution is dealt: pieces of extent `tile`, `teams` teams of `members` PEs of which `sharing` neighbours
    hold different weights; places for tiles, parts of the weights and results in each PE.
    """

    tile: Tile
    members: int
    teams: int
    sharing: int
    tile_slots: int
    weight_slots: int
    result_slots: int
    load_steps: int = 1

    def waves(self, plan: Plan) -> int:
        """How often a team takes new tiles."""
        return -(-tile_count(plan, self.tile) // self.members)


def tile_count(plan: Plan, tile: Tile) -> int:
    """Number of spatial tiles."""
    return -(-plan.view.rows // tile[1]) * -(-plan.view.columns // tile[2])


def spatial_tiles(plan: Plan, tile: Tile) -> Boxes:
    """Boxes of all channels, row by row of tiles."""
    view = plan.view
    rows, columns = grid_bounds(view.rows, tile[1]), grid_bounds(view.columns, tile[2])
    r, c = (index.ravel() for index in np.meshgrid(np.arange(len(rows)), np.arange(len(columns)), indexing="ij"))
    channels = np.broadcast_to(np.array([0, view.channels]), (len(r), 2))
    return np.stack([channels, rows[r], columns[c]], axis=1)


class _Deal:
    """Who computes what: PE q is member q % members of team q // members.

    Shares of the teams differ by at most one part; part n is number `part_place[n]` of the share of `part_team[n]`.
    """

    def __init__(self, plan: Plan, split: TeamSplit) -> None:
        self.split = split
        self.tiles = spatial_tiles(plan, split.tile)
        self.parts = grid_bounds(plan.view.channels, split.tile[0])
        bounds = np.arange(split.teams + 1) * len(self.parts) // split.teams
        number = np.arange(len(self.parts))
        self.part_team = np.searchsorted(bounds, number, side="right") - 1
        self.part_place = number - bounds[self.part_team]
        self.q = np.arange(split.teams * split.members)
        self.member, self.team = self.q % split.members, self.q // split.members
        self.low, self.count = bounds[:-1][self.team], np.diff(bounds)[self.team]
        self.place = self.member % split.sharing

    def tile_of(self, wave: int) -> Array:
        """The tile of each PE; len(tiles) or more where there is none."""
        return wave * self.split.members + self.member

    def held(self, group: int) -> Array:
        """How many parts of a group the neighbours of a PE hold together."""
        return np.clip(self.count - group * self.split.sharing, 0, self.split.sharing)


def schedule_teams(emitter: BlockEmitter, split: TeamSplit, nearest: Array, home: int | None = None) -> None:
    """All pieces of a convolution without groups whose sums are not cut; `nearest` is the DRAM port next to each PE.

    With an address `home` the weights come ahead of time: each PE keeps some parts there until they are wanted.
    """
    plan, rows = emitter.plan, emitter.rows
    deal = _Deal(plan, split)
    reduction = np.broadcast_to(np.array([0, plan.reduction]), (len(deal.parts), 2))
    found = part_records(
        rows,
        emitter.dram,
        plan,
        emitter.layer,
        emitter.parameters,
        deal.parts,
        reduction,
        weights=True,
        ports=nearest[deal.part_team * split.members + deal.part_place % split.sharing],
    )
    source = found if home is None else _bring_home(emitter, deal, found, home)
    groups = -(-int(deal.count.max()) // split.sharing)
    resident = groups <= split.weight_slots
    rows.next_step()
    emitter.load_fixed(deal.q)
    turns = 0
    for wave in range(split.waves(plan)):
        active = np.flatnonzero(deal.tile_of(wave) < len(deal.tiles))
        _load_tiles(emitter, deal, active, wave)
        for group in range(groups):
            if wave == 0 or not resident:
                _load_weights(emitter, deal, source, active, group, Phase.WEIGHTS if home is None else Phase.MIGRATION)
            for turn in range(split.sharing):
                _turn(emitter, deal, found, active, wave, group, turn, turns)
                turns += 1


def _load_tiles(emitter: BlockEmitter, deal: _Deal, active: Array, wave: int) -> None:
    pieces = deal.tiles[deal.tile_of(wave)[active]].copy()
    pieces[:, 0] = deal.parts[0]
    core = stage_boxes(emitter.plan, pieces)[0]
    whole = np.broadcast_to(np.array([0, emitter.plan.reduction]), (len(active), 2))
    slot = wave % deal.split.tile_slots
    emitter.rows.next_step()
    emitter.pad_first(active, core, whole, slot)
    emitter.rows.next_step()
    emitter.load_first(active, core, whole, slot, pad=False, steps=deal.split.load_steps)


def home_bytes(split: TeamSplit, parts: int, record: int) -> int:
    """Bytes in each PE for all parts of the weights to be at home."""
    share = -(-parts // split.teams)
    return -(-share // split.members) * int(align(record, MAC_ROW_BYTES))


HOME_BYTES = 1 << 18
"""Bytes that come from DRAM in one step, so that more urgent ones need not wait for long."""


def _bring_home(emitter: BlockEmitter, deal: _Deal, found: Records, home: int) -> Records:
    """Loads every part into a PE of the team that will want it, what is wanted first coming first."""
    split, within = deal.split, deal.part_place
    q = deal.part_team * split.members + within % split.members
    room = int(align(int(found.size.max()), MAC_ROW_BYTES))
    address = home + within // split.members * room
    buffer = emitter.rows.buffers(emitter.pes[q], BufferKind.WEIGHTS, emitter.layer, address, found.size)
    at_once = max(HOME_BYTES // (room * split.teams), 1)
    for low in range(0, int(within.max()) + 1, at_once):
        some = np.flatnonzero((within >= low) & (within < low + at_once))
        emitter.rows.next_step()
        emitter.rows.transfers(
            emitter.layer,
            Phase.WEIGHTS,
            found.boxes(some),
            found.buffer[some],
            found.address[some],
            buffer[some],
            address[some],
        )
    return attrs.evolve(found, buffer=buffer, address=address)


def _load_weights(emitter: BlockEmitter, deal: _Deal, found: Records, active: Array, group: int, phase: Phase) -> None:
    """The first neighbours of a team fetch their parts and hand them on to the next, and so on."""
    sharing = deal.split.sharing
    slot = group % len(emitter.slots)
    number = deal.low + group * sharing + deal.place
    ring = deal.member // sharing
    # A neighbour without a tile of its own holds a part for the others.
    last = np.full(deal.split.teams, -1)
    np.maximum.at(last, deal.team[active], ring[active])
    wanted = (deal.place < deal.held(group)) & (ring <= last[deal.team])
    first = deal.q[wanted & (ring == 0)]
    emitter.rows.next_step()
    emitter.load_records(first, found, number[first], slot, phase)
    for following in range(1, int(last.max()) + 1):
        target = deal.q[wanted & (ring == following)]
        emitter.rows.next_step()
        emitter.copy_slots(target - sharing, target, found.size[number[target]], slot, slot, Phase.MIGRATION)


def _turn(
    emitter: BlockEmitter, deal: _Deal, found: Records, active: Array, wave: int, group: int, turn: int, count: int
) -> None:
    """One piece for every PE that still has one: with the part of its `turn`-th neighbour."""
    plan = emitter.plan
    held = deal.held(group)[active]
    busy = active[turn < held]
    if not len(busy):
        return
    neighbour = (deal.place[busy] + turn) % deal.held(group)[busy]
    # The last neighbours of a team may be too few; those before them hold the other parts.
    holder = busy - deal.place[busy] + neighbour
    holder -= np.where(deal.member[busy] - deal.place[busy] + neighbour >= deal.split.members, deal.split.sharing, 0)
    index = deal.low[busy] + group * deal.split.sharing + neighbour
    pieces = deal.tiles[deal.tile_of(wave)[busy]].copy()
    pieces[:, 0] = deal.parts[index]
    buffer, address = emitter.slots[group % len(emitter.slots)]
    emitter.use_set(count)
    emitter.rows.next_step()
    emitter.load_sources(busy, pieces)
    core = stage_boxes(plan, pieces)[0]
    whole = np.broadcast_to(np.array([0, plan.reduction]), (len(busy), 2))
    emitter.rows.next_step()
    emitter.mac(
        busy, core, whole, (buffer[holder], address[holder] + found.weights[index]), slot=wave % deal.split.tile_slots
    )
    emitter.finish(busy, pieces, (buffer[holder], address[holder]), found, index)
