"""Vectorised checks of a netlist's tables, apart from those that speak of the machine (`machine_checks.py`).

Tables come from artefact files that nobody vouches for: every index, count and span is proved here, in an order in
which no later check can overflow, and sizes are limited before anything is allocated for them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn1_tables import (
    ALWAYS_ON,
    MAX_TAU_M,
    NEURON_RECORDS,
    ONE,
    STEPS_PER_TIMESTEP,
    TABLES,
    WORD,
    WORD_TABLES,
    PopulationKind,
    parameter_words,
)
from .errors import netlist_error, require

Table = npt.NDArray[np.void]
Words = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

MAX_NEURONS = 1 << 22
"""Of one tile."""
MAX_PLACEMENTS = 1 << 22
MAX_STEPS = 1 << 16
"""Of an interval, a latency, a due step."""
MAX_ELEMENTS = 1 << 24
MAX_SHIFT = 15
WORD_BITS = 16
"""Bits of a synaptic word below the weight."""
LIMITS = {
    "width": (1, 256),
    "height": (1, 256),
    "tiles": (1, MAX_PLACEMENTS),
    "interval": (1, MAX_STEPS),
    "latency": (1, MAX_STEPS),
    "timestep_us": (1, 10**9),
    "tick_us": (1, 10**9),
    "colour_bits": (0, 7),
    "key_stride": (0, (1 << 32) - 1),
}


def field(table: Table, column: str) -> Integers:
    """A column as int64."""
    return table[column].astype(np.int64)


def check_dtypes(tables: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Every table is one-dimensional, of its documented dtype and contiguous."""
    for name, dtype in {**TABLES, **dict.fromkeys(WORD_TABLES, WORD)}.items():
        table = tables[name]
        if table.dtype != dtype or table.ndim != 1 or not table.flags.c_contiguous:
            found = f"{table.dtype} of shape {table.shape}"
            raise netlist_error(
                "a table has the wrong type", node=name, found=found, expected=f"contiguous 1-d {dtype}"
            )
        if len(table) >= 1 << 31:
            raise netlist_error("a table is too long", node=name, found=len(table), expected="below 2**31 rows")


def check_scalars(scalars: Mapping[str, int], vertices: int) -> None:
    """The numbers of the netlist lie in their ranges, and the keys of the last tile have 32 bits."""
    for name, value in scalars.items():
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise netlist_error("a number is out of range", node=name, found=value, expected=f"{low} to {high}")
    rows = scalars["tiles"] * vertices
    if rows > MAX_PLACEMENTS:
        raise netlist_error("too many placements", node="tiles", found=rows, expected=f"at most {MAX_PLACEMENTS}")
    last = (scalars["tiles"] - 1) * scalars["key_stride"]
    if last >= 1 << 32:
        raise netlist_error("keys exceed 32 bits", node="key_stride", found=last, expected="below 2**32")


def check_populations(populations: Table, labels: tuple[str, ...]) -> None:
    """Populations follow each other without gaps, and their synaptic words have room for all their fields."""
    name = "populations"
    if len(labels) != len(populations):
        raise netlist_error("labels do not fit", node="labels", found=len(labels), expected=len(populations))
    kinds = [int(kind) for kind in PopulationKind]
    require(np.isin(populations["kind"], kinds), name, "kind", populations["kind"], f"a PopulationKind: {kinds}")
    for column in ("neurons", "neurons_per_core", "vertices"):
        require(populations[column] >= 1, name, column, populations[column], "at least 1")
        require(populations[column] <= MAX_NEURONS, name, column, populations[column], f"at most {MAX_NEURONS}")
    neurons, per_core = field(populations, "neurons"), field(populations, "neurons_per_core")
    slices = -(-neurons // per_core)
    require(populations["vertices"] == slices, name, "vertices", populations["vertices"], "neurons / neurons_per_core")
    bias = populations["bias_neurons"]
    require(bias <= populations["neurons"], name, "bias_neurons", bias, "at most the population's neurons")
    for column, counts in (("first_neuron", neurons), ("first_vertex", slices)):
        ends = np.cumsum(counts)
        require(populations[column] == ends - counts, name, column, populations[column], "the end of the one before")
        require(ends <= MAX_NEURONS, name, column, ends, f"at most {MAX_NEURONS} in all")
    cells = populations["kind"] == PopulationKind.NEURON
    index, kind, delay = (field(populations, f"{part}_bits") for part in ("index", "type", "delay"))
    total = index + kind + delay
    require(~cells | (total <= WORD_BITS), name, "delay_bits", total, f"at most {WORD_BITS} bits with index and type")
    require(~cells | (kind >= 1), name, "type_bits", kind, "at least 1")
    fits = per_core <= np.left_shift(1, np.minimum(index, WORD_BITS))
    require(~cells | fits, name, "index_bits", index, "enough for neurons_per_core")
    for column in ("shift_exc", "shift_inh"):
        require(populations[column] <= MAX_SHIFT, name, column, populations[column], f"at most {MAX_SHIFT}")


def check_vertices(vertices: Table, populations: Table, colour_bits: int, lengths: Mapping[str, int]) -> None:
    """Vertices cut their populations into slices, their keys have room, their spans lie in the plain tables."""
    name = "vertices"
    owner = np.repeat(np.arange(len(populations)), populations["vertices"])
    if len(vertices) != len(owner):
        raise netlist_error("rows are missing", node=name, found=len(vertices), expected=len(owner))
    require(vertices["population"] == owner, name, "population", vertices["population"], "populations in order")
    place = np.arange(len(vertices)) - field(populations, "first_vertex")[owner]
    per_core = field(populations, "neurons_per_core")[owner]
    low = place * per_core
    require(vertices["low"] == low, name, "low", vertices["low"], "slices in order")
    count = np.minimum(per_core, field(populations, "neurons")[owner] - low)
    require(vertices["count"] == count, name, "count", vertices["count"], "neurons_per_core, or what is left")
    key, mask = field(vertices, "key"), field(vertices, "mask")
    require(key & mask == key, name, "key", key, "no bit outside the mask")
    room = (count << colour_bits) - 1
    # Counting up to `room` touches every bit below its highest one.
    for step in (1, 2, 4, 8, 16):
        room |= room >> step
    require(room & mask == 0, name, "mask", mask, "clear where packets count neurons")
    cells = populations["kind"][owner] == PopulationKind.NEURON
    for table, first, words in (
        ("master", "first_master", "master_words"),
        ("words", "first_word", "words"),
        ("parameters", "first_parameter", "parameter_words"),
    ):
        end = field(vertices, first) + field(vertices, words)
        require(end <= lengths[table], name, words, end, f"an end inside {table}, {lengths[table]} words")
        require(cells | (vertices[words] == 0), name, words, vertices[words], "0 for a source")
    one = parameter_words(1) - parameter_words(0)
    expected = np.where(cells, parameter_words(0) + count * one, 0)
    require(vertices["parameter_words"] == expected, name, "parameter_words", vertices["parameter_words"], "13 n + 1")


def parameter_index(vertices: Table, cells: Mask) -> dict[str, Integers]:
    """Where in `parameters` each neuron (of the vertices `cells`, in order) keeps each field: by name, int64[neurons].

    `steps_per_timestep` is int64[vertices in cells].
    """
    chosen = vertices[cells]
    count, first = field(chosen, "count"), field(chosen, "first_parameter")
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    index = {"steps_per_timestep": first}
    at = first + 1
    for record in NEURON_RECORDS:
        words = record.itemsize // WORD.itemsize
        for place, column in enumerate(record.names or ()):
            index[column] = np.repeat(at, count) + number * words + place
        at = at + count * words
    return index


INSTANT_DECAY = {
    "v_rest": 0,
    "v_reset": 0,
    "tau_refrac": 0,
    "refract_timer": 0,
    "timestep": ONE,
    "time_step": ONE,
    "steps_per_timestep": STEPS_PER_TIMESTEP,
}


def check_parameters(vertices: Table, parameters: Words, cells: Mask) -> None:
    """Every neuron decays within a step, so that V is the input of the step and nothing else."""
    index = parameter_index(vertices, cells)
    found = {name: parameters[place].view(np.int32) for name, place in index.items()}
    for name, value in INSTANT_DECAY.items():
        require(found[name] == value, "parameters", name, found[name], f"{value}, for a neuron of instant decay")
    tau = found["tau_m"]
    require((tau >= 1) & (tau <= MAX_TAU_M), "parameters", "tau_m", tau, f"1 to {MAX_TAU_M}, for instant decay")
    require(found["cm"] == tau, "parameters", "cm", found["cm"], "tau_m, for a resistance of 1")


def check_ports(sources: Table, outputs: Table, is_source: Mask, latency: int) -> None:
    """Each source neuron has its row, and each output is a neuron that is due before the latency has passed."""
    neurons = np.flatnonzero(is_source)
    if len(sources) != len(neurons):
        raise netlist_error("rows are missing", node="sources", found=len(sources), expected=len(neurons))
    require(sources["neuron"] == neurons, "sources", "neuron", sources["neuron"], "all source neurons in order")
    element = sources["element"]
    ok = (element >= ALWAYS_ON) & (element < MAX_ELEMENTS)
    require(ok, "sources", "element", element, f"{ALWAYS_ON} to {MAX_ELEMENTS - 1}")
    require(sources["due"] < MAX_STEPS, "sources", "due", sources["due"], f"below {MAX_STEPS}")
    place = np.arange(len(outputs))
    require(outputs["index"] == place, "outputs", "index", outputs["index"], "0, 1, 2 ...")
    require(outputs["neuron"] < len(is_source), "outputs", "neuron", outputs["neuron"], f"below {len(is_source)}")
    read = is_source[outputs["neuron"]]
    require(~read, "outputs", "neuron", outputs["neuron"], "a neuron that is no source")
    require(outputs["due"] < latency, "outputs", "due", outputs["due"], f"below the latency, {latency}")
