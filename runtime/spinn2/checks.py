"""Vectorised checks of a program's tables: after them, no row reaches a byte outside the buffers that it names.

Tables come from artefact files that nobody vouches for, and the executor walks raw addresses, so every index, count,
pitch and extent is proved here, in an order in which no later check can overflow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import (
    BUFFER,
    END,
    MAC_KERNELS,
    NO_BUFFER,
    OFFSET,
    TABLES,
    BufferKind,
    Copy,
    Element,
    Kernel,
    Packing,
    Phase,
)
from .errors import program_error
from .touches import (
    BY_CHANNEL,
    DENSE_COLUMNS,
    ELEMENT_BYTES,
    MAX_TOUCHES,
    PADS_WINDOW,
    PAIRS,
    USES_WINDOW,
    Integers,
    Operand,
    Table,
    box_touches,
    extents,
    field,
    is_kernel,
    shape_touches,
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


def _at_least(table: Table, name: str, columns: tuple[str, ...], least: int, rows: Mask | None = None) -> None:
    for column in columns:
        ok = table[column] >= least
        require(ok if rows is None else ok | ~rows, name, column, table[column], f"at least {least}")


def _enum(table: Table, name: str, column: str, values: type) -> None:
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
    _enum(buffers, "buffers", "kind", BufferKind)
    end = field(buffers, "address") + field(buffers, "bytes")
    room = memory_bytes[buffers["memory"]]
    require(end <= room, "buffers", "bytes", end, "an end inside the memory")
    require(buffers["first"] <= buffers["last"], "buffers", "first", buffers["first"], "a step not after `last`")


def check_shapes(shapes: Table) -> None:
    """Every shape class is one that the kernels define, with counts whose products cannot overflow."""
    name = "shapes"
    _enum(shapes, name, "kernel", Kernel)
    for column in ("a_type", "b_type", "y_type"):
        _enum(shapes, name, column, Element)
    window = is_kernel(shapes, *USES_WINDOW)
    padded = is_kernel(shapes, *PADS_WINDOW)
    inner = is_kernel(shapes, Kernel.CONV, Kernel.MATMUL)
    _at_least(shapes, name, ("channels",), 1, ~is_kernel(shapes, Kernel.MATMUL))
    _at_least(shapes, name, ("height", "width"), 1)
    _at_least(shapes, name, ("channels_in",), 1, inner)
    _at_least(shapes, name, ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1, window)
    for column in ("stride_h", "stride_w", "dilation_h", "dilation_w"):
        require(~window | (shapes[column] <= MAX_STRIDE), name, column, shapes[column], f"at most {MAX_STRIDE}")
    _at_least(shapes, name, ("kernel_h",), 1, is_kernel(shapes, Kernel.LRN))
    _at_least(shapes, name, ("height_in", "width_in"), 1, padded)
    pad = is_kernel(shapes, Kernel.PAD)
    _at_least(shapes, name, ("height_in", "width_in", "pad_top", "pad_left"), 0, padded | pad)
    _at_least(shapes, name, ("count",), 0, is_kernel(shapes, Kernel.AVG_POOL))
    pitches = ("a_channel", "a_row", "a_column", "b_channel", "b_row", "b_column", "y_channel", "y_row", "p_pitch")
    _at_least(shapes, name, pitches, 0)
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
    """Columns are dense, or repeated where that is allowed."""
    used = uses(shapes)
    for operand, column, type_column in ((0, "a_column", "a_type"), (1, "b_column", "b_type")):
        size = ELEMENT_BYTES[shapes[type_column]]
        maps = used[:, operand] & ~is_kernel(shapes, *MAC_KERNELS) if operand else used[:, operand]
        dense = is_kernel(shapes, *DENSE_COLUMNS)
        pitch = shapes[column]
        ok = ~maps | (pitch == size) | (~dense & (pitch == 0))
        require(ok, "shapes", column, pitch, "the element size (or 0 where the kernel can repeat)")


def check_boxes(boxes: Table, offsets: Integers) -> None:
    """Every box class has positive counts, no negative pitch and, for GATHER, a range inside the offsets table."""
    _enum(boxes, "boxes", "copy", Copy)
    gather, fill = boxes["copy"] == Copy.GATHER, boxes["copy"] == Copy.FILL
    _at_least(boxes, "boxes", ("n0", "n1", "bytes"), 1)
    _at_least(boxes, "boxes", ("n2",), 1, gather)
    _at_least(boxes, "boxes", ("dst_0", "dst_1"), 0)
    _at_least(boxes, "boxes", ("src_0", "src_1"), 0, boxes["copy"] == Copy.BOX)
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


def check_tasks(tasks: Table, shapes: Table, buffers: Table, processing_elements: int, layers: int) -> None:
    """Every operand of every task lies in its buffer, and y overlaps no operand unless it is computed in place."""
    require(tasks["step"] >= 1, "tasks", "step", tasks["step"], "at least 1")
    require(tasks["step"] < END, "tasks", "step", tasks["step"], f"below {END}")
    require(tasks["layer"] < layers, "tasks", "layer", tasks["layer"], f"below {layers}")
    require(tasks["pe"] < processing_elements, "tasks", "pe", tasks["pe"], f"below {processing_elements}")
    require(tasks["shape"] < len(shapes), "tasks", "shape", tasks["shape"], f"below {len(shapes)}")
    _enum(tasks, "tasks", "phase", Phase)
    low, high, wide = extents(shape_touches(shapes), len(shapes))
    used = uses(shapes)[tasks["shape"]]
    rows = np.arange(len(tasks))
    start = np.zeros((len(tasks), 4), np.int64)
    end = np.zeros((len(tasks), 4), np.int64)
    memory = np.full((len(tasks), 4), -1, np.int64)
    for operand in Operand:
        column = operand.name.lower()
        index = np.where(used[:, operand], tasks[column], 0).astype(np.int64)
        require(~used[:, operand] | (index < len(buffers)), "tasks", column, index, f"a buffer below {len(buffers)}")
        have = rows[used[:, operand]]
        shape, address = tasks["shape"][have], field(tasks, f"{column}_address")[have]
        reach = low[shape, operand], high[shape, operand]
        _check_inside(f"tasks.{column}", buffers, have, index[have], address, *reach, wide[shape, operand] > 2.0**40)
        start[have, operand], end[have, operand] = address + reach[0], address + reach[1]
        memory[have, operand] = buffers["memory"][index[have]]
    _check_overlap(tasks, shapes, start, end, memory)


def _check_inside(
    node: str,
    buffers: Table,
    rows: Integers,
    index: Integers,
    address: Integers,
    low: Integers,
    high: Integers,
    wide: Mask,
) -> None:
    """`address + [low, high)` lies in the buffers `index`, for the rows `rows` of the table that `node` names.

    `wide` marks extents too large for int64 arithmetic.
    """
    begin = field(buffers, "address")[index]
    end = begin + field(buffers, "bytes")[index]
    ok = ~wide & (address + low >= begin) & (address + high <= end)
    if not np.all(ok):
        at = int(np.argmin(ok))
        table, operand = node.rsplit(".", 1)
        raise program_error(
            "an operand leaves its buffer",
            node=f"{table}[{rows[at]}].{operand}",
            found=f"bytes {address[at] + low[at]} to {address[at] + high[at]}",
            expected=f"inside bytes {begin[at]} to {end[at]} of buffer {index[at]}",
        )


IN_PLACE = (Kernel.ACCUMULATE, *BY_CHANNEL, *PAIRS)
"""Element-by-element kernels: y may take the place of a (or b) if it starts there, has its pitches and is no wider."""


def _check_overlap(tasks: Table, shapes: Table, start: Integers, end: Integers, memory: Integers) -> None:
    y = Operand.Y
    some = shapes[tasks["shape"]]
    for operand in (Operand.A, Operand.B, Operand.P):
        apart = (
            (memory[:, operand] != memory[:, y]) | (end[:, operand] <= start[:, y]) | (end[:, y] <= start[:, operand])
        )
        ok = apart
        if operand != Operand.P:
            name = operand.name.lower()
            size = ELEMENT_BYTES[some[f"{name}_type"]]
            same = start[:, operand] == start[:, y]
            same &= (some[f"{name}_column"] == size) & (ELEMENT_BYTES[some["y_type"]] <= size)
            same &= (some[f"{name}_channel"] == some["y_channel"]) | (some["channels"] == 1)
            same &= (some[f"{name}_row"] == some["y_row"]) | (some["height"] == 1)
            ok = apart | (same & is_kernel(some, *IN_PLACE))
        require(ok, "tasks", "y_address", start[:, y], f"a result apart from operand {operand.name.lower()}")


def check_transfers(transfers: Table, boxes: Table, offsets: Integers, buffers: Table, layers: int) -> None:
    """Source and destination of every transfer lie in their buffers and do not overlap."""
    name = "transfers"
    require(transfers["step"] >= 1, name, "step", transfers["step"], "at least 1")
    require(transfers["step"] < END, name, "step", transfers["step"], f"below {END}")
    require(transfers["layer"] < layers, name, "layer", transfers["layer"], f"below {layers}")
    require(transfers["box"] < len(boxes), name, "box", transfers["box"], f"below {len(boxes)}")
    _enum(transfers, name, "phase", Phase)
    low, high, wide = extents(box_touches(boxes, offsets), len(boxes))
    box = transfers["box"]
    fill = boxes["copy"][box] == Copy.FILL
    require(~fill | (transfers["src"] == NO_BUFFER), name, "src", transfers["src"], "NO_BUFFER for a FILL")
    rows = np.arange(len(transfers))
    start = np.zeros((2, len(transfers)), np.int64)
    end = np.zeros((2, len(transfers)), np.int64)
    memory = np.full((2, len(transfers)), -1, np.int64)
    for side, (column, operand) in enumerate((("src", Operand.A), ("dst", Operand.Y))):
        have = rows if column == "dst" else rows[~fill]
        index = field(transfers, column)
        known = np.isin(rows, have, invert=True) | (index < len(buffers))
        require(known, name, column, index, f"a buffer below {len(buffers)}")
        address = field(transfers, f"{column}_address")[have]
        reach = low[box[have], operand], high[box[have], operand]
        far = wide[box[have], operand] > 2.0**40
        _check_inside(f"{name}.{column}", buffers, have, index[have], address, *reach, far)
        start[side, have], end[side, have] = address + reach[0], address + reach[1]
        memory[side, have] = buffers["memory"][index[have]]
    apart = (memory[0] != memory[1]) | (end[0] <= start[1]) | (end[1] <= start[0])
    require(apart, name, "dst_address", start[1], "a destination apart from the source")


def check_constants(constants: Table, arrays: tuple[npt.NDArray[np.generic], ...], buffers: Table) -> None:
    """Every constant names a slice of an integer array and a place for it inside its buffer."""
    name = "constants"
    for index, array in enumerate(arrays):
        if array.dtype.kind not in "iu" or array.dtype.itemsize > 4 or array.dtype.byteorder == ">" or array.ndim > 8:
            expected = "little-endian integers of at most 32 bit"
            raise program_error(
                "a constant array has the wrong type", node=f"arrays[{index}]", found=array.dtype, expected=expected
            )
    require(constants["array"] < len(arrays), name, "array", constants["array"], f"below {len(arrays)}")
    require(constants["buffer"] < len(buffers), name, "buffer", constants["buffer"], f"below {len(buffers)}")
    _enum(constants, name, "packing", Packing)
    shapes = np.ones((len(arrays), 8), np.int64)
    for index, array in enumerate(arrays):
        shapes[index, : array.ndim] = array.shape
    ranks = np.array([array.ndim for array in arrays], np.int64)
    wanted = {Packing.FILTER: 4, Packing.MATRIX: 2}
    rank = ranks[constants["array"]] if len(constants) else np.zeros(0, np.int64)
    for packing, axes in wanted.items():
        ok = (constants["packing"] != packing) | (rank == axes)
        require(ok, name, "array", rank, f"an array of {axes} axes for {packing.name}")
    require((constants["packing"] != Packing.ROWS) | (rank >= 1), name, "array", rank, "an array of rows")
    shape = shapes[constants["array"]] if len(constants) else np.zeros((0, 8), np.int64)
    matrix = constants["packing"] == Packing.MATRIX
    sliced = constants["packing"] != Packing.RAW
    paired = sliced & (constants["packing"] != Packing.ROWS)
    o_limit = np.where(matrix, shape[:, 1], shape[:, 0])
    c_limit = np.where(matrix, shape[:, 0], shape[:, 1])
    ok = ~sliced | ((constants["o0"] < constants["o1"]) & (constants["o1"] <= o_limit))
    require(ok, name, "o1", constants["o1"], "a range o0:o1 inside the array")
    ok = ~paired | ((constants["c0"] < constants["c1"]) & (constants["c1"] <= c_limit))
    require(ok, name, "c1", constants["c1"], "a range c0:c1 inside the array")
    sizes = np.array([array.dtype.itemsize for array in arrays], np.int64)
    size = sizes[constants["array"]] if len(constants) else np.zeros(0, np.int64)
    need = constant_bytes(constants, shape, size)
    rows = np.arange(len(constants))
    buffer, address = field(constants, "buffer"), field(constants, "address")
    _check_inside(f"{name}.address", buffers, rows, buffer, address, np.zeros_like(need), need, need > 1 << 40)


def constant_bytes(constants: Table, shape: Integers, size: Integers) -> Integers:
    """Bytes that each constant takes in memory. `shape`: int64[rows, 8], `size`: element bytes, both of its array."""
    o, c = (field(constants, f"{axis}1") - field(constants, f"{axis}0") for axis in "oc")
    packing = constants["packing"]
    blocks = -(-o // 4) * -(-c // 4) * 16 * shape[:, 2] * shape[:, 3]
    pitch = -(-o * size // 16) * 16
    out: Integers = shape.prod(axis=1) * size
    out = np.where(packing == Packing.FILTER, blocks * size, out)
    out = np.where(packing == Packing.MATRIX, (c - 1) * pitch + o * size, out)
    return np.where(packing == Packing.ROWS, o * shape[:, 1:].prod(axis=1) * size, out)


def check_ports(ports: Table, buffers: Table) -> None:
    """Every port lies inside its buffer, and the rows that it writes do not overlap."""
    name = "ports"
    require(ports["buffer"] < len(buffers), name, "buffer", ports["buffer"], f"below {len(buffers)}")
    require(ports["output"] <= 1, name, "output", ports["output"], "0 or 1")
    _at_least(ports, name, ("n0", "bytes"), 1)
    run, rows = field(ports, "bytes"), field(ports, "n0")
    ok = (rows == 1) | (field(ports, "pitch") >= run)
    require(ok, name, "pitch", ports["pitch"], "at least the bytes of a row")
    wide = (rows - 1).astype(np.float64) * ports["pitch"] > 2.0**40
    end = np.where(rows > 1, (rows - 1) * field(ports, "pitch"), 0) + run
    every = np.arange(len(ports))
    index, address = field(ports, "buffer"), field(ports, "address")
    _check_inside(f"{name}.address", buffers, every, index, address, np.zeros_like(end), end, wide)
    total = np.zeros((1 << 17,), np.int64)
    which = field(ports, "index") * 2 + ports["output"]
    np.add.at(total, which, rows * run)
    last = field(ports, "at") + rows * run
    require(last <= total[which], name, "at", last, "an end inside the bytes that the ports of this index hold")


def check_depends(depends: Table) -> None:
    """A step depends on earlier steps only."""
    require(depends["before"] < depends["after"], "depends", "after", depends["after"], "a step behind `before`")
