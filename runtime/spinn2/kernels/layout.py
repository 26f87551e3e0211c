"""Where generated code finds things: fields of records, slots of a thread's scratch memory, numbers of operations.

The executor fills these in, the kernels read them; both take every position from here.
"""

from __future__ import annotations

from enum import IntEnum

from ....ir.dialects.spinn2_tables import BOX, SHAPE, Kernel

WORD = 8
"""Records, commands and headers are arrays of 64 bit integers."""

DERIVED = (
    "a_size",  # bytes of an element
    "b_size",
    "y_size",
    "merged_channels",  # the extent of an elementwise kernel after joining axes that are dense in every operand
    "merged_height",
    "merged_width",
    "chunk_rows",  # rows of the merged extent that are computed at a time
    "pattern",  # zero_y (PAD) or value (FILL) repeated over eight bytes
    "groups_in",  # ceil(channels_in / 4); 1 for DEPTHWISE
    "phases_h",  # row phases of the windows: min(kernel_h, stride_h / gcd(stride_h, dilation_h))
    "phases_w",
    "packed_height",  # rows and columns of one packed phase
    "packed_width",
    "packed_rows",  # the same after joining rows that lie densely in the tile
    "packed_columns",
    "plane",  # positions of one packed phase
    "positions",  # output positions, garbage between rows included
    "taps",  # kernel_h * kernel_w * groups_in
    "result_rows",  # rows of y after joining those that are dense in the result and in y
    "result_columns",
)
SHAPE_FIELDS = (*(SHAPE.names or ()), *DERIVED)
BOX_FIELDS = (*(BOX.names or ()), "pattern")
RECORD_WORDS = len(SHAPE_FIELDS)


class Operation(IntEnum):
    """What a command does; kernels keep the number of Kernel."""

    CONV = Kernel.CONV
    DEPTHWISE = Kernel.DEPTHWISE
    MATMUL = Kernel.MATMUL
    PAD = Kernel.PAD
    ACCUMULATE = Kernel.ACCUMULATE
    REQUANTIZE = Kernel.REQUANTIZE
    ADD = Kernel.ADD
    MUL = Kernel.MUL
    TABLE = Kernel.TABLE
    MAX_POOL = Kernel.MAX_POOL
    AVG_POOL = Kernel.AVG_POOL
    SOFTMAX = Kernel.SOFTMAX
    LRN = Kernel.LRN
    MAXIMUM = Kernel.MAXIMUM
    MINIMUM = Kernel.MINIMUM
    REQUANTIZE_FLOAT = Kernel.REQUANTIZE_FLOAT
    ADD_FLOAT = Kernel.ADD_FLOAT
    CONV_DOT = 32  # CONV and MATMUL of 8 bit a and signed 8 bit b, by sums of four products
    MATMUL_DOT = 33
    BOX = 40
    GATHER = 41
    FILL = 42


COMMAND = ("operation", "record", "step", "a", "b", "p", "y", "packed")
"""Words of a command: record, a, b, p, y are byte offsets (into the records and into the image).

`packed` is 0 for a tile that is packed for this command alone, else 2 * (byte of the arena + 1), plus 1 where the tile
lies there already.
"""


class Slot(IntEnum):
    """Words at the start of a thread's scratch memory."""

    OFFSETS = 0  # address of the offsets table
    TAPS = 1  # addresses of areas that vary with the program
    PACKED = 2
    WEIGHTS = 3
    RESULTS = 4
    ROW = 5
    SUMS = 6
    OWN_PACKED = 7  # the thread's own area for PACKED
    KEPT = 8  # 1 when PACKED holds the running command's tile already
    TAPS_RECORD = 9  # what TAPS holds


CHUNK = 512
"""Elements that an elementwise kernel computes at a time (more if one row has more: rows are then cut)."""
LANES = 16
ZEROS = 128
"""Byte of the scratch memory where 64 zeros lie."""
CHUNK_BYTES = 4 * (CHUNK + 4 * LANES)
CHUNK_A = 256
CHUNK_B = CHUNK_A + CHUNK_BYTES
CHUNK_Y = CHUNK_B + CHUNK_BYTES
AREAS = CHUNK_Y + CHUNK_BYTES
"""First byte behind the fixed part."""
ALIGNMENT_BYTES = 64
AREA_SLACK = 4096
"""Bytes behind each area that whole vectors may touch."""


class State(IntEnum):
    """Words of the state that all threads of a run share."""

    IMAGE = 0
    COMMANDS = 1
    RECORDS = 2
    SHARES = 3
    COUNT = 4  # of shares
    SCRATCH = 5
    SCRATCH_BYTES = 6
    ARENA = 7  # packed tiles that several commands read
    TAKEN = 16  # shares that a thread has begun; on a cache line of its own, as is
    DONE = 24  # shares that are finished


STATE_WORDS = 32
SHARE_WORDS = 3
"""A share is (first command, end command, first share of its phase)."""
