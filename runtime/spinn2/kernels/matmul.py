"""MATMUL: one row of a against 64 columns of b at a time."""

from __future__ import annotations

from functools import partial

from ....ir.dialects.spinn2_tables import Element
from ...jit.code import I8, I16, I32, Value, vector
from ...jit.llvm import IRFunction
from .common import ELEMENT_TYPES, INTS, Frame, Library
from .layout import LANES, Slot
from .mac import dot

BLOCKS = 4
COLUMNS = BLOCKS * LANES


def _store(frame: Frame, row: Value, column: Value, source: Value) -> None:
    """Copy the results of up to COLUMNS columns to y."""
    target = frame.y + row * frame["y_row"] + column * 4
    left = frame["width"] - column
    for n in range(BLOCKS):
        count = (left - n * LANES).max(0).min(LANES)
        frame.store_first(target + n * 64, frame.load(source + n * 64, INTS), count)


def matmul(library: Library) -> IRFunction:
    """MATMUL of any element types: 32 bit multiplications."""
    frame = library.kernel("matmul")
    inner, width, kind = frame.fields("channels_in", "width", "b_type")
    line, results = frame.slot(Slot.ROW), frame.slot(Slot.RESULTS)
    with frame.loop(frame["height"]) as row:
        frame.widen(frame["a_type"], frame.a + row * frame["a_row"], 0, frame["a_column"], 1, inner, line)
        with frame.loop(width, step=COLUMNS) as column:

            def products(column: Value, element: Element) -> None:
                type_, signed = ELEMENT_TYPES[element]
                size = type_.width // 8
                sums = [frame.variable(frame.constant(INTS, 0)) for _ in range(BLOCKS)]
                with frame.loop(inner) as k:
                    factor = frame.load(line + k * 4, I32).splat(LANES)
                    place = frame.b + k * frame["b_row"] + column * size
                    for n, total in enumerate(sums):
                        value = frame.load(place + n * LANES * size, vector(type_, LANES)).to(I32, signed=signed)
                        total.set(total.get() + value * factor)
                for n, total in enumerate(sums):
                    frame.store(results + n * 64, total.get())

            narrow = {element: element for element in Element if element != Element.I32}
            frame.choose(kind, narrow, partial(products, column))
            _store(frame, row, column, results)
    frame.end()
    return frame.function


def matmul_dot(library: Library) -> IRFunction:
    """MATMUL of 8 bit a and signed 8 bit b: four rows of b are interleaved on the way into the dot products.

    The row of a is copied as unsigned bytes (offset by 128 where it is signed) and padded with zeros to a multiple of
    four; beside it lies a row that holds the offset, whose products with b are subtracted.
    """
    frame = library.kernel("matmul_dot")
    inner, width = frame.fields("channels_in", "width")
    line, offsets, results = frame.slot(Slot.ROW), frame.slot(Slot.SUMS), frame.slot(Slot.RESULTS)
    signed = frame["a_type"].equals(Element.I8)
    flip = signed.select(frame.number(0x80), 0).to(I8)
    padded = (inner + 3) & -4
    bytes_ = vector(I8, 64)
    with frame.loop(frame["height"]) as row:
        with frame.loop(inner, step=64) as at:
            source = frame.load(frame.a + row * frame["a_row"] + at, bytes_)
            frame.store(line + at, source ^ flip.splat(64))
            frame.store(offsets + at, flip.splat(64))
        with frame.loop(padded, start=inner) as at:
            frame.store(line + at, frame.constant(I8, 0))
            frame.store(offsets + at, frame.constant(I8, 0))
        with frame.loop(width, step=COLUMNS) as column:
            sums = [frame.variable(frame.constant(INTS, 0)) for _ in range(2 * BLOCKS)]
            with frame.loop(padded, step=4) as k:
                # Rows behind the last meet zeros in `line`; read the last row in their place.
                rows = [
                    frame.load(frame.b + (k + n).min(inner - 1) * frame["b_row"] + column, bytes_) for n in range(4)
                ]
                values = frame.load(line + k, I32).splat(LANES)
                offset = frame.load(offsets + k, I32).splat(LANES)
                for n, quads in enumerate(_interleave(rows)):
                    sums[n].set(dot(library, sums[n].get(), values, quads))
                    sums[BLOCKS + n].set(dot(library, sums[BLOCKS + n].get(), offset, quads))
            for n in range(BLOCKS):
                total = sums[n].get() - sums[BLOCKS + n].get()
                # Lane l of part n holds column 16 * (l // 4) + 4 * n + l % 4.
                for part in range(4):
                    four = total.shuffle(total, range(4 * part, 4 * part + 4))
                    frame.store(results + (16 * part + 4 * n) * 4, four)
            _store(frame, row, column, results)
    frame.end()
    return frame.function


def _interleave(rows: list[Value]) -> list[Value]:
    """Four vectors of i32 lanes, each with the bytes of four rows, from 4 x 64 bytes; within 128 bit lanes."""

    def unpack(a: Value, b: Value, size: int, high: bool) -> Value:
        per = 16 // size
        start = per // 2 if high else 0
        order = [
            piece
            for lane in range(4)
            for index in range(per // 2)
            for piece in (lane * per + start + index, 4 * per + lane * per + start + index)
        ]
        return a.shuffle(b, order)

    shorts = vector(I16, 32)
    out = []
    for high in (False, True):
        first = unpack(rows[0], rows[1], 1, high).bits(shorts)
        second = unpack(rows[2], rows[3], 1, high).bits(shorts)
        for upper in (False, True):
            out.append(unpack(first, second, 2, upper).bits(INTS))
    return out
