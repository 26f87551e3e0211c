"""Arranges synapses for the machine code: by receiving slice, delay and source population, then by source neuron.

Which core a neuron runs on does not change its spikes, so neurons are dealt anew: those of a population that are due in
the same step come together, in slices whose sums fit a cache. Then a slice has something to do in few steps, and a
source that spikes reaches many neurons of a slice at once.
"""

from __future__ import annotations

from collections.abc import Iterator

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
NOWHERE = -1
"""Slice of a synapse of weight 0."""
BLOCK_SYNAPSES = 1 << 20
"""Synapses that are arranged at once, where slices are not larger."""


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
    post = np.repeat(netlist.vertex_neurons().astype(np.int32)[synapses.rows.vertex], synapses.rows.synapses)
    post += synapses.target
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


def _sums_are_wide(
    netlist: Netlist, synapses: Synapses, post: npt.NDArray[np.int32], slices: _Slices
) -> npt.NDArray[np.bool_]:
    """Whether a ring-buffer entry of each slice could exceed 16 bits if all its sources spiked: bool[slices]."""
    bound = np.zeros(RECEPTORS * netlist.neurons, np.int64)
    for part in _parts(len(post)):
        number = post[part] * RECEPTORS + synapses.receptor[part]
        # At most 2**27 weights of 16 bits: floats hold their sums exactly.
        bound += np.bincount(number, weights=synapses.weight[part], minlength=len(bound)).astype(np.int64)
    most = bound.reshape(-1, RECEPTORS).max(axis=1)
    if int(most.max(initial=0)) >= 1 << 32:
        node = f"neuron {int(np.argmax(most))}"
        raise netlist_error("too many weights meet", node=node, found=int(most.max()), expected="a sum below 2**32")
    found = np.zeros(len(slices.population), np.bool_)
    found[slices.owner[most > MAX_SLOT]] = True
    return found


def _blocks(
    netlist: Netlist, synapses: Synapses, post: npt.NDArray[np.int32], lists: Integers, slices: _Slices
) -> tuple[Integers, Integers, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Blocks, the first block of each slice (and the end), the index of their rows, and words.

    Synapses of weight 0 are left out.
    """
    neurons, delays = netlist.neurons, int(synapses.delay.max(initial=0)) + 1
    if len(slices.population) * delays * neurons >= 1 << 62:
        raise netlist_error("the network is too large", node="vertices", found=neurons, expected="fewer neurons")
    pre = np.repeat(slices.place.astype(np.int32)[synapses.rows.neuron], synapses.rows.synapses)
    owner = slices.owner.astype(np.int32)[post]
    owner[synapses.weight == 0] = NOWHERE
    load = np.zeros(len(slices.population), np.int64)
    for part in _parts(len(owner)):
        load += np.bincount(owner[part] - NOWHERE, minlength=len(load) + 1)[1:]
    number, count = slices.number.astype(np.uint32), np.diff(slices.first).astype(np.uint32)
    # The first of each list is of no slice, so that there is one of everything to join.
    blocks, owners = [np.zeros((0, len(Block)), np.int64)], [np.zeros(0, np.int64)]
    rows, words = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
    cells = filled = 0
    for first, end in _runs(load):
        chosen = np.flatnonzero((owner >= first) & (owner < end))
        own = owner[chosen]
        word = (synapses.receptor[chosen] * count[own] + number[post[chosen]]) << 16 | synapses.weight[chosen]
        key = ((own - first).astype(np.int64) * delays + synapses.delay[chosen]) * neurons + pre[chosen]
        key, order = _sorted(key, (end - first) * delays * neurons)
        made, owned, index = _indexed(netlist, lists, key, delays, MAX_CELLS - cells)
        made[:, Block.ROW] += cells
        blocks.append(made)
        owners.append(owned + first)
        rows.append((index + filled).astype(np.uint32))
        words.append(word[order].astype(np.uint32))
        cells, filled = cells + len(index), filled + len(word)
    first_block = np.searchsorted(np.concatenate(owners), np.arange(len(load) + 1))
    return np.concatenate(blocks), first_block, np.concatenate(rows), np.concatenate(words)


def _indexed(
    netlist: Netlist, lists: Integers, key: Integers, delays: int, room: int
) -> tuple[Integers, Integers, Integers]:
    """Blocks of synapses that are sorted by `key` = (slice * delays + delay) * neurons + place of the source; the slice
    of each block; the index of their rows, of which there may be `room`."""
    first_neuron = field(netlist.populations, "first_neuron")
    outer, pre = np.divmod(key, netlist.neurons)
    population = np.repeat(np.arange(len(first_neuron)), netlist.populations["neurons"])[pre]
    number = pre - first_neuron[population]
    heads = np.flatnonzero((np.diff(outer, prepend=-1) != 0) | (np.diff(population, prepend=-1) != 0))
    source, tails = population[heads], np.append(heads[1:], len(key)) - 1
    blocks = np.zeros((len(heads), len(Block)), np.int64)
    owner, delay = np.divmod(outer[heads], delays)
    blocks[:, Block.FIRST] = lists[source, List.FIRST]
    blocks[:, Block.STRIDE] = lists[source, List.STRIDE]
    blocks[:, Block.DELAY] = delay
    blocks[:, Block.LOW] = number[heads]
    blocks[:, Block.HIGH] = number[tails] + 1
    cells = blocks[:, Block.HIGH] - blocks[:, Block.LOW] + 1
    total = int(cells.sum())
    if total > room:
        found = MAX_CELLS - room + total
        raise netlist_error("synapses are too scattered", node="words", found=found, expected=f"{MAX_CELLS} rows")
    blocks[:, Block.ROW] = np.cumsum(cells) - cells
    cell = np.repeat(blocks[:, Block.ROW] - blocks[:, Block.LOW], tails + 1 - heads) + number
    filled = np.bincount(cell, minlength=total)
    return blocks, owner, np.cumsum(filled) - filled


def _sorted(keys: Integers, limit: int) -> tuple[Integers, Integers]:
    """Keys below `limit` in ascending order, and their places, those of equal keys in ascending order too."""
    bits = len(keys).bit_length()
    if limit << bits < 1 << 63:
        # Sorting numbers that hold key and place takes a fraction of the time of a stable argsort.
        both = np.sort(keys << bits | np.arange(len(keys)))
        return both >> bits, both & (1 << bits) - 1
    order = np.argsort(keys, kind="stable")
    return keys[order], order


def _parts(count: int) -> Iterator[slice]:
    """Places 0 .. count, some at a time."""
    return (slice(first, first + BLOCK_SYNAPSES) for first in range(0, count, BLOCK_SYNAPSES))


def _runs(load: Integers) -> Iterator[tuple[int, int]]:
    """First and end of slices that are arranged together, each with `load` synapses; without empty runs."""
    ends = np.cumsum(load)
    done, total = 0, int(load.sum())
    while done < total:
        first = int(np.searchsorted(ends, done, side="right"))
        end = max(first + 1, int(np.searchsorted(ends, done + BLOCK_SYNAPSES, side="right")))
        yield first, end
        done = int(ends[end - 1])


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
