"""Arranges a netlist for the event-driven machine code: by sending vertex, with the clocks of every packet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .checks import Integers, field
from .costs import CoreCosts, Costs
from .errors import netlist_error
from .event_layout import Pair, Row, Slice, Stimulus
from .netlist import Netlist
from .reference import RECEPTORS, neurons_of
from .routing import Paths
from .synapses import Synapses

MAX_CELLS = 1 << 27
MAX_RING_WORDS = 1 << 29
NANO = 10**9


@frozen(eq=False)
class EventPlan:
    """Arrays of `event_layout.Events`, by the same names; `ring_words` is the length of the rings."""

    vertices: Integers
    pairs: Integers
    rows: Integers
    synapses: npt.NDArray[np.uint64]
    thresholds: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    sources: Integers
    phases: Integers
    slots: int
    ring_words: int


def event_plan(netlist: Netlist, paths: Paths, synapses: Synapses, costs: Costs) -> EventPlan:
    """The plan of a netlist on a machine of these costs."""
    neurons = neurons_of(netlist)
    slots = 1 << int(synapses.delay.max(initial=1)).bit_length()
    vertices = np.zeros((len(netlist.vertices), len(Slice)), np.int64)
    population = field(netlist.vertices, "population")
    count = field(netlist.vertices, "count")
    vertices[:, Slice.SOURCE] = netlist.is_source()
    vertices[:, Slice.COUNT] = count
    restless = ~neurons.cells | (neurons.offset >= neurons.threshold)
    vertices[:, Slice.RESTLESS] = np.logical_or.reduceat(restless, netlist.vertex_neurons()) if len(count) else False
    vertices[:, Slice.NEURON] = netlist.vertex_neurons()
    vertices[:, Slice.SHIFT_EXC] = netlist.populations["shift_exc"][population]
    vertices[:, Slice.SHIFT_INH] = netlist.populations["shift_inh"][population]
    rings = np.where(netlist.is_source(), 0, slots * RECEPTORS * count)
    vertices[:, Slice.RING] = np.cumsum(rings) - rings
    if int(rings.sum()) > MAX_RING_WORDS:
        expected = f"at most {MAX_RING_WORDS} entries"
        raise netlist_error("delays are too long", node="populations", found=int(rings.sum()), expected=expected)
    own = paths.sender < len(vertices)
    sender, receiver = paths.sender[own], paths.receiver[own]
    places = np.arange(len(vertices))
    vertices[:, Slice.PAIR] = np.searchsorted(sender, places, side="left")
    vertices[:, Slice.END_PAIR] = np.searchsorted(sender, places, side="right")
    pairs = np.zeros((len(sender), len(Pair)), np.int64)
    pairs[:, Pair.RECEIVER] = receiver
    pairs[:, Pair.HOP_CLOCKS] = paths.depth[own] * costs.fabric.hop_ns * costs.core.hertz // NANO
    cells = count[sender]
    if int(cells.sum()) > MAX_CELLS:
        expected = f"at most {MAX_CELLS} rows"
        raise netlist_error("packets reach too many cores", node="routes", found=int(cells.sum()), expected=expected)
    pairs[:, Pair.ROW] = np.cumsum(cells) - cells
    cell = _cells(netlist, synapses, sender * len(vertices) + receiver, pairs[:, Pair.ROW])
    order = np.argsort(np.repeat(cell, synapses.rows.synapses), kind="stable")
    filled = _sums(cell, synapses.rows.synapses, int(cells.sum()))
    clocks = np.repeat(_packet_clocks(synapses, costs.core)[receiver], cells)
    # Where none of a neuron's rows has a synapse, a bit field spares them all.
    words = np.where(filled > 0, _sums(cell, synapses.rows.words, len(filled)), 0)
    fetches = np.where(filled > 0, np.bincount(cell, minlength=len(filled)), 0)
    clocks += costs.core.dma_setup_cycles * fetches + costs.core.dma_word_cycles * words
    clocks += costs.core.synapse_cycles * filled
    rows = np.zeros((len(filled), len(Row)), np.int64)
    rows[:, Row.END] = np.cumsum(filled)
    rows[:, Row.FIRST] = rows[:, Row.END] - filled
    rows[:, Row.CLOCKS], rows[:, Row.WORDS] = clocks, words
    heard = _sums(receiver, cells, len(vertices))
    vertices[:, Slice.QUEUE] = np.cumsum(heard) - heard
    wait, phase = np.divmod(field(netlist.sources, "due"), netlist.interval)
    by_phase = np.argsort(phase, kind="stable")
    sources = np.zeros((len(wait), len(Stimulus)), np.int64)
    sources[:, Stimulus.NEURON] = netlist.sources["neuron"]
    sources[:, Stimulus.ELEMENT] = netlist.sources["element"]
    sources[:, Stimulus.WAIT] = wait
    return EventPlan(
        vertices=vertices,
        pairs=pairs,
        rows=rows,
        synapses=_packed(netlist, synapses)[order],
        thresholds=np.clip(neurons.threshold, -(1 << 31), (1 << 31) - 1).astype(np.int32),
        offsets=neurons.offset.astype(np.int32),
        sources=np.ascontiguousarray(sources[by_phase]),
        phases=np.searchsorted(phase[by_phase], np.arange(netlist.interval + 1)).astype(np.int64),
        slots=slots,
        ring_words=int(rings.sum()),
    )


def _cells(netlist: Netlist, synapses: Synapses, pairs: Integers, first: Integers) -> Integers:
    """The cell (pair of vertices, neuron of the sender) of each row that packets fetch. `pairs` are ordered keys."""
    rows, vertices = synapses.rows, netlist.vertices
    sender = np.repeat(np.arange(len(vertices)), vertices["count"])[rows.neuron]
    pair = np.searchsorted(pairs, sender * len(vertices) + rows.vertex)
    return np.asarray(first[pair] + rows.neuron - netlist.vertex_neurons()[sender])


def _sums(key: Integers, values: Integers, count: int) -> Integers:
    """Exact sums of integers by key."""
    found = np.zeros(count, np.int64)
    np.add.at(found, key, values)
    return found


def _packet_clocks(synapses: Synapses, costs: CoreCosts) -> Integers:
    """Clocks of a packet at each vertex before any row is fetched: interrupt and binary search."""
    halvings = np.ceil(np.log2(synapses.entries + 1)).astype(np.int64)
    return costs.packet_cycles + costs.lookup_cycles + costs.lookup_step_cycles * halvings


def _packed(netlist: Netlist, synapses: Synapses) -> npt.NDArray[np.uint64]:
    """Synapses as `event_layout.Events.SYNAPSES` says."""
    count = field(netlist.vertices, "count")[synapses.vertex()]
    index = synapses.receptor * count + synapses.target
    return (synapses.delay.astype(np.int64) << 32 | index << 16 | synapses.weight).astype(np.uint64)
