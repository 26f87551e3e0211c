"""The function that walks accesses and keeps, for every byte of the image, the number of the row that wrote it last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum

from ...jit import code as code_module
from ...jit.code import I1, I32, I64, Code, Module, Value, Variable, vector
from ...jit.llvm import ir
from .. import accesses
from ..accesses import ACCESS, Kind
from . import layout
from .layout import LANES, WORD

SOURCES = (sys.modules[__name__], accesses, layout, code_module)
"""Modules that decide the generated code."""
SHADOW = "snc_shadow"
INTS = vector(I32, LANES)


class Word(IntEnum):
    """Words of the state that the function gets."""

    ACCESSES = 0
    COUNT = 1
    WRITERS = 2  # u32 of every byte of the image: the row that wrote it last, 0 for nobody
    BUFFER_OF = 3  # i64 of every row
    OFFSETS = 4
    FINDINGS = 5
    ROOM = 6  # rows of the findings table


FINDING_WORDS = 4
"""A finding is (access, byte of the image, writer found there, 0)."""


def shadow() -> str:
    """LLVM IR of snc_shadow(state) -> number of findings (those beyond the table's room are counted only)."""
    module = Module()
    code = Code(module.function(SHADOW, 1, result=True, exported=True))
    (state,) = code.parameters
    words = {word: code.load(state + word * WORD, I64) for word in Word}
    found = code.variable(0)
    with code.loop(words[Word.COUNT]) as index:
        record = words[Word.ACCESSES] + index * ACCESS.itemsize
        _access(code, words, record, index, found)
    code.end(found.get())
    return module.text()


def _access(code: Code, words: dict[Word, Value], record: Value, index: Value, found: Variable) -> None:
    """One access: look at every byte, then mark it if the access writes."""
    f = {name: code.load(record + n * WORD, I64) for n, name in enumerate(ACCESS.names or ())}
    trusted = code.variable(f["writer"])
    clean = code.variable(1)
    writes = f["kind"].equals(Kind.WRITE)

    def judge(writer: Value, place: Value) -> None:
        """Remember `writer` if its bytes may be accessed, else report the byte (once for each access)."""
        owner = code.load(words[Word.BUFFER_OF] + writer * WORD, I64)
        foreign = owner.differs(f["buffer"])
        race = (writer >= f["first_writer"]) & (writer < f["end_writer"]) & writer.differs(f["writer"])
        bad = writes.select(race, writer.equals(0) | race | foreign)

        def report() -> None:
            with code.when(found.get() < words[Word.ROOM]):
                row = words[Word.FINDINGS] + found.get() * (FINDING_WORDS * WORD)
                for n, value in enumerate((index, place, writer)):
                    code.store(row + n * WORD, value)
            found.set(found.get() + 1)
            clean.set(code.number(0))

        code.either(bad, report, lambda: trusted.set(writer))

    def run(start: Value) -> None:
        numbers = code.constant(INTS, range(LANES))
        with code.loop(f["run"], step=LANES) as at:
            place = words[Word.WRITERS] + (start + at) * 4
            inside = numbers < (f["run"] - at).min(LANES).to(I32).splat(LANES)
            strange = code.load(place, INTS).differs(trusted.get().to(I32).splat(LANES)) & inside
            look = _any(code, strange) & clean.get().equals(1)
            with code.when(look), code.loop((f["run"] - at).min(LANES)) as lane:
                writer = code.load(place + lane * 4, I32).to(I64, signed=False)
                with code.when(writer.differs(trusted.get()) & clean.get().equals(1)):
                    judge(writer, start + at + lane)
            with code.when(writes):
                code.store_first(place, f["writer"].to(I32).splat(LANES), (f["run"] - at).min(LANES))

    def gathered() -> None:
        first = words[Word.OFFSETS] + f["s0"] * 4
        second = first + f["n0"] * 4
        third = second + f["n1"] * 4

        def offset(table: Value, n: Value) -> Value:
            return code.load(table + n * 4, I32).to(I64)

        _loops(code, f, lambda i, j, k: run(f["address"] + offset(first, i) + offset(second, j) + offset(third, k)))

    def boxed() -> None:
        _loops(code, f, lambda i, j, k: run(f["address"] + i * f["s0"] + j * f["s1"] + k * f["s2"]))

    code.either(f["kind"].equals(Kind.GATHER), gathered, boxed)


def _loops(code: Code, f: dict[str, Value], body: Callable[[Value, Value, Value], None]) -> None:
    with code.loop(f["n0"]) as i, code.loop(f["n1"]) as j, code.loop(f["n2"]) as k:
        body(i, j, k)


def _any(code: Code, mask: Value) -> Value:
    """Whether any lane of a vector of conditions holds."""
    form = ir.FunctionType(I1, [vector(I1, LANES)])
    return Value(code, code.call_raw(f"llvm.vector.reduce.or.v{LANES}i1", form, [mask.raw]))
