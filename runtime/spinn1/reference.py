"""The plain meaning of a netlist, step by step in numpy: slow, obvious, the oracle of the machine code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn1_tables import ALWAYS_ON
from .checks import Integers, field, parameter_index
from .netlist import Netlist
from .streams import deal
from .synapses import Synapses

MAX_SLOT = 0xFFFF
RECEPTORS = 2
Bits = npt.NDArray[np.uint8]


@frozen(eq=False)
class Result:
    """What a run gave.

    `outputs` is uint8[samples, outputs]. `spikes` is int64[populations, interval]: spikes of all tiles by the phase
    (step modulo interval) in which they were sent. `saturations` is int64[populations]: ring-buffer entries (of one
    neuron, receptor and step) that were clamped. `steps` is the number of steps of the longest run of a tile.
    """

    outputs: Bits
    spikes: Integers
    saturations: Integers
    steps: int


@frozen(eq=False)
class Neurons:
    """Per neuron of the tile, int64[neurons]: population, v_thresh and i_offset in s16.15, shifts [2, neurons].

    `cells` is true where a neuron is no source; sources have a threshold that nothing reaches.
    """

    population: Integers
    cells: npt.NDArray[np.bool_]
    threshold: Integers
    offset: Integers
    shift: Integers


def neurons_of(netlist: Netlist) -> Neurons:
    """Parameters of all neurons from their words."""
    count = netlist.vertices["count"]
    population = np.repeat(field(netlist.vertices, "population"), count)
    cells = np.repeat(~netlist.is_source(), count)
    index = parameter_index(netlist.vertices, ~netlist.is_source())
    threshold, offset = np.full(len(cells), 1 << 31, np.int64), np.zeros(len(cells), np.int64)
    threshold[cells] = netlist.parameters[index["v_thresh"]].view(np.int32)
    offset[cells] = netlist.parameters[index["i_offset"]].view(np.int32)
    shifts = np.stack([field(netlist.populations, "shift_exc"), field(netlist.populations, "shift_inh")])
    return Neurons(population, cells, threshold, offset, shifts[:, population])


def run(netlist: Netlist, synapses: Synapses, x: Bits) -> tuple[Result, npt.NDArray[np.bool_]]:
    """Run samples x [N, elements] of 0 and 1; the result, and every spike as bool[steps, neurons, tiles in use]."""
    bounds = deal(len(x), netlist.tiles)
    first, count = bounds[:-1], np.diff(bounds)
    lanes, interval = len(count), netlist.interval
    lengths = np.where(count > 0, (count - 1) * interval + netlist.latency, 0)
    steps = int(lengths.max())
    neurons = neurons_of(netlist)
    post = netlist.vertex_neurons()[synapses.vertex()] + synapses.target
    pre = synapses.neuron()
    weight, delay = synapses.weight.astype(np.int64), synapses.delay.astype(np.int64)
    slots = int(delay.max(initial=0)) + 1
    rings = np.zeros((slots, RECEPTORS, len(neurons.cells), lanes), np.int64)
    spiked = np.zeros((steps, len(neurons.cells), lanes), np.bool_)
    saturations = np.zeros(len(netlist.populations), np.int64)
    for step in range(steps):
        alive = step < lengths
        sums = rings[step % slots].copy()
        rings[step % slots] = 0
        np.add.at(saturations, neurons.population, ((sums > MAX_SLOT) & alive).sum(axis=(0, 2)))
        # Unsigned sums with clamp do not depend on their order: the clamp may wait until the slot is read.
        volts = np.minimum(sums, MAX_SLOT) << neurons.shift[..., None]
        v = (volts[0] - volts[1] + neurons.offset[:, None]).astype(np.int32)
        spikes = neurons.cells[:, None] & (v >= neurons.threshold[:, None])
        spikes[~neurons.cells] = _source_spikes(netlist, x, first, count, step)
        spikes &= alive
        spiked[step] = spikes
        active = np.flatnonzero(spikes[pre].any(axis=1))
        slot = (step + delay[active]) % slots
        amount = weight[active, None] * spikes[pre[active]]
        np.add.at(rings, (slot, synapses.receptor[active].astype(np.int64), post[active]), amount)
    phases = np.zeros((len(netlist.populations), interval), np.int64)
    for phase in range(interval):
        np.add.at(phases[:, phase], neurons.population, spiked[phase::interval].sum(axis=(0, 2)))
    outputs = _outputs(netlist, spiked, bounds)
    return Result(outputs, phases, saturations, steps), spiked


def _source_spikes(netlist: Netlist, x: Bits, first: Integers, count: Integers, step: int) -> npt.NDArray[np.bool_]:
    """Which source neurons spike in a step: bool[sources, tiles]."""
    since = step - field(netlist.sources, "due")
    sample, phase = np.divmod(since, netlist.interval)
    now = (phase == 0)[:, None] & (sample >= 0)[:, None] & (sample[:, None] < count)
    number = np.where(now, first + sample[:, None], 0)
    element = netlist.sources["element"]
    given = x[number, np.maximum(element, 0)[:, None]] != 0 if x.size else np.zeros(number.shape, bool)
    return now & (given | (element == ALWAYS_ON)[:, None])


def _outputs(netlist: Netlist, spiked: npt.NDArray[np.bool_], bounds: Integers) -> Bits:
    """Spikes of the outputs in the steps that they are due in."""
    sample = np.arange(int(bounds[-1]))
    tile = np.searchsorted(bounds, sample, side="right") - 1
    step = (sample - bounds[tile])[:, None] * netlist.interval + netlist.outputs["due"]
    return spiked[step, netlist.outputs["neuron"].astype(np.int64), tile[:, None]].astype(np.uint8)
