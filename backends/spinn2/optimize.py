"""The mapping `optimized`: each layer takes the split that is estimated to be fastest among those that fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...passes.tile.demand import FILTER_GROUP, Demand, Tile, demand, filter_bytes
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align
from ...passes.tile.split_layers import uses_reuse
from ...runtime.spinn2.clocks import Clocks
from .dense import schedule_dense
from .emit import BlockEmitter
from .estimate import LayerCost
from .machine import Machine, Qpe
from .maps import FeatureMap
from .memory import Dram, Storage
from .order import total_clocks
from .place import Placement
from .rows import Rows, program_of
from .streams import StreamSplit, schedule_streams
from .teams import TeamSplit, home_bytes, schedule_teams, tile_count
from .views import better_view
from .waves import schedule_waves

Array = NDArray[Any]

TRIED = 200
"""Splits of a layer that are tried for room, best first."""
LOAD_BYTES = 1 << 19
"""Bytes that all PEs load in one step, so that others may use the NoC between them."""
MOST_LOAD_STEPS = 8
SPARE, MARGIN = 1.3, 2048
"""What maps take beyond their bytes when cut into bands, and bytes lost between regions."""
WORTH_WAITING = 0.25
"""Share of a layer's time from which on its weights are worth a place to wait."""
AHEAD = (8, 6, 5, 4, 3, 2, 1)
"""Layers by which weights come ahead; the first for which there is room."""
LOADED = 0.2
"""What the bytes of all tiles count beside the products of all pieces, both relative to the least, to rank shapes."""
MOST_ROOM = 0.9
"""Share of a PE's SRAM that a tile and two parts of the weights may take."""
SHAPES = 40
"""Shapes of tiles that are looked at more closely."""
WORTH_LOADING_AHEAD = 1.06
"""A split that much slower is taken if it leaves the layer before undisturbed."""
EARLIER = (6, 3, 1, 0)
"""Layers by which a layer's places should be free before it starts, so that it can load ahead; the first that goes."""


def snake(machine: Machine) -> Array:
    """Numbers of all PEs, QPE after QPE so that neighbours in the list are neighbours on the mesh."""

    def place(qpe: Qpe) -> tuple[int, int]:
        return qpe.y, qpe.x if qpe.y % 2 == 0 else -qpe.x

    order = sorted(machine.qpes, key=place)
    return np.array([machine.pe_of(qpe, i) for qpe in order for i in range(machine.mesh.pes_per_qpe)])


@frozen(eq=False)
class Layer:
    """A block about to be scheduled: its plan, its number, its turn among the operations that have rows."""

    plan: Plan
    number: int
    turn: int
    inputs: list[FeatureMap]
    output: FeatureMap
    name: str


class NoRoom(Exception):
    """There is no place for so many bytes."""


@define(eq=False)
class Optimizer:
    """Schedules blocks one after the other onto all PEs of a machine."""

    machine: Machine
    clocks: Clocks
    placement: Placement
    elements: Array
    nearest: Array
    effort: int
    _known: dict[Any, list[Any]]

    @classmethod
    def of(cls, machine: Machine, clocks: Clocks, placement: Placement, effort: int) -> Optimizer:
        """An optimizer for a machine that times `effort` splits of each kind of layer."""
        elements = snake(machine)
        nearest = np.array([machine.nearest_port(machine.qpe_of(int(pe))) for pe in elements])
        return cls(machine, clocks, placement, elements, nearest, effort, {})

    def schedule(self, layer: Layer) -> None:
        """Emits one block. Raises DoesNotFit when no piece of it fits beside the maps in SRAM."""
        layer = attrs.evolve(layer, plan=better_view(layer.plan, layer.inputs, layer.output))
        plan = layer.plan
        tile = plan.block.tile
        if tile is None:
            raise ValueError(f"{plan.block} has no tile; run split-layers first")
        channels, rows, columns, reduction = tile
        cut = (channels, rows, columns, reduction)
        try:
            if plan.core == "matmul":
                self._matmul(layer, cut)
            elif uses_reuse(plan, cut):
                self._teams(layer)
            else:
                self._waves(layer, cut)
        except NoRoom:
            raise self._too_large(layer) from None

    def _emitter(self, layer: Layer, tile: Tile, tile_slots: int, weight_slots: int, result_slots: int) -> BlockEmitter:
        return BlockEmitter(
            self.placement.rows,
            self.placement.dram,
            layer.plan,
            layer.number,
            tile,
            self.elements,
            layer.inputs,
            layer.output,
            weight_slots=weight_slots,
            tile_slots=tile_slots,
            result_slots=result_slots,
            relu_apart=False,
            allocate=lambda size: self._place(size, layer.turn),
        )

    def _place(self, size: int, turn: int, least: int = 0) -> int:
        """An address that is free while a layer computes, if possible some layers earlier, and `least` at least."""
        for earlier in EARLIER:
            if earlier < least:
                break
            first = max(2 * (turn - earlier), 0)
            address = self.placement.storage.take(size, first, 2 * turn, high=True)
            if address is not None:
                return address
        raise NoRoom(size)

    def _fits(
        self, need: Demand, turn: int, tile_slots: int, weight_slots: int, result_slots: int, *, earlier: int = 0
    ) -> bool:
        """Whether all regions of a layer find a place that is free `earlier` layers before."""
        storage = self.placement.storage
        mark = storage.mark()
        sizes = [need.first] * tile_slots + [need.weights + need.post] * weight_slots + [need.partial]
        # In the order in which an emitter takes them.
        sizes += [*need.stages] * result_slots + [*need.sources] * result_slots + [need.fixed]
        try:
            for size in sizes:
                if size:
                    self._place(int(align(size, MAC_ROW_BYTES)), turn, earlier)
        except NoRoom:
            return False
        finally:
            storage.release(mark)
        return True

    def _teams(self, layer: Layer) -> None:
        splits = self._team_splits(layer.plan)[:TRIED]
        for earlier in (1, 0):
            for clocks, split in splits:
                if earlier and clocks > splits[0][0] * WORTH_LOADING_AHEAD:
                    break
                need = demand(layer.plan, split.tile)
                slots = (split.tile_slots, split.weight_slots, split.result_slots)
                if self._fits(need, layer.turn, *slots, earlier=earlier):
                    emitter = self._emitter(layer, split.tile, *slots)
                    schedule_teams(emitter, split, self.nearest, self._home(layer, split, need, clocks))
                    return
        raise NoRoom(layer.name)

    def _home(self, layer: Layer, split: TeamSplit, need: Demand, clocks: float) -> int | None:
        """Where weights that take long to load may wait for the layer; None where they need not or cannot."""
        parts = -(-layer.plan.view.channels // split.tile[0])
        dram = self.clocks.dram
        loading = parts * need.weights * dram.clocks / (dram.bytes * dram.ports)
        if loading < clocks * WORTH_WAITING:
            return None
        size = home_bytes(split, parts, need.weights + need.post)
        for earlier in AHEAD:
            first = 2 * (layer.turn - earlier)
            address = self.placement.storage.take(size, max(first, 0), 2 * layer.turn, high=True)
            if address is not None:
                return address
        return None

    def _team_splits(self, plan: Plan) -> list[tuple[float, TeamSplit]]:
        """Splits of a convolution with their clocks, the fastest first: timed those that look best, then the others."""
        operations = tuple(stage.op.name for stage in plan.stages)
        key = (plan.view, plan.first.view, plan.reduction, plan.stages[0].window, plan.weight.shape, operations)
        if key not in self._known:
            cost = LayerCost(plan, self.clocks)
            found = [(cost.teams(split), split) for split in self._team_candidates(plan)]
            found.sort(key=lambda each: (each[0], each[1].tile, each[1].members, each[1].sharing))
            fitting = (split for _, split in found if self._fits_alone(plan, split))
            timed = [(self._measured(plan, split), split) for split in _different(fitting, self.effort)]
            timed = sorted((each for each in timed if each[0] < np.inf), key=lambda each: each[0])
            worst = timed[-1][0] / timed[0][0] if timed else 1.0
            known = {split for _, split in timed}
            rest = [(clocks * worst, split) for clocks, split in found if split not in known]
            self._known[key] = timed + rest
        return self._known[key]

    def _fits_alone(self, plan: Plan, split: TeamSplit) -> bool:
        """Whether a layer has room beside maps of its own."""
        need = demand(plan, split.tile)
        work = need.first * split.tile_slots + (need.weights + need.post) * split.weight_slots + need.fixed
        work += (sum(need.stages) + sum(need.sources)) * split.result_slots
        maps = [plan.first.view, plan.view, *(stage.source.view for stage in plan.stages if stage.source is not None)]
        held = sum(view.size for view in maps) / len(self.elements)
        return work + held * SPARE < self.machine.pe.data_bytes - MARGIN

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
        alone = Optimizer(self.machine, self.clocks, placement, self.elements, self.nearest, 0, {})
        layer = Layer(plan, 0, 0, maps, output, "")
        slots = (split.tile_slots, split.weight_slots, split.result_slots)
        try:
            schedule_teams(alone._emitter(layer, split.tile, *slots), split, self.nearest)
        except NoRoom:
            return float("inf")
        return float(total_clocks(program_of(rows, dram, self.machine), self.clocks))

    def _team_candidates(self, plan: Plan) -> Iterator[TeamSplit]:
        view, count, room = plan.view, len(self.elements), self.machine.pe.data_bytes
        for rows, columns in self._shapes(plan):
            for channels in _channel_sizes(view.channels):
                tile = (channels, rows, columns, plan.reduction)
                need = demand(plan, tile)
                if need.total(weight_slots=1) > room:
                    continue
                tiles, parts = tile_count(plan, tile), -(-view.channels // channels)
                for members in _members(tiles, count):
                    teams = min(count // members, parts)
                    share, waves = -(-parts // teams), -(-tiles // members)
                    steps = min(-(-members * teams * need.first // LOAD_BYTES), MOST_LOAD_STEPS, plan.reduction)
                    for sharing in (1, 2, 4):
                        if sharing > min(members, share, self.machine.mesh.pes_per_qpe):
                            continue
                        groups = -(-share // sharing)
                        slots = {min(groups, 2)} | ({groups} if waves > 1 and groups <= 16 else set())
                        for weight_slots in sorted(slots):
                            yield TeamSplit(tile, members, teams, sharing, min(waves, 2), weight_slots, 2, steps)

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

    def _waves(self, layer: Layer, tile: Tile) -> None:
        plan = layer.plan
        for each in self._wave_tiles(plan, tile):
            need = demand(plan, each)
            for slots in (2, 1):
                if self._fits(need, layer.turn, slots, slots, slots):
                    schedule_waves(self._emitter(layer, each, slots, slots, slots), by_rows=True)
                    return
        raise NoRoom(layer.name)

    def _wave_tiles(self, plan: Plan, tile: Tile) -> list[Tile]:
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

    def _matmul(self, layer: Layer, tile: Tile) -> None:
        plan = layer.plan
        if plan.view.rows == 1:
            split = StreamSplit.of(plan, len(self.elements))
            for slots in (12, 8, 6, 4, 3, 2, 1):
                need = demand(plan, split.tile)
                if self._fits(need, layer.turn, 1, slots, split.result_slots):
                    schedule_streams(
                        self._emitter(layer, split.tile, 1, slots, split.result_slots), split, self.nearest
                    )
                    return
        need = demand(plan, tile)
        for slots in (2, 1):
            if self._fits(need, layer.turn, slots, slots, 1):
                schedule_dense(self._emitter(layer, tile, slots, slots, 1))
                return
        raise NoRoom(layer.name)

    def _too_large(self, layer: Layer) -> DoesNotFit:
        return DoesNotFit(
            Diagnostic(
                "SNC0454",
                "no piece of the layer fits beside the maps that its neighbours keep on the chip",
                node=layer.name,
                found=f"{self.machine.pe.data_bytes} bytes of SRAM in each processing element",
                expected="a smaller layer",
                help="try a smaller input (--shape), --mapping kelber2020, or a machine with more SRAM (--machine)",
            )
        )


PARTS = (*range(1, 65), *range(72, 145, 8), *range(160, 289, 16))
"""Into how many equal parts an axis may be cut."""


def _sizes(extent: int) -> list[int]:
    """Tile sizes along one axis: one for each number of equal parts."""
    return sorted({-(-extent // parts) for parts in PARTS if parts <= extent}, reverse=True)


def _different(found: Iterable[TeamSplit], count: int) -> list[TeamSplit]:
    """The best splits, at most two of a shape of tiles."""
    chosen: list[TeamSplit] = []
    seen: dict[tuple[int, int], int] = {}
    for split in found:
        shape = split.tile[1], split.tile[2]
        if len(chosen) >= count:
            break
        if seen.get(shape, 0) < 2:
            seen[shape] = seen.get(shape, 0) + 1
            chosen.append(split)
    return chosen


def _channel_sizes(channels: int) -> list[int]:
    sizes = {channels} | {size for size in (4, 8, 16, 32, 64) if size < channels}
    return sorted(size for size in sizes if size % FILTER_GROUP == 0 or size == channels)


def _members(tiles: int, count: int) -> list[int]:
    """Sizes of a team that need few waves, all as full as possible."""
    found = {-(-tiles // waves) for waves in range(1, 33)}
    return sorted(size for size in found if size <= count)
