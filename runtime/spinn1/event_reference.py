"""The event-driven model (`event_kernel.py`) in plain Python: slow, obvious, the oracle of its machine code."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .checks import Integers
from .costs import CoreCosts
from .event_layout import Count, Pair, Slice, Stimulus
from .event_plan import EventPlan
from .netlist import Netlist
from .reference import MAX_SLOT, RECEPTORS


@frozen(eq=False)
class TileRun:
    """Which outputs spiked, uint8[steps, outputs], and int64[vertices, `event_layout.Count`]."""

    record: npt.NDArray[np.uint8]
    counts: Integers


def run_tile(
    netlist: Netlist, plan: EventPlan, costs: CoreCosts, x: npt.NDArray[np.uint8], tick_clocks: int
) -> TileRun:
    """Run the samples of one tile."""
    tile = _Tile(netlist, plan, costs, tick_clocks)
    for step in range((len(x) - 1) * netlist.interval + netlist.latency):
        tile.step(step, x)
    record = np.array(tile.record, np.uint8).reshape(len(tile.record), len(netlist.outputs))
    return TileRun(record, tile.counts)


class _Tile:
    """The state of the cores of one tile."""

    def __init__(self, netlist: Netlist, plan: EventPlan, costs: CoreCosts, tick_clocks: int) -> None:
        self.netlist, self.plan, self.costs, self.tick = netlist, plan, costs, tick_clocks
        self.rings = [
            np.zeros((plan.slots, RECEPTORS * int(vertex[Slice.COUNT])), np.int64) for vertex in plan.vertices
        ]
        self.spiked = np.zeros(netlist.neurons, bool)
        self.free = [0] * len(plan.vertices)
        self.fifo: list[deque[int]] = [deque(maxlen=costs.fifo_packets) for _ in plan.vertices]
        self.counts = np.zeros((len(plan.vertices), len(Count)), np.int64)
        self.record: list[npt.NDArray[np.bool_]] = []

    def step(self, step: int, x: npt.NDArray[np.uint8]) -> None:
        """One step of all cores."""
        self._stimulate(step, x)
        packets: list[tuple[int, int, int]] = []
        for vertex in range(len(self.plan.vertices)):
            packets += self._update(vertex, step)
        self.record.append(self.spiked[self.netlist.outputs["neuron"]])
        for neuron, vertex, time in sorted(packets):
            row = self.plan.vertices[vertex]
            for pair in self.plan.pairs[row[Slice.PAIR] : row[Slice.END_PAIR]]:
                self._deliver(pair, neuron, step, step * self.tick + time)
        done = np.array(self.free) - step * self.tick
        self.counts[:, Count.PEAK_CLOCKS] = np.maximum(self.counts[:, Count.PEAK_CLOCKS], done)

    def _stimulate(self, step: int, x: npt.NDArray[np.uint8]) -> None:
        sample, phase = divmod(step, self.netlist.interval)
        sources = self.plan.sources
        self.spiked[sources[:, Stimulus.NEURON]] = False
        for row in sources[self.plan.phases[phase] : self.plan.phases[phase + 1]]:
            own = sample - int(row[Stimulus.WAIT])
            if 0 <= own < len(x):
                element = row[Stimulus.ELEMENT]
                self.spiked[row[Stimulus.NEURON]] = element < 0 or x[own, element] != 0

    def _update(self, vertex: int, step: int) -> list[tuple[int, int, int]]:
        """The packets that a vertex sends: neuron, vertex, clocks after the start of the step."""
        row, costs = self.plan.vertices[vertex], self.costs
        count, first = int(row[Slice.COUNT]), int(row[Slice.NEURON])
        setup, each, send = costs.tick_cycles, costs.neuron_cycles, costs.send_cycles
        if row[Slice.SOURCE]:
            setup, each, send = costs.source_tick_cycles, 0, costs.source_send_cycles
        else:
            slot = self.rings[vertex][step % self.plan.slots]
            sums = np.minimum(slot, MAX_SLOT).reshape(RECEPTORS, count)
            slot[:] = 0
            own = slice(first, first + count)
            volts = (sums[0] << row[Slice.SHIFT_EXC]) - (sums[1] << row[Slice.SHIFT_INH]) + self.plan.offsets[own]
            self.spiked[own] = volts.astype(np.int32) >= self.plan.thresholds[own]
        spiking = np.flatnonzero(self.spiked[first : first + count]).tolist()
        packets = [(neuron, vertex, setup + (neuron + 1) * each + (n + 1) * send) for n, neuron in enumerate(spiking)]
        work = setup + count * each + len(packets) * send
        self.free[vertex] = max(self.free[vertex], step * self.tick) + work
        counts = self.counts[vertex]
        counts[Count.SPIKES] += len(packets)
        counts[Count.BUSY_CLOCKS] += work
        counts[Count.PEAK_SPIKES] = max(counts[Count.PEAK_SPIKES], len(packets))
        return packets

    def _deliver(self, pair: Integers, neuron: int, step: int, time: int) -> None:
        receiver, cell = int(pair[Pair.RECEIVER]), int(pair[Pair.ROW]) + neuron
        arrival, counts = time + int(pair[Pair.HOP_CLOCKS]), self.counts[receiver]
        counts[Count.PACKETS] += 1
        fifo = self.fifo[receiver]
        if len(fifo) == fifo.maxlen and fifo[0] > arrival:
            counts[Count.LOST] += 1
            return
        first, end, clocks, words = self.plan.rows[cell].tolist()
        done = max(self.free[receiver], arrival) + clocks
        self.free[receiver] = done
        fifo.append(done)
        counts[Count.BUSY_CLOCKS] += clocks
        counts[Count.FETCHED_WORDS] += words
        late = max((done - 1) // self.tick - step, 0)
        skipped = 0
        for synapse in self.plan.synapses[first:end].tolist():
            delay = synapse >> 32
            if delay > late:
                slot = self.rings[receiver][(step + delay) % self.plan.slots]
                slot[synapse >> 16 & MAX_SLOT] += synapse & MAX_SLOT
            else:
                skipped += 1
        counts[Count.LATE] += skipped > 0
        counts[Count.LATE_SYNAPSES] += skipped
