"""The function that walks all rows and marks for every pair of steps whether the later must wait for the earlier."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from ...jit import code as code_module
from ...jit.code import I8, I32, I64, Code, Module, Value
from .. import step_touches
from ..step_touches import BOXED, FORM, ROW
from . import layout
from .layout import WORD

SOURCES = (sys.modules[__name__], step_touches, layout, code_module)
"""Modules that decide the generated code."""
DATAFLOW = "snc_dataflow"

GRANULE = 16
"""Bytes that are tracked together."""
READERS = 3
"""Steps that have read a granule since it was written; of more, one has to wait for another."""
RECORD = 4 * (1 + READERS)
"""Bytes of a granule's record: the step that wrote it last and those that have read it since, i32, 0 for none."""


Visit: TypeAlias = "Callable[[Code, dict[Word, Value], Value, Value, Value], None]"
"""Writes the code for a granule: (code, words, address of its record, row of `edges`, step)."""


class Word(IntEnum):
    """Words of the state that the function gets."""

    STEPS = 0  # how many there are
    BOUNDS = 1
    ORDER = 2
    ROWS = 3
    FORMS = 4
    TOUCHES = 5
    GRANULES = 6
    EDGES = 7  # u8[steps + 1, pitch]: edges[after, before]
    PITCH = 8
    REACH = 9  # u8[steps + 1, pitch]: reach[after, before], what is ordered already; 0 if that is not known


def dataflow() -> str:
    """LLVM IR of snc_dataflow(state) -> 0: of each step, from 1 on, first all rows read, then all rows write."""
    module = Module()
    code = Code(module.function(DATAFLOW, 1, result=True, exported=True))
    (state,) = code.parameters
    words = {word: code.load(state + word * WORD, I64) for word in Word}
    with code.loop(words[Word.STEPS]) as number:
        low, high = (code.load(words[Word.BOUNDS] + (number + n) * WORD, I64) for n in range(2))
        for first, end, touch in (("reads", "writes", _read), ("writes", "end", _write)):
            with code.loop(high, start=low) as place:
                row = words[Word.ROWS] + code.load(words[Word.ORDER] + place * WORD, I64) * ROW.itemsize
                form = words[Word.FORMS] + _field(code, row, ROW, "form") * FORM.itemsize
                with code.loop(_field(code, form, FORM, end), start=_field(code, form, FORM, first)) as index:
                    _box(code, words, row, words[Word.TOUCHES] + index * BOXED.itemsize, number + 1, touch)
    code.end(code.number(0))
    return module.text()


def _offset(form: np.dtype[np.void], name: str) -> int:
    assert form.fields is not None
    return form.fields[name][1]


def _field(code: Code, record: Value, form: np.dtype[np.void], name: str) -> Value:
    return code.load(record + _offset(form, name), I64)


def _box(code: Code, words: dict[Word, Value], row: Value, touch: Value, step: Value, visit: Visit) -> None:
    """Visits every granule of a touch, unless nobody writes there."""
    f = {name: _field(code, touch, BOXED, name) for name in BOXED.names or ()}
    base = code.load(row + _offset(ROW, "address") + f["operand"] * WORD, I64)
    row = words[Word.EDGES] + step * words[Word.PITCH]
    with code.when(base >= 0), code.loop(f["n0"]) as i, code.loop(f["n1"]) as j, code.loop(f["n2"]) as k:
        start = base + f["offset"] + i * f["s0"] + j * f["s1"] + k * f["s2"]
        first = start.logical_shift(GRANULE.bit_length() - 1)
        end = (start + f["run"] - 1).logical_shift(GRANULE.bit_length() - 1) + 1
        with code.loop(end, start=first) as granule:
            visit(code, words, words[Word.GRANULES] + granule * RECORD, row, step)


def _wait(code: Code, row: Value, before: Value, step: Value) -> None:
    """Marks that `step` waits for `before`, if that is another step at all."""
    with code.when(before.differs(0) & before.differs(step)):
        code.store(row + before, code.constant(I8, 1))


def _slots(code: Code, place: Value) -> list[Value]:
    return [code.load(place + 4 * n, I32).to(I64) for n in range(1 + READERS)]


def _write(code: Code, words: dict[Word, Value], place: Value, row: Value, step: Value) -> None:
    """Makes the step the last writer; it waits for the one before and for all who have read since."""
    slots = _slots(code, place)
    fresh = slots[0].differs(step) | slots[1].differs(0)
    with code.when(fresh):
        for before in slots:
            _wait(code, row, before, step)
        code.store(place, step.to(I32))
        for n in range(READERS):
            code.store(place + 4 * (n + 1), code.constant(I32, 0))


def _read(code: Code, words: dict[Word, Value], place: Value, row: Value, step: Value) -> None:
    """Adds the step to the readers. When they are too many, one falls out that another one of them waits for."""
    writer, *readers = _slots(code, place)
    known = readers[0].equals(step) | readers[1].equals(step) | readers[2].equals(step)

    def waits(after: Value, before: Value) -> Value:
        return code.load(words[Word.REACH] + after * words[Word.PITCH] + before, I8).differs(0)

    with code.when(known.equals(0)):
        _wait(code, row, writer, step)
        out = code.variable(-1)
        with code.when(readers[-1].differs(0) & words[Word.REACH].differs(0)):
            for number, before in enumerate(readers):
                for after in (step, *(each for each in readers if each is not before)):
                    with code.when(waits(after, before)):
                        out.set(code.number(number))
        with code.when(out.get() < 0):
            _wait(code, row, readers[-1], step)
            out.set(code.number(READERS - 1))
        kept = [out.get().equals(0).select(readers[1], readers[0]), out.get().equals(2).select(readers[1], readers[2])]
        for number, value in enumerate([step, *kept]):
            code.store(place + 4 * (number + 1), value.to(I32))
