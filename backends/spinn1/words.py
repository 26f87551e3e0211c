"""The words that cores are loaded with: synaptic matrices, master population tables, neuron parameters.

The layout is that of sPyNNaker 7 (see ir/dialects/spinn1_tables.py); where a whole population projects to a whole
population the words are the same ones. A matrix belongs to a vertex, a receptor and a *block* of source neurons. The
block is the whole source population if each of its vertices reaches each vertex of the target; then all matrices of
the projection and receptor have one row length, that of the longest row, as the toolchain lays them out. Otherwise
there is a block for each pair of vertices that synapses join, with its own row length and its own entry in the master
population table: in convolutions most pairs are not joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn1_tables import (
    ADDRESS_BYTES,
    INPUT_TYPE,
    MASTER_ENTRY,
    NEURON_MODEL,
    ONE,
    ROW_HEADER,
    STEPS_PER_TIMESTEP,
    SYNAPSE_TYPE,
    THRESHOLD_TYPE,
    WORD,
)
from .keys import Keys, bits_for
from .partition import RECEPTORS, TYPE_BITS, Partition, Population, Projection

Array = NDArray[Any]

ADDRESS_WORDS = ADDRESS_BYTES // WORD.itemsize
TAU_M = 4
"""tau_m = cm = 2^-13 (ms, nF) in s16.15: e^(-1 / tau_m) is 0 and R = tau_m / cm is 1, on other simulators too."""


@frozen(eq=False)
class Blocks:
    """The blocks of one projection: [blocks] target vertex, source vertex (-1: all of them) and rows.

    `counts` [rows of all blocks and receptors] are the synapses of each row; the rows of block b and receptor r start
    at first_row[2 * b + r]. `row_words` [2 * blocks] are the longest row of each matrix, 0 for a matrix that is not
    needed. `order` [synapses] sorts the synapses by row, then by neuron.
    """

    target: Array
    source: Array
    rows: Array
    first_row: Array
    counts: Array
    row_words: Array
    order: Array


def blocks_of(projection: Projection, source: Population, target: Population) -> Blocks:
    """Cuts the synapses of a projection into blocks; vertices are counted within their populations."""
    to, index = np.divmod(projection.post.astype(np.int64), target.neurons_per_core)
    fro, local = np.divmod(projection.pre.astype(np.int64), source.neurons_per_core)
    pair = to * source.vertices + fro
    joined = np.flatnonzero(np.bincount(pair, minlength=target.vertices * source.vertices))
    whole = len(joined) == target.vertices * source.vertices
    if whole:
        block, row = to, projection.pre.astype(np.int64)
        targets, sources = np.arange(target.vertices), np.full(target.vertices, -1)
        rows = np.full(target.vertices, source.neurons)
    else:
        number = np.zeros(target.vertices * source.vertices, np.int64)
        number[joined] = np.arange(len(joined))
        block, row = number[pair], local
        targets, sources = np.divmod(joined, source.vertices)
        rows = source.counts[sources]
    sizes = np.repeat(rows, RECEPTORS)
    first_row = np.cumsum(sizes) - sizes
    row += first_row[RECEPTORS * block + projection.receptor]
    counts = np.bincount(row, minlength=int(sizes.sum()))
    row_words = np.maximum.reduceat(counts, first_row)
    if whole:
        row_words = np.tile(row_words.reshape(-1, RECEPTORS).max(axis=0), target.vertices)
    order = stable_order(row * target.neurons_per_core + index)
    return Blocks(targets, sources, rows, first_row, counts, row_words, order)


def stable_order(keys: Array) -> Array:
    """What sorts keys (i64, at least 0), equal ones in the order that they have.

    Sorting keys with their places in the low bits gives the same as a stable argsort in a fraction of its time.
    """
    bits = bits_for(len(keys))
    if int(keys.max(initial=0)).bit_length() + bits > 63:
        return np.argsort(keys, kind="stable")
    packed = keys << bits | np.arange(len(keys))
    packed.sort()
    return packed & ((1 << bits) - 1)


@frozen(eq=False)
class Matrices:
    """The matrices of all vertices in the order of (vertex, source population, source vertex, receptor).

    One entry a matrix: `projection` number, `block` in it, `receptor`, `vertex` of the tile, `rows`, `row_words`
    (without header), `start` in the table of words. `first_word` and `words` [vertices] are the spans of the vertices.
    """

    projection: Array
    block: Array
    receptor: Array
    vertex: Array
    rows: Array
    row_words: Array
    start: Array
    first_word: Array
    words: Array


def lay_out(partition: Partition, blocks: list[Blocks]) -> Matrices:
    """Gives every matrix its place; each starts at a multiple of 16 bytes of its vertex's span."""
    first = partition.first_vertex
    parts = [np.zeros((6, 0), np.int64)]
    for number, (projection, block) in enumerate(zip(partition.projections, blocks, strict=True)):
        kept = np.flatnonzero(block.row_words)
        owner, receptor = np.divmod(kept, RECEPTORS)
        vertex = first[projection.target] + block.target[owner]
        rows, row_words = block.rows[owner], block.row_words[kept]
        parts.append(np.stack([np.full(len(kept), number), owner, receptor, vertex, rows, row_words]))
    columns = np.concatenate(parts, axis=1)
    # Blocks of a projection come in the order of (target vertex, source vertex).
    number, owner, receptor, vertex, rows, row_words = columns[:, np.lexsort(columns[[2, 1, 0, 3]])]
    size = rows * (ROW_HEADER + row_words)
    last = np.ones(len(size), bool)
    last[:-1] = vertex[1:] != vertex[:-1]
    padded = np.where(last, size, -(-size // ADDRESS_WORDS) * ADDRESS_WORDS)
    start = np.cumsum(padded) - padded
    words = np.bincount(vertex, padded, int(first[-1])).astype(np.int64)
    return Matrices(number, owner, receptor, vertex, rows, row_words, start, np.cumsum(words) - words, words)


def synaptic_words(partition: Partition, blocks: list[Blocks], matrices: Matrices) -> Array:
    """The words table (u32) of all vertices of a tile."""
    words = np.zeros(int(matrices.words.sum()), WORD)
    for number, (projection, block) in enumerate(zip(partition.projections, blocks, strict=True)):
        target = partition.populations[projection.target]
        mine = matrices.projection == number
        starts = np.zeros(len(block.row_words), np.int64)
        starts[RECEPTORS * matrices.block[mine] + matrices.receptor[mine]] = matrices.start[mine]
        matrix = np.repeat(np.arange(len(starts)), np.repeat(block.rows, RECEPTORS))
        row = np.arange(len(matrix)) - block.first_row[matrix]
        begin = starts[matrix] + row * (ROW_HEADER + block.row_words[matrix])
        kept = block.row_words[matrix] > 0
        words[begin[kept] + 1] = block.counts[kept]
        last = np.cumsum(block.counts)
        nth = np.arange(len(block.order)) - np.repeat(last - block.counts, block.counts)
        at = np.repeat(begin + ROW_HEADER, block.counts) + nth
        words[at] = _words_of(projection, target)[block.order]
    return words


def _words_of(projection: Projection, target: Population) -> Array:
    """raw weight << 16 | delay | receptor | neuron, in the bits that the population's core uses.

    A delay of all slots sets the bit above its field, as the toolchain has it; the core does not look there.
    """
    local = projection.post.astype(np.int64) % target.neurons_per_core
    low = local | projection.receptor.astype(np.int64) << target.index_bits
    low |= projection.delay.astype(np.int64) << (target.index_bits + TYPE_BITS)
    return (projection.raw << 16 | low).astype(WORD)


@frozen(eq=False)
class Master:
    """The master population tables of all vertices, one behind the other; spans [vertices] of `words` (u32)."""

    words: Array
    first: Array
    size: Array
    entries: Array
    addresses: Array


def master_tables(
    partition: Partition, blocks: list[Blocks], matrices: Matrices, keys: Keys, *, colour_bits: int
) -> Master:
    """The tables by which a core finds its rows, with the keys of tile 0; entries in rising order of their keys."""
    vertices = int(partition.first_vertex[-1])
    begins = np.ones(len(matrices.vertex), bool)
    begins[1:] = (matrices.projection[1:] != matrices.projection[:-1]) | (matrices.block[1:] != matrices.block[:-1])
    lead = np.flatnonzero(begins)
    used = np.diff(np.append(lead, len(begins)))
    entry = np.zeros(len(lead), MASTER_ENTRY)
    _describe_sources(entry, lead, partition, blocks, matrices, keys)
    owner = matrices.vertex[lead]
    entries = np.bincount(owner, minlength=vertices)
    addresses = np.bincount(owner, used, vertices).astype(np.int64)
    before = np.cumsum(addresses) - addresses
    entry["addresses"] = (lead - before[owner]) | colour_bits << 13 | used << 16

    header, entry_words = 2, MASTER_ENTRY.itemsize // WORD.itemsize
    size = np.where(entries > 0, header + entry_words * entries + addresses, 0)
    neuron_vertex = np.repeat(
        [population.index_bits > 0 for population in partition.populations],
        [population.vertices for population in partition.populations],
    )
    size = np.where(neuron_vertex, np.maximum(size, header), 0)
    first = np.cumsum(size) - size
    words = np.zeros(int(size.sum()), WORD)
    words[first[neuron_vertex]] = entries[neuron_vertex]
    words[first[neuron_vertex] + 1] = addresses[neuron_vertex]

    order = np.lexsort((entry["key"], owner))
    place = np.arange(len(order)) - (np.cumsum(entries) - entries)[owner[order]]
    at = first[owner[order]] + header + entry_words * place
    words[at[:, None] + np.arange(entry_words)] = entry[order].view(WORD).reshape(-1, entry_words)

    address = (matrices.start - matrices.first_word[matrices.vertex]) * WORD.itemsize // ADDRESS_BYTES
    nth = np.arange(len(address)) - before[matrices.vertex]
    at = first[matrices.vertex] + header + entry_words * entries[matrices.vertex] + nth
    words[at] = address << 8 | (matrices.row_words - 1)
    return Master(words, first, size, entries, addresses)


def _describe_sources(
    entry: Array, lead: Array, partition: Partition, blocks: list[Blocks], matrices: Matrices, keys: Keys
) -> None:
    """Fills in which packets an entry stands for and how they name a row."""
    for number, projection in enumerate(partition.projections):
        mine = np.flatnonzero(matrices.projection[lead] == number)
        source = partition.populations[projection.source]
        place = blocks[number].source[matrices.block[lead[mine]]]
        whole = place < 0
        of = np.full(len(mine), projection.source)
        key, mask = keys.vertex_keys(of, np.maximum(place, 0))
        entry["key"][mine] = np.where(whole, keys.zone_key[projection.source], key)
        entry["mask"][mine] = np.where(whole, keys.zone_mask[projection.source], mask)
        entry["core_mask"][mine] = np.where(whole, (1 << int(keys.vertex_bits[projection.source])) - 1, 0)
        entry["core_shift"][mine] = keys.neuron_bits[projection.source]
        neurons = source.neurons_per_core
        entry["neurons"][mine] = neurons
        entry["bit_field_words"][mine] = -(-neurons // 32)


def parameter_table(population: Population) -> Array:
    """The parameter words of all vertices of a population, one behind the other (u32)."""
    spans = []
    for low in range(0, population.neurons, population.neurons_per_core):
        of = slice(low, min(low + population.neurons_per_core, population.neurons))
        count = of.stop - of.start
        model = np.zeros(count, NEURON_MODEL)
        model["cm"] = model["tau_m"] = TAU_M
        model["i_offset"] = population.offset[of]
        model["timestep"] = ONE
        step, threshold = np.full(count, ONE, INPUT_TYPE), np.zeros(count, THRESHOLD_TYPE)
        threshold["v_thresh"] = population.threshold[of]
        spans.append(np.array([STEPS_PER_TIMESTEP], WORD))
        spans += [each.view(WORD).reshape(-1) for each in (model, step, threshold, np.zeros(count, SYNAPSE_TYPE))]
    return np.concatenate(spans)
