"""MAX_POOL and AVG_POOL: rows of the tile are read as i32 once per kernel row and reduced along columns."""

from __future__ import annotations

from collections.abc import Callable

from ....ir.dialects.spinn2_tables import ELEMENT_DTYPES, Element
from ...jit.code import I32, I64, Value, vector
from ...jit.llvm import IRFunction
from .common import INTS, Frame, Library
from .layout import LANES, Slot


def strided(frame: Frame, address: Value, stride: Value) -> Value:
    """Sixteen i32 at `address`, `stride` elements apart."""
    out = frame.variable(frame.constant(INTS, 0))

    def twice() -> None:
        low, high = frame.load(address, INTS), frame.load(address + 4 * LANES, INTS)
        out.set(low.shuffle(high, range(0, 2 * LANES, 2)))

    def each() -> None:
        out.set(frame.load(address, INTS))
        with frame.loop(LANES, start=1) as lane:
            value = frame.load(address + lane * stride * 4, I32)
            raw = frame.builder.insert_element(out.get().raw, value.raw, lane.to(I32).raw)
            out.set(Value(frame, raw))

    frame.either(
        stride.equals(1),
        lambda: out.set(frame.load(address, INTS)),
        lambda: frame.either(stride.equals(2), twice, each),
    )
    return out.get()


class Windows:
    """What both pooling kernels share: the windows' geometry and the rows that they cover."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.kind, self.width, self.width_in = frame.fields("a_type", "width", "width_in")
        self.kernel, self.stride, self.dilation = frame.fields("kernel_w", "stride_w", "dilation_w")
        self.left = frame["pad_left"]
        self.span = (self.width - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        self.used = self.width_in.min((self.span - self.left).max(0))
        self.line, self.row = frame.slot(Slot.SUMS), frame.slot(Slot.ROW)

    def range(self, output: Value, axis: str) -> tuple[Value, Value, Value]:
        """First position of an output's window along an axis, and the range of kernel positions inside the tile."""
        frame = self.frame
        side, pad = ("height_in", "pad_top") if axis == "h" else ("width_in", "pad_left")
        kernel, dilation = frame.fields(f"kernel_{axis}", f"dilation_{axis}")
        first = output * frame[f"stride_{axis}"] - frame[pad]
        before, behind = (-first).max(0), (frame[side] - first).max(0)
        low, high = frame.variable(before), frame.variable(behind)
        with frame.when(dilation > 1):
            low.set((before + dilation - 1).quotient(dilation))
            high.set((behind + dilation - 1).quotient(dilation))
        return first, low.get().min(kernel), high.get().min(kernel)

    def rows(self, c: Value, i: Value, body: Callable[[], None]) -> Value:
        """Read each row under output row i as i32 into `row` and run `body`; returns their number."""
        frame = self.frame
        first, low, high = self.range(i, "h")
        pitch, row_pitch, dilation, column = frame.fields("a_channel", "a_row", "dilation_h", "a_column")
        with frame.loop(high, start=low) as u:
            source = frame.a + c * pitch + (first + u * dilation) * row_pitch
            frame.widen(self.kind, source, 0, column, 1, self.used, self.row)
            body()
        return (high - low).max(0)


def max_pool(library: Library) -> IRFunction:
    """MAX_POOL: the maximum of the rows with the lowest value on both sides, then of shifted vectors of it."""
    frame = library.kernel("max_pool")
    windows = Windows(frame)
    kind, line, used, width = windows.kind, windows.line, windows.used, windows.width
    lowest = frame.variable(0)
    for element, dtype in zip(Element, ELEMENT_DTYPES, strict=True):
        with frame.when(kind.equals(element)):
            lowest.set(frame.number(0 if dtype.kind == "u" else -(1 << (8 * dtype.itemsize - 1))))
    empty = lowest.get().to(I32).splat(LANES)
    middle = line + windows.left.min(windows.span) * 4
    y_channel, y_row = frame.fields("y_channel", "y_row")

    def merge() -> None:
        with frame.loop(used & -LANES, step=LANES) as at:
            value = frame.load(middle + at * 4, INTS).max(frame.load(windows.row + at * 4, INTS))
            frame.store(middle + at * 4, value)
        tail = used & -LANES
        value = frame.load(middle + tail * 4, INTS).max(frame.load(windows.row + tail * 4, INTS))
        frame.store_first(middle + tail * 4, value, used - tail)

    with frame.loop(frame["channels"]) as c, frame.loop(frame["height"]) as i:
        with frame.loop(windows.span, step=LANES) as at:
            frame.store(line + at * 4, empty)
        windows.rows(c, i, merge)
        with frame.loop(width, step=LANES) as at:
            best = frame.variable(empty)
            with frame.loop(windows.kernel) as v:
                place = line + (at * windows.stride + v * windows.dilation) * 4
                best.set(best.get().max(strided(frame, place, windows.stride)))
            frame.store(windows.row + at * 4, best.get())
        frame.narrow(frame["y_type"], windows.row, 1, width, frame.y + c * y_channel + i * y_row, 0)
    frame.end()
    return frame.function


def avg_pool(library: Library) -> IRFunction:
    """AVG_POOL: the sums of the rows in 64 bit, then those of the columns under each window."""
    frame = library.kernel("avg_pool")
    windows = Windows(frame)
    zero, count, clamp = frame["zero_a"], frame["count"], frame.clamp()
    multiplier, shift = frame.load(frame.p, I32).to(I64), frame.load(frame.p + 4, I32).to(I64) & 63
    line, width, used = windows.line, windows.width, windows.used
    zeros, wide = zero.splat(LANES), vector(I64, LANES)
    y_channel, y_row = frame.fields("y_channel", "y_row")

    def add() -> None:
        with frame.loop(used, step=LANES) as at:
            value = frame.load(windows.row + at * 4, INTS).to(I64) - zeros
            frame.store(line + at * 8, frame.load(line + at * 8, wide) + value)

    with frame.loop(frame["channels"]) as c, frame.loop(frame["height"]) as i:
        with frame.loop(used, step=LANES) as at:
            frame.store(line + at * 8, frame.constant(wide, 0))
        rows = windows.rows(c, i, add)
        with frame.loop(width) as j:
            first, begin, end = windows.range(j, "w")
            total = frame.variable(0)
            with frame.loop(end, start=begin) as v:
                total.set(total.get() + frame.load(line + (first + v * windows.dilation) * 8, I64))
            n = (count > 0).select(count, (end - begin).max(0) * rows)
            above = total.get() * multiplier * 2 + (n << shift)
            value = clamp(frame.floor_quotient(above, n << ((shift + 1) & 63)))
            frame.store(windows.row + j * 4, value.to(I32))
        frame.narrow(frame["y_type"], windows.row, 1, width, frame.y + c * y_channel + i * y_row, 0)
    frame.end()
    return frame.function
