"""Checks of the rows that name buffers: tasks, transfers, constants, ports, dependences.

The shapes, boxes and buffers that they refer to have been checked before (`checks.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import END, NO_BUFFER, Copy, Kernel, Packing, Phase
from .checks import Mask, at_least, enum, require
from .errors import program_error
from .touches import (
    BY_CHANNEL,
    ELEMENT_BYTES,
    PAIRS,
    Integers,
    Operand,
    Table,
    box_touches,
    extents,
    field,
    is_kernel,
    shape_touches,
    uses,
)


def check_tasks(tasks: Table, shapes: Table, buffers: Table, processing_elements: int, layers: int) -> None:
    """Every operand of every task lies in its buffer, and y overlaps no operand unless it is computed in place."""
    require(tasks["step"] >= 1, "tasks", "step", tasks["step"], "at least 1")
    require(tasks["step"] < END, "tasks", "step", tasks["step"], f"below {END}")
    require(tasks["layer"] < layers, "tasks", "layer", tasks["layer"], f"below {layers}")
    require(tasks["pe"] < processing_elements, "tasks", "pe", tasks["pe"], f"below {processing_elements}")
    require(tasks["shape"] < len(shapes), "tasks", "shape", tasks["shape"], f"below {len(shapes)}")
    enum(tasks, "tasks", "phase", Phase)
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


FAR = 1 << 60
"""Stands for the pitch of a single row."""


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
            between = _between(some, name, start[:, operand] - start[:, y])
            ok = apart | ((same | between) & is_kernel(some, *IN_PLACE))
        require(ok, "tasks", "y_address", start[:, y], f"a result apart from operand {operand.name.lower()}")


def _between(some: Table, name: str, offset: Integers) -> Mask:
    """Whether operand a or b, `offset` bytes behind y, has the pitches of y and rows that lie between those of y.

    Rows of one channel are multiples of the row pitch apart; channels are further apart than both of them are long.
    """
    channels, height, width = (field(some, each) for each in ("channels", "height", "width"))
    own, other = (width * ELEMENT_BYTES[some[f"{each}_type"]] for each in ("y", name))
    alike = some[f"{name}_column"] == ELEMENT_BYTES[some[f"{name}_type"]]
    alike &= (some[f"{name}_channel"] == some["y_channel"]) | (channels == 1)
    alike &= (some[f"{name}_row"] == some["y_row"]) | (height == 1)
    pitch = np.where(height > 1, np.maximum(field(some, "y_row"), 1), FAR)
    behind = offset % pitch
    rows = (behind >= own) & (behind + other <= pitch)
    length = np.where(height > 1, (height - 1) * pitch, 0) + np.abs(offset) + np.maximum(own, other)
    return np.asarray(alike & rows & ((channels == 1) | (field(some, "y_channel") >= length)))


def check_transfers(transfers: Table, boxes: Table, offsets: Integers, buffers: Table, layers: int) -> None:
    """Source and destination of every transfer lie in their buffers and do not overlap."""
    name = "transfers"
    require(transfers["step"] >= 1, name, "step", transfers["step"], "at least 1")
    require(transfers["step"] < END, name, "step", transfers["step"], f"below {END}")
    require(transfers["layer"] < layers, name, "layer", transfers["layer"], f"below {layers}")
    require(transfers["box"] < len(boxes), name, "box", transfers["box"], f"below {len(boxes)}")
    enum(transfers, name, "phase", Phase)
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
    enum(constants, name, "packing", Packing)
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
    at_least(ports, name, ("n0", "bytes"), 1)
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
