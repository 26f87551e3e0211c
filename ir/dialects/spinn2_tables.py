"""The tables of a SpiNNaker2 program: one structured numpy dtype a table.

A program is a list of *steps*. The rows (tasks and transfers) of one step are independent of each other: no row
reads or writes a byte that another row of the same step writes. Step n sees everything that steps before n wrote.
A row says all that an executor needs (addresses, shapes, element types) and all that a timer needs (which processing
element, which memories, how many bytes); neither may look anywhere else.

Memories are numbered: 0 .. processing_elements - 1 are the data SRAMs of the PEs, then follow the DRAM ports. An
address counts bytes from the start of its memory. Every address lies inside the buffer that the row names.

Feature maps and tiles are stored channel by channel, row by row (C, H, W); a *pitch* is the distance in bytes between
two channels, rows or columns. A pitch of 0 repeats (broadcasting).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

NO_BUFFER = 0xFFFF_FFFF
"""Stands where a row has no such operand."""


class Kernel(IntEnum):
    """What a task does. CONV, DEPTHWISE and MATMUL run on the MAC array, all others on the ARM core.

    Operands a, b, p, y and the fields of SHAPE are read as the comments say; integers never overflow silently:
    accumulators are 32 bit two's complement, products with a multiplier are formed in 64 bit.
    `round_shift(v, s)` is `(v + (1 << (s - 1))) >> s` for s > 0 and `v` for s == 0 (ties towards plus infinity), with
    s modulo 64; `clamp(v)` is min(max(v, low), high) with the shape's limits. Differences to a zero point (with bias,
    where there is one) wrap to 32 bit (not in AVG_POOL), all that follows to 64 bit; y keeps the low bits of its type.
    A quotient whose divisor is not positive counts as 0.

    y overlaps no operand, except that an element-by-element kernel may compute in place: y starts where a (or b)
    starts, has its pitches and no wider elements. The rows of another operand with these pitches may lie between those
    of y. Rows and channels of y do not overlap. MATMUL ignores `channels`.
    """

    # y[o,i,j] = sum over c,u,v of a[c, i*stride_h + u*dilation_h, j*stride_w + v*dilation_w] * b[o,c,u,v]; y is i32.
    # b is a filter block: [ceil(O/4)][kernel_h][kernel_w][ceil(C/4)][4 filters][4 channels], zero filled.
    # 16 bit operands: the same order with 16 bit elements, little endian.
    CONV = 1
    # y[c,i,j] = sum over u,v of a[c, ...] * b[c,u,v]; b is [C][kernel_h * kernel_w] dense elements of b_type.
    DEPTHWISE = 2
    # y[m,n] = sum over k of a[m,k] * b[k,n]; a: height rows of channels_in elements, b: channels_in rows of `width`
    # elements with pitch b_row, y: height rows of width i32. (m = height, k = channels_in, n = width.)
    MATMUL = 3
    # Fills the part of tile y [channels, height, width] outside the inner box
    # [pad_top, pad_top + height_in) x [pad_left, pad_left + width_in) with zero_y.
    PAD = 8
    # y[i] += a[i] over [channels, height, width], both i32.
    ACCUMULATE = 9
    # In REQUANTIZE, ADD, MUL and their float forms `count` = 1 says that the lower limit is a pass of its own (a ReLU)
    # before the rounding: it takes time and changes no value.
    # y = clamp(round_shift((a - zero_a + bias[c]) * multiplier[c], shift[c]) + zero_y); p holds channels records of
    # three i32 (bias, multiplier, shift), p_pitch bytes apart (0: one record for all).
    REQUANTIZE = 10
    # y = clamp(round_shift((a - zero_a) * p[0] + (b - zero_b) * p[1], p[2]) + zero_y); p is three i32.
    ADD = 11
    # y = clamp(round_shift((a - zero_a) * (b - zero_b) * p[0], p[1]) + zero_y); p is two i32.
    MUL = 12
    # y = p[a - lowest value of a_type]; 256 entries of y_type (65536 for 16 bit a), p_pitch bytes from channel to
    # channel (0: one table for all).
    TABLE = 13
    # y = max over the window of a; positions outside the tile do not count (none inside: the lowest value). Window as
    # in CONV, from row i*stride_h - pad_top and column j*stride_w - pad_left; height_in, width_in are a's extent; y is
    # of a's type.
    MAX_POOL = 14
    # n = `count` if it is positive, else the number of window positions inside the tile;
    # s = sum over the window of (a - zero_a); y = clamp(floor((2*s*p[0] + (n << p[1])) / (n << (p[1] + 1))) + zero_y).
    AVG_POOL = 15
    # Rows of `width` elements (channels*height of them), each: d = max(a) - a; e = p[d] (i32, one entry per value of
    # d, 256 of them); y = clamp(floor((2 * e * scale + sum(e)) / (2 * sum(e))) + zero_y), with scale = p[256].
    SOFTMAX = 16
    # q = sum over `kernel_h` neighbouring channels (centred: c - (kernel_h-1)//2 .. c + kernel_h//2, clipped) of
    # (a - zero_a)^2 ; t = p[2 + min(q >> p[0], 1023)]; y = clamp(round_shift((a - zero_a) * t, p[1]) + zero_y).
    LRN = 17
    # y = max(a, b) and y = min(a, b); a, b and y are of one type; a and b may skip columns (a_column, b_column).
    MAXIMUM = 18
    MINIMUM = 19
    # y = clamp(rint(f32(a - zero_a + bias[c]) * scale[c]) + zero_y): the sum wraps to i32, conversion and product round
    # to f32 (halves to even), so does rint; p holds channels records of an i32 bias and an f32 scale, p_pitch bytes
    # apart (0: one record for all). A NaN counts as `low`.
    REQUANTIZE_FLOAT = 20
    # y = clamp(rint(f32(b * p[1] + f32(a * p[0] + p[2])))); p is three f32, zero points are part of p[2]; products and
    # sums are formed in f64, f32() rounds them halves to even.
    ADD_FLOAT = 21


MAC_KERNELS = (Kernel.CONV, Kernel.DEPTHWISE, Kernel.MATMUL)


class Element(IntEnum):
    """Element type of an operand."""

    I8 = 0
    U8 = 1
    I16 = 2
    U16 = 3
    I32 = 4


ELEMENT_DTYPES = tuple(np.dtype(name) for name in ("<i1", "<u1", "<i2", "<u2", "<i4"))
"""numpy dtype of each Element."""


class Copy(IntEnum):
    """What a transfer does."""

    # For i in range(n0), j in range(n1): copy `bytes` from src + i*src_0 + j*src_1 to dst + i*dst_0 + j*dst_1.
    BOX = 0
    # For every (i, j, k) in n0 x n1 x n2: copy one element of `bytes` bytes from
    # src + offsets[at + i] + offsets[at + n0 + j] + offsets[at + n0 + n1 + k] to dst + i*dst_0 + j*dst_1 + k*bytes.
    GATHER = 1
    # As BOX, but each element of `element` bytes is set to `value` (nothing is read).
    FILL = 2


class Phase(IntEnum):
    """Why a transfer or task happens; the timer and reports group by it."""

    WEIGHTS = 0
    INPUTS = 1
    COMPUTE = 2
    RESULTS = 3
    MIGRATION = 4
    POST = 5  # ARM work: padding, and what follows the MAC array
    LAYOUT = 6  # data movement that a layout operation of the graph asks for


BUFFER = np.dtype(
    [
        ("memory", "<u2"),  # PE number, or processing_elements + DRAM port
        ("kind", "u1"),  # BufferKind
        ("layer", "<u2"),  # index into the program's layers
        ("address", "<u4"),  # bytes
        ("bytes", "<u4"),
        ("first", "<u4"),  # step of the first write; HOST for what the host writes before the start
        ("last", "<u4"),  # step of the last read; END for what the host reads after the end
    ]
)

HOST = 0
"""`first` of a buffer that the host fills; steps of the program count from 1."""
END = 0xFFFF_FFFF
"""`last` of a buffer that the host reads when all steps are done."""


class BufferKind(IntEnum):
    """What a buffer holds."""

    MAP = 0
    TILE = 1
    WEIGHTS = 2
    PARAMETERS = 3
    ACCUMULATOR = 4
    RESULT = 5


SHAPE = np.dtype(
    [
        ("kernel", "u1"),  # Kernel
        ("a_type", "u1"),  # Element
        ("b_type", "u1"),
        ("y_type", "u1"),
        ("channels_in", "<i4"),
        ("height_in", "<i4"),
        ("width_in", "<i4"),
        ("channels", "<i4"),  # of y
        ("height", "<i4"),
        ("width", "<i4"),
        ("kernel_h", "<i4"),
        ("kernel_w", "<i4"),
        ("stride_h", "<i4"),
        ("stride_w", "<i4"),
        ("dilation_h", "<i4"),
        ("dilation_w", "<i4"),
        ("pad_top", "<i4"),
        ("pad_left", "<i4"),
        ("count", "<i4"),
        ("a_channel", "<i4"),  # pitches in bytes
        ("a_row", "<i4"),
        ("a_column", "<i4"),
        ("b_channel", "<i4"),
        ("b_row", "<i4"),
        ("b_column", "<i4"),
        ("y_channel", "<i4"),
        ("y_row", "<i4"),
        ("p_pitch", "<i4"),
        ("zero_a", "<i4"),
        ("zero_b", "<i4"),
        ("zero_y", "<i4"),
        ("low", "<i4"),
        ("high", "<i4"),
    ]
)
"""Shape classes: what many tasks share.

y is dense along a row; a_column and b_column are the element size, 0, or, in MAXIMUM and MINIMUM, any multiple of the
element size.
"""

TASK = np.dtype(
    [
        ("step", "<u4"),
        ("layer", "<u2"),
        ("pe", "<u2"),
        ("phase", "u1"),
        ("shape", "<u4"),  # row of the shapes table
        ("a", "<u4"),  # buffers
        ("b", "<u4"),
        ("p", "<u4"),
        ("y", "<u4"),
        ("a_address", "<u4"),  # addresses in the memory of the buffer
        ("b_address", "<u4"),
        ("p_address", "<u4"),
        ("y_address", "<u4"),
    ]
)

BOX = np.dtype(
    [
        ("copy", "u1"),  # Copy
        ("n0", "<u4"),
        ("n1", "<u4"),
        ("n2", "<u4"),  # GATHER only
        ("bytes", "<u4"),  # contiguous bytes of a BOX row, bytes of one element of a GATHER
        ("src_0", "<i4"),
        ("src_1", "<i4"),
        ("dst_0", "<i4"),
        ("dst_1", "<i4"),
        ("at", "<u4"),  # first entry in the offsets table (GATHER)
        ("element", "u1"),  # bytes of one element (FILL)
        ("value", "<i4"),  # FILL
    ]
)
"""Box classes: what many transfers have in common."""

TRANSFER = np.dtype(
    [
        ("step", "<u4"),
        ("layer", "<u2"),
        ("phase", "u1"),
        ("box", "<u4"),  # row of the boxes table
        ("src", "<u4"),  # buffers; NO_BUFFER for FILL
        ("dst", "<u4"),
        ("src_address", "<u4"),
        ("dst_address", "<u4"),
    ]
)

DEPEND = np.dtype([("before", "<u4"), ("after", "<u4")])
"""Step `after` may not start before step `before` has ended."""

OFFSET = np.dtype("<i4")
"""The offsets table of GATHER transfers, in bytes."""


class Packing(IntEnum):
    """How the host lays a constant out in memory."""

    # The bytes of the array as they are (C order).
    RAW = 0
    # Weights [O, C, KH, KW], rows o0:o1, channels c0:c1, as the filter block of Kernel.CONV.
    FILTER = 1
    # Weights [K, N], rows c0:c1, columns o0:o1, one row after the other, pitch rounded up to 16 bytes.
    MATRIX = 2
    # Rows o0:o1 of the first axis, as they are.
    ROWS = 3


CONSTANT = np.dtype(
    [
        ("buffer", "<u4"),
        ("address", "<u4"),
        ("array", "<u4"),  # index into the program's constant arrays
        ("packing", "u1"),
        ("o0", "<u4"),
        ("o1", "<u4"),
        ("c0", "<u4"),
        ("c1", "<u4"),
    ]
)
"""What the host writes before the start."""

PORT = np.dtype(
    [
        ("buffer", "<u4"),
        ("address", "<u4"),
        ("index", "<u2"),  # which input or output of the network
        ("output", "u1"),
        ("n0", "<u4"),  # rows
        ("bytes", "<u4"),  # bytes of a row in the array
        ("pitch", "<u4"),  # bytes between rows in the memory
        ("at", "<u4"),  # byte of the (dense) array where the first row starts
    ]
)
"""Where the host writes the network's inputs before the start and reads its outputs after the end."""

TABLES: dict[str, np.dtype[np.void]] = {
    "buffers": BUFFER,
    "shapes": SHAPE,
    "tasks": TASK,
    "boxes": BOX,
    "transfers": TRANSFER,
    "depends": DEPEND,
    "constants": CONSTANT,
    "ports": PORT,
}
"""Every structured table of a program by name; `offsets` (dtype OFFSET) is the one plain table."""
