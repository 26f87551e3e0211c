"""The mapping `optimized`: each layer takes the split that is estimated to be fastest among those that fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import attrs
import numpy as np
from attrs import define, frozen

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...passes.tile.demand import Demand, Tile, demand
from ...passes.tile.geometry import Plan
from ...passes.tile.split_layers import uses_reuse
from .dense import schedule_dense
from .emit import BlockEmitter
from .machine import Machine
from .maps import FeatureMap
from .place import Placement
from .pooling import cheapest_pooling
from .regions import NoRoom, Places, Want, aligned, start_of, stretch_all, take_homes, take_places, turns_of_loading
from .splits import Kind, Ranked, Splits, slot_regions, stream_regions, team_regions
from .streams import StreamSplit, schedule_streams
from .teams import TeamSplit, schedule_teams
from .views import better_view
from .waves import schedule_waves

TRIED = 200
"""Splits of a layer that are tried for room, best first."""
LONG_LOAD = 4000
"""Clocks of DRAM from which on a layer's weights should come ahead of time."""
WORTH_LOADING_AHEAD = 1.06
"""A split that much slower is taken if it leaves the layer before undisturbed."""
FIRST_SLOTS, MOST_SLOTS = 3, 24
"""Columns of a stream for which there is a place in any case, and at most."""


@frozen(eq=False)
class Layer:
    """A block about to be scheduled: its plan, its number, its turn among the operations that have rows.

    With `beside` it has its places, if there is room, while the layer before still works.
    """

    plan: Plan
    number: int
    turn: int
    inputs: list[FeatureMap]
    output: FeatureMap
    name: str
    beside: bool


@frozen
class Tactics:
    """What no estimate can tell: how much of each element's SRAM a layer may take to work in, if anything fits that, so
    that the rest lets weights wait; whether the first tile and weights alone have places early, `apart` from the rest,
    or all tiles and weights; how many routers long the `way` from a map to its readers is taken to be: the longer, the
    fewer teams read it; in how many `waves` large maps are made, if possible: the more, the sooner readers begin;
    whether weights wait at `home` or leave what is free to the streams of matrix products; and whether layers that keep
    the ARM cores busier than the MAC arrays `overlap` with the next one: they work in small pieces, and the next layer
    has its places and its map while they do.
    """

    work_share: float
    apart: bool
    way: float
    waves: int = 1
    home: bool = True
    overlap: bool = False


@define(eq=False)
class Choice:
    """How a layer is dealt, what its emitter has places for, and where those are.

    It is thought to take so many `clocks` if its weights are there.
    """

    layer: Layer
    places: Places
    tile: Tile
    tile_slots: int
    weight_slots: int
    result_slots: int
    teams: TeamSplit | None = None
    stream: StreamSplit | None = None
    clocks: float = 0.0

    @property
    def partial_slots(self) -> int:
        """Places for partial sums."""
        if self.teams is not None:
            return self.teams.partial_slots(self.layer.plan)
        return self.stream.result_slots if self.stream is not None else 1

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights of convolutions and matrix products."""
        plan = self.layer.plan
        return plan.view.channels * plan.reduction * math.prod(plan.stages[0].window.kernel) * plan.weight.itemsize

    @property
    def need(self) -> Demand:
        """Bytes of the regions."""
        return demand(self.layer.plan, self.tile)


@define(eq=False)
class Optimizer:
    """Chooses for all layers of a network how they are dealt and where they work, then emits them one by one."""

    machine: Machine
    placement: Placement
    splits: Splits
    tactics: Tactics
    chosen: Mapping[Kind, TeamSplit] = attrs.field(factory=dict)
    """Splits that layers of a kind take if they fit, whatever the ranking says."""
    _choices: dict[int, Choice] = attrs.field(factory=dict)

    def plan(self, layers: Sequence[Layer]) -> None:
        """Decides for all layers. Raises DoesNotFit when no piece of one fits beside the maps in SRAM."""
        for layer in layers:
            plan = cheapest_pooling(layer.plan, self.splits.clocks)
            seen = attrs.evolve(layer, plan=better_view(plan, layer.inputs, layer.output))
            try:
                self._choices[layer.number] = self._choose(seen)
            except NoRoom:
                raise self._too_large(layer) from None
        self._take_rest()

    def emit(self, number: int) -> None:
        """Adds the rows of layer `number`."""
        choice = self._choices[number]
        emitter = self._emitter(choice)
        if choice.teams is not None:
            schedule_teams(emitter, choice.teams, self.splits.nearest, [home.address for home in choice.places.homes])
        elif choice.stream is not None:
            schedule_streams(emitter, choice.stream, self.splits.nearest)
        elif choice.layer.plan.core == "matmul":
            schedule_dense(emitter)
        else:
            schedule_waves(emitter, by_rows=True, ahead=True)

    def _emitter(self, choice: Choice) -> BlockEmitter:
        layer = choice.layer
        return BlockEmitter(
            self.placement.rows,
            self.placement.dram,
            layer.plan,
            layer.number,
            choice.tile,
            self.splits.elements,
            layer.inputs,
            layer.output,
            weight_slots=choice.weight_slots,
            tile_slots=choice.tile_slots,
            result_slots=choice.result_slots,
            partial_slots=choice.partial_slots,
            relu_apart=False,
            allocate=choice.places.allocate(),
        )

    def _choose(self, layer: Layer) -> Choice:
        plan = layer.plan
        if plan.block.tile is None:
            raise ValueError(f"{plan.block} has no tile; run split-layers first")
        channels, rows, columns, reduction = plan.block.tile
        cut = (channels, rows, columns, reduction)
        if plan.core == "matmul":
            return self._matmul(layer, cut)
        return self._teams(layer) if uses_reuse(plan, cut) else self._waves(layer, cut)

    def _teams(self, layer: Layer) -> Choice:
        """The fastest split that fits, if possible so that it can load while the layer before still works."""
        whole = self.splits.machine.pe.data_bytes
        part = self.tactics.work_share * whole
        for room, earlier in ((part, 1), (part, 0), (whole, 0)):
            longest = np.inf
            for number, each in enumerate(self._ranked(layer.plan, room)):
                if earlier and number == 0:
                    longest = each.clocks * WORTH_LOADING_AHEAD
                if each.clocks > longest:
                    break
                split = each.split
                need = demand(layer.plan, split.tile)
                wants = team_regions(layer.plan, split, need, eager=not self.tactics.apart)
                try:
                    places = self._take(layer, wants, least=earlier)
                except NoRoom:
                    continue
                slots = (split.tile_slots, split.weight_slots, split.result_slots)
                return Choice(layer, places, split.tile, *slots, teams=split, clocks=each.clocks)
        raise NoRoom(layer.name)

    def _ranked(self, plan: Plan, room: float) -> Iterator[Ranked]:
        tactics = self.tactics
        found = self.splits.teams(plan, tactics.way, room, TRIED, waves=tactics.waves, overlap=tactics.overlap)
        wanted = self.chosen.get(self.splits.kind(plan))
        if wanted is None:
            return found
        best = next(found, None)
        return chain([Ranked(best.clocks, wanted), best], found) if best is not None else found

    def _take(self, layer: Layer, wants: Sequence[Want], *, least: int = 0) -> Places:
        storage, apart = self.placement.storage, self.tactics.apart
        return take_places(storage, wants, layer.turn, least=least, apart=apart, beside=layer.beside)

    def _waves(self, layer: Layer, tile: Tile) -> Choice:
        """The fastest pieces that fit their share of the SRAM or, if none do, all of it."""
        whole = self.splits.machine.pe.data_bytes
        for room in (self.tactics.work_share * whole, whole):
            for each in self.splits.waves(layer.plan, tile):
                for slots in (2, 1):
                    wants = slot_regions(demand(layer.plan, each), slots, slots, slots)
                    if sum(want.bytes for want in wants) > room:
                        continue
                    try:
                        places = self._take(layer, wants)
                    except NoRoom:
                        continue
                    return Choice(layer, places, each, slots, slots, slots)
        raise NoRoom(layer.name)

    def _matmul(self, layer: Layer, tile: Tile) -> Choice:
        plan = layer.plan
        if plan.view.rows == 1:
            split = StreamSplit.of(plan, len(self.splits.elements))
            for slots in (FIRST_SLOTS, 1):
                try:
                    places = self._take(layer, stream_regions(demand(plan, split.tile), slots, split.result_slots))
                except NoRoom:
                    continue
                return Choice(layer, places, split.tile, 1, slots, split.result_slots, stream=split)
        for slots in (2, 1):
            try:
                places = self._take(layer, slot_regions(demand(plan, tile), slots, slots, 1))
            except NoRoom:
                continue
            return Choice(layer, places, tile, slots, slots, 1)
        raise NoRoom(layer.name)

    def _take_rest(self) -> None:
        """Gives what is free to weights that wait for their layer, then to the slots of streams."""
        storage = self.placement.storage
        choices = list(self._choices.values())
        loading = [self._loading(choice) for choice in choices]
        clocks = [each if choice.stream else choice.clocks for choice, each in zip(choices, loading, strict=True)]
        begins = turns_of_loading(clocks, loading)
        for choice, load, begin in zip(choices, loading, begins, strict=True):
            if choice.teams is not None and self.tactics.home and load > LONG_LOAD:
                size, turn = choice.need.weights + choice.need.post, choices[begin].places.turn
                take_homes(storage, choice.places, size, choice.teams.home_slots(choice.layer.plan), turn)
        stretch_all(storage, [home for choice in choices for home in choice.places.homes])
        for choice in choices:
            if choice.stream is not None:
                self._more_slots(choice)
        stretch_all(storage, [region for choice in choices for region in choice.places.regions])

    def _loading(self, choice: Choice) -> float:
        """Clocks for which all DRAM ports together are busy with a layer's weights."""
        dram = self.splits.clocks.dram
        weights = choice.weight_bytes if choice.teams is not None or choice.stream is not None else 0
        return weights * dram.clocks / (dram.bytes * dram.ports)

    def _more_slots(self, choice: Choice) -> None:
        """Slots for the columns of a stream, those that are free first being used first."""
        storage, turn = self.placement.storage, choice.places.turn
        size, slots = choice.need.weights + choice.need.post, choice.weight_slots
        own = choice.places.regions[1 : 1 + slots]
        stretch_all(storage, own)
        while len(own) < MOST_SLOTS:
            found = storage.take(aligned(size), start_of(turn - 1), start_of(turn), high=True)
            if found is None:
                break
            stretch_all(storage, [found])
            own.append(found)
        own.sort(key=lambda region: region.first)
        choice.places.regions[1 : 1 + slots] = own
        choice.weight_slots = len(own)

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
