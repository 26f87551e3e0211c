"""Vectorised checks of a program's tables: after them, no row reaches a byte outside the buffers that it names.

Tables come from artefact files that nobody vouches for, and the executor walks raw addresses, so every index, count,
pitch and extent is proved here, in an order in which no later check can overflow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import (
    BUFFER,
    MAC_KERNELS,
    OFFSET,
    TABLES,
    BufferKind,
    Copy,
    Element,
    Kernel,
)
from .errors import program_error
from .touches import (
    DENSE_COLUMNS,
    ELEMENT_BYTES,
    MAX_TOUCHES,
    PADS_WINDOW,
    SKIPS_COLUMNS,
    USES_WINDOW,
    Integers,
    Table,
    field,
    is_kernel,
    uses,
    window_expansions,
)

Mask = npt.NDArray[np.bool_]

MAX_PROCESSING_ELEMENTS = 1 << 14
MAX_IMAGE_BYTES = 1 << 34
MAX_TASK_OPERATIONS = 2.0**34
"""Multiplications of one task, rounded-up channel groups included."""
MAX_TASK_ELEMENTS = 2.0**24
"""Elements of one operand, and of the scratch that a task needs."""
MAX_BOX_BYTES = 2.0**34
MAX_STRIDE = 1 << 12
"""Of strides and dilations."""
I8_U8 = (Element.I8, Element.U8)


def require(ok: Mask, table: str, what: str, found: npt.NDArray[np.generic], expected: str) -> None:
    """Raise ProgramError for the first row of `table` where `ok` is false."""
    if not np.all(ok):
        row = int(np.argmin(ok))
        raise program_error(f"{what} is not valid", node=f"{table}[{row}].{what}", found=found[row], expected=expected)


def at_least(table: Table, name: str, columns: tuple[str, ...], least: int, rows: Mask | None = None) -> None:
    """Every one of `columns` is at least `least` (in `rows`, if given)."""
    for column in columns:
        ok = table[column] >= least
        require(ok if rows is None else ok | ~rows, name, column, table[column], f"at least {least}")


def enum(table: Table, name: str, column: str, values: type) -> None:
    """A column holds values of an enumeration."""
    known = [int(value) for value in values]  # type: ignore[attr-defined]
    require(np.isin(table[column], known), name, column, table[column], f"a {values.__name__}: {known}")


def check_dtypes(tables: dict[str, npt.NDArray[np.generic]]) -> None:
    """Every table is one-dimensional, of its documented dtype and contiguous."""
    for name, dtype in {**TABLES, "offsets": OFFSET}.items():
        table = tables[name]
        if table.dtype != dtype or table.ndim != 1 or not table.flags.c_contiguous:
            found = f"{table.dtype} of shape {table.shape}"
            raise program_error(
                "a table has the wrong type", node=name, found=found, expected=f"contiguous 1-d {dtype}"
            )
        if len(table) >= 1 << 31:
            raise program_error("a table is too long", node=name, found=len(table), expected="below 2**31 rows")


def check_memories(processing_elements: int, sram_bytes: int, dram_bytes: tuple[int, ...]) -> None:
    """Sizes of the memories are positive, addressable with 32 bits and in total not absurd."""
    sizes = (*dram_bytes, sram_bytes)
    node = "memories"
    if not 1 <= processing_elements <= MAX_PROCESSING_ELEMENTS or len(dram_bytes) > MAX_PROCESSING_ELEMENTS:
        found = f"{processing_elements} processing elements, {len(dram_bytes)} DRAM ports"
        raise program_error("too many memories", node=node, found=found, expected=f"1 to {MAX_PROCESSING_ELEMENTS}")
    if not all(0 <= size <= 1 << 32 for size in sizes):
        raise program_error("a memory has no valid size", node=node, found=sizes, expected="0 to 2**32 bytes")
    if processing_elements * sram_bytes + sum(dram_bytes) > MAX_IMAGE_BYTES:
        raise program_error("the memories are too large", node=node, found=sizes, expected=f"{MAX_IMAGE_BYTES} in all")


def check_buffers(buffers: Table, memory_bytes: Integers, layers: int) -> None:
    """Every buffer lies in its memory. `memory_bytes`: int64[memories]."""
    assert buffers.dtype == BUFFER
    memories = len(memory_bytes)
    require(buffers["memory"] < memories, "buffers", "memory", buffers["memory"], f"below {memories}")
    require(buffers["layer"] < layers, "buffers", "layer", buffers["layer"], f"below {layers}")
    enum(buffers, "buffers", "kind", BufferKind)
    end = field(buffers, "address") + field(buffers, "bytes")
    room = memory_bytes[buffers["memory"]]
    require(end <= room, "buffers", "bytes", end, "an end inside the memory")
    require(buffers["first"] <= buffers["last"], "buffers", "first", buffers["first"], "a step not after `last`")


def check_shapes(shapes: Table) -> None:
    """Every shape class is one that the kernels define, with counts whose products cannot overflow."""
    name = "shapes"
    enum(shapes, name, "kernel", Kernel)
    for column in ("a_type", "b_type", "y_type"):
        enum(shapes, name, column, Element)
    window = is_kernel(shapes, *USES_WINDOW)
    padded = is_kernel(shapes, *PADS_WINDOW)
    inner = is_kernel(shapes, Kernel.CONV, Kernel.MATMUL)
    at_least(shapes, name, ("channels",), 1, ~is_kernel(shapes, Kernel.MATMUL))
    at_least(shapes, name, ("height", "width"), 1)
    at_least(shapes, name, ("channels_in",), 1, inner)
    at_least(shapes, name, ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1, window)
    for column in ("stride_h", "stride_w", "dilation_h", "dilation_w"):
        require(~window | (shapes[column] <= MAX_STRIDE), name, column, shapes[column], f"at most {MAX_STRIDE}")
    at_least(shapes, name, ("kernel_h",), 1, is_kernel(shapes, Kernel.LRN))
    at_least(shapes, name, ("height_in", "width_in"), 1, padded)
    pad = is_kernel(shapes, Kernel.PAD)
    at_least(shapes, name, ("height_in", "width_in", "pad_top", "pad_left"), 0, padded | pad)
    at_least(shapes, name, ("count",), 0, is_kernel(shapes, Kernel.AVG_POOL))
    pitches = ("a_channel", "a_row", "a_column", "b_channel", "b_row", "b_column", "y_channel", "y_row", "p_pitch")
    at_least(shapes, name, pitches, 0)
    _check_work(shapes)
    _check_types(shapes)
    _check_columns(shapes)
    size = ELEMENT_BYTES[shapes["y_type"]]
    channels = np.where(is_kernel(shapes, Kernel.MATMUL), 1, field(shapes, "channels"))
    counts, pitches_y = (channels, field(shapes, "height")), (field(shapes, "y_channel"), field(shapes, "y_row"))
    ok = _apart(field(shapes, "width") * size, counts, pitches_y)
    require(ok, "shapes", "y_row", shapes["y_row"], "pitches that keep rows and channels of y apart")


def _check_work(shapes: Table) -> None:
    """Products of counts, formed in float64 so that they cannot overflow, stay below the limits."""
    wide = {column: shapes[column].astype(np.float64) for column in SHAPE_COUNTS}
    window = is_kernel(shapes, *USES_WINDOW)
    conv, matmul = is_kernel(shapes, Kernel.CONV), is_kernel(shapes, Kernel.MATMUL)
    channels = np.where(matmul, 1, np.maximum(wide["channels"], 1))
    taps = np.where(window, wide["kernel_h"] * wide["kernel_w"], 1)
    taps = np.where(is_kernel(shapes, Kernel.LRN), wide["kernel_h"], taps)
    inner = np.where(conv | matmul, wide["channels_in"] + 4, 1)
    outputs = channels * wide["height"] * wide["width"]
    work = (outputs + 4 * wide["height"] * wide["width"]) * taps * inner
    require(work <= MAX_TASK_OPERATIONS, "shapes", "width", work, f"at most {MAX_TASK_OPERATIONS:.0f} operations")
    require(outputs <= MAX_TASK_ELEMENTS, "shapes", "width", outputs, f"at most {MAX_TASK_ELEMENTS:.0f} elements")
    rows = np.where(window, (wide["height"] - 1) * wide["stride_h"] + wide["kernel_h"] * wide["dilation_h"], 1)
    columns = np.where(window, (wide["width"] - 1) * wide["stride_w"] + wide["kernel_w"] * wide["dilation_w"], 1)
    tile = rows * columns * (np.where(conv, wide["channels_in"], 1) + 4)
    require(tile <= MAX_TASK_ELEMENTS, "shapes", "width_in", tile, f"at most {MAX_TASK_ELEMENTS:.0f} elements of a")
    expand_h, expand_w = window_expansions(shapes)
    expanded = np.where(window, expand_h.astype(np.float64) * expand_w, 1)
    require(np.cumsum(expanded) <= MAX_TOUCHES, "shapes", "kernel_h", expanded, "windows with fewer gaps")


SHAPE_COUNTS = (
    "channels",
    "height",
    "width",
    "channels_in",
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
)


def _check_types(shapes: Table) -> None:
    """Element types fit the kernels."""
    name = "shapes"
    a, b, y = shapes["a_type"], shapes["b_type"], shapes["y_type"]

    def of(*kernels: Kernel) -> Mask:
        return is_kernel(shapes, *kernels)

    sums = of(*MAC_KERNELS, Kernel.ACCUMULATE)
    require(~sums | (y == Element.I32), name, "y_type", y, "I32, an accumulator")
    require(~of(Kernel.ACCUMULATE) | (a == Element.I32), name, "a_type", a, "I32, an accumulator")
    narrow = of(*MAC_KERNELS)
    require(~narrow | (a != Element.I32), name, "a_type", a, "8 or 16 bit for the MAC array")
    require(~narrow | (b != Element.I32), name, "b_type", b, "8 or 16 bit for the MAC array")
    require(~of(Kernel.SOFTMAX) | np.isin(a, I8_U8), name, "a_type", a, "8 bit for SOFTMAX")
    require(~of(Kernel.TABLE, Kernel.LRN) | (a != Element.I32), name, "a_type", a, "8 or 16 bit")
    require(~of(Kernel.MAX_POOL) | (y == a), name, "y_type", y, "the type of a")
    pair = of(Kernel.MAXIMUM, Kernel.MINIMUM)
    require(~pair | ((a == b) & (a == y)), name, "y_type", y, "the type of a and of b")


def _check_columns(shapes: Table) -> None:
    """Columns are dense, or repeated or skipped where that is allowed."""
    used = uses(shapes)
    skips = is_kernel(shapes, *SKIPS_COLUMNS)
    for operand, column, type_column in ((0, "a_column", "a_type"), (1, "b_column", "b_type")):
        size = ELEMENT_BYTES[shapes[type_column]]
        maps = used[:, operand] & ~is_kernel(shapes, *MAC_KERNELS) if operand else used[:, operand]
        dense = is_kernel(shapes, *DENSE_COLUMNS)
        pitch = shapes[column]
        ok = ~maps | (pitch == size) | (~dense & (pitch == 0)) | (skips & (pitch % size == 0))
        require(ok, "shapes", column, pitch, "the element size (0 where the kernel can repeat, or skips of columns)")


def check_boxes(boxes: Table, offsets: Integers) -> None:
    """Every box class has positive counts, no negative pitch and, for GATHER, a range inside the offsets table."""
    enum(boxes, "boxes", "copy", Copy)
    gather, fill = boxes["copy"] == Copy.GATHER, boxes["copy"] == Copy.FILL
    at_least(boxes, "boxes", ("n0", "n1", "bytes"), 1)
    at_least(boxes, "boxes", ("n2",), 1, gather)
    at_least(boxes, "boxes", ("dst_0", "dst_1"), 0)
    at_least(boxes, "boxes", ("src_0", "src_1"), 0, boxes["copy"] == Copy.BOX)
    n2 = np.where(gather, boxes["n2"], 1).astype(np.float64)
    moved = boxes["n0"].astype(np.float64) * boxes["n1"] * n2 * boxes["bytes"]
    require(moved <= MAX_BOX_BYTES, "boxes", "bytes", moved, f"at most {MAX_BOX_BYTES:.0f} bytes in all")
    end = field(boxes, "at") + field(boxes, "n0") + field(boxes, "n1") + field(boxes, "n2")
    require(~gather | (end <= len(offsets)), "boxes", "at", end, f"offsets below {len(offsets)}")
    element = np.where(fill, boxes["element"], 1)
    require(np.isin(element, (1, 2, 4)), "boxes", "element", element, "1, 2 or 4 bytes")
    require(boxes["bytes"] % element == 0, "boxes", "bytes", boxes["bytes"], "a multiple of the element")
    counts, pitches = (field(boxes, "n0"), field(boxes, "n1")), (field(boxes, "dst_0"), field(boxes, "dst_1"))
    ok = _apart(field(boxes, "bytes") * n2.astype(np.int64), counts, pitches)
    require(ok, "boxes", "dst_1", boxes["dst_1"], "pitches that keep the written rows apart")


def _apart(run: Integers, counts: tuple[Integers, Integers], pitches: tuple[Integers, Integers]) -> Mask:
    """Whether `counts` runs of bytes at `pitches` never overlap, whichever of the two axes is the inner one."""
    outer_first = np.ones(len(run), bool)
    inner_first = np.ones(len(run), bool)
    for ok, order in ((outer_first, (1, 0)), (inner_first, (0, 1))):
        span = run.astype(np.float64)
        for axis in order:
            ok &= (counts[axis] == 1) | (pitches[axis] >= span)
            span += (counts[axis] - 1).astype(np.float64) * pitches[axis]
    return np.asarray(outer_first | inner_first)
