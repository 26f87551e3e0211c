"""CONV and DEPTHWISE: every output position of a few filters in registers, one loop over taps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ....ir.dialects.spinn2_tables import Element
from ...jit.code import I32, I64, Value, Variable, vector
from ...jit.llvm import IRFunction
from .common import INTS, Frame, Library
from .layout import LANES, Slot
from .packing import list_taps, pack_ints, pack_quads, unless_packed

DOT_BLOCKS = 6
"""Most blocks of 16 positions that the dot kernel keeps in registers (times 4 filters, of 32 registers)."""
DOT_CHAINS = 16
"""Independent sums that cover the latency of a dot product."""
PLAIN_BLOCKS = 2
DEPTHWISE_BLOCKS = 4
FILTERS = 4


def dot(library: Library, sums: Value, unsigned: Value, signed: Value) -> Value:
    """sums + the products of four bytes in each lane (i32 lanes hold the bytes), wrapping: vpdpbusd."""
    code = sums.code
    if library.features.dot512:
        from_ = library.module.vector_function("llvm.x86.avx512.vpdpbusd.512", INTS, 3)
        return Value(code, code.builder.call(from_, [sums.raw, unsigned.raw, signed.raw]))
    half = vector(I32, LANES // 2)
    from_ = library.module.vector_function("llvm.x86.avx512.vpdpbusd.256", half, 3)
    parts = []
    for lanes in (range(LANES // 2), range(LANES // 2, LANES)):
        split = [value.shuffle(value, lanes) for value in (sums, unsigned, signed)]
        parts.append(Value(code, code.builder.call(from_, [value.raw for value in split])))
    return parts[0].shuffle(parts[1], range(LANES))


def _position_blocks(frame: Frame, most: int, block: Callable[[Value, int], None]) -> None:
    """block(first position, blocks of 16) over all output positions, in shares that are as equal as possible."""
    blocks = (frame["positions"] + (LANES - 1)).logical_shift(4)
    position = frame.variable(0)
    left = frame.variable(blocks)
    parts = frame.variable((blocks + (most - 1)).quotient(most))
    with frame.repeat_while(lambda: left.get() > 0):
        share = (left.get() + parts.get() - 1).quotient(parts.get())
        first = position.get()
        frame.choose(share, {count: count for count in range(1, most + 1)}, partial(block, first))
        position.set(first + share * LANES)
        left.set(left.get() - share)
        parts.set(parts.get() - 1)


def _store_results(frame: Frame, filters: Value, first: Value) -> None:
    """Copy `filters` planes of results (i32, garbage between rows) to y from channel `first` on."""
    results, pitch = frame.slot(Slot.RESULTS), _result_pitch(frame)
    rows, count = frame["result_rows"], frame["result_columns"]
    whole = count & -LANES
    width, y_channel, y_row = frame.fields("packed_width", "y_channel", "y_row")
    with frame.loop(filters) as n, frame.loop(rows) as row:
        source = results + n * pitch + row * width * 4
        target = frame.y + (first + n) * y_channel + row * y_row
        with frame.loop(whole, step=LANES) as at:
            frame.store(target + at * 4, frame.load(source + at * 4, INTS))
        with frame.when(whole < count):
            frame.store_first(target + whole * 4, frame.load(source + whole * 4, INTS), count - whole)


def _result_pitch(frame: Frame) -> Value:
    """Bytes between the results of two filters."""
    return (frame["positions"] + (LANES - 1) & -LANES) * 4


def conv_dot(library: Library) -> IRFunction:
    """CONV of 8 bit a and signed 8 bit b."""
    frame = library.kernel("conv_dot")
    unless_packed(frame, lambda: pack_quads(frame))
    list_taps(frame, planes=1)
    channels, taps = frame.fields("channels", "taps")
    packed, results, pitch = frame.slot(Slot.PACKED), frame.slot(Slot.RESULTS), _result_pitch(frame)
    table = frame.slot(Slot.TAPS)
    signed = frame["a_type"].equals(Element.I8)
    with frame.loop(channels, step=FILTERS) as first:
        weights = frame.b + first.logical_shift(2) * taps * 16
        # Each signed a was packed as a + 128: start from -128 times the sum of the weights.
        starts = _starts(frame, library, weights, taps, signed)

        def block(position: Value, count: int) -> None:
            # A sum waits for the one before it: few blocks need several sums each to keep the multipliers busy.
            ways = max(1, DOT_CHAINS // (FILTERS * count))
            zero = frame.constant(INTS, 0)
            sums = [
                [[frame.variable(zero if way else start) for _ in range(count)] for start in starts]
                for way in range(ways)
            ]
            source = packed + position * 4

            def tap(index: Value, way: int) -> None:
                place = source + frame.load(table + index * 8, I64)
                inputs = [frame.load(place + n * 64, INTS) for n in range(count)]
                for f, row in enumerate(sums[way]):
                    four = frame.load(weights + index * 16 + f * 4, I32).splat(LANES)
                    for n, total in enumerate(row):
                        total.set(dot(library, total.get(), inputs[n], four))

            whole = taps - taps.remainder(ways) if ways > 1 else taps
            with frame.loop(whole, step=ways) as index:
                for way in range(ways):
                    tap(index + way, way)
            if ways > 1:
                with frame.loop(taps, start=whole) as index:
                    tap(index, 0)
            for f in range(FILTERS):
                for n in range(count):
                    total = sums[0][f][n].get()
                    for way in range(1, ways):
                        total = total + sums[way][f][n].get()
                    frame.store(results + pitch * f + (position + n * LANES) * 4, total)

        _position_blocks(frame, DOT_BLOCKS, block)
        _store_results(frame, (channels - first).min(FILTERS), first)
    frame.end()
    return frame.function


def _starts(frame: Frame, library: Library, weights: Value, taps: Value, signed: Value) -> list[Value]:
    """-128 times the weight sums of four filters if a is signed, else 0; one splat vector each."""
    four = vector(I32, 4)
    sums = frame.variable(frame.constant(four, 0))

    def add() -> None:
        ones = frame.constant(INTS, 0x80808080 - (1 << 32))
        whole = taps & -4
        wide = frame.variable(frame.constant(INTS, 0))
        with frame.loop(whole, step=4) as index:
            wide.set(dot(library, wide.get(), ones, frame.load(weights + index * 16, INTS)))
        with frame.loop(taps, start=whole) as index:
            part = frame.load(weights + index * 16, four)
            zero = frame.constant(four, 0)
            wide.set(dot(library, wide.get(), ones, part.shuffle(zero, [*range(4), *[4] * 12])))
        total = wide.get()
        parts = [total.shuffle(total, range(4 * n, 4 * n + 4)) for n in range(4)]
        sums.set(frame.constant(four, 0) - parts[0] - parts[1] - parts[2] - parts[3])

    frame.either(signed, add, lambda: None)
    return [sums.get().lane(f).splat(LANES) for f in range(FILTERS)]


def _plain(frame: Frame, most: int, filters: int, planes: int, weights: Value) -> None:
    """Results of `filters` filters from packed i32 planes; weights are i32 [taps][filters][planes]."""
    taps, plane = frame.fields("taps", "plane")
    packed, results, pitch = frame.slot(Slot.PACKED), frame.slot(Slot.RESULTS), _result_pitch(frame)
    table = frame.slot(Slot.TAPS)

    def block(position: Value, count: int) -> None:
        zero = frame.constant(INTS, 0)
        sums: list[list[Variable]] = [[frame.variable(zero) for _ in range(count)] for _ in range(filters)]
        source = packed + position * 4
        with frame.loop(taps) as index:
            place = source + frame.load(table + index * 8, I64)
            for c in range(planes):
                inputs = [frame.load(place + plane * (4 * c) + n * 64, INTS) for n in range(count)]
                for f, row in enumerate(sums):
                    weight = frame.load(weights + (index * (filters * planes) + f * planes + c) * 4, I32).splat(LANES)
                    for n, total in enumerate(row):
                        total.set(total.get() + inputs[n] * weight)
        for f, row in enumerate(sums):
            for n, total in enumerate(row):
                frame.store(results + pitch * f + (position + n * LANES) * 4, total.get())

    _position_blocks(frame, most, block)


def conv(library: Library) -> IRFunction:
    """CONV of any element types: 32 bit multiplications."""
    frame = library.kernel("conv")
    unless_packed(frame, lambda: pack_ints(frame, frame.a, frame["channels_in"], FILTERS))
    list_taps(frame, planes=FILTERS)
    channels, taps = frame.fields("channels", "taps")
    weights = frame.slot(Slot.WEIGHTS)
    with frame.loop(channels, step=FILTERS) as first:
        block = frame.b + first.logical_shift(2) * taps * frame["b_size"] * 16
        frame.widen(frame["b_type"], block, 0, frame["b_size"], 1, taps * 16, weights)
        _plain(frame, PLAIN_BLOCKS, FILTERS, FILTERS, weights)
        _store_results(frame, (channels - first).min(FILTERS), first)
    frame.end()
    return frame.function


def depthwise(library: Library) -> IRFunction:
    """DEPTHWISE: one channel after the other."""
    frame = library.kernel("depthwise")
    list_taps(frame, planes=1)
    channels, taps = frame.fields("channels", "taps")
    weights = frame.slot(Slot.WEIGHTS)
    frame.widen(frame["b_type"], frame.b, 0, frame["b_size"], 1, channels * taps, weights)
    with frame.loop(channels) as c:
        pack_ints(frame, frame.a + c * frame["a_channel"], frame.number(1), 1)
        _plain(frame, DEPTHWISE_BLOCKS, 1, 1, weights + c * taps * 4)
        _store_results(frame, frame.number(1), c)
    frame.end()
    return frame.function
