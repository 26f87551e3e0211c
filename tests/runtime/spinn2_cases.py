"""One random task of every kernel with its result from a formula written for the reader, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from snc.ir.dialects.spinn2_tables import ELEMENT_DTYPES, Element, Kernel

from .spinn2_programs import BYTES, NARROW, Case, one_task, random_operand

Rng = np.random.Generator
ANY = tuple(Element)


def _pick(rng: Rng, elements: tuple[Element, ...]) -> Element:
    return elements[int(rng.integers(len(elements)))]


def _extent(rng: Rng, channels: int = 6, height: int = 7, width: int = 40) -> tuple[int, int, int]:
    return int(rng.integers(1, channels)), int(rng.integers(1, height)), int(rng.integers(1, width))


def _wrap(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _round_shift(value: int, shift: int) -> int:
    shift &= 63
    return _wrap(value + (1 << (shift - 1) if shift else 0), 64) >> shift


def _limits(rng: Rng, element: Element) -> dict[str, int]:
    info = np.iinfo(ELEMENT_DTYPES[element])
    low, high = sorted(int(v) for v in rng.integers(info.min, min(int(info.max), 2**31 - 1), 2, endpoint=True))
    low, high = max(low, -(2**31)), min(high, 2**31 - 1)
    return {"zero_y": int(rng.integers(-128, 128)), "low": low, "high": high}


def _fill(extent: tuple[int, ...], formula: Callable[..., int]) -> np.ndarray:
    """formula at every index, as int64 (wrapped)."""
    flat = [_wrap(formula(*index), 64) for index in product(*map(range, extent))]
    return np.array(flat, np.int64).reshape(extent)


def _window(rng: Rng, most: int = 4) -> dict[str, int]:
    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
    simple = rng.random() < 0.5
    return {name: 1 if simple and not name.startswith("kernel") else int(rng.integers(1, most)) for name in names}


def _tile(window: dict[str, int], height: int, width: int) -> tuple[int, int]:
    return (
        (height - 1) * window["stride_h"] + (window["kernel_h"] - 1) * window["dilation_h"] + 1,
        (width - 1) * window["stride_w"] + (window["kernel_w"] - 1) * window["dilation_w"] + 1,
    )


def conv(rng: Rng) -> Case:
    """y[o,i,j] = sum over c,u,v of a[c, ...] * b[o,c,u,v]."""
    common = rng.random() < 0.6
    a_type, b_type = (_pick(rng, BYTES), Element.I8) if common else (_pick(rng, NARROW), _pick(rng, NARROW))
    extent, channels, window = _extent(rng, 10, 8, 24), int(rng.integers(1, 12)), _window(rng)
    filters, height, width = extent
    a = random_operand(rng, a_type, (channels, *_tile(window, height, width)))
    taps = window["kernel_h"], window["kernel_w"]
    groups = -(-filters // 4), -(-channels // 4)
    b = random_operand(rng, b_type, (groups[0] * groups[1] * 16, *taps))
    block = np.ascontiguousarray(b.values).reshape(groups[0], *taps, groups[1], 4, 4)
    b = random_operand(rng, b_type, (1, 1, block.size), values=block.reshape(1, 1, -1))
    wide = np.zeros((filters, height, width), np.int64)
    for o, c, u, v in product(range(filters), range(channels), *map(range, taps)):
        row, column = u * window["dilation_h"], v * window["dilation_w"]
        some = a.values[c, row : row + height * window["stride_h"] : window["stride_h"]]
        some = some[:height, column : column + width * window["stride_w"] : window["stride_w"]][:, :width]
        wide[o] += some * block[o // 4, u, v, c // 4, o % 4, c % 4]
    fields = {"channels_in": channels, **window}
    return one_task(rng, Kernel.CONV, extent, Element.I32, wide, a=(a_type, a), b=(b_type, b), **fields)


def depthwise(rng: Rng) -> Case:
    """y[c,i,j] = sum over u,v of a[c, ...] * b[c,u,v]."""
    a_type, b_type, extent, window = _pick(rng, NARROW), _pick(rng, NARROW), _extent(rng), _window(rng)
    channels, height, width = extent
    a = random_operand(rng, a_type, (channels, *_tile(window, height, width)))
    taps = window["kernel_h"], window["kernel_w"]
    b = random_operand(rng, b_type, (1, 1, channels * taps[0] * taps[1]))
    weights = b.values.reshape(channels, *taps)
    wide = _fill(
        extent,
        lambda c, i, j: sum(
            int(
                a.values[
                    c,
                    i * window["stride_h"] + u * window["dilation_h"],
                    j * window["stride_w"] + v * window["dilation_w"],
                ]
            )
            * int(weights[c, u, v])
            for u, v in product(*map(range, taps))
        ),
    )
    return one_task(rng, Kernel.DEPTHWISE, extent, Element.I32, wide, a=(a_type, a), b=(b_type, b), **window)


def matmul(rng: Rng) -> Case:
    """y[m,n] = sum over k of a[m,k] * b[k,n]."""
    a_type, b_type = _pick(rng, NARROW), _pick(rng, (*NARROW, Element.I8, Element.I8))
    height, inner, width = (int(rng.integers(1, most)) for most in (5, 40, 150))
    a = random_operand(rng, a_type, (1, height, inner))
    b = random_operand(rng, b_type, (1, inner, width))
    wide = (a.values[0] @ b.values[0])[None]
    extent = 1, height, width
    return one_task(rng, Kernel.MATMUL, extent, Element.I32, wide, a=(a_type, a), b=(b_type, b), channels_in=inner)


def pad(rng: Rng) -> Case:
    """zero_y outside the inner box, the old values inside."""
    y_type, extent = _pick(rng, ANY), _extent(rng)
    info = np.iinfo(ELEMENT_DTYPES[y_type])
    before = rng.integers(info.min, info.max, extent, endpoint=True).astype(np.int64)
    top, left, height, width = (int(v) for v in rng.integers(0, 9, 4))
    zero = int(rng.integers(-300, 300))
    inside = _fill(extent, lambda c, i, j: int(top <= i < top + height and left <= j < left + width))
    fields = {"pad_top": top, "pad_left": left, "height_in": height, "width_in": width, "zero_y": zero}
    return one_task(rng, Kernel.PAD, extent, y_type, np.where(inside, before, zero), y=before, **fields)


def accumulate(rng: Rng) -> Case:
    """y += a."""
    extent = _extent(rng)
    before = rng.integers(-(2**31), 2**31, extent)
    a = random_operand(rng, Element.I32, extent, repeat=True)
    return one_task(rng, Kernel.ACCUMULATE, extent, Element.I32, before + a.values, a=(Element.I32, a), y=before)


def _shift(rng: Rng) -> int:
    return int(rng.choice([0, 1, 7, 31, 40, 62, int(rng.integers(0, 63))]))


def _clamped(value: int, fields: dict[str, int]) -> int:
    return min(max(_wrap(value + fields["zero_y"], 64), fields["low"]), fields["high"])


def requantize(rng: Rng) -> Case:
    """y = clamp(round_shift((a - zero_a + bias[c]) * multiplier[c], shift[c]) + zero_y)."""
    a_type, y_type, extent = _pick(rng, (*ANY, Element.I32)), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent, repeat=True)
    zero, limits = int(rng.integers(-128, 128)), _limits(rng, y_type)
    pitch = int(rng.choice([0, 12, 20]))
    records = rng.integers(-(2**31), 2**31, (extent[0], 5)).astype(np.int32)
    records[:, 0] = rng.integers(-(2**20), 2**20, extent[0])
    records[:, 2] = [_shift(rng) for _ in range(extent[0])]

    def formula(c: int, i: int, j: int) -> int:
        bias, multiplier, shift = (int(v) for v in records[c if pitch else 0, :3])
        value = _wrap(int(a.values[c, i, j]) - zero + bias, 32)
        return _clamped(_round_shift(value * multiplier, shift), limits)

    p = records[:, : pitch // 4] if pitch else records
    fields = {"zero_a": zero, "p_pitch": pitch, **limits}
    return one_task(rng, Kernel.REQUANTIZE, extent, y_type, _fill(extent, formula), a=(a_type, a), p=p, **fields)


def _pair(rng: Rng, kernel: Kernel) -> Case:
    a_type, b_type, y_type, extent = _pick(rng, ANY), _pick(rng, ANY), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent, repeat=True)
    b = random_operand(rng, b_type, extent, repeat=True)
    zero_a, zero_b = (int(v) for v in rng.integers(-128, 128, 2))
    limits = _limits(rng, y_type)
    p = rng.integers(-(2**31), 2**31, 3).astype(np.int32)
    p[2 if kernel == Kernel.ADD else 1] = _shift(rng)

    def formula(c: int, i: int, j: int) -> int:
        x, y = _wrap(int(a.values[c, i, j]) - zero_a, 32), _wrap(int(b.values[c, i, j]) - zero_b, 32)
        if kernel == Kernel.ADD:
            value, shift = x * int(p[0]) + y * int(p[1]), int(p[2])
        else:
            value, shift = x * y * int(p[0]), int(p[1])
        return _clamped(_round_shift(_wrap(value, 64), shift), limits)

    fields = {"zero_a": zero_a, "zero_b": zero_b, **limits}
    expected = _fill(extent, formula)
    return one_task(rng, kernel, extent, y_type, expected, a=(a_type, a), b=(b_type, b), p=p, **fields)


def add(rng: Rng) -> Case:
    """y = clamp(round_shift((a - zero_a) * p[0] + (b - zero_b) * p[1], p[2]) + zero_y)."""
    return _pair(rng, Kernel.ADD)


def mul(rng: Rng) -> Case:
    """y = clamp(round_shift((a - zero_a) * (b - zero_b) * p[0], p[1]) + zero_y)."""
    return _pair(rng, Kernel.MUL)


def requantize_float(rng: Rng) -> Case:
    """y = clamp(rint(f32(a - zero_a + bias[c]) * scale[c]) + zero_y)."""
    a_type, y_type, extent = _pick(rng, (*ANY, Element.I32)), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent, repeat=True)
    zero, limits = int(rng.integers(-128, 128)), _limits(rng, y_type)
    pitch = int(rng.choice([0, 8, 20]))
    records = np.zeros((extent[0], 5), np.int32)
    records[:, 0] = rng.integers(-(2**20), 2**20, extent[0])
    scales = (rng.standard_normal(extent[0]) * 2.0 ** rng.integers(-30, 10, extent[0])).astype(np.float32)
    scales[rng.random(extent[0]) < 0.2] = rng.choice(np.array([0.5, 0.25, np.inf, -np.inf, 3e38], np.float32))
    records[:, 1] = scales.view(np.int32)

    def formula(c: int, i: int, j: int) -> int:
        record = c if pitch else 0
        value = np.float32(_wrap(int(a.values[c, i, j]) - zero + int(records[record, 0]), 32))
        with np.errstate(all="ignore"):
            return _limited(np.rint(value * scales[record]), limits["zero_y"], limits)

    p = records[:, : pitch // 4] if pitch else records
    fields = {"zero_a": zero, "p_pitch": pitch, **limits}
    return one_task(rng, Kernel.REQUANTIZE_FLOAT, extent, y_type, _fill(extent, formula), a=(a_type, a), p=p, **fields)


def _limited(value: np.float32, zero: int, limits: dict[str, int]) -> int:
    """clamp of a float without fraction; NaN counts as the lowest value."""
    if np.isnan(value):
        return min(limits["low"], limits["high"])
    whole = int(value) if np.isfinite(value) else (2**40 if value > 0 else -(2**40))
    return min(max(whole + zero, limits["low"]), limits["high"])


def add_float(rng: Rng) -> Case:
    """y = clamp(rint(f32(b * p[1] + f32(a * p[0] + p[2]))))."""
    a_type, b_type, y_type, extent = _pick(rng, ANY), _pick(rng, ANY), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent, repeat=True)
    b = random_operand(rng, b_type, extent, repeat=True)
    limits = _limits(rng, y_type) | {"zero_y": 7}
    p = (rng.standard_normal(3) * 2.0 ** rng.integers(-20, 8, 3)).astype(np.float32)
    if rng.random() < 0.2:
        p[:] = 0.5, 0.25, 0.5

    def formula(c: int, i: int, j: int) -> int:
        partial = np.float32(float(a.values[c, i, j]) * float(p[0]) + float(p[2]))
        total = np.float32(float(b.values[c, i, j]) * float(p[1]) + float(partial))
        return _limited(np.rint(total), 0, limits)

    expected = _fill(extent, formula)
    return one_task(rng, Kernel.ADD_FLOAT, extent, y_type, expected, a=(a_type, a), b=(b_type, b), p=p, **limits)


def table(rng: Rng) -> Case:
    """y = p[a - lowest]."""
    a_type, y_type, extent = _pick(rng, (*BYTES, *NARROW)), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent, repeat=True)
    info, dtype = np.iinfo(ELEMENT_DTYPES[a_type]), ELEMENT_DTYPES[y_type]
    channels = extent[0] if rng.random() < 0.5 and info.bits == 8 else 1
    entries = rng.integers(0, 256, (channels, (1 << info.bits) * dtype.itemsize), dtype=np.uint8).view(dtype)
    expected = _fill(extent, lambda c, i, j: int(entries[c % channels, int(a.values[c, i, j]) - int(info.min)]))
    pitch = entries.strides[0] if channels == extent[0] and channels > 1 else 0
    return one_task(rng, Kernel.TABLE, extent, y_type, expected, a=(a_type, a), p=entries, p_pitch=pitch)


def _inside(window: dict[str, int], extent: tuple[int, int], i: int, j: int) -> Iterator[tuple[int, int]]:
    for u, v in product(range(window["kernel_h"]), range(window["kernel_w"])):
        row = i * window["stride_h"] - window["pad_top"] + u * window["dilation_h"]
        column = j * window["stride_w"] - window["pad_left"] + v * window["dilation_w"]
        if 0 <= row < extent[0] and 0 <= column < extent[1]:
            yield row, column


def _pool(rng: Rng, kernel: Kernel) -> Case:
    a_type, extent, window = _pick(rng, ANY), _extent(rng, width=30), _window(rng, 5)
    channels, height, width = extent
    window |= {"pad_top": int(rng.integers(0, 3)), "pad_left": int(rng.integers(0, 3))}
    rows, columns = _tile(window, height, width)
    inner = max(1, rows - int(rng.integers(0, 4))), max(1, columns - int(rng.integers(0, 4)))
    a = random_operand(rng, a_type, (channels, *inner))
    fields = {**window, "height_in": inner[0], "width_in": inner[1]}
    if kernel == Kernel.MAX_POOL:
        lowest = int(np.iinfo(ELEMENT_DTYPES[a_type]).min)
        expected = _fill(
            extent,
            lambda c, i, j: max((int(a.values[c, x, y]) for x, y in _inside(window, inner, i, j)), default=lowest),
        )
        return one_task(rng, kernel, extent, a_type, expected, a=(a_type, a), **fields)
    y_type, count, zero = _pick(rng, ANY), int(rng.choice([0, 0, 9])), int(rng.integers(-128, 128))
    limits = _limits(rng, y_type)
    p = np.array([rng.integers(-(2**20), 2**20), rng.integers(0, 30)], np.int32)

    def formula(c: int, i: int, j: int) -> int:
        some = [int(a.values[c, x, y]) - zero for x, y in _inside(window, inner, i, j)]
        n = count or len(some)
        below = n << (int(p[1]) + 1)
        above = _wrap(2 * sum(some) * int(p[0]) + (n << int(p[1])), 64)
        return _clamped(above // below if below else 0, limits)

    fields |= {"count": count, "zero_a": zero, **limits}
    return one_task(rng, kernel, extent, y_type, _fill(extent, formula), a=(a_type, a), p=p, **fields)


def max_pool(rng: Rng) -> Case:
    """y = max over the window, lowest value where no position lies inside the tile."""
    return _pool(rng, Kernel.MAX_POOL)


def avg_pool(rng: Rng) -> Case:
    """y = clamp(floor((2*s*p[0] + (n << p[1])) / (n << (p[1] + 1))) + zero_y)."""
    return _pool(rng, Kernel.AVG_POOL)


def softmax(rng: Rng) -> Case:
    """y = clamp(floor((2 * e * scale + sum(e)) / (2 * sum(e))) + zero_y)."""
    a_type, y_type, extent = _pick(rng, BYTES), _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, a_type, extent)
    p = rng.integers(0, 2**24, 257).astype(np.int32)
    limits = _limits(rng, y_type)

    def formula(c: int, i: int, j: int) -> int:
        row = [int(v) for v in a.values[c, i]]
        e = [int(p[max(row) - v]) for v in row]
        total = sum(e)
        return _clamped((2 * e[j] * int(p[256]) + total) // (2 * total) if total else 0, limits)

    return one_task(rng, Kernel.SOFTMAX, extent, y_type, _fill(extent, formula), a=(a_type, a), p=p, **limits)


def lrn(rng: Rng) -> Case:
    """y = clamp(round_shift((a - zero_a) * p[2 + min(q >> p[0], 1023)], p[1]) + zero_y)."""
    a_type, y_type, extent = _pick(rng, NARROW), _pick(rng, ANY), _extent(rng, channels=9)
    a = random_operand(rng, a_type, extent, repeat=True)
    zero, size, limits = int(rng.integers(-128, 128)), int(rng.integers(1, 7)), _limits(rng, y_type)
    p = rng.integers(-(2**31), 2**31, 1026).astype(np.int32)
    p[:2] = rng.integers(0, 24), _shift(rng)

    def formula(c: int, i: int, j: int) -> int:
        first, last = max(c - (size - 1) // 2, 0), min(c + size // 2, extent[0] - 1)
        q = sum((int(a.values[n, i, j]) - zero) ** 2 for n in range(first, last + 1))
        scale = int(p[2 + min(q >> int(p[0]), 1023)])
        return _clamped(_round_shift((int(a.values[c, i, j]) - zero) * scale, int(p[1])), limits)

    fields = {"kernel_h": size, "zero_a": zero, **limits}
    return one_task(rng, Kernel.LRN, extent, y_type, _fill(extent, formula), a=(a_type, a), p=p, **fields)


def _extreme(rng: Rng, kernel: Kernel) -> Case:
    element, extent = _pick(rng, ANY), _extent(rng)
    a = random_operand(rng, element, extent, repeat=True, skip=True)
    b = random_operand(rng, element, extent, repeat=True, skip=True)
    chosen = max if kernel == Kernel.MAXIMUM else min
    expected = _fill(extent, lambda c, i, j: chosen(int(a.values[c, i, j]), int(b.values[c, i, j])))
    return one_task(rng, kernel, extent, element, expected, a=(element, a), b=(element, b))


def maximum(rng: Rng) -> Case:
    """y = max(a, b)."""
    return _extreme(rng, Kernel.MAXIMUM)


def minimum(rng: Rng) -> Case:
    """y = min(a, b)."""
    return _extreme(rng, Kernel.MINIMUM)


CASES: dict[Kernel, Callable[[Rng], Case]] = {
    Kernel[name.upper()]: globals()[name]
    for name in (
        "conv",
        "depthwise",
        "matmul",
        "pad",
        "accumulate",
        "requantize",
        "add",
        "mul",
        "table",
        "max_pool",
        "avg_pool",
        "softmax",
        "lrn",
        "maximum",
        "minimum",
        "requantize_float",
        "add_float",
    )
}
