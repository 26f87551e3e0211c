"""Machine code that runs one tile event by event, with the clocks of its cores.

In every step each core first does what the step asks of it anyway: its timer interrupt, its neurons, the packets that
it sends. Neuron i of a core is done after the interrupt and i + 1 neurons, and a packet leaves then, behind those that
left before. Packets reach each core after their hops in the order in which they left: by the number of the neuron on
its core, then by vertex. A packet that finds `fifo` others unfinished is lost. The others are served one after the
other. A packet that is done `late` steps behind the one that it was sent in finds its ring-buffer slot gone for all
synapses of delay <= late: they have no effect. What is left at the end of a step is done in the next.
"""

from __future__ import annotations

import sys

from ..jit import code as code_module
from ..jit.code import I8, I32, I64, Code, Module, Value, Variable
from ..jit.llvm import IRFunction, ir
from . import event_layout
from .event_layout import Count, Events, Packet, Pair, Row, Slice, Stimulus
from .layout import WORD
from .reference import MAX_SLOT, RECEPTORS

RUN = "snc_spinn1_events"
SOURCES = (code_module, event_layout, sys.modules[__name__])
"""Modules that decide the generated code."""
NO_SPIKE = -1
AHEAD = 8
"""Packets by which memory is asked for early."""


def generate() -> str:
    """LLVM IR of snc_spinn1_events(state)."""
    module = Module()
    stimulate, update, send, receive = _stimulate(module), _update(module), _send(module), _receive(module)
    code = Code(module.function(RUN, 1, exported=True))
    (state,) = code.parameters
    count = _word(code, state, Events.VERTEX_COUNT)
    active, vertices = _word(code, state, Events.ACTIVE), _word(code, state, Events.VERTICES)
    with code.loop(_word(code, state, Events.STEPS)) as step:
        code.call(stimulate, state, step)
        sending, longest = code.variable(0), code.variable(0)
        with code.loop(count) as vertex, code.when(code.call(update, state, vertex, step).differs(0)):
            code.store(active + sending.get() * WORD, vertex)
            sending.set(sending.get() + 1)
            longest.set(longest.get().max(_word(code, _row(vertices, vertex, Slice), Slice.COUNT)))
        _record(code, state, step)
        with code.loop(longest.get()) as neuron, code.loop(sending.get()) as place:
            code.call(send, state, code.load(active + place * WORD, I64), neuron, step)
        with code.loop(count) as vertex:
            code.call(receive, state, vertex, step)
    code.end()
    return module.text()


def _word(code: Code, base: Value, name: int) -> Value:
    """A field of a row of words."""
    return code.load(base + name * WORD, I64)


def _row(table: Value, number: Value, fields: type) -> Value:
    """A row of a table of words."""
    return table + number * (len(fields) * WORD)  # type: ignore[arg-type]


def _add(code: Code, row: Value, name: Count, amount: Value | int) -> None:
    place = row + name * WORD
    code.store(place, code.load(place, I64) + amount)


def _record(code: Code, state: Value, step: Value) -> None:
    """Keeps which outputs spiked in this step."""
    outputs, spiked = _word(code, state, Events.OUTPUT_COUNT), _word(code, state, Events.SPIKED)
    record = _word(code, state, Events.RECORD) + step * outputs
    numbers = _word(code, state, Events.OUTPUTS)
    with code.loop(outputs) as place:
        code.store(record + place, code.load(spiked + code.load(numbers + place * WORD, I64), I8))


def _stimulate(module: Module) -> IRFunction:
    """(state, step): sources that are due and whose element is 1 are marked as spiking, all others as silent."""
    function = module.function("stimulate", 2)
    code = Code(function)
    state, step = code.parameters
    interval, phases = _word(code, state, Events.INTERVAL), _word(code, state, Events.PHASES)
    sample, phase = step.quotient(interval), step.remainder(interval)
    spiked, rows = _word(code, state, Events.SPIKED), _word(code, state, Events.SOURCES)
    with code.loop(code.load(phases + interval * WORD, I64)) as number:
        code.store(spiked + _word(code, _row(rows, number, Stimulus), Stimulus.NEURON), code.constant(I8, 0))
    elements, bits = _word(code, state, Events.ELEMENTS), _word(code, state, Events.BITS)
    begin, end = code.load(phases + phase * WORD, I64), code.load(phases + (phase + 1) * WORD, I64)
    with code.loop(end, start=begin) as number:
        row = _row(rows, number, Stimulus)
        own = sample - _word(code, row, Stimulus.WAIT)
        with code.when((own >= 0) & (own < _word(code, state, Events.SAMPLES))):
            element, bit = _word(code, row, Stimulus.ELEMENT), code.variable(1)
            with code.when(element >= 0):
                bit.set(code.load(bits + own * elements + element, I8).to(I64, signed=False))
            code.store(spiked + _word(code, row, Stimulus.NEURON), bit.get().to(I8))
    code.end()
    return function


def _update(module: Module) -> IRFunction:
    """(state, vertex, step): the neurons of a vertex take their slot; how many spike. The core's own work is done."""
    function = module.function("update", 3, result=True)
    code = Code(function)
    state, vertex, step = code.parameters
    row = _row(_word(code, state, Events.VERTICES), vertex, Slice)
    count, source = _word(code, row, Slice.COUNT), _word(code, row, Slice.SOURCE).differs(0)
    # A source has all its packets at hand; a neuron sends when it has been computed.
    costs = (
        (Events.SOURCE_TICK_CLOCKS, Events.TICK_CLOCKS),
        (None, Events.NEURON_CLOCKS),
        (Events.SOURCE_SEND_CLOCKS, Events.SEND_CLOCKS),
    )
    setup, each, send = (
        source.select(0 if one is None else _word(code, state, one), _word(code, state, other)) for one, other in costs
    )
    sent = _word(code, state, Events.SENT) + vertex * WORD
    slots = _word(code, state, Events.SLOT_MASK)
    touched = _word(code, state, Events.TOUCHED) + (vertex * (slots + 1) + (step & slots)) * WORD
    # Nothing came, nothing spikes of itself, and no spike of the last step is still marked.
    waiting = code.load(touched, I64) | _word(code, row, Slice.RESTLESS) | code.load(sent, I64)
    spikes = code.variable(0)
    with code.when(waiting.differs(0)):
        first = _word(code, row, Slice.NEURON)
        spiked, times = _word(code, state, Events.SPIKED) + first, _word(code, state, Events.TIMES) + first * WORD
        with code.when(_word(code, row, Slice.SOURCE).equals(0)):
            _integrate(code, state, row, step, spiked)
        with code.loop(count) as neuron:
            one = code.load(spiked + neuron, I8).to(I64, signed=False)
            spikes.set(spikes.get() + one)
            time = setup + (neuron + 1) * each + spikes.get() * send
            code.store(times + neuron * WORD, one.differs(0).select(time, NO_SPIKE))
        code.store(touched, code.number(0))
    code.store(sent, spikes.get())
    work = setup + count * each + spikes.get() * send
    place = _word(code, state, Events.FREE) + vertex * WORD
    begin = code.load(place, I64).max(step * _word(code, state, Events.TICK))
    code.store(place, begin + work)
    counts = _row(_word(code, state, Events.COUNTS), vertex, Count)
    _add(code, counts, Count.SPIKES, spikes.get())
    _add(code, counts, Count.BUSY_CLOCKS, work)
    most = counts + Count.PEAK_SPIKES * WORD
    code.store(most, code.load(most, I64).max(spikes.get()))
    code.end(spikes.get())
    return function


def _integrate(code: Code, state: Value, row: Value, step: Value, spiked: Value) -> None:
    """Slots of the step are read, clamped and cleared; neurons at their threshold are marked as spiking."""
    count = _word(code, row, Slice.COUNT)
    slot = step & _word(code, state, Events.SLOT_MASK)
    place = _word(code, row, Slice.RING) + slot * count * RECEPTORS
    exc = _word(code, state, Events.RINGS) + place * 4
    inh = exc + count * 4
    first = _word(code, row, Slice.NEURON) * 4
    thresholds, offsets = (_word(code, state, name) + first for name in (Events.THRESHOLDS, Events.OFFSETS))
    shift_exc, shift_inh = (_word(code, row, name).to(I32) for name in (Slice.SHIFT_EXC, Slice.SHIFT_INH))

    def take(at: Value) -> Value:
        raw = code.load(at, I32).to(I64, signed=False)
        code.store(at, code.constant(I32, 0))
        return raw.min(MAX_SLOT).to(I32)

    with code.loop(count) as neuron:
        at = neuron * 4
        volts = (take(exc + at) << shift_exc) - (take(inh + at) << shift_inh) + code.load(offsets + at, I32)
        code.store(spiked + neuron, (volts >= code.load(thresholds + at, I32)).to(I8, signed=False))


def _send(module: Module) -> IRFunction:
    """(state, vertex, neuron, step): if the neuron spiked, its packets join the queues of all receivers."""
    function = module.function("send", 4)
    code = Code(function)
    state, vertex, neuron, step = code.parameters
    row = _row(_word(code, state, Events.VERTICES), vertex, Slice)
    vertices, queues = _word(code, state, Events.VERTICES), _word(code, state, Events.QUEUES)
    pairs, lengths = _word(code, state, Events.PAIRS), _word(code, state, Events.LENGTHS)
    with code.when(neuron < _word(code, row, Slice.COUNT)):
        place = _word(code, state, Events.TIMES) + (_word(code, row, Slice.NEURON) + neuron) * WORD
        time = code.load(place, I64)
        with code.when(time >= 0):
            now = step * _word(code, state, Events.TICK) + time
            with code.loop(_word(code, row, Slice.END_PAIR), start=_word(code, row, Slice.PAIR)) as number:
                pair = _row(pairs, number, Pair)
                receiver = _word(code, pair, Pair.RECEIVER)
                length = code.load(lengths + receiver * WORD, I64)
                first = _word(code, _row(vertices, receiver, Slice), Slice.QUEUE)
                packet = _row(queues, first + length, Packet)
                code.store(packet + Packet.ROW * WORD, _word(code, pair, Pair.ROW) + neuron)
                code.store(packet + Packet.ARRIVAL * WORD, now + _word(code, pair, Pair.HOP_CLOCKS))
                code.store(lengths + receiver * WORD, length + 1)
    code.end()
    return function


def _receive(module: Module) -> IRFunction:
    """(state, vertex, step): a core serves the packets of this step, in the order of its queue."""
    function = module.function("receive", 3)
    code = Code(function)
    state, vertex, step = code.parameters
    row = _row(_word(code, state, Events.VERTICES), vertex, Slice)
    counts = _row(_word(code, state, Events.COUNTS), vertex, Count)
    tick, fifo = _word(code, state, Events.TICK), _word(code, state, Events.FIFO)
    place = _word(code, state, Events.LENGTHS) + vertex * WORD
    length = code.load(place, I64)
    code.store(place, code.number(0))
    queue = _row(_word(code, state, Events.QUEUES), _word(code, row, Slice.QUEUE), Packet)
    finished = _word(code, state, Events.FINISHED) + vertex * fifo * WORD
    rows = _word(code, state, Events.ROWS)
    free = code.variable(code.load(_word(code, state, Events.FREE) + vertex * WORD, I64))
    accepted = code.variable(code.load(_word(code, state, Events.ACCEPTED) + vertex * WORD, I64))
    with code.loop(length) as number:
        _prefetch(code, _coming(code, queue, rows, number + 2 * AHEAD, length))
        first = _word(code, _coming(code, queue, rows, number + AHEAD, length), Row.FIRST)
        _prefetch(code, _word(code, state, Events.SYNAPSES) + first * WORD)
        packet = _row(queue, number, Packet)
        arrival = _word(code, packet, Packet.ARRIVAL)
        slot = finished + accepted.get().remainder(fifo) * WORD

        def lose() -> None:
            _add(code, counts, Count.LOST, 1)

        def serve(packet: Value = packet, arrival: Value = arrival, slot: Value = slot) -> None:
            one = _row(rows, _word(code, packet, Packet.ROW), Row)
            clocks = _word(code, one, Row.CLOCKS)
            done = free.get().max(arrival) + clocks
            free.set(done)
            code.store(slot, done)
            accepted.set(accepted.get() + 1)
            _add(code, counts, Count.BUSY_CLOCKS, clocks)
            _add(code, counts, Count.FETCHED_WORDS, _word(code, one, Row.WORDS))
            late = code.variable(0)
            with code.when(done > (step + 1) * tick):
                late.set((done - 1).quotient(tick) - step)
            skipped = _apply(code, state, vertex, one, step, late)
            with code.when(skipped.get().differs(0)):
                _add(code, counts, Count.LATE, 1)
                _add(code, counts, Count.LATE_SYNAPSES, skipped.get())

        code.either(code.load(slot, I64) > arrival, lose, serve)
    code.store(_word(code, state, Events.FREE) + vertex * WORD, free.get())
    code.store(_word(code, state, Events.ACCEPTED) + vertex * WORD, accepted.get())
    _add(code, counts, Count.PACKETS, length)
    most = counts + Count.PEAK_CLOCKS * WORD
    code.store(most, code.load(most, I64).max(free.get() - step * tick))
    code.end()
    return function


def _coming(code: Code, queue: Value, rows: Value, number: Value, length: Value) -> Value:
    """The row of a packet further on in a queue, or of the last one."""
    packet = _row(queue, number.min(length - 1), Packet)
    return _row(rows, _word(code, packet, Packet.ROW), Row)


def _prefetch(code: Code, address: Value) -> None:
    """Rows lie scattered in memory: asking for them early hides the wait."""
    pointer = I8.as_pointer()
    form = ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
    flags = [ir.Constant(I32, flag) for flag in (0, 3, 1)]
    code.call_raw("llvm.prefetch.p0", form, [code.builder.inttoptr(address.raw, pointer), *flags])


def _apply(code: Code, state: Value, vertex: Value, one: Value, step: Value, late: Variable) -> Variable:
    """Adds the synapses of a row to the ring buffers; how many of them were too late."""
    row = _row(_word(code, state, Events.VERTICES), vertex, Slice)
    rings = _word(code, state, Events.RINGS) + _word(code, row, Slice.RING) * 4
    slots, size = _word(code, state, Events.SLOT_MASK), _word(code, row, Slice.COUNT) * RECEPTORS
    touched = _word(code, state, Events.TOUCHED) + vertex * (slots + 1) * WORD
    synapses = _word(code, state, Events.SYNAPSES)
    begin, end = (synapses + _word(code, one, name) * WORD for name in (Row.FIRST, Row.END))
    skipped = code.variable(0)
    with code.loop(end, start=begin, step=WORD) as each:
        synapse = code.load(each, I64)
        delay = synapse.logical_shift(32)

        def add(synapse: Value = synapse, delay: Value = delay) -> None:
            slot = step + delay & slots
            place = rings + (slot * size + (synapse.logical_shift(16) & MAX_SLOT)) * 4
            code.store(place, code.load(place, I32) + (synapse & MAX_SLOT).to(I32))
            code.store(touched + slot * WORD, code.number(1))

        def skip() -> None:
            skipped.set(skipped.get() + 1)

        code.either(delay > late.get(), add, skip)
    return skipped
