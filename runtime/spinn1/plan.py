"""Arranges synapses for the machine code: by receiving slice, delay and source population, then by source neuron.

Which core a neuron runs on does not change its spikes, so neurons are dealt anew: those of a population that are due in
the same step come together, in slices whose sums fit a cache. Then a slice has something to do in few steps, and a
source that spikes reaches many neurons of a slice at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn1_tables import PopulationKind
from .checks import Integers, field
from .errors import netlist_error
from .layout import Block, List, Slice, Source
from .netlist import Netlist
from .reference import MAX_SLOT, RECEPTORS, Neurons, neurons_of
from .streams import LANES
from .synapses import Synapses

MAX_CELLS = 1 << 28
"""Entries of the index of rows."""
MAX_LIST_BYTES = 1 << 32
PAIR_BYTES = 16
MOST_NEURONS = 256
"""Of a slice."""
LEAST_NEURONS = 16
"""Of the neurons that are due together in a population, on average, for slices to follow them."""
NO_COLUMN = -1


@frozen(eq=False)
class Plan:
    """Arrays of `layout.State`, by the same names. A word is (receptor * neurons + target) << 16 | weight.

    `list_bytes` and `sum_bytes` are what a thread needs, `slots` a power of two above the longest delay. `columns` is
    int64[outputs]: where a step's record holds each output.
    """

    slices: Integers
    blocks: Integers
    rows: npt.NDArray[np.uint32]
    words: npt.NDArray[np.uint32]
    thresholds: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    idle: npt.NDArray[np.int32]
    sources: Integers
    phases: Integers
    populations: Integers
    slots: int
    list_bytes: int
    sum_bytes: int
    record_columns: int
    columns: Integers


def plan(netlist: Netlist, synapses: Synapses, due: Integers) -> Plan:
    """The plan of a netlist whose neurons are due in these steps (which decide nothing but speed).

    Raises NetlistError if its synapses cannot be arranged.
    """
    neurons = neurons_of(netlist)
    slots = 1 << int(synapses.delay.max(initial=1)).bit_length()
    lists, list_bytes = _lists(netlist, slots)
    slices = _slices(netlist, neurons, due)
    post = netlist.vertex_neurons()[synapses.vertex()] + synapses.target
    wide = _sums_are_wide(netlist, synapses, post, slices)
    blocks, first_block, rows, words = _blocks(netlist, synapses, post, lists, slices)
    order = slices.order
    idle = (neurons.cells & (neurons.offset >= neurons.threshold))[order]
    first_idle = np.append(0, np.cumsum(idle))[slices.first]
    columns, first_column, record = _columns(netlist, slices)
    table = np.zeros((len(slices.population), len(Slice)), np.int64)
    for name, values in (
        (Slice.FIRST, lists[slices.population, List.FIRST]),
        (Slice.STRIDE, lists[slices.population, List.STRIDE]),
        (Slice.COUNT, np.diff(slices.first)),
        (Slice.BASE, slices.first[:-1] - field(netlist.populations, "first_neuron")[slices.population]),
        (Slice.POPULATION, slices.population),
        (Slice.BLOCK, first_block[:-1]),
        (Slice.END_BLOCK, first_block[1:]),
        (Slice.NEURON, slices.first[:-1]),
        (Slice.SHIFT_EXC, netlist.populations["shift_exc"][slices.population]),
        (Slice.SHIFT_INH, netlist.populations["shift_inh"][slices.population]),
        (Slice.WIDE, wide),
        (Slice.IDLE, first_idle[:-1]),
        (Slice.END_IDLE, first_idle[1:]),
        (Slice.COLUMN, first_column),
    ):
        table[:, name] = values
    sources, phases = _sources(netlist, lists, neurons, slices)
    cells = netlist.populations["kind"][slices.population] == PopulationKind.NEURON
    sum_bytes = table[cells, Slice.COUNT] * RECEPTORS * LANES * np.where(wide[cells], 4, 2)
    return Plan(
        slices=np.ascontiguousarray(table[cells]),
        blocks=blocks,
        rows=rows,
        words=words,
        thresholds=np.clip(neurons.threshold[order], -(1 << 31), (1 << 31) - 1).astype(np.int32),
        offsets=neurons.offset[order].astype(np.int32),
        idle=slices.number[order][idle].astype(np.int32),
        sources=sources,
        phases=phases,
        populations=lists,
        slots=slots,
        list_bytes=list_bytes,
        sum_bytes=int(sum_bytes.max(initial=1)),
        record_columns=record,
        columns=columns,
    )


@frozen(eq=False)
class _Slices:
    """Neurons in a new order. int64: `order` [neurons] lists them population by population; `place` [neurons] says
    where each stands in that list, `owner` [neurons] in which slice, `number` [neurons] at which place of the slice.
    Slice s is `first[s]` to `first[s + 1]` of the list and belongs to `population[s]`."""

    order: Integers
    place: Integers
    owner: Integers
    number: Integers
    first: Integers
    population: Integers


def _slices(netlist: Netlist, neurons: Neurons, due: Integers) -> _Slices:
    """Slices of neurons that are due together, unless that would make most of them tiny."""
    count = len(due)
    spread = np.zeros(len(netlist.populations), np.int64)
    pairs = np.unique(np.stack([neurons.population, due]), axis=1)[0] if count else neurons.population
    np.add.at(spread, pairs, 1)
    scattered = spread * LEAST_NEURONS > field(netlist.populations, "neurons")
    group = np.where(scattered[neurons.population], 0, due)
    order = np.lexsort((np.arange(count), group, neurons.population))
    key = np.stack([neurons.population[order], group[order]])
    head = np.flatnonzero(np.append(True, (np.diff(key, axis=1) != 0).any(axis=0))[:count])
    size = np.diff(head, append=count)
    parts = -(-size // MOST_NEURONS)
    start, part = np.repeat(head, parts), np.arange(int(parts.sum())) - np.repeat(np.cumsum(parts) - parts, parts)
    first = start + part * np.repeat(size, parts) // np.repeat(parts, parts)
    bounds = np.append(first, count)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    owner = np.searchsorted(first, place, side="right") - 1
    return _Slices(order, place, owner, place - bounds[owner], bounds, neurons.population[order[first]])


def _lists(netlist: Netlist, slots: int) -> tuple[Integers, int]:
    lists = np.zeros((len(netlist.populations), len(List)), np.int64)
    lists[:, List.STRIDE] = PAIR_BYTES * (1 + field(netlist.populations, "neurons"))
    ends = np.cumsum(lists[:, List.STRIDE] * slots)
    if len(ends) and ends[-1] > MAX_LIST_BYTES:
        raise netlist_error(
            "delays are too long",
            node="populations",
            found=f"{ends[-1]} bytes for spikes on their way",
            expected=f"at most {MAX_LIST_BYTES}",
        )
    lists[:, List.FIRST] = ends - lists[:, List.STRIDE] * slots
    return lists, int(ends[-1]) if len(ends) else 0


def _columns(netlist: Netlist, slices: _Slices) -> tuple[Integers, Integers, int]:
    """Where a record holds each output; the first column of each slice that is recorded; how many columns there are."""
    read = field(netlist.outputs, "neuron")
    recorded = np.zeros(len(slices.population), bool)
    recorded[slices.owner[read]] = True
    width = np.where(recorded, np.diff(slices.first), 0)
    start = np.cumsum(width) - width
    columns = start[slices.owner[read]] + slices.number[read]
    return columns, np.where(recorded, start, NO_COLUMN), int(width.sum())


def _sums_are_wide(netlist: Netlist, synapses: Synapses, post: Integers, slices: _Slices) -> npt.NDArray[np.bool_]:
    """Whether a ring-buffer entry of each slice could exceed 16 bits if all its sources spiked: bool[slices]."""
    number = post * RECEPTORS + synapses.receptor
    bound = np.bincount(number, weights=synapses.weight, minlength=RECEPTORS * netlist.neurons).astype(np.int64)
    most = bound.reshape(-1, RECEPTORS).max(axis=1)
    if int(most.max(initial=0)) >= 1 << 32:
        node = f"neuron {int(np.argmax(most))}"
        raise netlist_error("too many weights meet", node=node, found=int(most.max()), expected="a sum below 2**32")
    found = np.zeros(len(slices.population), np.bool_)
    found[slices.owner[most > MAX_SLOT]] = True
    return found


def _blocks(
    netlist: Netlist, synapses: Synapses, post: Integers, lists: Integers, slices: _Slices
) -> tuple[Integers, Integers, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Blocks, the first block of each slice (and the end), the index of their rows, and words.

    Synapses of weight 0 are left out.
    """
    heavy = synapses.weight != 0
    post, pre = post[heavy], slices.place[synapses.neuron()[heavy]]
    populations, delays = len(netlist.populations), int(synapses.delay.max(initial=0)) + 1
    first_neuron = field(netlist.populations, "first_neuron")
    population = np.searchsorted(first_neuron, pre, side="right") - 1
    if len(slices.population) * delays * populations * netlist.neurons >= 1 << 62:
        raise netlist_error(
            "the network is too large", node="vertices", found=netlist.neurons, expected="fewer neurons"
        )
    block = (slices.owner[post] * delays + synapses.delay[heavy]) * populations + population
    order = np.argsort(block * netlist.neurons + pre, kind="stable")
    block, number = block[order], (pre - first_neuron[population])[order]
    heads = np.flatnonzero(np.diff(block, prepend=-1))
    blocks = np.zeros((len(heads), len(Block)), np.int64)
    owner, rest = np.divmod(block[heads], delays * populations)
    delay, source = np.divmod(rest, populations)
    blocks[:, Block.FIRST] = lists[source, List.FIRST]
    blocks[:, Block.STRIDE] = lists[source, List.STRIDE]
    blocks[:, Block.DELAY] = delay
    blocks[:, Block.LOW] = np.minimum.reduceat(number, heads) if len(heads) else 0
    blocks[:, Block.HIGH] = np.maximum.reduceat(number, heads) + 1 if len(heads) else 0
    cells = blocks[:, Block.HIGH] - blocks[:, Block.LOW] + 1
    total = int(cells.sum())
    if total > MAX_CELLS:
        raise netlist_error("synapses are too scattered", node="words", found=total, expected=f"{MAX_CELLS} rows")
    blocks[:, Block.ROW] = np.cumsum(cells) - cells
    size = np.diff(heads, append=len(block))
    cell = np.repeat(blocks[:, Block.ROW] - blocks[:, Block.LOW], size) + number
    filled = np.bincount(cell, minlength=total)
    rows = (np.cumsum(filled) - filled).astype(np.uint32)
    count = np.diff(slices.first)[slices.owner[post]]
    word = (synapses.receptor[heavy] * count + slices.number[post]) << 16 | synapses.weight[heavy]
    first_block = np.searchsorted(owner, np.arange(len(slices.population) + 1))
    return blocks, first_block, rows, word.astype(np.uint32)[order]


def _sources(netlist: Netlist, lists: Integers, neurons: Neurons, slices: _Slices) -> tuple[Integers, Integers]:
    """Source neurons by the phase that they are due in."""
    table = netlist.sources
    wait, phase = np.divmod(field(table, "due"), netlist.interval)
    order = np.argsort(phase, kind="stable")
    number = field(table, "neuron")
    population = neurons.population[number]
    sources = np.zeros((len(table), len(Source)), np.int64)
    sources[:, Source.FIRST] = lists[population, List.FIRST]
    sources[:, Source.STRIDE] = lists[population, List.STRIDE]
    sources[:, Source.NUMBER] = slices.place[number] - field(netlist.populations, "first_neuron")[population]
    sources[:, Source.ELEMENT] = table["element"]
    sources[:, Source.WAIT] = wait
    sources[:, Source.POPULATION] = population
    return np.ascontiguousarray(sources[order]), np.searchsorted(phase[order], np.arange(netlist.interval + 1))
