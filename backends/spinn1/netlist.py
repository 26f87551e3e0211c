"""From the spiking dialect to the tables of a SpiNNaker1 netlist."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spiking import interval_of, latency_of
from ...ir.dialects.spinn1_tables import (
    ALWAYS_ON,
    CHIP,
    OUTPUT,
    PLACEMENT,
    POPULATION,
    SOURCE,
    VERTEX,
    WORD,
    PopulationKind,
    parameter_words,
)
from ...runtime.spinn1.netlist import Netlist
from .keys import Keys, KeysExhaustedError, allocate_keys
from .limits import check_memories, check_rows, no_room
from .machine import LINKS, Machine
from .partition import TYPE_BITS, Partition, partition
from .place import NoRoomError, Places, place_tiles
from .routes import routing_tables
from .words import (
    Blocks,
    Master,
    Matrices,
    blocks_of,
    lay_out,
    master_tables,
    parameter_table,
    synaptic_words,
)

Array = NDArray[Any]


def build_netlist(
    module: ModuleOp,
    machine: Machine,
    *,
    tiles: int | None = None,
    timestep_us: int = 1000,
    time_scale_factor: int = 1,
) -> Netlist:
    """The netlist of a module at stage spiking, scheduled, on a machine.

    `tiles` copies of the network; None: as many as the machine holds. A step of the network stands for `timestep_us`
    and takes `time_scale_factor` times as long. Raises DoesNotFit, with the limit, the need and what to do.
    """
    main = module.main
    cut = partition(main, machine)
    colour_bits = machine.router.colour_bits
    sends = np.isin(np.arange(len(cut.populations)), [each.source for each in cut.projections])
    blocks = [blocks_of(each, cut.populations[each.source], cut.populations[each.target]) for each in cut.projections]
    check_rows(cut, blocks, machine)
    matrices = lay_out(cut, blocks)
    single = _allocate(cut, sends, 1, colour_bits)
    master = master_tables(cut, blocks, matrices, single, colour_bits=colour_bits)
    reaches = _reaches(cut, blocks)
    vertices = _vertices(cut, matrices, master, single, machine)
    silent = np.setdiff1d(np.arange(len(vertices)), reaches[:, 0])
    vertices["key"][silent] = vertices["mask"][silent] = 0
    check_memories(cut, vertices, machine)
    places = _place(machine, cut, vertices, tiles)
    keys = _allocate(cut, sends, places.tiles, colour_bits)
    return Netlist(
        machine=machine.name,
        width=machine.width,
        height=machine.height,
        tiles=places.tiles,
        interval=interval_of(main),
        latency=latency_of(main),
        timestep_us=timestep_us,
        tick_us=timestep_us * time_scale_factor,
        colour_bits=colour_bits,
        key_stride=keys.stride if places.tiles > 1 else 0,
        labels=tuple(each.label for each in cut.populations),
        populations=_populations(cut),
        vertices=vertices,
        sources=_sources(cut),
        outputs=_outputs(cut),
        placements=_placements(machine, places),
        routes=routing_tables(machine, places, vertices, reaches, keys.stride),
        chips=_chips(machine),
        master=master.words,
        words=synaptic_words(cut, blocks, matrices),
        parameters=np.concatenate(
            [
                np.zeros(0, WORD),
                *(parameter_table(each) for each in cut.populations if each.kind == PopulationKind.NEURON),
            ]
        ),
    )


def _allocate(cut: Partition, sends: Array, tiles: int, colour_bits: int) -> Keys:
    neurons = np.array([each.neurons_per_core for each in cut.populations])
    vertices = np.array([each.vertices for each in cut.populations])
    try:
        return allocate_keys(neurons, vertices, sends, tiles, colour_bits=colour_bits)
    except KeysExhaustedError as error:
        raise DoesNotFit(
            Diagnostic(
                "SNC0579",
                "there are too few packet keys",
                found=f"{error.needed} bits for one tile, {tiles} tiles",
                expected="at most 32 bits for all",
                help=f"--tiles {error.tiles}" if error.tiles else "fewer neurons in the largest layer",
            )
        ) from None


def _place(machine: Machine, cut: Partition, vertices: Array, tiles: int | None) -> Places:
    try:
        places = place_tiles(machine, vertices["sdram_bytes"].astype(np.int64), tiles)
    except NoRoomError as error:
        raise ValueError(f"vertex {error.vertex} is larger than a chip, though its memory was checked") from None
    if places.tiles < (tiles or 1):
        raise no_room(machine, cut, vertices, places.tiles, tiles or 1)
    return places


def _reaches(cut: Partition, blocks: list[Blocks]) -> Array:
    """[pairs, 2]: every sending vertex with every vertex that keeps rows for it, in rising order."""
    first = cut.first_vertex
    pairs = [np.zeros((0, 2), np.int64)]
    for projection, block in zip(cut.projections, blocks, strict=True):
        count = cut.populations[projection.source].vertices
        whole = block.source < 0
        source = np.where(whole[:, None], np.arange(count), block.source[:, None])
        kept = whole[:, None] | (np.arange(count) == 0)
        target = np.broadcast_to(block.target[:, None], source.shape)
        pairs.append(np.stack([first[projection.source] + source, first[projection.target] + target], axis=-1)[kept])
    joined = np.concatenate(pairs)
    return joined[np.lexsort((joined[:, 1], joined[:, 0]))]


def _populations(cut: Partition) -> Array:
    table = np.zeros(len(cut.populations), POPULATION)
    for row, each in zip(table, cut.populations, strict=True):
        row["kind"], row["neurons"], row["bias_neurons"] = each.kind, each.neurons, each.bias_neurons
        row["vertices"], row["neurons_per_core"] = each.vertices, each.neurons_per_core
        row["index_bits"], row["delay_bits"] = each.index_bits, each.delay_bits
        row["type_bits"] = TYPE_BITS if each.kind == PopulationKind.NEURON else 0
        row["shift_exc"], row["shift_inh"] = each.shifts
    table["first_neuron"], table["first_vertex"] = cut.first_neuron[:-1], cut.first_vertex[:-1]
    return table


def _vertices(cut: Partition, matrices: Matrices, master: Master, keys: Keys, machine: Machine) -> Array:
    population = cut.vertex_population
    table = np.zeros(len(population), VERTEX)
    per_core = np.array([each.neurons_per_core for each in cut.populations], np.int64)
    neuron = np.array([each.kind == PopulationKind.NEURON for each in cut.populations])[population]
    place = np.arange(len(population)) - cut.first_vertex[population]
    count = np.concatenate([each.counts for each in cut.populations])
    table["population"], table["low"], table["count"] = population, place * per_core[population], count
    table["key"], table["mask"] = keys.vertex_keys(population, place)
    table["first_master"], table["master_words"] = master.first, master.size
    table["first_word"], table["words"] = matrices.first_word, matrices.words
    one = parameter_words(1) - parameter_words(0)
    parameters = np.where(neuron, parameter_words(0) + one * count, 0)
    table["first_parameter"], table["parameter_words"] = np.cumsum(parameters) - parameters, parameters
    words = master.size + matrices.words + parameters
    table["sdram_bytes"] = machine.sdram.core_bytes + WORD.itemsize * words
    table["dtcm_bytes"] = _dtcm_bytes(cut, master, count, neuron, machine)
    return table


def _dtcm_bytes(cut: Partition, master: Master, count: Array, neuron: Array, machine: Machine) -> Array:
    memory = machine.dtcm
    slots = np.array([each.index_bits + TYPE_BITS + each.delay_bits for each in cut.populations])
    ring = np.left_shift(2, slots)[cut.vertex_population]
    rows = memory.row_buffers * WORD.itemsize * (machine.core.row_words + 3)
    table = memory.table_entry_bytes * master.entries + memory.table_address_bytes * master.addresses
    cells = ring + rows + table + memory.neuron_bytes * count
    return memory.core_bytes + np.where(neuron, cells, memory.source_neuron_bytes * count)


def _sources(cut: Partition) -> Array:
    """Elements follow each other through the source populations; bias neurons are always on."""
    parts = [np.zeros(0, SOURCE)]
    element = 0
    for first, each in zip(cut.first_neuron, cut.populations, strict=False):
        if each.kind == PopulationKind.SOURCE:
            rows = np.zeros(each.neurons, SOURCE)
            size = each.neurons - each.bias_neurons
            rows["neuron"], rows["due"] = first + np.arange(each.neurons), each.due
            rows["element"] = np.where(np.arange(each.neurons) < size, element + np.arange(each.neurons), ALWAYS_ON)
            element += size
            parts.append(rows)
    return np.concatenate(parts)


def _outputs(cut: Partition) -> Array:
    neuron = [cut.first_neuron[population] + neurons for population, neurons in cut.outputs]
    due = [cut.populations[population].due[neurons] for population, neurons in cut.outputs]
    table = np.zeros(sum(len(each) for each in neuron), OUTPUT)
    table["neuron"] = np.concatenate([np.zeros(0, np.int64), *neuron])
    table["due"] = np.concatenate([np.zeros(0, np.int64), *due])
    table["index"] = np.arange(len(table))
    return table


def _placements(machine: Machine, places: Places) -> Array:
    chips = np.array(machine.chips)
    table = np.zeros(places.chip.shape, PLACEMENT)
    table["tile"], table["vertex"] = np.indices(places.chip.shape)
    table["x"], table["y"], table["p"] = chips[places.chip, 0], chips[places.chip, 1], places.core
    return table.reshape(-1)


def _chips(machine: Machine) -> Array:
    table = np.zeros(len(machine.chips), CHIP)
    chips = np.array(machine.chips)
    table["x"], table["y"] = chips[:, 0], chips[:, 1]
    boards = {chip: number for number, board in enumerate(machine.board_chips) for chip in board}
    table["board"] = [boards[chip] for chip in machine.chips]
    table["links"] = ((machine.neighbours >= 0) << np.arange(len(LINKS))).sum(axis=1)
    table["cores"] = [sum(1 << core for core in cores) for cores in machine.cores]
    return table[np.lexsort((table["y"], table["x"]))]
