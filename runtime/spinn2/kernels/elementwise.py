"""Kernels that compute each element of y from the elements of a (and b) in its place.

Rows are read as i32 into chunk buffers, computed there in whole vectors, and written back as elements of y. Within a
chunk everything is read before anything is written, so that y may take the place of an operand.
"""

from __future__ import annotations

from collections.abc import Callable

from ....ir.dialects.spinn2_tables import Element
from ...jit.code import I8, I16, I32, I64, Value, vector
from ...jit.llvm import IRFunction
from .common import INTS, Frame, Library, round_shift
from .layout import CHUNK, CHUNK_A, CHUNK_B, CHUNK_Y, LANES, Slot

Compute = Callable[[Value, Value], Value]


class Chunks:
    """Walks the merged extent of an elementwise kernel."""

    def __init__(self, frame: Frame, operands: str) -> None:
        self.frame = frame
        self.operands = operands
        self.channels, self.height, self.width = frame.fields("merged_channels", "merged_height", "merged_width")

    def run(self, per_channel: Callable[[Value], Compute]) -> None:
        """Write compute(a, b), i32 lanes, to y; `per_channel` prepares `compute` for a channel."""
        frame = self.frame

        def store(compute: Compute, rows: Value, count: Value, target: Value) -> None:
            sources = [frame.chunk(place) for place in (CHUNK_A, CHUNK_B)]
            with frame.loop(rows * count, step=LANES) as at:
                a = frame.load(sources[0] + at * 4, INTS)
                b = frame.load(sources[1] + at * 4, INTS) if len(self.operands) > 1 else a
                frame.store(frame.chunk(CHUNK_Y) + at * 4, compute(a, b))
            frame.narrow(frame["y_type"], frame.chunk(CHUNK_Y), rows, count, target, frame["y_row"])

        self.walk(per_channel, store)

    def walk(
        self,
        per_channel: Callable[[Value], Compute],
        store: Callable[[Compute, Value, Value, Value], None],
    ) -> None:
        """Read every chunk and call store(compute, rows, columns, address of its first element of y)."""
        frame = self.frame
        step = frame["chunk_rows"]
        with frame.loop(self.channels) as c:
            compute = per_channel(c)
            with frame.loop(self.height, step=step) as row, frame.loop(self.width, step=CHUNK) as column:
                rows, count = (self.height - row).min(step), (self.width - column).min(CHUNK)
                for name, place in zip(self.operands, (CHUNK_A, CHUNK_B), strict=False):
                    column_pitch = "y_size" if name == "y" else f"{name}_column"
                    pitches = frame.fields(f"{name}_channel", f"{name}_row", column_pitch, f"{name}_type")
                    start = {"a": frame.a, "b": frame.b, "y": frame.y}[name]
                    source = start + c * pitches[0] + row * pitches[1] + column * pitches[2]
                    frame.widen(pitches[3], source, pitches[1], pitches[2], rows, count, frame.chunk(place))
                target = frame.y + c * frame["y_channel"] + row * frame["y_row"] + column * frame["y_size"]
                store(compute, rows, count, target)


def _splat(frame: Frame, name: str) -> Value:
    return frame[name].to(I32).splat(LANES)


def accumulate(library: Library) -> IRFunction:
    """ACCUMULATE: y += a."""
    frame = library.kernel("accumulate")
    Chunks(frame, "ay").run(lambda _: lambda a, y: a + y)
    frame.end()
    return frame.function


def requantize(library: Library) -> IRFunction:
    """REQUANTIZE: bias, multiplier and shift of a channel."""
    frame = library.kernel("requantize")
    zero, pitch, clamp = frame["zero_a"].to(I32), frame["p_pitch"], frame.clamp(LANES)

    def per_channel(c: Value) -> Compute:
        bias, multiplier, shift = (frame.load(frame.p + c * pitch + 4 * n, I32) for n in range(3))
        offset = (bias - zero).splat(LANES)
        factor = multiplier.to(I64).splat(LANES)
        scale = round_shift(shift.to(I64), LANES)
        return lambda a, _: clamp(scale((a + offset).to(I64) * factor)).to(I32)

    Chunks(frame, "a").run(per_channel)
    frame.end()
    return frame.function


def add(library: Library) -> IRFunction:
    """ADD: both operands with their multipliers."""
    frame = library.kernel("add")
    zero_a, zero_b, clamp = _splat(frame, "zero_a"), _splat(frame, "zero_b"), frame.clamp(LANES)
    first, second = (_parameter(frame, n).splat(LANES) for n in range(2))
    scale = round_shift(_parameter(frame, 2), LANES)

    def compute(a: Value, b: Value) -> Value:
        return clamp(scale((a - zero_a).to(I64) * first + (b - zero_b).to(I64) * second)).to(I32)

    Chunks(frame, "ab").run(lambda _: compute)
    frame.end()
    return frame.function


def mul(library: Library) -> IRFunction:
    """MUL: the product with one multiplier."""
    frame = library.kernel("mul")
    zero_a, zero_b, clamp = _splat(frame, "zero_a"), _splat(frame, "zero_b"), frame.clamp(LANES)
    factor, scale = _parameter(frame, 0).splat(LANES), round_shift(_parameter(frame, 1), LANES)

    def compute(a: Value, b: Value) -> Value:
        return clamp(scale((a - zero_a).to(I64) * (b - zero_b).to(I64) * factor)).to(I32)

    Chunks(frame, "ab").run(lambda _: compute)
    frame.end()
    return frame.function


def _parameter(frame: Frame, index: int) -> Value:
    return frame.load(frame.p + 4 * index, I32).to(I64)


def maximum(library: Library) -> IRFunction:
    """MAXIMUM of a and b."""
    frame = library.kernel("maximum")
    Chunks(frame, "ab").run(lambda _: lambda a, b: a.max(b))
    frame.end()
    return frame.function


def minimum(library: Library) -> IRFunction:
    """MINIMUM of a and b."""
    frame = library.kernel("minimum")
    Chunks(frame, "ab").run(lambda _: lambda a, b: a.min(b))
    frame.end()
    return frame.function


def table(library: Library) -> IRFunction:
    """TABLE: entries of y's type, looked up one by one."""
    frame = library.kernel("table")
    kind, pitch = frame["a_type"], frame["p_pitch"]
    lowest = frame.variable(0)
    for element, value in ((Element.I8, -(1 << 7)), (Element.I16, -(1 << 15))):
        with frame.when(kind.equals(element)):
            lowest.set(frame.number(value))
    channel = frame.variable(0)

    def per_channel(c: Value) -> Compute:
        channel.set(c)
        return lambda a, _: a

    def store(_: Compute, rows: Value, count: Value, target: Value) -> None:
        entries, y_row = frame.p + channel.get() * pitch, frame["y_row"]

        def look_up(size: int) -> None:
            type_ = {1: I8, 2: I16, 4: I32}[size]
            with frame.loop(rows) as row, frame.loop(count) as column:
                index = frame.load(frame.chunk() + (row * count + column) * 4, I32).to(I64) - lowest.get()
                entry = frame.load(entries + index * size, type_)
                frame.store(target + row * y_row + column * size, entry)

        frame.choose(frame["y_size"], {size: size for size in (1, 2, 4)}, look_up)

    Chunks(frame, "a").walk(per_channel, store)
    frame.end()
    return frame.function


LRN_LANES = vector(I64, LANES)


def lrn(library: Library) -> IRFunction:
    """LRN: the sum of squares of neighbouring channels chooses the factor."""
    frame = library.kernel("lrn")
    channels, size = frame.fields("channels", "kernel_h")
    kind, pitch, row_pitch, column_pitch = frame.fields("a_type", "a_channel", "a_row", "a_column")
    zero = _splat(frame, "zero_a")
    index_shift, scale, clamp = _parameter(frame, 0) & 63, round_shift(_parameter(frame, 1)), frame.clamp()
    with (
        frame.loop(channels) as c,
        frame.loop(frame["height"]) as row,
        frame.loop(frame["width"], step=CHUNK) as column,
    ):
        count = (frame["width"] - column).min(CHUNK)
        place = row * row_pitch + column * column_pitch
        first = (c - (size - 1).logical_shift(1)).max(0)
        last = (c + size.logical_shift(1)).min(channels - 1)
        # Squares take 64 bit; the buffers B and Y together hold them for one chunk.
        sums = frame.chunk(CHUNK_B)
        with frame.loop(count, step=LANES) as at:
            frame.store(sums + at * 8, frame.constant(LRN_LANES, 0))
        with frame.loop(last + 1, start=first) as n:
            frame.widen(kind, frame.a + n * pitch + place, 0, column_pitch, 1, count, frame.chunk())
            with frame.loop(count, step=LANES) as at:
                value = (frame.load(frame.chunk() + at * 4, INTS) - zero).to(I64)
                frame.store(sums + at * 8, frame.load(sums + at * 8, LRN_LANES) + value * value)
        frame.widen(kind, frame.a + c * pitch + place, 0, column_pitch, 1, count, frame.chunk())
        with frame.loop(count) as at:
            index = (frame.load(sums + at * 8, I64) >> index_shift).max(0).min(1023)
            factor = frame.load(frame.p + (index + 2) * 4, I32).to(I64)
            value = (frame.load(frame.chunk() + at * 4, I32) - frame["zero_a"].to(I32)).to(I64)
            frame.store(frame.chunk() + at * 4, clamp(scale(value * factor)).to(I32))
        target = frame.y + c * frame["y_channel"] + row * frame["y_row"] + column * frame["y_size"]
        frame.narrow(frame["y_type"], frame.chunk(), 1, count, target, 0)
    frame.end()
    return frame.function


def softmax(library: Library) -> IRFunction:
    """SOFTMAX over each row, with exponentials from a table."""
    frame = library.kernel("softmax")
    width, kind = frame.fields("width", "a_type")
    scale, clamp = _parameter(frame, 256), frame.clamp()
    line = frame.slot(Slot.ROW)
    with frame.loop(frame["channels"]) as c, frame.loop(frame["height"]) as row:
        source = frame.a + c * frame["a_channel"] + row * frame["a_row"]
        frame.widen(kind, source, 0, frame["a_column"], 1, width, line)
        highest = frame.variable(frame.constant(I32, -(1 << 31)))
        with frame.loop(width) as at:
            highest.set(highest.get().max(frame.load(line + at * 4, I32)))
        total = frame.variable(0)
        with frame.loop(width) as at:
            distance = (highest.get() - frame.load(line + at * 4, I32)).to(I64)
            value = frame.load(frame.p + distance * 4, I32)
            frame.store(line + at * 4, value)
            total.set(total.get() + value.to(I64))
        with frame.loop(width) as at:
            above = frame.load(line + at * 4, I32).to(I64) * scale * 2 + total.get()
            frame.store(line + at * 4, clamp(frame.floor_quotient(above, total.get() * 2)).to(I32))
        target = frame.y + c * frame["y_channel"] + row * frame["y_row"]
        frame.narrow(frame["y_type"], line, 1, width, target, 0)
    frame.end()
    return frame.function
