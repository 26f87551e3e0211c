"""Machine code that runs a netlist for LANES streams at once: bit n of every mask is lane n.

Spikes are kept, not ring buffers: for each population and each of the last steps, a list of the neurons that spiked in
any lane, with the mask of lanes. In every step each slice of neurons looks at the lists of its sources `delay` steps
ago and adds their weights, which gives the ring-buffer slot of the step; a source that spiked in no lane costs nothing,
and a slice that nothing reached has only to spike with those neurons that need no input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..jit import code as code_module
from ..jit.code import I1, I16, I32, I64, Code, Module, Value, vector
from ..jit.llvm import IRFunction, IRType, ir
from . import layout
from .layout import WORD, Block, List, Slice, Source, State
from .plan import PAIR_BYTES
from .reference import MAX_SLOT
from .streams import LANES

RUN = "snc_spinn1_run"
SOURCES = (code_module, layout, sys.modules[__name__])
"""Modules that decide the generated code."""
PART = 16
"""Lanes of which 32 bit sums are one vector."""


def generate() -> str:
    """LLVM IR of snc_spinn1_run(state)."""
    module = Module()
    adders = {wide: _adder(module, wide) for wide in (False, True)}
    updates = {wide: _update(module, wide) for wide in (False, True)}
    idle = _idle(module)
    sources = _sources(module)
    code = Code(module.function(RUN, 1, exported=True))
    (state,) = code.parameters
    slices, count = _word(code, state, State.SLICES), _word(code, state, State.SLICE_COUNT)
    slots, lists = _word(code, state, State.SLOT_MASK), _word(code, state, State.LISTS)
    with code.loop(_word(code, state, State.STEPS)) as step:
        _clear_lists(code, state, step & slots)
        code.call(sources, state, step)
        with code.loop(count) as number:
            cells = slices + number * (len(Slice) * WORD)
            wide = _word(code, cells, Slice.WIDE)
            touched = code.variable(0)
            blocks = _word(code, state, State.BLOCKS)
            end, begin = _word(code, cells, Slice.END_BLOCK), _word(code, cells, Slice.BLOCK)
            with code.loop(end, start=begin) as each:
                block = blocks + each * (len(Block) * WORD)
                slot = (step - _word(code, block, Block.DELAY)) & slots
                spikes = lists + _word(code, block, Block.FIRST) + slot * _word(code, block, Block.STRIDE)
                with code.when(code.load(spikes, I64).differs(0)):
                    for is_wide, adder in adders.items():
                        with code.when(wide.equals(int(is_wide))):
                            touched.set(touched.get() | code.call(adder, state, block, spikes))

            def changed(cells: Value = cells, wide: Value = wide) -> None:
                for is_wide, update in updates.items():
                    with code.when(wide.equals(int(is_wide))):
                        code.call(update, state, cells, step)

            def unchanged(cells: Value = cells) -> None:
                code.call(idle, state, cells, step)

            code.either(touched.get().differs(0), changed, unchanged)
    code.end()
    return module.text()


def _word(code: Code, base: Value, name: int) -> Value:
    """A field of a row of words."""
    return code.load(base + name * WORD, I64)


def _clear_lists(code: Code, state: Value, slot: Value) -> None:
    """Every population's list of this slot becomes empty."""
    populations, lists = _word(code, state, State.POPULATIONS), _word(code, state, State.LISTS)
    with code.loop(_word(code, state, State.POPULATION_COUNT)) as number:
        row = populations + number * (len(List) * WORD)
        first, stride = _word(code, row, List.FIRST), _word(code, row, List.STRIDE)
        code.store(lists + first + slot * stride, code.number(0))


def _population_count(code: Code, value: Value) -> Value:
    form = ir.FunctionType(I64, [I64])
    return Value(code, code.call_raw("llvm.ctpop.i64", form, [value.raw]))


def _append(code: Code, spikes: Value, mask: Value, number: Value) -> None:
    """Add a pair to a list unless the mask is empty. The list has room for a pair that is not counted."""
    count = code.load(spikes, I64)
    pair = spikes + (count + 1) * PAIR_BYTES
    code.store(pair, mask)
    code.store(pair + WORD, number)
    code.store(spikes, count + mask.differs(0).to(I64, signed=False))


def _count_spikes(code: Code, state: Value, population: Value, step: Value, count: Value) -> None:
    interval = _word(code, state, State.INTERVAL)
    place = _word(code, state, State.SPIKES) + (population * interval + step.remainder(interval)) * WORD
    code.store(place, code.load(place, I64) + count)


def _step_mask(code: Code, state: Value, name: State, step: Value) -> Value:
    return code.load(_word(code, state, name) + step * WORD, I64)


def _sources(module: Module) -> IRFunction:
    """(state, step): the source neurons that are due spike where their element is 1."""
    function = module.function("sources", 2)
    code = Code(function)
    state, step = code.parameters
    interval, phases = _word(code, state, State.INTERVAL), _word(code, state, State.PHASES)
    sample, phase = step.quotient(interval), step.remainder(interval)
    slot = step & _word(code, state, State.SLOT_MASK)
    alive, counted = (_step_mask(code, state, name, step) for name in (State.ALIVE, State.COUNTED))
    rows, lists = _word(code, state, State.SOURCES), _word(code, state, State.LISTS)
    bits, elements = _word(code, state, State.BITS), _word(code, state, State.ELEMENTS)
    begin, end = code.load(phases + phase * WORD, I64), code.load(phases + (phase + 1) * WORD, I64)
    with code.loop(end, start=begin) as number:
        row = rows + number * (len(Source) * WORD)
        own = sample - _word(code, row, Source.WAIT)
        with code.when((own >= 0) & (own < _word(code, state, State.SAMPLES))):
            element = _word(code, row, Source.ELEMENT)
            given = bits + (own * elements + element) * WORD
            always = _word(code, state, State.PRESENT) + own * WORD
            mask = code.load((element >= 0).select(given, always), I64) & alive
            spikes = lists + _word(code, row, Source.FIRST) + slot * _word(code, row, Source.STRIDE)
            _append(code, spikes, mask, _word(code, row, Source.NUMBER))
            count = _population_count(code, mask & counted)
            _count_spikes(code, state, _word(code, row, Source.POPULATION), step, count)
    code.end()
    return function


def _adder(module: Module, wide: bool) -> IRFunction:
    """(state, block, spikes): adds the weights of all spiking sources of a block; whether there were any."""
    function = module.function("add_wide" if wide else "add", 3, result=True)
    code = Code(function)
    state, block, spikes = code.parameters
    element, part = (I32, PART) if wide else (I16, 2 * PART)
    row_bytes = LANES * element.width // 8
    sums, words = _word(code, state, State.SUMS), _word(code, state, State.WORDS)
    low, high = _word(code, block, Block.LOW), _word(code, block, Block.HIGH)
    index = _word(code, state, State.ROWS) + _word(code, block, Block.ROW) * 4
    touched = code.variable(0)
    with code.loop(code.load(spikes, I64) + 1, start=1) as place:
        pair = spikes + place * PAIR_BYTES
        number = code.load(pair + WORD, I64)
        with code.when((number >= low) & (number < high)):
            row = index + (number - low) * 4
            begin, end = (code.load(row + at, I32).to(I64, signed=False) for at in (0, 4))
            touched.set(touched.get() | (end - begin))
            mask = code.load(pair, I64)
            lanes = [_expand(mask, first, part, element) for first in range(0, LANES, part)]
            with code.loop(words + end * 4, start=words + begin * 4, step=4) as at:
                word = code.load(at, I32)
                weight = (word & MAX_SLOT).to(element).splat(part)
                target = sums + word.logical_shift(16).to(I64, signed=False) * row_bytes
                for which, lane in enumerate(lanes):
                    one = target + which * (part * element.width // 8)
                    code.store(one, code.load(one, vector(element, part)) + (weight & lane))
    code.end(touched.get())
    return function


def _expand(mask: Value, first: int, lanes: int, element: IRType) -> Value:
    """Bits first .. first + lanes of a mask as lanes of all ones or zeros."""
    bits = mask.logical_shift(first).to(ir.IntType(lanes)).bits(vector(I1, lanes))
    return bits.to(element)


def _update(module: Module, wide: bool) -> IRFunction:
    """(state, slice, step): every neuron takes its slot and spikes or not."""
    function = module.function("update_wide" if wide else "update", 3)
    code = Code(function)
    state, cells, step = code.parameters
    element = I32 if wide else I16
    part_bytes, row_bytes = PART * element.width // 8, LANES * element.width // 8
    count = _word(code, cells, Slice.COUNT)
    exc = _word(code, state, State.SUMS)
    inh = exc + count * row_bytes
    shift_exc, shift_inh = (_word(code, cells, name).to(I32).splat(PART) for name in (Slice.SHIFT_EXC, Slice.SHIFT_INH))
    first = _word(code, cells, Slice.NEURON) * 4
    thresholds, offsets = (_word(code, state, name) + first for name in (State.THRESHOLDS, State.OFFSETS))
    alive, counted = (_step_mask(code, state, name, step) for name in (State.ALIVE, State.COUNTED))
    base = _word(code, cells, Slice.BASE)
    spikes = _list(code, state, cells, step)
    record = _recorder(code, state, cells, step)
    total, clamped = code.variable(0), code.variable(0)
    zeros = code.constant(vector(element, PART), 0)

    def take(place: Value, at: int) -> Value:
        """A slot of PART lanes, clamped; it is cleared."""
        sums = code.load(place, vector(element, PART))
        code.store(place, zeros)
        if not wide:
            return sums.to(I32, signed=False)
        over = sums.logical_shift(16).differs(0)
        lanes = over.bits(ir.IntType(PART)).to(I64, signed=False) << at
        clamped.set(clamped.get() + _population_count(code, lanes & counted))
        return over.select(MAX_SLOT, sums)

    with code.loop(count) as neuron:
        threshold, offset = (code.load(table + neuron * 4, I32).splat(PART) for table in (thresholds, offsets))
        mask = code.number(0)
        for part in range(LANES // PART):
            at = neuron * row_bytes + part * part_bytes
            volts = (take(exc + at, part * PART) << shift_exc) - (take(inh + at, part * PART) << shift_inh) + offset
            mask = mask | (volts >= threshold).bits(ir.IntType(PART)).to(I64, signed=False) << part * PART
        mask = mask & alive
        _append(code, spikes, mask, base + neuron)
        record(neuron, mask)
        total.set(total.get() + _population_count(code, mask & counted))
    population = _word(code, cells, Slice.POPULATION)
    _count_spikes(code, state, population, step, total.get())
    if wide:
        place = _word(code, state, State.SATURATIONS) + population * WORD
        code.store(place, code.load(place, I64) + clamped.get())
    code.end()
    return function


def _list(code: Code, state: Value, cells: Value, step: Value) -> Value:
    """The list of a slice's population in this step."""
    slot = step & _word(code, state, State.SLOT_MASK)
    stride = _word(code, cells, Slice.STRIDE)
    return _word(code, state, State.LISTS) + _word(code, cells, Slice.FIRST) + slot * stride


def _recorder(code: Code, state: Value, cells: Value, step: Value) -> Callable[[Value, Value], None]:
    """What stores the mask of a neuron of the slice in the record of this step, if the slice is recorded."""
    column = _word(code, cells, Slice.COLUMN)
    place = step * _word(code, state, State.COLUMNS) + column
    row = _word(code, state, State.RECORD) + place * WORD

    def record(neuron: Value, mask: Value) -> None:
        with code.when(column >= 0):
            code.store(row + neuron * WORD, mask)

    return record


def _idle(module: Module) -> IRFunction:
    """(state, slice, step): only neurons that need no input spike."""
    function = module.function("idle", 3)
    code = Code(function)
    state, cells, step = code.parameters
    begin, end = _word(code, cells, Slice.IDLE), _word(code, cells, Slice.END_IDLE)
    with code.when(begin < end):
        alive, counted = (_step_mask(code, state, name, step) for name in (State.ALIVE, State.COUNTED))
        base, spikes = _word(code, cells, Slice.BASE), _list(code, state, cells, step)
        record = _recorder(code, state, cells, step)
        numbers = _word(code, state, State.IDLE)
        with code.loop(end, start=begin) as place:
            neuron = code.load(numbers + place * 4, I32).to(I64)
            _append(code, spikes, alive, base + neuron)
            record(neuron, alive)
        count = _population_count(code, alive & counted) * (end - begin)
        _count_spikes(code, state, _word(code, cells, Slice.POPULATION), step, count)
    code.end()
    return function
