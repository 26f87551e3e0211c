"""The tables of a SpiNNaker1 netlist: one structured numpy dtype a table, and the words that cores are loaded with.

A netlist is one *tile* (a whole network cut into machine vertices, one a core), placed any number of times. Everything
is stored once, for tile 0; only `placements`, `routes` and `chips` speak of all tiles. Tile t differs from tile 0 in
nothing but its cores and its keys: every key of tile t is that of tile 0 plus t * key_stride (also in the keys of its
master population tables). `populations`, `vertices`, `sources`, `outputs` and the plain tables `master`, `words` and
`parameters` are tile-relative in this sense; a *neuron* is numbered within the tile, source neurons included.

The words are those of sPyNNaker 7 and an executor needs nothing else: it walks the routes with the key of a spike,
looks the key up in the master population table of each core that the packet reaches, reads the synaptic row there, and
adds the synapses to the core's ring buffers. A packet that no master population table knows, or a synapse that no word
holds, has no effect.

Meaning of time. All is counted in steps (time steps of the simulation). Sample n of a tile starts at step n * interval
of the tile's run, which starts empty at step 0 and ends after step (samples - 1) * interval + latency - 1. In every
step each core takes its ring-buffer slot of the step (exc and inh, unsigned, at most 65535 each) and clears it; each
neuron forms V = (exc << shift_exc) - (inh << shift_inh) + i_offset in 32 bit s16.15 and spikes if V >= v_thresh; a
spike of step t through a synapse of delay d is added to the slot of step t + d. A source neuron spikes at step `due` of
a sample where its input element is 1.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class PopulationKind(IntEnum):
    """What the vertices of a population run."""

    SOURCE = 0  # SpikeSourceArray: spikes that the host prepares; has no words, master table or parameters
    NEURON = 1  # IF_curr_delta with instant decay


POPULATION = np.dtype(
    [
        ("kind", "u1"),  # PopulationKind
        ("neurons", "<u4"),  # bias neurons included
        ("bias_neurons", "<u4"),  # how many of them (the last ones) only carry biases; for reports
        ("first_neuron", "<u4"),  # populations follow each other without gaps, in the order of this table
        ("first_vertex", "<u4"),  # likewise
        ("vertices", "<u4"),
        ("neurons_per_core", "<u4"),  # slice k holds neurons k * neurons_per_core .. of the population
        ("index_bits", "u1"),  # bits of a neuron's number on its core; the lowest bits of a synaptic word
        ("type_bits", "u1"),  # bits of the receptor (0 excitatory, 1 inhibitory), above the index
        ("delay_bits", "u1"),  # bits of the delay, above the receptor; there are 1 << delay_bits ring-buffer slots
        ("shift_exc", "u1"),  # ring-buffer shift: a raw weight w counts w << shift in s16.15; at most 15
        ("shift_inh", "u1"),
    ]
)
"""Application vertices. SOURCE populations have 0 in all bits and shifts. `labels` of the netlist names them."""

VERTEX = np.dtype(
    [
        ("population", "<u4"),
        ("low", "<u4"),  # first neuron of the slice, counted within the population
        ("count", "<u4"),  # neurons of the slice
        ("key", "<u4"),  # packet of its neuron i: key | i << colour_bits | step modulo 1 << colour_bits
        ("mask", "<u4"),  # key & mask == key, and no packet of the vertex differs from the key under it; 0: sends none
        ("first_master", "<u4"),  # its span of `master` (u32)
        ("master_words", "<u4"),
        ("first_word", "<u4"),  # its synaptic matrices, a span of `words` (u32); addresses count from here
        ("words", "<u4"),
        ("first_parameter", "<u4"),  # its neuron parameters, a span of `parameters` (u32)
        ("parameter_words", "<u4"),
        ("sdram_bytes", "<u4"),  # all that it needs there; for reports
        ("dtcm_bytes", "<u4"),
    ]
)
"""Machine vertices (slices, one a core), in the order of populations and slices. SOURCE vertices have empty spans."""

SOURCE = np.dtype(
    [
        ("neuron", "<u4"),
        ("element", "<i4"),  # element of a sample (flattened, as encoded on the host: 0 or 1); ALWAYS_ON: every sample
        ("due", "<u4"),  # step after the sample's start at which it spikes
    ]
)
"""One row for each neuron of the SOURCE populations, in the order of the neurons."""

ALWAYS_ON = -1

OUTPUT = np.dtype(
    [
        ("neuron", "<u4"),  # of a NEURON population
        ("index", "<u4"),  # element of the sample's output (flattened)
        ("due", "<u4"),  # step after the sample's start whose spike counts; below latency
    ]
)
"""One row for each element of the output, in the order of `index`: 0, 1, 2 ..."""

PLACEMENT = np.dtype(
    [
        ("tile", "<u4"),
        ("vertex", "<u4"),
        ("x", "u1"),
        ("y", "u1"),
        ("p", "u1"),  # core of the chip; bit 6 + p of a route word
    ]
)
"""Where each vertex of each tile runs: tiles * vertices rows in the order of (tile, vertex). No core is used twice."""

ROUTE = np.dtype(
    [
        ("x", "u1"),
        ("y", "u1"),
        ("key", "<u4"),
        ("mask", "<u4"),
        ("route", "<u4"),  # bits 0-5: links (LINKS), bits 6-23: cores
    ]
)
"""Routing entries of all chips in the order of (x, y); within a chip in the order of look-up, the first match counts. A
packet that matches nothing goes straight on (out of the link opposite to the one that it came by); one that starts on
this chip and matches nothing is lost."""

CHIP = np.dtype(
    [
        ("x", "u1"),
        ("y", "u1"),
        ("board", "<u2"),
        ("links", "u1"),  # bit n: link n works (both ends exist and live)
        ("cores", "<u4"),  # bit p: core p is free for an application vertex
    ]
)
"""The chips of the machine that live, in the order of (x, y), used or not."""

LINKS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Where link n of a chip leads, as (dx, dy) modulo the machine's width and height: east, north-east, north, west ..."""

WORD = np.dtype("<u4")
"""`master`, `words` and `parameters`."""

# ---- a span of `master`: one core's master population table
#
# word 0 entries, word 1 addresses, then 5 words an entry (MASTER_ENTRY) in ascending order of their keys, then one word
# an address: row length - 1 in bits 0-7, (byte address in the vertex's span of `words`) / 16 in bits 8-31, or
# NO_ADDRESS there. An entry stands for one source population; it has one address for each receptor that the population
# projects to. A packet belongs to the entry with packet & mask == key. With
#     core  = (packet >> core_shift) & core_mask
#     local = (packet & ~mask & ~(core_mask << core_shift)) >> colour_bits
# its row of every address's matrix is core * neurons + local.
MASTER_ENTRY = np.dtype(
    [
        ("key", "<u4"),
        ("mask", "<u4"),
        ("addresses", "<u4"),  # bits 0-12: first address, 13-15: colour bits, 16-31: number of addresses
        ("core_mask", "<u2"),
        ("core_shift", "<u2"),
        ("neurons", "<u2"),  # per source core
        ("bit_field_words", "<u2"),  # ceil(neurons / 32)
    ]
)
NO_ADDRESS = 0xFF_FFFF
ADDRESS_BYTES = 16

# ---- a span of `words`: one core's synaptic matrices
#
# A matrix starts at a multiple of 16 bytes and has a row for every neuron of the source population (cores * neurons
# where that is more: only the rows of neurons that exist are read). A row has ROW_HEADER words: 0 (plastic words), n
# (synapses), 0 (plastic synapses); then n synaptic words and padding up to the row length. A synaptic word is
#     raw weight << 16 | delay << (index_bits + type_bits) | receptor << index_bits | neuron on the core
# with delay modulo 1 << delay_bits: 0 stands for 1 << delay_bits.
ROW_HEADER = 3
MAX_ROW_WORDS = 256
MAX_RAW_WEIGHT = 0xFFFF

# ---- a span of `parameters`: the neuron parameter region of a slice of n neurons
#
# The global word STEPS_PER_TIMESTEP (1), then an array of n records of each of these, one array behind the other.
# All numbers are s16.15 unless noted. Instant decay asks for v_rest = v_reset = tau_refrac = refract_timer = 0,
# tau_m = cm at most MAX_TAU_M, time_step = 1 ms.
NEURON_MODEL = np.dtype(
    [
        ("v", "<i4"),
        ("v_rest", "<i4"),
        ("cm", "<i4"),
        ("tau_m", "<i4"),
        ("i_offset", "<i4"),
        ("v_reset", "<i4"),
        ("tau_refrac", "<i4"),
        ("refract_timer", "<i4"),  # steps
        ("timestep", "<i4"),  # ms
    ]
)
INPUT_TYPE = np.dtype([("time_step", "<i4")])  # ms
THRESHOLD_TYPE = np.dtype([("v_thresh", "<i4")])
SYNAPSE_TYPE = np.dtype([("isyn_exc", "<i4"), ("isyn_inh", "<i4")])
NEURON_RECORDS = (NEURON_MODEL, INPUT_TYPE, THRESHOLD_TYPE, SYNAPSE_TYPE)
STEPS_PER_TIMESTEP = 1
ONE = 1 << 15
"""1.0 in s16.15."""
MAX_TAU_M = ONE // 16
"""ms in s16.15. exp(-1 / tau) is below half of 2^-15 from here on, so that nothing of V outlives a step of 1 ms."""

TABLES: dict[str, np.dtype[np.void]] = {
    "populations": POPULATION,
    "vertices": VERTEX,
    "sources": SOURCE,
    "outputs": OUTPUT,
    "placements": PLACEMENT,
    "routes": ROUTE,
    "chips": CHIP,
}
"""Every structured table of a netlist by name."""
WORD_TABLES = ("master", "words", "parameters")
"""The plain tables, of dtype WORD."""


def parameter_words(neurons: int) -> int:
    """Length of the parameter span of a slice of `neurons` neurons."""
    return 1 + neurons * sum(record.itemsize for record in NEURON_RECORDS) // WORD.itemsize
