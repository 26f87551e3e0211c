"""REQUANTIZE_FLOAT and ADD_FLOAT: elementwise kernels whose factors are 32 bit floats, rounded step by step."""

from __future__ import annotations

from collections.abc import Callable

from ...jit.code import F32, F64, I32, Value, vector
from ...jit.llvm import IRFunction, IRType
from .common import INTS, Frame, Library
from .elementwise import Chunks, Compute
from .layout import LANES

SINGLES = vector(F32, LANES)
DOUBLES = vector(F64, LANES)


def _limit(frame: Frame, zero: Value) -> Callable[[Value], Value]:
    """What adds `zero` to integral floats and limits to [low, high] as i32; a NaN counts as low.

    All of it is exact in 64 bit floats: the limits, less `zero`, are integers of at most 34 bits.
    """
    low, high = ((frame[name] - zero).splat(LANES).to_float(DOUBLES) for name in ("low", "high"))
    offset = zero.splat(LANES).to_float(DOUBLES)

    def limit(value: Value) -> Value:
        wide = value.resized(DOUBLES)
        wide = wide.float_above(low).select(wide, low)
        wide = high.float_above(wide).select(wide, high)
        return wide.float("fadd", offset).to_int(INTS)

    return limit


def _round(library: Library, value: Value) -> Value:
    """To the nearest integer, halves to even."""
    intrinsic = library.module.vector_function(f"llvm.roundeven.v{LANES}f32", SINGLES, 1)
    return Value(value.code, value.code.builder.call(intrinsic, [value.raw]))


def _factor(frame: Frame, address: Value, type_: IRType) -> Value:
    """A float parameter in all lanes."""
    return frame.load(address, F32).splat(LANES).resized(type_)


def requantize_float(library: Library) -> IRFunction:
    """REQUANTIZE_FLOAT: integer bias and float scale of a channel."""
    frame = library.kernel("requantize_float")
    zero, pitch, limit = frame["zero_a"].to(I32), frame["p_pitch"], _limit(frame, frame["zero_y"])

    def per_channel(c: Value) -> Compute:
        record = frame.p + c * pitch
        offset = (frame.load(record, I32) - zero).splat(LANES)
        scale = _factor(frame, record + 4, SINGLES)
        return lambda a, _: limit(_round(library, (a + offset).to_float(SINGLES).float("fmul", scale)))

    Chunks(frame, "a").run(per_channel)
    frame.end()
    return frame.function


def add_float(library: Library) -> IRFunction:
    """ADD_FLOAT: products and sums in 64 bit, each step rounded to 32."""
    frame = library.kernel("add_float")
    limit = _limit(frame, frame.number(0))
    first, second, third = (_factor(frame, frame.p + 4 * n, DOUBLES) for n in range(3))

    def compute(a: Value, b: Value) -> Value:
        partial = a.to_float(DOUBLES).float("fmul", first).float("fadd", third).resized(SINGLES)
        total = b.to_float(DOUBLES).float("fmul", second).float("fadd", partial.resized(DOUBLES)).resized(SINGLES)
        return limit(_round(library, total))

    Chunks(frame, "ab").run(lambda _: compute)
    frame.end()
    return frame.function
