"""MAX_POOL and AVG_POOL: rows of the tile are read as i32 once per kernel row and reduced along columns."""

from __future__ import annotations

from ....ir.dialects.spinn2_tables import ELEMENT_DTYPES, Element
from ...jit.code import I32, I64, Value
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


def max_pool(library: Library) -> IRFunction:
    """MAX_POOL: a row with the lowest value on both sides, then the maximum of shifted vectors."""
    frame = library.kernel("max_pool")
    kind, width, height_in, width_in = frame.fields("a_type", "width", "height_in", "width_in")
    kernel_h, kernel_w, stride_h, stride_w = frame.fields("kernel_h", "kernel_w", "stride_h", "stride_w")
    dilation_h, dilation_w, top, left = frame.fields("dilation_h", "dilation_w", "pad_top", "pad_left")
    line, best = frame.slot(Slot.ROW), frame.slot(Slot.SUMS)
    lowest = frame.variable(0)
    for element, dtype in zip(Element, ELEMENT_DTYPES, strict=True):
        with frame.when(kind.equals(element)):
            lowest.set(frame.number(0 if dtype.kind == "u" else -(1 << (8 * dtype.itemsize - 1))))
    empty = lowest.get().to(I32).splat(LANES)
    span = (width - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    with frame.loop(frame["channels"]) as c, frame.loop(frame["height"]) as i:
        with frame.loop(width, step=LANES) as at:
            frame.store(best + at * 4, empty)
        # The row's right side is refilled after each read because `widen` clobbers a few lanes behind the row.
        with frame.loop(left.min(span), step=LANES) as at:
            frame.store(line + at * 4, empty)
        with frame.loop(kernel_h) as u:
            row = i * stride_h - top + u * dilation_h
            with frame.when(row >= 0), frame.when(row < height_in):
                source = frame.a + c * frame["a_channel"] + row * frame["a_row"]
                used = width_in.min((span - left).max(0))
                frame.widen(kind, source, 0, frame["a_column"], 1, used, line + left * 4)
                with frame.loop(span, start=left + used, step=LANES) as at:
                    frame.store(line + at * 4, empty)
                with frame.loop(width, step=LANES) as at:
                    value = frame.variable(frame.load(best + at * 4, INTS))
                    with frame.loop(kernel_w) as v:
                        place = line + (at * stride_w + v * dilation_w) * 4
                        value.set(value.get().max(strided(frame, place, stride_w)))
                    frame.store(best + at * 4, value.get())
        target = frame.y + c * frame["y_channel"] + i * frame["y_row"]
        frame.narrow(frame["y_type"], best, 1, width, target, 0)
    frame.end()
    return frame.function


def avg_pool(library: Library) -> IRFunction:
    """AVG_POOL: sums of 64 bit over the part of each window that lies inside the tile."""
    frame = library.kernel("avg_pool")
    kind, width, height_in, width_in = frame.fields("a_type", "width", "height_in", "width_in")
    kernel_h, kernel_w, stride_h, stride_w = frame.fields("kernel_h", "kernel_w", "stride_h", "stride_w")
    dilation_h, dilation_w, top, left = frame.fields("dilation_h", "dilation_w", "pad_top", "pad_left")
    zero, count = frame.fields("zero_a", "count")
    multiplier, shift = frame.load(frame.p, I32).to(I64), frame.load(frame.p + 4, I32).to(I64) & 63
    line, sums = frame.slot(Slot.ROW), frame.slot(Slot.SUMS)
    span = (width - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    used = width_in.min((span - left).max(0))

    def inside(first: Value, dilation: Value, kernel: Value, extent: Value) -> tuple[Value, Value]:
        """Range of kernel positions whose place first + n * dilation lies in [0, extent)."""
        begin = (first < 0).select((dilation - 1 - first).quotient(dilation), 0)
        end = (extent - first + dilation - 1).max(0).quotient(dilation)
        return begin.min(kernel), end.min(kernel)

    with frame.loop(frame["channels"]) as c, frame.loop(frame["height"]) as i:
        with frame.loop(width) as j:
            frame.store(sums + j * 8, frame.number(0))
        first_row = i * stride_h - top
        low, high = inside(first_row, dilation_h, kernel_h, height_in)
        with frame.loop(high, start=low) as u:
            source = frame.a + c * frame["a_channel"] + (first_row + u * dilation_h) * frame["a_row"]
            frame.widen(kind, source, 0, frame["a_column"], 1, used, line)
            with frame.loop(width) as j:
                first = j * stride_w - left
                begin, end = inside(first, dilation_w, kernel_w, width_in)
                total = frame.variable(frame.load(sums + j * 8, I64))
                with frame.loop(end, start=begin) as v:
                    value = frame.load(line + (first + v * dilation_w) * 4, I32).to(I64)
                    total.set(total.get() + value - zero)
                frame.store(sums + j * 8, total.get())
        with frame.loop(width) as j:
            begin, end = inside(j * stride_w - left, dilation_w, kernel_w, width_in)
            n = (count > 0).select(count, (end - begin).max(0) * (high - low).max(0))
            above = frame.load(sums + j * 8, I64) * multiplier * 2 + (n << shift)
            value = frame.clamped_scalar(frame.floor_quotient(above, n << ((shift + 1) & 63)))
            frame.store(line + j * 4, value.to(I32))
        target = frame.y + c * frame["y_channel"] + i * frame["y_row"]
        frame.narrow(frame["y_type"], line, 1, width, target, 0)
    frame.end()
    return frame.function
