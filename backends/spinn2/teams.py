"""Convolutions by teams: each team of processing elements holds all tiles of the input, and has a share of the filters.

The members of a team that sit together in a QPE share filters: each holds one part of the weights and reads those of
its neighbours over the NoC. A part comes from DRAM once for a team and is handed on from neighbours to neighbours. The
input's channels may come in several chunks, so that tiles and parts are small and the first sums need the first
channels only; each element then keeps partial sums for all of its share. What may overlap is not said here: it follows
from the bytes that steps share (see `order.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import BufferKind, Phase
from ...passes.tile.demand import Tile
from ...passes.tile.geometry import Boxes, Plan, grid_bounds, stage_boxes
from .constants import Records, part_records
from .emit import BlockEmitter
from .stages import Post, finish
from .tile_loads import load_first, load_sources, pad_first

Array = NDArray[Any]


@frozen
class TeamSplit:
    """How a convolution is dealt: pieces of extent `tile`, `teams` teams of `members` PEs of which `sharing` neighbours
    hold different weights; places for tiles, parts of the weights and results in each PE.

    A tile holds `tile[3]` channels of the input at a time, a part the weights of `tile[0]` filters for them.
    """

    tile: Tile
    members: int
    teams: int
    sharing: int
    tile_slots: int
    weight_slots: int
    result_slots: int
    load_steps: int = 1

    def chunks(self, plan: Plan) -> int:
        """In how many chunks the input's channels come."""
        return -(-plan.reduction // self.tile[3])

    def share(self, plan: Plan) -> int:
        """The most parts of the filters that one team has."""
        parts = -(-plan.view.channels // self.tile[0])
        return -(-parts // self.teams)

    def partial_slots(self, plan: Plan) -> int:
        """Places for partial sums in each PE."""
        return self.share(plan) if self.chunks(plan) > 1 else 0

    def home_slots(self, plan: Plan) -> int:
        """Parts that each PE keeps for its team when all weights are at home."""
        return -(-self.groups(plan) * self.sharing * self.chunks(plan) // self.members)

    def groups(self, plan: Plan) -> int:
        """In how many groups, one part for each of the neighbours that share, a team's parts come."""
        return -(-self.share(plan) // self.sharing)

    def waves(self, plan: Plan) -> int:
        """How often a team takes new tiles."""
        return -(-tile_count(plan, self.tile) // self.members)


RESULT_SLOTS = 2
"""Places for results: one is written while the other is stored."""


@frozen(eq=False)
class TeamTable:
    """Many splits as columns, int64[n] each but for `tile` [n, 4]; `bytes` are those of all their regions."""

    tile: Array
    members: Array
    teams: Array
    sharing: Array
    tile_slots: Array
    weight_slots: Array
    load_steps: Array
    share: Array
    waves: Array
    chunks: Array
    bytes: Array

    @classmethod
    def of(
        cls,
        plan: Plan,
        tile: Array,
        members: Array,
        teams: Array,
        sharing: Array,
        tile_slots: Array,
        weight_slots: Array,
        load_steps: Array,
    ) -> TeamTable:
        """The splits of a layer with the columns that follow from the others."""
        view = plan.view
        tiles, parts = -(-view.rows // tile[:, 1]) * -(-view.columns // tile[:, 2]), -(-view.channels // tile[:, 0])
        share, waves, chunks = -(-parts // teams), -(-tiles // members), -(-plan.reduction // tile[:, 3])
        nothing = np.zeros(len(tile), np.int64)
        return cls(tile, members, teams, sharing, tile_slots, weight_slots, load_steps, share, waves, chunks, nothing)

    def of_rows(self, chosen: Array) -> TeamTable:
        """Some of the splits."""
        return TeamTable(**{name: column[chosen] for name, column in attrs.asdict(self, recurse=False).items()})

    def split(self, n: int) -> TeamSplit:
        """Split `n`."""
        channels, rows, columns, reduction = self.tile[n].tolist()
        names = ("members", "teams", "sharing", "tile_slots", "weight_slots", "load_steps")
        numbers = {name: int(getattr(self, name)[n]) for name in names}
        return TeamSplit((channels, rows, columns, reduction), result_slots=RESULT_SLOTS, **numbers)


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

    Parts are dealt to the teams in turn, so that channels are finished from the first to the last and who reads the
    result may load them meanwhile; part n is number `part_place[n]` of the share of `part_team[n]`.
    """

    def __init__(self, plan: Plan, split: TeamSplit) -> None:
        self.split = split
        self.spans = grid_bounds(plan.reduction, split.tile[3])
        self.tiles = spatial_tiles(plan, split.tile)
        self.parts = grid_bounds(plan.view.channels, split.tile[0])
        self.part_place, self.part_team = np.divmod(np.arange(len(self.parts)), split.teams)
        self.q = np.arange(split.teams * split.members)
        self.member, self.team = self.q % split.members, self.q // split.members
        self.count = np.bincount(self.part_team, minlength=split.teams)[self.team]
        self.place, self.ring = self.member % split.sharing, self.member // split.sharing
        self.share, self.groups = split.share(plan), split.groups(plan)

    def tile_of(self, wave: int) -> Array:
        """The tile of each PE; len(tiles) or more where there is none."""
        return wave * self.split.members + self.member

    def part(self, q: Array, place: Array) -> Array:
        """The part that is number `place` of the share of the PEs `q`."""
        return np.asarray(place * self.split.teams + self.team[q])

    def origin(self, group: int, *, home: bool) -> int:
        """The ring of neighbours of each team that fetches a group of parts for all: where they are at home."""
        rings = max(self.split.members // self.split.sharing, 1)
        return group % rings if home else rings // 2

    def held(self, group: int) -> Array:
        """How many parts of a group the neighbours of a PE hold together."""
        return np.clip(self.count - group * self.split.sharing, 0, self.split.sharing)


def schedule_teams(emitter: BlockEmitter, split: TeamSplit, nearest: Array, homes: Sequence[int] = ()) -> None:
    """All pieces of a convolution without groups; `nearest` is the DRAM port next to each PE.

    With addresses `homes` the weights come ahead of time: each PE keeps some parts there until they are wanted.
    """
    rows = emitter.rows
    deal = _Deal(emitter.plan, split)
    found = [_records(emitter, deal, chunk, nearest, home=bool(homes)) for chunk in range(len(deal.spans))]
    source = _bring_home(emitter, deal, found, homes) if homes else found
    parts = deal.groups * len(deal.spans)
    resident = parts <= split.weight_slots
    rows.next_step()
    emitter.load_fixed(deal.q)
    turns = 0
    for wave in range(split.waves(emitter.plan)):
        active = np.flatnonzero(deal.tile_of(wave) < len(deal.tiles))
        for chunk in range(len(deal.spans)):
            place = wave * len(deal.spans) + chunk
            _load_tiles(emitter, deal, active, wave, chunk, place % split.tile_slots)
            for group in range(deal.groups):
                slot = (place * deal.groups + group) % (parts if resident else split.weight_slots)
                if wave == 0 or not resident:
                    _load_weights(emitter, deal, source[chunk], active, chunk, group, slot, home=bool(homes))
                for turn in range(split.sharing):
                    work = _Turn(wave, chunk, group, turn, place % split.tile_slots, slot)
                    emitter.use_set(turns)
                    _turn(emitter, deal, found[chunk], active, work)
                    turns += 1


def _records(emitter: BlockEmitter, deal: _Deal, chunk: int, nearest: Array, *, home: bool) -> Records:
    """The parts of the weights for a chunk of channels, those of the last chunk with the parameters behind them."""
    split, last = deal.split, chunk == len(deal.spans) - 1
    group = deal.part_place // split.sharing
    if home:
        q = _home_of(deal, chunk)[0]
    else:
        q = deal.part_team * split.members + deal.origin(0, home=False) * split.sharing
        q += deal.part_place % split.sharing
    return part_records(
        emitter.rows,
        emitter.dram,
        emitter.plan,
        emitter.layer,
        emitter.parameters if last else [],
        deal.parts,
        np.broadcast_to(deal.spans[chunk], (len(deal.parts), 2)),
        weights=True,
        ports=_balanced(nearest[q], group, emitter.dram.ports),
    )


def _balanced(wanted: Array, group: Array, ports: int) -> Array:
    """Ports as `wanted`, but of the parts of one group each port has its share and no more: others take over."""
    count = np.bincount(group)[group]
    quota = -(-count // ports)
    order = np.lexsort([np.arange(len(wanted)), wanted, group])
    key = group[order] * ports + wanted[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    rank = np.empty(len(wanted), np.int64)
    rank[order] = np.arange(len(key)) - np.repeat(start, np.diff(np.append(start, len(key))))
    found = np.array(wanted, np.int64)
    excess = np.flatnonzero(rank >= quota)
    for each in np.unique(group[excess]).tolist():
        mine, moved = group == each, excess[group[excess] == each]
        free = np.maximum(quota[moved[0]] - np.bincount(wanted[mine], minlength=ports), 0)
        found[moved] = np.repeat(np.arange(ports), free)[: len(moved)]
    return found


def _load_tiles(emitter: BlockEmitter, deal: _Deal, active: Array, wave: int, chunk: int, slot: int) -> None:
    pieces = deal.tiles[deal.tile_of(wave)[active]].copy()
    pieces[:, 0] = deal.parts[0]
    core = stage_boxes(emitter.plan, pieces)[0]
    span = np.broadcast_to(deal.spans[chunk], (len(active), 2))
    emitter.rows.next_step()
    pad_first(emitter, active, core, span, slot)
    emitter.rows.next_step()
    load_first(emitter, active, core, span, slot, pad=False, steps=deal.split.load_steps)


HOME_BYTES = 1 << 16
"""Bytes that come from DRAM in one step, so that more urgent ones need not wait for long."""


def _home_of(deal: _Deal, chunk: int) -> tuple[Array, Array]:
    """The PE of the team that keeps each part of a chunk, and how many it keeps before that."""
    slot, member = np.divmod(chunk * deal.groups * deal.split.sharing + deal.part_place, deal.split.members)
    return deal.part_team * deal.split.members + member, slot


def _bring_home(emitter: BlockEmitter, deal: _Deal, found: list[Records], homes: Sequence[int]) -> list[Records]:
    """Loads every part into a PE of the team that will want it, what is wanted first coming first."""
    places = np.array(homes, np.int64)
    brought = []
    for chunk, records in enumerate(found):
        q, slot = _home_of(deal, chunk)
        address = places[slot]
        buffer = emitter.rows.buffers(emitter.pes[q], BufferKind.WEIGHTS, emitter.layer, address, records.size)
        at_once = max(HOME_BYTES // (int(records.size.max()) * deal.split.teams), 1)
        for low in range(0, deal.share, at_once):
            some = np.flatnonzero((deal.part_place >= low) & (deal.part_place < low + at_once))
            emitter.rows.next_step()
            emitter.rows.transfers(
                emitter.layer,
                Phase.WEIGHTS,
                records.boxes(some),
                records.buffer[some],
                records.address[some],
                buffer[some],
                address[some],
            )
        brought.append(attrs.evolve(records, buffer=buffer, address=address))
    return brought


def _load_weights(
    emitter: BlockEmitter,
    deal: _Deal,
    found: Records,
    active: Array,
    chunk: int,
    group: int,
    slot: int,
    *,
    home: bool,
) -> None:
    """One ring of neighbours of each team fetches its parts; from there they are handed on, ring by ring, both ways."""
    sharing = deal.split.sharing
    number = deal.part(deal.q, group * sharing + deal.place)
    # A neighbour without a tile of its own holds a part for the others.
    last = np.full(deal.split.teams, -1)
    np.maximum.at(last, deal.team[active], deal.ring[active])
    wanted = (deal.place < deal.held(group)) & (deal.ring <= last[deal.team])
    whole = max(deal.split.members // sharing, 1) - 1
    origin = np.minimum(deal.origin(chunk * deal.groups + group, home=home), np.minimum(last, whole))[deal.team]
    first = deal.q[wanted & (deal.ring == origin)]
    emitter.rows.next_step()
    emitter.load_records(first, found, number[first], slot, Phase.MIGRATION if home else Phase.WEIGHTS)
    away = deal.ring - origin
    for hop in range(1, int(np.abs(away[wanted]).max(initial=0)) + 1):
        target = deal.q[wanted & (np.abs(away) == hop)]
        source = target - np.sign(away[target]) * sharing
        emitter.rows.next_step()
        emitter.copy_slots(source, target, found.size[number[target]], slot, slot, Phase.MIGRATION)


@frozen
class _Turn:
    """One piece for each PE: its wave, chunk, group of parts, whose part of it; the slots of both operands."""

    wave: int
    chunk: int
    group: int
    turn: int
    tile_slot: int
    weight_slot: int


def _turn(emitter: BlockEmitter, deal: _Deal, found: Records, active: Array, work: _Turn) -> None:
    """One piece for every PE that still has one: with the part of its `turn`-th neighbour."""
    plan, sharing = emitter.plan, deal.split.sharing
    held = deal.held(work.group)[active]
    busy = active[work.turn < held]
    if not len(busy):
        return
    neighbour = (deal.place[busy] + work.turn) % deal.held(work.group)[busy]
    # The last neighbours of a team may be too few; those before them hold the other parts.
    holder = busy - deal.place[busy] + neighbour
    holder -= np.where(deal.member[busy] - deal.place[busy] + neighbour >= deal.split.members, sharing, 0)
    place = work.group * sharing + neighbour
    index = deal.part(busy, place)
    pieces = deal.tiles[deal.tile_of(work.wave)[busy]].copy()
    pieces[:, 0] = deal.parts[index]
    buffer, address = emitter.slots[work.weight_slot]
    core = stage_boxes(plan, pieces)[0]
    span = np.broadcast_to(deal.spans[work.chunk], (len(busy), 2))
    weights = (buffer[holder], address[holder] + found.weights[index])
    kept = (emitter.partial[0][busy], emitter.partial[1][busy] + place * emitter.demand.partial)
    first, last = work.chunk == 0, work.chunk == len(deal.spans) - 1
    if last:
        emitter.rows.next_step()
        load_sources(emitter, busy, pieces)
    emitter.rows.next_step()
    emitter.mac(busy, core, span, weights, target=kept if first and not last else None, slot=work.tile_slot)
    if not first:
        emitter.rows.next_step()
        sums = (emitter.results[0][0][busy], emitter.results[0][1][busy])
        emitter.accumulate(busy, core, *((kept, sums) if last else (sums, kept)))
    if last:
        finish(emitter, busy, pieces, Post((buffer[holder], address[holder]), found, index))
