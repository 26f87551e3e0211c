"""Names of the words that machine code reads: rows of int64, one field a word."""

from __future__ import annotations

from enum import IntEnum

WORD = 8


class State(IntEnum):
    """The argument of the machine code: addresses of arrays (see `plan.Plan` and `streams.Group`), and counts."""

    SLICES = 0  # int64[SLICE_COUNT, Slice]
    SLICE_COUNT = 1
    BLOCKS = 2  # int64[blocks, Block]
    ROWS = 3  # uint32[...]
    WORDS = 4  # uint32[synapses]
    THRESHOLDS = 5  # int32[neurons], in the order of the slices
    OFFSETS = 6  # likewise
    IDLE = 7  # int32[...]
    SOURCES = 8  # int64[sources, Source]
    PHASES = 9  # int64[INTERVAL + 1]
    POPULATIONS = 10  # int64[POPULATION_COUNT, List]
    POPULATION_COUNT = 11
    SLOT_MASK = 12
    INTERVAL = 13
    LISTS = 14
    SUMS = 15
    BITS = 16  # uint64[SAMPLES, ELEMENTS]
    ELEMENTS = 17
    SAMPLES = 18
    PRESENT = 19  # uint64[SAMPLES]
    ALIVE = 20  # uint64[STEPS]
    COUNTED = 21  # uint64[STEPS]
    STEPS = 22
    RECORD = 23  # uint64[STEPS, COLUMNS]
    COLUMNS = 24
    SPIKES = 25  # int64[POPULATION_COUNT, INTERVAL]
    SATURATIONS = 26  # int64[POPULATION_COUNT]


class List(IntEnum):
    """Where a population keeps its spikes: a list for each slot (step modulo slots), `STRIDE` bytes apart from `FIRST`
    (bytes into the lists) on. A list is its length, then pairs (mask of lanes, number of the neuron)."""

    FIRST = 0
    STRIDE = 1


class Source(IntEnum):
    """A source neuron; those due in phase q are rows PHASES[q] to PHASES[q + 1]."""

    FIRST = 0  # List of its population
    STRIDE = 1
    NUMBER = 2  # within its population
    ELEMENT = 3  # or -1: spikes in every sample
    WAIT = 4  # samples that start before it is due
    POPULATION = 5


class Slice(IntEnum):
    """A slice of neurons (see `plan.py`)."""

    FIRST = 0  # List of its population
    STRIDE = 1
    COUNT = 2
    BASE = 3  # number of its first neuron within the population
    POPULATION = 4
    BLOCK = 5  # its blocks: BLOCK to END_BLOCK
    END_BLOCK = 6
    NEURON = 7  # its first threshold and offset
    SHIFT_EXC = 8
    SHIFT_INH = 9
    WIDE = 10  # sums may exceed 16 bits
    IDLE = 11  # neurons of the slice that spike without input: IDLE to END_IDLE
    END_IDLE = 12
    COLUMN = 13  # where its spikes are recorded, or -1


class Block(IntEnum):
    """Synapses of one slice from one population with one delay: those of source neuron i (LOW <= i < HIGH) are words
    ROWS[ROW + i - LOW] to ROWS[ROW + i - LOW + 1]."""

    FIRST = 0  # List of the population
    STRIDE = 1
    DELAY = 2
    LOW = 3
    HIGH = 4
    ROW = 5
