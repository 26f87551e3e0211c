"""What a step asks of the cores, estimated from spikes and synapses, for any cut of the populations into slices.

The estimate follows the timer (runtime/spinn1/timer.py): a core updates its neurons, sends their spikes, then serves
the packets that have come, each for its interrupt, its look-up, the rows that it fetches and their synapses. It takes
the fullest step of each source by itself and leaves out hops and off-phase spikes, and it sees the packet queue as a
fluid. It ranks choices; what it chose is timed anew.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from ...ir.dialects.builtin import FuncOp
from ...ir.dialects.spiking import EncodeOp, PopulationOp, Synapses, merge_synapses
from ...runtime.spinn1.costs import CoreCosts
from .activity import Activity
from .machine import Machine
from .partition import MOST_SOURCES, RECEPTORS, TYPE_BITS, slot_bits

Array = NDArray[Any]

ROW_HEADER_WORDS = 3
MOST_CELLS = 1 << 23
"""Rows of the synapses of a projection: neurons of the source times cores of the target times receptors."""
GROWTH = 1.2
"""Each number of cores that is looked at is that much larger than the one before."""
NEVER = math.inf


@frozen(eq=False)
class Layer:
    """A population: its number, label, neurons, projections behind the sources (`depth`), whether only the host reads
    it, and the synapses that arrive, by number of their source."""

    number: int
    label: str
    neurons: int
    depth: int
    is_source: bool
    only_read: bool
    arriving: dict[int, Synapses]


@frozen(eq=False)
class Schedule:
    """When neurons are due: `groups` and `interval` in steps."""

    groups: int
    interval: int


@frozen(eq=False)
class Rows:
    """What packets of one source do on the cores of a target.

    `joined` [slices of the source, cores]: packets of the slice come to the core. `fetched` [neurons of the source,
    cores]: clocks of the rows of a neuron and their synapses. `entries` [cores] of the master population table.
    """

    joined: Array
    fetched: Array
    entries: Array


@frozen(eq=False)
class Load:
    """The fullest step of a layer's fullest core, in clocks; NEVER where its queue overflows. `slow_sender` is the
    source whose last packets come after all other work is done, or None."""

    clocks: float
    slow_sender: int | None


@define(eq=False)
class Workload:
    """Estimates for one network on one machine; what was computed once is kept. No queue is to hold more than
    `queue_share` of the packets that it has room for."""

    layers: tuple[Layer, ...]
    activity: Activity
    costs: CoreCosts
    queue_share: float
    _counts: dict[tuple[int, int, int], Array] = field(factory=dict, init=False)
    _sent: dict[tuple[int, ...], Array] = field(factory=dict, init=False)
    _loads: dict[tuple[int, ...], Load] = field(factory=dict, init=False)

    @classmethod
    def of(cls, main: FuncOp, activity: Activity, costs: CoreCosts, queue_share: float = 1.0) -> Workload:
        """The workload of a function at stage spiking."""
        ops = [op for op in main.body.ops if isinstance(op, EncodeOp | PopulationOp)]
        number = {id(op): i for i, op in enumerate(ops)}
        sending = {id(each.source) for op in ops if isinstance(op, PopulationOp) for each in op.projections}
        layers: list[Layer] = []
        for i, op in enumerate(ops):
            parts: dict[int, list[Synapses]] = {}
            for each in op.projections if isinstance(op, PopulationOp) else ():
                parts.setdefault(number[id(each.source)], []).append(each.synapses())
            arriving = {source: merge_synapses(lists) for source, lists in sorted(parts.items())}
            arriving = {source: synapses for source, synapses in arriving.items() if len(synapses)}
            depth = 1 + max((layers[source].depth for source in parts), default=-1)
            is_source, only_read = isinstance(op, EncodeOp), id(op) not in sending
            layers.append(Layer(i, op.label, op.neurons, depth, is_source, only_read, arriving))
        return cls(tuple(layers), activity, costs, queue_share)

    def relax(self) -> None:
        """Lets queues fill to the last place."""
        self.queue_share = 1.0
        self._loads.clear()

    @property
    def nameable(self) -> frozenset[str]:
        """Labels by which a pass can be told how many neurons of a population a core takes."""
        labels = Counter(layer.label for layer in self.layers)
        return frozenset(each for each, times in labels.items() if times == 1 and each and ";" not in each)

    def sizes(self, layer: Layer, machine: Machine, groups: int) -> tuple[int, ...]:
        """Neurons on a core that come into question, falling; empty when no number has slots for the delays."""
        if layer.is_source:
            room = (machine.core.dtcm_bytes - machine.dtcm.core_bytes) // max(machine.dtcm.source_neuron_bytes, 1)
            most = min(room, MOST_SOURCES)
        else:
            longest = (
                max((layer.depth - self.layers[source].depth + 1 for source in layer.arriving), default=1) * groups
            )
            room = machine.core.ring_buffer_entries >> (TYPE_BITS + slot_bits(longest - 1))
            most = min(machine.core.neurons_per_core, room)
        if most < 1:
            return ()
        widest = max((self.layers[source].neurons for source in layer.arriving), default=1)
        limit = max(MOST_CELLS // (RECEPTORS * widest), 1)
        found: list[int] = []
        cores = -(-layer.neurons // most)
        while cores <= min(layer.neurons, max(machine.application_cores, 1)) and (cores <= limit or not found):
            size = -(-layer.neurons // cores)
            if not found or size < found[-1]:
                found.append(size)
            cores = max(cores + 1, int(cores * GROWTH))
        return tuple(found)

    def cores(self, sizes: tuple[int, ...]) -> int:
        """Cores of a tile whose populations have these numbers of neurons on a core."""
        return sum(-(-layer.neurons // size) for layer, size in zip(self.layers, sizes, strict=True))

    def load(self, number: int, sizes: tuple[int, ...], schedule: Schedule) -> Load:
        """The load of one population; `sizes` are the neurons on a core of all."""
        layer = self.layers[number]
        key = (schedule.groups, schedule.interval, number, sizes[number], *(sizes[each] for each in layer.arriving))
        if key not in self._loads:
            self._loads[key] = self._load(layer, sizes, schedule)
        return self._loads[key]

    def _load(self, layer: Layer, sizes: tuple[int, ...], schedule: Schedule) -> Load:
        costs = self.costs
        sends = self._sends(layer, sizes[layer.number], schedule).max(axis=0)
        if layer.is_source:
            return Load(float(costs.source_tick_cycles + costs.source_send_cycles * sends.max(initial=0)), None)
        update = costs.tick_cycles + costs.neuron_cycles * sizes[layer.number] + costs.send_cycles * sends
        rows = {source: self._arriving(layer, source, sizes) for source in layer.arriving}
        entries = sum((each.entries for each in rows.values()), np.zeros(sends.shape[1], np.int64))
        packet = costs.packet_cycles + costs.lookup_cycles + costs.lookup_step_cycles * np.ceil(np.log2(entries + 1))
        work, count = update.astype(np.float64), np.zeros(sends.shape)
        last, slow_sender = np.zeros(len(sends)), np.full(len(sends), -1)
        packets = {}
        for source, each in rows.items():
            sent = self._sends(self.layers[source], sizes[source], schedule)
            packets[source] = np.einsum("spk,kc->spc", sent, each.joined.astype(np.float32))
            count += packets[source].max(axis=0)
            ends = self._span(self.layers[source], sizes[source], sent)
            slow_sender[ends > last] = source
            last = np.maximum(last, ends)
        for source, each in rows.items():
            fired = self.activity.fired[source].astype(np.float32)
            for phase, chosen in enumerate(self._phases(self.layers[source], schedule)):
                # Not `@`: threads of a BLAS library cost more here than they save.
                clocks = np.einsum("sn,nc->sc", fired[:, chosen], each.fetched[chosen])
                work[phase] += (clocks + packets[source][:, phase] * packet).max(axis=0)
        if self._overflows(update, work, count, last):
            return Load(NEVER, None)
        # The last packet is served after it has come.
        served = (work - update) / np.maximum(count, 1)
        waiting = np.where(count > 0, last[:, None] + served, 0).max(axis=1)
        busy = work.max(axis=1)
        phase = int(np.argmax(np.maximum(busy, waiting)))
        waits = waiting[phase] > busy[phase]
        return Load(float(max(busy[phase], waiting[phase])), int(slow_sender[phase]) if waits else None)

    def _overflows(self, update: Array, work: Array, count: Array, last: Array) -> bool:
        """Whether more packets than the queue holds wait at some time of some step: all come evenly until `last`, and
        are served evenly, all by `work`, as soon as the neurons are updated."""
        ends = np.maximum(last, 1)[:, None]
        early = count * np.minimum(update, ends) / ends
        served = count * np.clip(ends - update, 0, None) / np.maximum(work - update, 1)
        waiting = np.maximum(early, count - np.minimum(served, count))
        return bool(waiting.max(initial=0) > self.queue_share * self.costs.fifo_packets)

    def _phases(self, layer: Layer, schedule: Schedule) -> list[Array]:
        """The neurons of a population that are due in each step, modulo the interval."""
        groups = np.arange(layer.neurons) % schedule.groups * (not layer.only_read)
        due = (layer.depth * schedule.groups + groups) % schedule.interval
        order = np.argsort(due, kind="stable")
        bounds = np.searchsorted(due[order], np.arange(schedule.interval + 1))
        return [order[bounds[phase] : bounds[phase + 1]] for phase in range(schedule.interval)]

    def _sends(self, layer: Layer, size: int, schedule: Schedule) -> Array:
        """Spikes that each core sends in each step: f32 [samples, interval, cores of `size` neurons]."""
        key = (layer.number, size, schedule.groups, schedule.interval)
        if key in self._sent:
            return self._sent[key]
        fired = self.activity.fired[layer.number]
        cores = -(-layer.neurons // size)
        found = self._sent[key] = np.zeros((len(fired), schedule.interval, cores), np.float32)
        if not layer.only_read:
            for phase, chosen in enumerate(self._phases(layer, schedule)):
                starts = np.searchsorted(chosen, np.arange(cores) * size)
                held = np.flatnonzero(np.diff(starts, append=len(chosen)))
                if len(held):
                    found[:, phase, held] = np.add.reduceat(fired[:, chosen], starts[held], axis=1, dtype=np.float32)
        return found

    def _span(self, layer: Layer, size: int, sent: Array) -> Array:
        """Clocks after the start of a step until the last packet has left: f64 [interval]."""
        costs, most = self.costs, sent.max(axis=(0, 2)).astype(np.float64)
        if layer.is_source:
            return np.asarray(costs.source_tick_cycles + costs.source_send_cycles * most)
        return np.asarray(costs.tick_cycles + costs.neuron_cycles * size + costs.send_cycles * most)

    def _arriving(self, layer: Layer, source: int, sizes: tuple[int, ...]) -> Rows:
        counts = self._synapses(layer, source, sizes[layer.number])
        starts = np.arange(0, len(counts), sizes[source])
        longest = np.maximum.reduceat(counts, starts, axis=0)
        joined = np.asarray(longest.max(axis=1) > 0)
        entries = np.where(joined.all(), 1, joined.sum(axis=0))
        if joined.all():  # One block of the whole source, its rows as long as the longest of all.
            longest = np.broadcast_to(longest.max(axis=(0, 2))[None, :, None], longest.shape)
        clocks = self.costs.dma_setup_cycles + self.costs.dma_word_cycles * (
            ROW_HEADER_WORDS + longest.astype(np.float32)
        )
        clocks = np.where(longest > 0, clocks, 0).sum(axis=1)
        filled = counts[:, 0] + counts[:, 1]
        fetched = np.repeat(clocks, np.diff(starts, append=len(counts)), axis=0)
        fetched += self.costs.synapse_cycles * filled
        fetched *= filled > 0
        return Rows(joined, fetched, entries)

    def _synapses(self, layer: Layer, source: int, size: int) -> Array:
        """How many synapses each neuron of the source has on each core: u16 [neurons, receptors, cores]."""
        key = (layer.number, source, size)
        if key not in self._counts:
            synapses, neurons = layer.arriving[source], self.layers[source].neurons
            cores = -(-layer.neurons // size)
            place = (synapses.pre * RECEPTORS + (synapses.weight < 0)) * np.int64(cores) + synapses.post // size
            found = np.bincount(place, minlength=cores * RECEPTORS * neurons)
            self._counts[key] = found.reshape(neurons, RECEPTORS, cores).astype(np.uint16)
        return self._counts[key]
