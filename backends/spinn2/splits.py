"""Ways to deal a layer to processing elements, ranked by an estimate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from ...passes.tile.demand import FILTER_GROUP, Demand, Demands, Tile, demands, filter_bytes, parameters
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align
from ...runtime.spinn2.clocks import Clocks
from .estimate import LayerCost
from .machine import Machine, Qpe
from .regions import Want
from .teams import RESULT_SLOTS, TeamSplit, TeamTable

Array = NDArray[Any]

LOAD_BYTES = 1 << 19
"""Bytes that all PEs load in one step, so that others may use the NoC between them."""
MOST_LOAD_STEPS = 8
LOADED = 0.2
"""What the bytes of all tiles count beside the products of all pieces, both relative to the least, to rank shapes."""
MOST_ROOM = 0.9
"""Share of a PE's SRAM that a tile and two parts of the weights may take."""
SHAPES = 40
"""Shapes of tiles that are looked at more closely."""
LARGE_MAP = 700
"""Rows times columns from which on a map may be made in several waves, so that its readers may begin."""
WORTH_WAVES = 1.5
"""How much slower, alone, a layer may be in several waves."""
CHUNK_CHANNELS = 64
"""Fewest channels of the input that may come at a time."""
Kind: TypeAlias = tuple[Hashable, ...]
"""What layers have in common that take the same splits."""
MOST_ALIKE = 100
"""Of so many splits one at least is thought to differ in more than places and steps."""
MOST_RESIDENT = 16
"""Most parts of the weights that may stay in each PE for all waves."""
MOST_WAVES = 32
SHARERS = np.array([1, 2, 4])
"""How many neighbours may share parts of the weights."""


def team_regions(plan: Plan, split: TeamSplit, need: Demand, *, eager: bool = False) -> list[Want]:
    """The regions of an emitter for teams, in the order in which it takes them.

    All tiles and weights are early if `eager`, else the first of each.
    """
    partial = Want(need.partial * split.partial_slots(plan), late=eager)
    return _regions(need, split.tile_slots, split.weight_slots, split.result_slots, partial, eager=eager)


def slot_regions(need: Demand, tile_slots: int, weight_slots: int, result_slots: int) -> list[Want]:
    """The regions of any other emitter, in the order in which it takes them."""
    return _regions(need, tile_slots, weight_slots, result_slots, Want(need.partial))


def stream_regions(need: Demand, weight_slots: int, result_slots: int) -> list[Want]:
    """The regions of an emitter for streams, in the order in which it takes them."""
    return _regions(need, 1, weight_slots, result_slots, Want(need.partial * result_slots))


def _regions(
    need: Demand, tile_slots: int, weight_slots: int, result_slots: int, partial: Want, *, eager: bool = False
) -> list[Want]:
    wants = [Want(need.first, early=eager or number == 0) for number in range(tile_slots)]
    wants += [Want(need.weights + need.post, early=eager or number == 0) for number in range(weight_slots)]
    wants.append(partial)
    wants += [Want(each, late=True) for each in need.stages] * result_slots
    wants += [Want(each, early=True) for each in need.sources] * result_slots
    wants.append(Want(need.fixed, early=True))
    return [want for want in wants if want.bytes]


def snake(machine: Machine) -> Array:
    """Numbers of all PEs, QPE after QPE so that most neighbours in the list are neighbours on the mesh.

    Many layers leave the last ones without work: those of the QPE in the middle, where most packets pass.
    """
    middle = np.mean(machine.qpes, axis=0)
    last = min(machine.qpes, key=lambda qpe: (float(np.abs(np.array(qpe) - middle).sum()), qpe))

    def place(qpe: Qpe) -> tuple[bool, int, int]:
        return qpe == last, qpe.y, qpe.x if qpe.y % 2 == 0 else -qpe.x

    order = sorted(machine.qpes, key=place)
    return np.array([machine.pe_of(qpe, i) for qpe in order for i in range(machine.mesh.pes_per_qpe)])


@frozen
class Ranked:
    """A split, and the clocks that the layer is thought to take."""

    clocks: float
    split: TeamSplit


def work_bytes(table: TeamTable, need: Demands, number: Array) -> Array:
    """Bytes of all regions of splits whose tiles have numbers among `need`."""
    results = [align(each, MAC_ROW_BYTES) for each in (*need.stages, *need.sources)]
    total = RESULT_SLOTS * np.sum(results, axis=0)[number] + align(need.fixed, MAC_ROW_BYTES)
    total += table.tile_slots * align(need.first, MAC_ROW_BYTES)[number]
    total += table.weight_slots * align(need.weights + need.post, MAC_ROW_BYTES)[number]
    return np.asarray(total + table.share * need.partial[number])


@define(eq=False)
class Splits:
    """Ranks ways to deal layers to `elements`."""

    machine: Machine
    clocks: Clocks
    elements: Array
    nearest: Array
    _rankings: dict[tuple[Kind, float, bool], tuple[Array, TeamTable]] = attrs.field(factory=dict)
    _pieces: dict[tuple[Kind, Tile], list[Tile]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, machine: Machine, clocks: Clocks) -> Splits:
        """Splits for all PEs of a machine."""
        elements = snake(machine)
        nearest = np.array([machine.nearest_port(machine.qpe_of(int(pe))) for pe in elements])
        return cls(machine, clocks, elements, nearest)

    def kind(self, plan: Plan) -> Kind:
        """What layers have in common whose splits rank alike."""
        operations = tuple((stage.op.name, stage.maxima) for stage in plan.stages)
        weights = plan.weight.shape if plan.on_mac_array else ()
        own = tuple(entry.record_bytes for entry in parameters(plan) if entry.per_channel)
        return plan.view, plan.first.view, plan.reduction, plan.stages[0].window, weights, operations, own

    def alternatives(self, way: float, overlap: bool, count: int) -> list[tuple[Kind, TeamSplit]]:
        """For each kind of layer seen so far the best `count` splits that differ in more than places and steps."""
        found: list[tuple[Kind, TeamSplit]] = []
        for (kind, known_way, overlaps), (_, table) in self._rankings.items():
            if (known_way, overlaps) == (way, overlap):
                shape = np.column_stack([table.tile, table.members, table.teams, table.sharing])[: count * MOST_ALIKE]
                first = np.sort(np.unique(shape, axis=0, return_index=True)[1])[:count]
                found += [(kind, table.split(n)) for n in first.tolist()]
        return found

    def teams(
        self, plan: Plan, way: float, room: float, count: int, *, waves: int = 1, overlap: bool = False
    ) -> Iterator[Ranked]:
        """The best `count` splits of a convolution that need at most `room` bytes, the fastest first.

        `way` is what is taken for the length of ways and `overlap` for what readers do (see `estimate.py`). Those by
        which large maps are made in so many `waves` come before the others if they are not much slower.
        """
        key = (self.kind(plan), way, overlap)
        if key not in self._rankings:
            self._rankings[key] = self._ranking(plan, way, overlap)
        clocks, table = self._rankings[key]
        fits = np.flatnonzero(table.bytes <= room)
        if waves > 1 and plan.view.rows * plan.view.columns >= LARGE_MAP:
            wanted = (table.waves[fits] >= waves) & (clocks[fits] <= clocks[0] * WORTH_WAVES)
            fits = np.concatenate([fits[wanted], fits[~wanted]])
        for n in fits[:count].tolist():
            yield Ranked(float(clocks[n]), table.split(n))

    def _ranking(self, plan: Plan, way: float, overlap: bool) -> tuple[Array, TeamTable]:
        """Clocks of all splits, and themselves, the fastest first."""
        cost = LayerCost(plan, self.clocks, way, overlap)
        table = self._candidates(cost)
        clocks = cost.teams(table)
        order = np.lexsort([table.sharing, table.members, *table.tile.T[::-1], clocks])
        return clocks[order], table.of_rows(order)

    def _candidates(self, cost: LayerCost) -> TeamTable:
        """All splits worth looking at that fit an empty machine."""
        plan = cost.plan
        chunks, sizes = _chunk_sizes(plan.reduction), _channel_sizes(plan.view.channels)
        found = [(k, *shape, chunk) for shape in self._shapes(cost) for chunk in chunks for k in sizes]
        tiles = np.array(found, np.int64).reshape(-1, 4)
        need = demands(plan, tiles)
        channels, rows, columns, chunk = tiles.T
        loads, parts = -(-plan.reduction // chunk), -(-plan.view.channels // channels)
        number, members, waves = _members(
            -(-plan.view.rows // rows) * -(-plan.view.columns // columns), len(self.elements)
        )
        teams = np.minimum(len(self.elements) // members, parts[number])
        share = -(-parts[number] // teams)
        most = np.minimum(np.minimum(members, share), self.machine.mesh.pes_per_qpe)
        dealt, which = np.nonzero(most[:, None] >= SHARERS)
        sharing = SHARERS[which]
        row, weight_slots = _slot_counts(-(-share[dealt] // sharing), loads[number[dealt]], waves[dealt])
        sharing, dealt = sharing[row], dealt[row]
        number, members, teams, waves = number[dealt], members[dealt], teams[dealt], waves[dealt]
        tile_slots = np.minimum(waves * loads[number], 2)
        steps = np.clip(-(-members * teams * need.first[number] // LOAD_BYTES), 1, MOST_LOAD_STEPS)
        table = TeamTable.of(plan, tiles[number], members, teams, sharing, tile_slots, weight_slots, steps)
        table = attrs.evolve(table, bytes=work_bytes(table, need, number))
        return table.of_rows(table.bytes <= self.machine.pe.data_bytes)

    def _shapes(self, cost: LayerCost) -> list[tuple[int, int]]:
        """Rows and columns of tiles for which the MAC array and the NoC have least to do in all.

        Those that hold as many channels of the input at a time as the smallest tile can. Where readers overlap, also
        those for which the ARM core has least to do if it is the busier one: tiles may well be small then.
        """
        plan, view = cost.plan, cost.plan.view
        sizes = np.array([(rows, columns) for rows in _sizes(view.rows) for columns in _sizes(view.columns)])
        whole, room = cost.tile_bytes(sizes[:, 0], sizes[:, 1]), self.machine.pe.data_bytes * MOST_ROOM
        for chunk in _chunk_sizes(plan.reduction):
            least = filter_bytes(plan, min(FILTER_GROUP, view.channels), chunk)
            fits = whole * chunk / plan.reduction + 2 * least < room
            if fits.any():
                break
        else:
            return []
        rows, columns = sizes[fits].T
        tiles = -(-view.rows // rows) * -(-view.columns // columns)
        channels = np.full(len(rows), FILTER_GROUP)
        products, stages = (tiles * each(channels, rows, columns) for each in (cost.mac, cost.arm))
        loaded = tiles * cost.tile_bytes(rows, columns)
        chosen: dict[int, None] = {}
        for work in (products, np.maximum(products, stages)) if cost.overlap else (products,):
            order = np.lexsort([rows * columns, work / products.min() + loaded / loaded.min() * LOADED])
            chosen |= dict.fromkeys(order[:SHAPES].tolist())
        return [(int(rows[n]), int(columns[n])) for n in chosen]

    def waves(self, plan: Plan, tile: Tile) -> list[Tile]:
        """Pieces of a block without teams, the fastest first."""
        key = (self.kind(plan), tile)
        if key in self._pieces:
            return self._pieces[key]
        cost, view = LayerCost(plan, self.clocks), plan.view
        reduction = tile[3]
        rows = _sizes(view.rows)
        columns = [view.columns] if plan.core == "rows" else _sizes(view.columns)
        each = view.channels // plan.groups if plan.core == "conv" else view.channels
        channels = [view.channels] if plan.core == "channels" else _channel_sizes(each)
        if plan.core == "pool":
            # No group of filters has to be kept together.
            channels = sorted({*channels, *(size for size in (1, 2) if size < each)})
        found: list[tuple[float, Tile]] = []
        for r in rows:
            for c in columns:
                for k in channels:
                    piece = (k, r, c, reduction)
                    found.append((cost.waves(piece, len(self.elements)), piece))
        found.sort()
        self._pieces[key] = [piece for _, piece in found] + [tile]
        return self._pieces[key]


PARTS = (*range(1, 65), *range(72, 145, 8), *range(160, 289, 16))
"""Into how many equal parts an axis may be cut."""


def _sizes(extent: int) -> list[int]:
    """Tile sizes along one axis: one for each number of equal parts."""
    return sorted({-(-extent // parts) for parts in PARTS if parts <= extent}, reverse=True)


def _channel_sizes(channels: int) -> list[int]:
    sizes = {channels} | {size for size in (4, 8, 16, 32, 64) if size < channels}
    return sorted(size for size in sizes if size % FILTER_GROUP == 0 or size == channels)


def _chunk_sizes(reduction: int) -> list[int]:
    """Channels of the input that come at a time: all, a half, a quarter or an eighth."""
    return [
        reduction // parts
        for parts in (1, 2, 4, 8)
        if parts == 1 or (reduction % (parts * FILTER_GROUP) == 0 and reduction // parts >= CHUNK_CHANNELS)
    ]


def _members(tiles: Array, most: int) -> tuple[Array, Array, Array]:
    """Sizes of a team that need few waves, all as full as possible: (index into `tiles`, members, waves)."""
    sizes = -(-tiles[:, None] // np.arange(1, MOST_WAVES + 1))
    index, column = np.nonzero((np.diff(sizes, axis=1, prepend=0) != 0) & (sizes <= most))
    members = sizes[index, column]
    return index, members, -(-tiles[index] // members)


def _slot_counts(groups: Array, loads: Array, waves: Array) -> tuple[Array, Array]:
    """How many groups of parts there may be places for, in ascending order: (index into `groups`, places).

    Two, or four where tiles come in several loads, or all of them where they serve several waves.
    """
    parts = groups * loads
    few = np.minimum(parts, 2)
    more = np.where(loads > 1, np.minimum(parts, 4), few)
    every = np.where((waves > 1) & (parts <= MOST_RESIDENT), parts, few)
    slots = np.sort(np.stack([few, more, every], axis=1), axis=1)
    index, column = np.nonzero(np.diff(slots, axis=1, prepend=0))
    return index, slots[index, column]
