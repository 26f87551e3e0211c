"""What all kernels share: access to records and scratch memory, element conversion, copies of runs of bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ....ir.dialects.spinn2_tables import Element
from ...jit.code import I8, I16, I32, I64, Code, Module, Value, vector
from ...jit.features import Features
from ...jit.llvm import IRFunction, IRType
from .layout import CHUNK_A, LANES, SHAPE_FIELDS, WORD, ZEROS, Slot

ELEMENT_TYPES: dict[Element, tuple[IRType, bool]] = {
    Element.I8: (I8, True),
    Element.U8: (I8, False),
    Element.I16: (I16, True),
    Element.U16: (I16, False),
    Element.I32: (I32, True),
}
"""Integer type and signedness of each element."""

INTS = vector(I32, LANES)
WIDE = vector(I64, LANES)


class Library:
    """The module that the kernels are written into, and the functions that they call."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.module = Module()
        self.widen = self._widen()
        self.narrow = self._narrow()

    def kernel(self, name: str) -> Frame:
        """Start a kernel; it is called with (scratch, record, a, b, p, y), all addresses."""
        return Frame(self, self.module.function(name, 6))

    def _widen(self) -> IRFunction:
        """(type, source, row pitch, column pitch, rows, count, target): target[rows][count] i32 = source elements.

        Up to 15 lanes behind each row are read and written too; rows ascend, so that only the end is clobbered.
        """
        function = self.module.function("widen", 7)
        code = Code(function)
        kind, source, pitch, column, rows, count, target = code.parameters

        def convert(element: Element) -> None:
            type_, signed = ELEMENT_TYPES[element]
            size = type_.width // 8

            def dense() -> None:
                with code.loop(rows) as row, code.loop(count, step=LANES) as first:
                    place = source + row * pitch + first * size
                    lanes = code.load(place, vector(type_, LANES)).to(I32, signed=signed)
                    code.store(target + (row * count + first) * 4, lanes)

            def repeated() -> None:
                with code.loop(rows) as row:
                    value = code.load(source + row * pitch, type_).to(I32, signed=signed).splat(LANES)
                    with code.loop(count, step=LANES) as first:
                        code.store(target + (row * count + first) * 4, value)

            def apart() -> None:
                with code.loop(rows) as row, code.loop(count) as at:
                    value = code.load(source + row * pitch + at * column, type_).to(I32, signed=signed)
                    code.store(target + (row * count + at) * 4, value)

            code.either(column.equals(size), dense, lambda: code.either(column.equals(0), repeated, apart))

        code.choose(kind, {element: element for element in Element}, convert)
        code.end()
        return function

    def _narrow(self) -> IRFunction:
        """(type, source, rows, count, target, row pitch): target elements = source[rows][count] i32, truncated."""
        function = self.module.function("narrow", 6)
        code = Code(function)
        kind, source, rows, count, target, pitch = code.parameters

        def convert(type_: IRType) -> None:
            size = type_.width // 8
            whole = count & -LANES
            with code.loop(rows) as row:
                line, out = source + row * count * 4, target + row * pitch
                with code.loop(whole, step=LANES) as first:
                    code.store(out + first * size, code.load(line + first * 4, INTS).to(type_))
                with code.when(whole < count):
                    code.store_first(out + whole * size, code.load(line + whole * 4, INTS).to(type_), count - whole)

        code.choose(kind, {element: type_ for element, (type_, _) in ELEMENT_TYPES.items()}, convert)
        code.end()
        return function


class Frame(Code):
    """The body of a kernel: its operands' addresses, fields of its record, slots of the scratch memory."""

    def __init__(self, library: Library, function: IRFunction) -> None:
        super().__init__(function)
        self.library = library
        self.scratch, self.record, self.a, self.b, self.p, self.y = self.parameters

    def __getitem__(self, name: str) -> Value:
        """A field of the record."""
        return self.load(self.record + SHAPE_FIELDS.index(name) * WORD, I64)

    def fields(self, *names: str) -> tuple[Value, ...]:
        """Several fields of the record."""
        return tuple(self[name] for name in names)

    def slot(self, slot: Slot) -> Value:
        """A word of the scratch memory's header."""
        return self.load(self.scratch + slot * WORD, I64)

    def set_slot(self, slot: Slot, value: Value) -> None:
        """Change a word of the header."""
        self.store(self.scratch + slot * WORD, value)

    @property
    def zeros(self) -> Value:
        """Address of 64 zeros."""
        return self.scratch + ZEROS

    def chunk(self, place: int = CHUNK_A) -> Value:
        """Address of a chunk buffer."""
        return self.scratch + place

    def widen(
        self,
        kind: Value,
        source: Value,
        pitch: Value | int,
        column: Value | int,
        rows: Value | int,
        count: Value,
        target: Value,
    ) -> None:
        """Read rows of elements as i32."""
        self.call(self.library.widen, kind, source, pitch, column, rows, count, target)

    def narrow(
        self, kind: Value, source: Value, rows: Value | int, count: Value, target: Value, pitch: Value | int
    ) -> None:
        """Write rows of i32 as elements."""
        self.call(self.library.narrow, kind, source, rows, count, target, pitch)

    def clamp(self, lanes: int = 0) -> Callable[[Value], Value]:
        """What adds zero_y and limits to [low, high], for i64 or vectors of them."""
        zero, low, high = (field.splat(lanes) if lanes else field for field in self.fields("zero_y", "low", "high"))
        return lambda value: (value + zero).max(low).min(high)

    def floor_quotient(self, above: Value, below: Value) -> Value:
        """floor(above / below), or 0 where `below` is not positive."""
        valid = below > 0
        divisor = valid.select(below, 1)
        truncated = above.quotient(divisor)
        down = (truncated * divisor > above).select(self.number(1), 0)
        return valid.select(truncated - down, 0)


def round_shift(shift: Value, lanes: int = 0) -> Callable[[Value], Value]:
    """What computes (v + (1 << (s - 1))) >> s, or v where s is 0, with the i64 s modulo 64, for i64 or vectors."""
    amount = shift & 63
    half = amount.equals(0).select(shift.code.number(0), shift.code.number(1) << ((amount - 1) & 63))
    if lanes:
        amount, half = amount.splat(lanes), half.splat(lanes)
    return lambda value: (value + half) >> amount


RUN_CLASSES = (1, 2, 4, 8, 16, 32, 64)
"""Runs of exactly these bytes, runs between two of them, and longer runs are copied each in its own way."""


def run_class(code: Code, count: Value) -> Value:
    """2*i for exactly RUN_CLASSES[i] bytes, 2*i + 1 for up to the next class, 2*6 + 1 for all above 64."""
    number = code.number(0)
    for index, size in enumerate(RUN_CLASSES):
        number = (count >= size).select(code.number(2 * index), number)
        number = (count > size).select(code.number(2 * index + 1), number)
    return number


def run_copiers(code: Code, count: Value) -> dict[int, Callable[[Value, Value], None]]:
    """By run class, what copies one run from its second to its first argument."""

    def move(size: int, target: Value, source: Value) -> None:
        type_ = vector(I8, size)
        code.store(target, code.load(source, type_))

    def between(size: int, target: Value, source: Value) -> None:
        type_ = vector(I8, size)
        back = count - size
        first, last = code.load(source, type_), code.load(source + back, type_)
        code.store(target, first)
        code.store(target + back, last)

    def long(target: Value, source: Value) -> None:
        with code.loop(count - 64, step=64) as at:
            move(64, target + at, source + at)
        move(64, target + (count - 64), source + (count - 64))

    copiers: dict[int, Callable[[Value, Value], None]] = {}
    for index, size in enumerate(RUN_CLASSES):
        copiers[2 * index] = partial(move, size)
        copiers[2 * index + 1] = partial(between, size)
    copiers[2 * len(RUN_CLASSES) - 1] = long
    return copiers
