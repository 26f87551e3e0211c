"""Transfers: boxes of bytes, gathered elements, fills; and PAD, which fills the frame of a tile."""

from __future__ import annotations

from collections.abc import Callable

from ...jit.code import I8, I32, I64, Code, Value, vector
from ...jit.llvm import IRFunction
from .common import Frame, Library, run_class, run_copiers
from .layout import BOX_FIELDS, WORD, Slot


def _box_fields(frame: Frame, *names: str) -> tuple[Value, ...]:
    return tuple(frame.load(frame.record + BOX_FIELDS.index(name) * WORD, I64) for name in names)


def box(library: Library) -> IRFunction:
    """BOX: n0 x n1 runs from a (source) to y (destination)."""
    frame = library.kernel("box")
    n0, n1, count, src_0, src_1, dst_0, dst_1 = _box_fields(
        frame, "n0", "n1", "bytes", "src_0", "src_1", "dst_0", "dst_1"
    )

    def every(copier: Callable[[Value, Value], None]) -> None:
        with frame.loop(n0) as i, frame.loop(n1) as j:
            copier(frame.y + i * dst_0 + j * dst_1, frame.a + i * src_0 + j * src_1)

    frame.choose(run_class(frame, count), run_copiers(frame, count), every)
    frame.end()
    return frame.function


def gather(library: Library) -> IRFunction:
    """GATHER: n0 x n1 x n2 elements, each at the sum of three offsets."""
    frame = library.kernel("gather")
    n0, n1, n2, count, at, dst_0, dst_1 = _box_fields(frame, "n0", "n1", "n2", "bytes", "at", "dst_0", "dst_1")
    first = frame.slot(Slot.OFFSETS) + at * 4
    second = first + n0 * 4
    third = second + n1 * 4

    def every(copier: Callable[[Value, Value], None]) -> None:
        with frame.loop(n0) as i, frame.loop(n1) as j:
            source = frame.a + frame.load(first + i * 4, I32).to(I64) + frame.load(second + j * 4, I32).to(I64)
            target = frame.y + i * dst_0 + j * dst_1
            with frame.loop(n2) as k:
                copier(target + k * count, source + frame.load(third + k * 4, I32).to(I64))

    frame.choose(run_class(frame, count), run_copiers(frame, count), every)
    frame.end()
    return frame.function


def _fill_run(code: Code, target: Value, count: Value, pattern: Value) -> None:
    """Fill `count` bytes with the eight bytes of `pattern`, whose period divides every power of two that is stored."""
    whole = count & -64
    eight = pattern.splat(8)
    with code.loop(whole, step=64) as at:
        code.store(target + at, eight)
    place = code.variable(target + whole)
    for size in (32, 16, 8, 4, 2, 1):
        with code.when((count & size).differs(0)):
            part = pattern.splat(size // 8) if size >= 8 else pattern.splat(1)
            bytes_ = part.bits(vector(I8, max(size, 8)))
            code.store(place.get(), bytes_.shuffle(bytes_, range(size)))
            place.set(place.get() + size)


def fill(library: Library) -> IRFunction:
    """FILL: n0 x n1 runs of one value."""
    frame = library.kernel("fill")
    n0, n1, count, dst_0, dst_1, pattern = _box_fields(frame, "n0", "n1", "bytes", "dst_0", "dst_1", "pattern")
    with frame.loop(n0) as i, frame.loop(n1) as j:
        _fill_run(frame, frame.y + i * dst_0 + j * dst_1, count, pattern)
    frame.end()
    return frame.function


def pad(library: Library) -> IRFunction:
    """PAD: what lies outside the inner box of y."""
    frame = library.kernel("pad")
    channels, height, width, pattern = frame.fields("channels", "height", "width", "pattern")
    top, left = frame["pad_top"].min(height), frame["pad_left"].min(width)
    bottom, right = (top + frame["height_in"]).min(height), (left + frame["width_in"]).min(width)
    size = frame["y_size"]
    y_channel, y_row = frame.fields("y_channel", "y_row")
    with frame.loop(channels) as c, frame.loop(height) as i:
        line = frame.y + c * y_channel + i * y_row

        def whole(line: Value = line) -> None:
            _fill_run(frame, line, width * size, pattern)

        def sides(line: Value = line) -> None:
            _fill_run(frame, line, left * size, pattern)
            _fill_run(frame, line + right * size, (width - right) * size, pattern)

        frame.either(
            (i < top).select(frame.number(1), (i >= bottom).select(frame.number(1), 0)).equals(1), whole, sides
        )
    frame.end()
    return frame.function
