"""Ways to deal a layer to processing elements, ranked by an estimate; the best are timed, alone on the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from ...passes.tile.demand import FILTER_GROUP, Demand, Demands, Tile, demand, demands, filter_bytes
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align
from ...runtime.spinn2.clocks import Clocks
from .emit import BlockEmitter
from .estimate import LayerCost
from .machine import Machine, Qpe
from .memory import Dram, Storage
from .order import total_clocks
from .place import Placement
from .regions import NoRoom, Want, take_places
from .rows import Rows, program_of
from .teams import RESULT_SLOTS, TeamSplit, TeamTable, schedule_teams

Array = NDArray[Any]

LOAD_BYTES = 1 << 19
"""Bytes that all PEs load in one step, so that others may use the NoC between them."""
MOST_LOAD_STEPS = 8
SPARE, MARGIN = 1.3, 2048
"""What maps take beyond their bytes when cut into bands, and bytes lost between regions."""
LOADED = 0.2
"""What the bytes of all tiles count beside the products of all pieces, both relative to the least, to rank shapes."""
MOST_ROOM = 0.9
"""Share of a PE's SRAM that a tile and two parts of the weights may take."""
SHAPES = 40
"""Shapes of tiles that are looked at more closely."""
CHUNK_CHANNELS = 64
"""Fewest channels of the input that may come at a time."""


MOST_RESIDENT = 16
"""Most parts of the weights that may stay in each PE for all waves."""


def team_regions(plan: Plan, split: TeamSplit, need: Demand, *, eager: bool = False) -> list[Want]:
    """The regions of an emitter for teams, in the order in which it takes them.

    All tiles and weights are early if `eager`, else the first of each.
    """
    partial = Want(need.partial * split.partial_slots(plan), late=eager)
    return _regions(need, split.tile_slots, split.weight_slots, split.result_slots, partial, eager=eager)


def slot_regions(need: Demand, tile_slots: int, weight_slots: int, result_slots: int) -> list[Want]:
    """The regions of any other emitter, in the order in which it takes them."""
    return _regions(need, tile_slots, weight_slots, result_slots, Want(need.partial))


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
    """Numbers of all PEs, QPE after QPE so that neighbours in the list are neighbours on the mesh."""

    def place(qpe: Qpe) -> tuple[int, int]:
        return qpe.y, qpe.x if qpe.y % 2 == 0 else -qpe.x

    order = sorted(machine.qpes, key=place)
    return np.array([machine.pe_of(qpe, i) for qpe in order for i in range(machine.mesh.pes_per_qpe)])


@frozen
class Ranked:
    """A split, the clocks that the layer is thought to take, and the bytes that it needs to work in."""

    clocks: float
    bytes: int
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
    """Ranks ways to deal layers to `elements`; times `effort` of each kind of layer."""

    machine: Machine
    clocks: Clocks
    elements: Array
    nearest: Array
    effort: int
    _known: dict[Any, list[Any]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, machine: Machine, clocks: Clocks, effort: int) -> Splits:
        """Splits for all PEs of a machine."""
        elements = snake(machine)
        nearest = np.array([machine.nearest_port(machine.qpe_of(int(pe))) for pe in elements])
        return cls(machine, clocks, elements, nearest, effort)

    def teams(self, plan: Plan, way: float) -> list[Ranked]:
        """Splits of a convolution, the fastest first: timed those that look best, then the others.

        `way` is what is taken for the length of ways (see `estimate.py`).
        """
        operations = tuple(stage.op.name for stage in plan.stages)
        shapes = (plan.view, plan.first.view, plan.reduction, plan.stages[0].window, plan.weight.shape)
        key = (*shapes, operations, way)
        if key not in self._known:
            table = self._candidates(plan)
            clocks = LayerCost(plan, self.clocks, way).teams(table)
            order = np.lexsort([table.sharing, table.members, *table.tile.T[::-1], clocks])
            found = [Ranked(float(clocks[n]), int(table.bytes[n]), table.split(n)) for n in order.tolist()]
            maps = [plan.first.view, plan.view, *(s.source.view for s in plan.stages if s.source is not None)]
            held = sum(view.size for view in maps) / len(self.elements) * SPARE
            alone = (each for each in found if each.bytes + held < self.machine.pe.data_bytes - MARGIN)
            timed = [
                attrs.evolve(each, clocks=self._measured(plan, each.split)) for each in _different(alone, self.effort)
            ]
            timed = sorted((each for each in timed if each.clocks < np.inf), key=lambda each: each.clocks)
            worst = timed[-1].clocks / timed[0].clocks if timed else 1.0
            known = {each.split for each in timed}
            rest = [attrs.evolve(each, clocks=each.clocks * worst) for each in found if each.split not in known]
            self._known[key] = timed + rest
        return self._known[key]

    def _measured(self, plan: Plan, split: TeamSplit) -> float:
        """Clocks of a layer alone on the machine, its maps in SRAM; infinite where regions leave too small gaps."""
        rows = Rows(self.machine.processing_elements)
        dram = Dram(len(self.machine.dram.ports), self.machine.dram.capacity_bytes // len(self.machine.dram.ports))
        placement = Placement(rows, dram, self.elements[None], Storage(self.machine.pe.data_bytes), spread=True)
        sources = [plan.first, *(stage.source for stage in plan.stages if stage.source is not None)]
        inputs = [placement.held(source.view, source.dtype.itemsize) for source in sources]
        by_index = {source.index: held for source, held in zip(sources, inputs, strict=True)}
        output = placement.held(plan.view, plan.stages[-1].dtype.itemsize)
        maps = [by_index[index] for index in range(len(by_index))]
        try:
            places = take_places(placement.storage, team_regions(plan, split, demand(plan, split.tile)), 0)
        except NoRoom:
            return float("inf")
        emitter = BlockEmitter(
            rows,
            dram,
            plan,
            0,
            split.tile,
            self.elements,
            maps,
            output,
            weight_slots=split.weight_slots,
            tile_slots=split.tile_slots,
            result_slots=split.result_slots,
            partial_slots=split.partial_slots(plan),
            relu_apart=False,
            allocate=places.allocate(),
        )
        schedule_teams(emitter, split, self.nearest)
        return float(total_clocks(program_of(rows, dram, self.machine), self.clocks))

    def _candidates(self, plan: Plan) -> TeamTable:
        """All splits worth looking at that fit an empty machine."""
        shapes, chunks, channels = self._shapes(plan), _chunk_sizes(plan.reduction), _channel_sizes(plan.view.channels)
        tiles = np.array([(k, *shape, chunk) for shape in shapes for chunk in chunks for k in channels], np.int64)
        tiles = tiles.reshape(-1, 4)
        need = demands(plan, tiles)
        rows: list[tuple[int, ...]] = []
        for n, (k, r, c, chunk) in enumerate(tiles.tolist()):
            count, parts = -(-plan.view.rows // r) * -(-plan.view.columns // c), -(-plan.view.channels // k)
            for size in _members(count, len(self.elements)):
                dealt = min(len(self.elements) // size, parts)
                share, waves, loads = -(-parts // dealt), -(-count // size), -(-plan.reduction // chunk)
                for sharers in (1, 2, 4):
                    if sharers > min(size, share, self.machine.mesh.pes_per_qpe):
                        continue
                    groups = -(-share // sharers) * loads
                    slots = {min(groups, 2)} | ({min(groups, 4)} if loads > 1 else set())
                    slots |= {groups} if waves > 1 and groups <= MOST_RESIDENT else set()
                    rows += [(n, size, dealt, sharers, min(waves * loads, 2), each) for each in sorted(slots)]
        columns = np.array(rows, np.int64).reshape(-1, 6)
        number, members, teams, sharing, tile_slots, weight_slots = (columns[:, n] for n in range(6))
        steps = np.clip(-(-members * teams * need.first[number] // LOAD_BYTES), 1, MOST_LOAD_STEPS)
        table = TeamTable.of(plan, tiles[number], members, teams, sharing, tile_slots, weight_slots, steps)
        table = attrs.evolve(table, bytes=work_bytes(table, need, number))
        return table.of_rows(table.bytes <= self.machine.pe.data_bytes)

    def _shapes(self, plan: Plan) -> list[tuple[int, int]]:
        """Rows and columns of tiles for which the MAC array and the NoC have least to do in all."""
        view, cost = plan.view, LayerCost(plan, self.clocks)
        sizes = np.array([(rows, columns) for rows in _sizes(view.rows) for columns in _sizes(view.columns)])
        least = filter_bytes(plan, min(FILTER_GROUP, view.channels), plan.reduction)
        sizes = sizes[cost.tile_bytes(sizes[:, 0], sizes[:, 1]) + 2 * least < self.machine.pe.data_bytes * MOST_ROOM]
        rows, columns = sizes[:, 0], sizes[:, 1]
        tiles = -(-view.rows // rows) * -(-view.columns // columns)
        if not len(sizes):
            return []
        products = tiles * cost.mac(np.full(len(sizes), FILTER_GROUP), rows, columns)
        loaded = tiles * cost.tile_bytes(rows, columns)
        order = np.lexsort([rows * columns, products / products.min() + loaded / loaded.min() * LOADED])
        return [(int(rows[n]), int(columns[n])) for n in order[:SHAPES]]

    def waves(self, plan: Plan, tile: Tile) -> list[Tile]:
        """Pieces of a block without teams, the fastest first."""
        key = ("waves", plan.view, plan.first.view, plan.reduction, tuple(s.op.name for s in plan.stages), tile)
        if key in self._known:
            return self._known[key]
        cost, view = LayerCost(plan, self.clocks), plan.view
        reduction = tile[3]
        rows = _sizes(view.rows)
        columns = [view.columns] if plan.core == "rows" else _sizes(view.columns)
        each = view.channels // plan.groups if plan.core == "conv" else view.channels
        channels = [view.channels] if plan.core == "channels" else _channel_sizes(each)
        found: list[tuple[float, Tile]] = []
        for r in rows:
            for c in columns:
                for k in channels:
                    piece = (k, r, c, reduction)
                    found.append((cost.waves(piece, len(self.elements)), piece))
        found.sort()
        self._known[key] = [piece for _, piece in found] + [tile]
        return self._known[key]


PARTS = (*range(1, 65), *range(72, 145, 8), *range(160, 289, 16))
"""Into how many equal parts an axis may be cut."""


def _sizes(extent: int) -> list[int]:
    """Tile sizes along one axis: one for each number of equal parts."""
    return sorted({-(-extent // parts) for parts in PARTS if parts <= extent}, reverse=True)


def _different(found: Iterable[Ranked], count: int) -> list[Ranked]:
    """The best splits, at most two of a shape of tiles."""
    chosen: list[Ranked] = []
    seen: dict[tuple[int, int], int] = {}
    for each in found:
        shape = each.split.tile[1], each.split.tile[2]
        if len(chosen) >= count:
            break
        if seen.get(shape, 0) < 2:
            seen[shape] = seen.get(shape, 0) + 1
            chosen.append(each)
    return chosen


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


def _members(tiles: int, count: int) -> list[int]:
    """Sizes of a team that need few waves, all as full as possible."""
    found = {-(-tiles // waves) for waves in range(1, 33)}
    return sorted(size for size in found if size <= count)
