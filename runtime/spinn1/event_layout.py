"""Names of the words that the event-driven machine code reads: rows of int64, one field a word."""

from __future__ import annotations

from enum import IntEnum


class Events(IntEnum):
    """The argument of the machine code: addresses of arrays (see `event_plan.EventPlan`), and numbers."""

    VERTICES = 0  # int64[VERTEX_COUNT, Slice]
    VERTEX_COUNT = 1
    PAIRS = 2  # int64[pairs, Pair]
    ROWS = 3  # int64[..., Row]
    QUEUES = 4  # int64[..., Packet]
    SYNAPSES = 5  # uint64[synapses]: delay << 32 | (receptor * neurons + target) << 16 | weight
    THRESHOLDS = 6  # int32[neurons of the tile]
    OFFSETS = 7  # likewise
    SOURCES = 8  # int64[sources, Stimulus]
    PHASES = 9  # int64[INTERVAL + 1]
    INTERVAL = 10
    STEPS = 11
    SAMPLES = 12
    ELEMENTS = 13
    BITS = 14  # uint8[SAMPLES, ELEMENTS]
    SLOT_MASK = 15
    RINGS = 16  # uint32[...]
    TIMES = 17  # int64[neurons]: clocks after the start of the step at which it sends, or -1
    ACTIVE = 18  # int64[VERTEX_COUNT]
    FREE = 19  # int64[VERTEX_COUNT]: when the core will have done all that it knows of
    ACCEPTED = 20  # int64[VERTEX_COUNT]
    FINISHED = 21  # int64[VERTEX_COUNT, FIFO]
    FIFO = 22
    TICK = 23  # clocks of a step
    TICK_CLOCKS = 24
    NEURON_CLOCKS = 25
    SEND_CLOCKS = 26
    SOURCE_TICK_CLOCKS = 27
    SOURCE_SEND_CLOCKS = 28
    SPIKED = 29  # uint8[neurons], in this step
    OUTPUTS = 30  # int64[OUTPUT_COUNT] neurons
    OUTPUT_COUNT = 31
    RECORD = 32  # uint8[STEPS, OUTPUT_COUNT]
    COUNTS = 33  # int64[VERTEX_COUNT, Count]
    TOUCHED = 34  # int64[VERTEX_COUNT, slots]: whether anything was added to a slot
    SENT = 35  # int64[VERTEX_COUNT]: spikes of the last step
    LENGTHS = 36  # int64[VERTEX_COUNT]: packets of this step in the queue of each vertex


class Slice(IntEnum):
    """A vertex."""

    SOURCE = 0
    COUNT = 1
    NEURON = 2
    SHIFT_EXC = 3
    SHIFT_INH = 4
    RING = 5  # its part of the rings: [slots, receptors, COUNT]
    PAIR = 6  # whom it sends to: PAIR to END_PAIR
    END_PAIR = 7
    RESTLESS = 8  # has neurons that spike without input, or is a source
    QUEUE = 9  # first row of its queue, which has room for a packet of every neuron that it hears


class Pair(IntEnum):
    """Packets from one vertex to another: row ROW + i is that of neuron i of the sender."""

    RECEIVER = 0
    HOP_CLOCKS = 1
    ROW = 2


class Row(IntEnum):
    """What a packet does on the core that it reaches: synapses FIRST to END."""

    FIRST = 0
    END = 1
    CLOCKS = 2
    WORDS = 3  # that DMA fetches


class Packet(IntEnum):
    """A packet on its way."""

    ROW = 0
    ARRIVAL = 1  # clocks after the start of the run


class Stimulus(IntEnum):
    """A source neuron; those due in phase q are rows PHASES[q] to PHASES[q + 1]."""

    NEURON = 0
    ELEMENT = 1
    WAIT = 2


class Count(IntEnum):
    """What is counted for each vertex."""

    SPIKES = 0  # that it sent
    PEAK_SPIKES = 1  # in one step
    PACKETS = 2  # that came, lost ones included
    LOST = 3  # found the FIFO full
    LATE = 4  # of which at least one synapse came too late
    LATE_SYNAPSES = 5
    PEAK_CLOCKS = 6  # from the start of a step until its work was done
    BUSY_CLOCKS = 7  # in all steps together
    FETCHED_WORDS = 8  # by DMA, in all steps together
