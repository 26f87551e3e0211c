"""Which bytes each operand of a shape class or box class touches: the one description that checks and verifier share.

A *touch* is a box of bytes relative to the operand's address: for i < n0, j < n1, k < n2 the `run` bytes from
`offset + i*s0 + j*s1 + k*s2`. The touches of an operand name exactly the bytes that its kernel reads or writes
(gaps between pitches are not part of it); some bytes may be named twice.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import BOX, ELEMENT_DTYPES, SHAPE, Copy, Kernel

Table = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


class Operand(IntEnum):
    """The operands of a task, in the order of the columns of TASK; a transfer uses A (src) and Y (dst)."""

    A = 0
    B = 1
    P = 2
    Y = 3


TOUCH = np.dtype(
    [
        ("row", "<i8"),  # of the shapes or boxes table
        ("operand", "u1"),
        ("write", "?"),
        ("offset", "<i8"),
        ("n0", "<i8"),
        ("n1", "<i8"),
        ("n2", "<i8"),
        ("s0", "<i8"),
        ("s1", "<i8"),
        ("s2", "<i8"),
        ("run", "<i8"),
    ]
)

ELEMENT_BYTES = np.array([dtype.itemsize for dtype in ELEMENT_DTYPES], dtype=np.int64)

PAIRS = (Kernel.ADD, Kernel.MUL, Kernel.MAXIMUM, Kernel.MINIMUM, Kernel.ADD_FLOAT)
"""Elementwise kernels of two operands."""
BY_CHANNEL = (Kernel.REQUANTIZE, Kernel.TABLE, Kernel.REQUANTIZE_FLOAT)
"""Kernels with one record of p for each channel (if p_pitch is not 0)."""
USES_B = (Kernel.CONV, Kernel.DEPTHWISE, Kernel.MATMUL, *PAIRS)
USES_P = (Kernel.ADD, Kernel.MUL, Kernel.ADD_FLOAT, Kernel.AVG_POOL, Kernel.SOFTMAX, Kernel.LRN, *BY_CHANNEL)
USES_WINDOW = (Kernel.CONV, Kernel.DEPTHWISE, Kernel.MAX_POOL, Kernel.AVG_POOL)
PADS_WINDOW = (Kernel.MAX_POOL, Kernel.AVG_POOL)
SKIPS_COLUMNS = (Kernel.MAXIMUM, Kernel.MINIMUM)
"""Kernels whose operands a and b may skip columns (a_column and b_column are multiples of the element size)."""
DENSE_COLUMNS = (*USES_WINDOW, Kernel.MATMUL, Kernel.SOFTMAX)
"""Kernels whose operand a cannot repeat a column (a_column is the element size)."""

PARAMETER_BYTES = {
    Kernel.REQUANTIZE: 12,
    Kernel.ADD: 12,
    Kernel.MUL: 8,
    Kernel.AVG_POOL: 8,
    Kernel.SOFTMAX: 4 * 257,
    Kernel.LRN: 4 * (2 + 1024),
    Kernel.REQUANTIZE_FLOAT: 8,
    Kernel.ADD_FLOAT: 12,
}
"""Bytes of one record of operand p; TABLE's depends on its element types."""

MAX_TOUCHES = 1 << 22


def is_kernel(shapes: Table, *kernels: Kernel) -> npt.NDArray[np.bool_]:
    """Mask of the rows of `shapes` that run one of `kernels`."""
    return np.isin(shapes["kernel"], kernels)


def uses(shapes: Table) -> npt.NDArray[np.bool_]:
    """bool[shapes, 4]: which operands (a, b, p, y) each shape class has."""
    a = ~is_kernel(shapes, Kernel.PAD)
    return np.stack([a, is_kernel(shapes, *USES_B), is_kernel(shapes, *USES_P), np.ones_like(a)], axis=1)


def field(table: Table, name: str) -> Integers:
    """One column of a table as int64."""
    return np.asarray(table[name], dtype=np.int64)


def ceil_div(value: Integers, by: Integers | int) -> Integers:
    """Quotient rounded up; `by` is positive."""
    return -(-value // by)


def filter_bytes(shapes: Table) -> Integers:
    """Bytes of operand b of CONV: [ceil(O/4)][kernel_h][kernel_w][ceil(C/4)][4][4] elements."""
    groups = ceil_div(field(shapes, "channels"), 4) * ceil_div(field(shapes, "channels_in"), 4)
    window = field(shapes, "kernel_h") * field(shapes, "kernel_w")
    return np.asarray(groups * window * 16 * ELEMENT_BYTES[shapes["b_type"]])


def _touches(
    rows: Integers,
    operand: Operand,
    run: Integers | int,
    *,
    offset: Integers | int = 0,
    n: tuple[Integers | int, Integers | int, Integers | int] = (1, 1, 1),
    s: tuple[Integers | int, Integers | int, Integers | int] = (0, 0, 0),
    write: bool = False,
) -> Table:
    """Touch rows for `rows` of the table; empty boxes are left out."""
    out = np.zeros(len(rows), dtype=TOUCH)
    out["row"], out["operand"], out["write"], out["offset"], out["run"] = rows, operand, write, offset, run
    for axis in range(3):
        out[f"n{axis}"] = n[axis]
        out[f"s{axis}"] = np.where(out[f"n{axis}"] > 1, s[axis], 0)
    keep = (out["n0"] > 0) & (out["n1"] > 0) & (out["n2"] > 0) & (out["run"] > 0)
    return np.asarray(out[keep])


def _map(shapes: Table, rows: Integers, name: str, *, write: bool = False) -> Table:
    """All elements of an operand that has y's extent: [channels, height, width] of name's element type."""
    some = shapes[rows]
    size, width = ELEMENT_BYTES[some[f"{name}_type"]], field(some, "width")
    pitch = size if name == "y" else field(some, f"{name}_column")
    dense, skips = pitch == size, pitch > size
    return _touches(
        rows,
        Operand["ABPY"["abpy".index(name)]],
        size * np.where(dense, width, 1),
        n=(field(some, "channels"), field(some, "height"), np.where(skips, width, 1)),
        s=(field(some, f"{name}_channel"), field(some, f"{name}_row"), pitch),
        write=write,
    )


def _axis(shapes: Table, axis: str, kernels: Integers, padded: npt.NDArray[np.bool_]) -> tuple[Integers, ...]:
    """Positions that windows read along one axis: (start, count, step).

    `kernels` is the index of the kernel row or column for shapes whose windows leave gaps and -1 where the windows of
    neighbouring outputs touch, so that one range covers them all.
    """
    outputs, extent = (
        field(shapes, "height" if axis == "h" else "width"),
        field(shapes, f"{'height' if axis == 'h' else 'width'}_in"),
    )
    kernel, stride, dilation = (field(shapes, f"{name}_{axis}") for name in ("kernel", "stride", "dilation"))
    pad = np.where(padded, field(shapes, "pad_top" if axis == "h" else "pad_left"), 0)
    span = (outputs - 1) * stride + (kernel - 1) * dilation + 1
    limit = np.where(padded, extent, span)
    start = np.maximum(-pad, 0)
    count = np.minimum(limit, span - pad) - start
    first = kernels * dilation - pad
    low = np.maximum(ceil_div(-first, stride), 0)
    high = np.minimum((limit - 1 - first) // stride, outputs - 1)
    gaps = kernels >= 0
    return (
        np.where(gaps, low * stride + first, start),
        np.where(gaps, high - low + 1, count),
        np.where(gaps, stride, 1),
    )


def gap_free(shapes: Table, axis: str) -> npt.NDArray[np.bool_]:
    """Whether the windows along an axis cover one range without gaps."""
    outputs = shapes["height" if axis == "h" else "width"]
    close = (shapes[f"stride_{axis}"] <= shapes[f"kernel_{axis}"]) | (outputs == 1)
    return np.asarray((shapes[f"dilation_{axis}"] == 1) & close)


def window_expansions(shapes: Table) -> tuple[Integers, Integers]:
    """How many touches the windows of each shape need along rows and along columns."""
    rows = np.where(gap_free(shapes, "h"), 1, field(shapes, "kernel_h"))
    columns = np.where(gap_free(shapes, "w"), 1, field(shapes, "kernel_w"))
    return rows, columns


def _windows(shapes: Table, rows: Integers) -> Table:
    """Operand a of the window kernels: the positions that some window covers (inside the tile where it is padded)."""
    expand_h, expand_w = window_expansions(shapes[rows])
    repeats = expand_h * expand_w
    ordinal = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    expand_h, expand_w, rows = np.repeat(expand_h, repeats), np.repeat(expand_w, repeats), np.repeat(rows, repeats)
    some = shapes[rows]
    padded = is_kernel(some, *PADS_WINDOW)
    top, height, step_h = _axis(some, "h", np.where(gap_free(some, "h"), -1, ordinal // expand_w), padded)
    left, width, step_w = _axis(some, "w", np.where(gap_free(some, "w"), -1, ordinal % expand_w), padded)
    size = ELEMENT_BYTES[some["a_type"]]
    channels = np.where(is_kernel(some, Kernel.CONV), some["channels_in"], some["channels"]).astype(np.int64)
    dense = step_w == 1
    return _touches(
        rows,
        Operand.A,
        np.where(dense, width, 1) * size,
        offset=top * field(some, "a_row") + left * size,
        n=(channels, height, np.where(dense, np.minimum(width, 1), width)),
        s=(field(some, "a_channel"), step_h * field(some, "a_row"), step_w * size),
    )


def _matmul(shapes: Table, rows: Integers) -> list[Table]:
    some = shapes[rows]
    height, inner, width = (field(some, name) for name in ("height", "channels_in", "width"))
    a_size, b_size = ELEMENT_BYTES[some["a_type"]], ELEMENT_BYTES[some["b_type"]]
    return [
        _touches(rows, Operand.A, inner * a_size, n=(1, height, 1), s=(0, field(some, "a_row"), 0)),
        _touches(rows, Operand.B, width * b_size, n=(1, inner, 1), s=(0, field(some, "b_row"), 0)),
        _touches(rows, Operand.Y, width * 4, n=(1, height, 1), s=(0, field(some, "y_row"), 0), write=True),
    ]


def _pad(shapes: Table, rows: Integers) -> list[Table]:
    """Operand y of PAD: bands above, below, left and right of the inner box."""
    some = shapes[rows]
    channels, height, width = (field(some, name) for name in ("channels", "height", "width"))
    size, pitch = ELEMENT_BYTES[some["y_type"]], field(some, "y_row")
    top, left = np.minimum(field(some, "pad_top"), height), np.minimum(field(some, "pad_left"), width)
    bottom = np.minimum(top + field(some, "height_in"), height)
    right = np.minimum(left + field(some, "width_in"), width)

    def band(first: Integers, count: Integers, column: Integers, columns: Integers) -> Table:
        return _touches(
            rows,
            Operand.Y,
            columns * size,
            offset=first * pitch + column * size,
            n=(channels, count, 1),
            s=(field(some, "y_channel"), pitch, 0),
            write=True,
        )

    zero = np.zeros_like(top)
    return [
        band(zero, top, zero, width),
        band(bottom, height - bottom, zero, width),
        band(top, bottom - top, zero, left),
        band(top, bottom - top, right, width - right),
    ]


def _parameters(shapes: Table, rows: Integers) -> Table:
    some = shapes[rows]
    run = np.zeros(len(rows), np.int64)
    for kernel, count in PARAMETER_BYTES.items():
        run[some["kernel"] == kernel] = count
    table = is_kernel(some, Kernel.TABLE)
    entries = np.where(ELEMENT_BYTES[some["a_type"]] == 1, 1 << 8, 1 << 16)
    run = np.where(table, entries * ELEMENT_BYTES[some["y_type"]], run)
    pitch = np.where(is_kernel(some, *BY_CHANNEL), field(some, "p_pitch"), 0)
    return _touches(rows, Operand.P, run, n=(np.where(pitch > 0, field(some, "channels"), 1), 1, 1), s=(pitch, 0, 0))


def shape_touches(shapes: Table) -> Table:
    """Every touch of every shape class, ordered by row of the shapes table."""
    assert shapes.dtype == SHAPE

    def of(*kernels: Kernel) -> Integers:
        return np.flatnonzero(is_kernel(shapes, *kernels))

    every = np.arange(len(shapes))
    by_window = is_kernel(shapes, *USES_WINDOW)
    special = by_window | is_kernel(shapes, Kernel.MATMUL, Kernel.PAD)
    weights = of(Kernel.CONV)
    depthwise = of(Kernel.DEPTHWISE)
    taps = field(shapes, "channels") * field(shapes, "kernel_h") * field(shapes, "kernel_w")
    parts = [
        _windows(shapes, every[by_window]),
        _touches(weights, Operand.B, filter_bytes(shapes[weights])),
        _touches(depthwise, Operand.B, (taps * ELEMENT_BYTES[shapes["b_type"]])[depthwise]),
        *_matmul(shapes, of(Kernel.MATMUL)),
        *_pad(shapes, of(Kernel.PAD)),
        _map(shapes, every[~special], "a"),
        _map(shapes, of(*PAIRS), "b"),
        _map(shapes, of(Kernel.ACCUMULATE), "y"),
        _parameters(shapes, of(*USES_P)),
        _map(shapes, every[~is_kernel(shapes, Kernel.MATMUL, Kernel.PAD)], "y", write=True),
    ]
    table = np.concatenate(parts)
    return np.asarray(table[np.argsort(table["row"], kind="stable")])


def box_touches(boxes: Table, offsets: Integers) -> Table:
    """Every touch of every box class, ordered by row of the boxes table.

    The source of a GATHER is named by its bounding range only: `offsets` say the exact bytes.
    """
    assert boxes.dtype == BOX
    every = np.arange(len(boxes))
    gather = boxes["copy"] == Copy.GATHER
    low, high = gather_range(boxes, offsets)
    n0, n1, run = field(boxes, "n0"), field(boxes, "n1"), field(boxes, "bytes")
    plain = every[boxes["copy"] == Copy.BOX]
    some = boxes[plain]
    parts = [
        _touches(
            plain, Operand.A, run[plain], n=(n0[plain], n1[plain], 1), s=(field(some, "src_0"), field(some, "src_1"), 0)
        ),
        _touches(every[gather], Operand.A, (high - low + run)[gather], offset=low[gather]),
        _touches(
            every,
            Operand.Y,
            run * np.where(gather, field(boxes, "n2"), 1),
            n=(n0, n1, 1),
            s=(field(boxes, "dst_0"), field(boxes, "dst_1"), 0),
            write=True,
        ),
    ]
    table = np.concatenate(parts)
    return np.asarray(table[np.argsort(table["row"], kind="stable")])


def gather_range(boxes: Table, offsets: Integers) -> tuple[Integers, Integers]:
    """Lowest and highest source offset of each GATHER, int64[boxes]; 0 for other boxes.

    The ranges [at, at + n0 + n1 + n2) must lie inside `offsets` and no count may be 0.
    """
    low, high = np.zeros(len(boxes), np.int64), np.zeros(len(boxes), np.int64)
    gather = np.flatnonzero(boxes["copy"] == Copy.GATHER)
    if not len(gather):
        return low, high
    some = boxes[gather]
    counts = np.stack([field(some, name) for name in ("n0", "n1", "n2")], axis=1)
    starts = field(some, "at")[:, None] + np.cumsum(counts, axis=1) - counts
    edges = np.stack([starts, starts + counts], axis=2).reshape(-1)
    # reduceat takes [begin, end) pairs; a sentinel keeps an end equal to the table's length legal.
    padded = np.append(np.asarray(offsets, np.int64), 0)
    low[gather] = np.minimum.reduceat(padded, edges)[::2].reshape(-1, 3).sum(axis=1)
    high[gather] = np.maximum.reduceat(padded, edges)[::2].reshape(-1, 3).sum(axis=1)
    return low, high


def extents(touches: Table, rows: int) -> tuple[Integers, Integers, npt.NDArray[np.float64]]:
    """First byte, end byte and end byte in float64 (for overflow checks) of each (row, operand): [rows, 4] each.

    Untouched operands have (0, 0, 0).
    """
    low = np.full((rows, 4), np.iinfo(np.int64).max)
    high = np.zeros((rows, 4), np.int64)
    wide = np.zeros((rows, 4))
    end = touches["offset"] + touches["run"]
    end_wide = touches["offset"].astype(np.float64) + touches["run"]
    for axis in range(3):
        end = end + (touches[f"n{axis}"] - 1) * touches[f"s{axis}"]
        end_wide += (touches[f"n{axis}"] - 1).astype(np.float64) * touches[f"s{axis}"]
    where = (touches["row"], touches["operand"])
    np.minimum.at(low, where, touches["offset"])
    np.maximum.at(high, where, end)
    np.maximum.at(wide, where, end_wide)
    return np.where(low == np.iinfo(np.int64).max, 0, low), high, wide
