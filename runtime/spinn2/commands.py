"""A program's tables as the arrays that generated code walks: records, commands, and shares for threads.

Everything is computed for whole tables at once, once per program.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn2_tables import NO_BUFFER, Copy, Element, Kernel
from .groups import Integers
from .kernels.layout import (
    AREA_SLACK,
    BOX_FIELDS,
    CHUNK,
    COMMAND,
    LANES,
    RECORD_WORDS,
    SHAPE_FIELDS,
    WORD,
    Operation,
    Slot,
)
from .packed_tiles import packed_tiles
from .program import Program
from .touches import BY_CHANNEL, ELEMENT_BYTES, PAIRS, Table, ceil_div, is_kernel

LINE_BYTES = 64
"""Packed tiles start on cache lines."""
SOLO_NANOSECONDS = 20_000
"""Steps that cost less run on one thread, together with neighbours that are as cheap."""
SHARE_NANOSECONDS = 4_000
"""A share should cost at least this ..."""
SHARES_PER_THREAD = 4
"""... and a phase has at most so many shares for each thread, so that uneven ones level out."""
VARYING_AREAS = (Slot.TAPS, Slot.PACKED, Slot.WEIGHTS, Slot.RESULTS, Slot.ROW, Slot.SUMS)

Fields = dict[str, Integers]


@frozen(eq=False)
class Commands:
    """`records`: int64[shapes + boxes, RECORD_WORDS]; `rows`: int64[tasks + transfers, len(COMMAND)] ordered by step;
    `steps` and `cost` (nanoseconds, estimated) of each row; `areas`: bytes of each of VARYING_AREAS; `arena`: bytes for
    packed tiles that several rows read."""

    records: Integers
    rows: Integers
    steps: Integers
    cost: Integers
    areas: tuple[int, ...]
    arena: int


def image_addresses(program: Program, buffers: npt.NDArray[np.integer], addresses: npt.NDArray[np.integer]) -> Integers:
    """Where addresses of named buffers lie in the image; 0 where there is no buffer."""
    known = (buffers != NO_BUFFER) & (buffers < len(program.buffers))
    if not len(program.buffers):
        return np.zeros(buffers.shape, np.int64)
    memory = program.buffers["memory"][np.where(known, buffers, 0)]
    return np.where(known, program.memory_starts()[memory] + addresses, 0)


def task_addresses(program: Program) -> Integers:
    """Image addresses int64[tasks, 4] of a, b, p, y."""
    tasks = program.tasks
    return np.stack([image_addresses(program, tasks[name], tasks[f"{name}_address"]) for name in "abpy"], axis=1)


def transfer_addresses(program: Program) -> Integers:
    """Image addresses int64[transfers, 2] of src, dst."""
    rows = program.transfers
    return np.stack([image_addresses(program, rows[name], rows[f"{name}_address"]) for name in ("src", "dst")], axis=1)


def _shape_fields(shapes: Table) -> Fields:
    """Columns of the shapes table and what kernels derive from them, int64[shapes] each."""
    f: Fields = {name: shapes[name].astype(np.int64) for name in shapes.dtype.names or ()}
    for name in "aby":
        f[f"{name}_size"] = ELEMENT_BYTES[shapes[f"{name}_type"]]
    # A stride between single outputs and a dilation of single positions mean nothing; 1 keeps packed tiles small.
    for axis, side in (("h", "height"), ("w", "width")):
        f[f"stride_{axis}"] = np.where(f[side] == 1, 1, f[f"stride_{axis}"])
        f[f"dilation_{axis}"] = np.where(f[f"kernel_{axis}"] == 1, 1, f[f"dilation_{axis}"])
    _merge(shapes, f)
    f["pattern"] = _patterns(f["zero_y"], f["y_size"])
    mac = is_kernel(shapes, Kernel.CONV, Kernel.DEPTHWISE)
    one = np.ones(len(shapes), np.int64)
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w = (
        np.where(mac, f[name], one)
        for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
    )
    f["groups_in"] = np.where(is_kernel(shapes, Kernel.CONV), ceil_div(f["channels_in"], 4), 1)
    f["phases_h"] = np.minimum(kernel_h, stride_h // np.gcd(stride_h, dilation_h))
    f["phases_w"] = np.minimum(kernel_w, stride_w // np.gcd(stride_w, dilation_w))
    f["packed_height"] = f["height"] + (kernel_h - 1) * dilation_h // stride_h
    f["packed_width"] = f["width"] + (kernel_w - 1) * dilation_w // stride_w
    f["plane"] = f["packed_height"] * f["packed_width"]
    dense = (stride_h == 1) & (stride_w == 1) & (f["a_row"] == f["packed_width"] * f["a_size"])
    f["packed_rows"] = np.where(dense, 1, f["packed_height"])
    f["packed_columns"] = np.where(dense, f["plane"], f["packed_width"])
    f["positions"] = (f["height"] - 1) * f["packed_width"] + f["width"]
    f["taps"] = kernel_h * kernel_w * f["groups_in"]
    dense = (f["packed_width"] == f["width"]) & (f["y_row"] == f["width"] * 4)
    f["result_rows"] = np.where(dense, 1, f["height"])
    f["result_columns"] = np.where(dense, f["positions"], f["width"])
    return f


def _merge(shapes: Table, f: Fields) -> None:
    """Join channels with rows and rows with columns where all operands of an elementwise kernel allow it."""
    pairs = is_kernel(shapes, *PAIRS)
    by_channel = is_kernel(shapes, *BY_CHANNEL) & (f["p_pitch"] > 0)
    every = np.ones(len(shapes), bool)
    channels, rows = ~by_channel, every.copy()
    for name, used in (("a", every), ("b", pairs), ("y", every)):
        size = f[f"{name}_size"]
        column = size if name == "y" else f[f"{name}_column"]
        nested = (f[f"{name}_channel"] == f["height"] * f[f"{name}_row"]) | (f["channels"] == 1)
        channels &= ~used | nested
        rows &= ~used | ((column == size) & (f[f"{name}_row"] == f["width"] * size))
    height = np.where(channels, f["channels"] * f["height"], f["height"])
    f["merged_channels"] = np.where(channels, 1, f["channels"])
    f["merged_height"] = np.where(rows, 1, height)
    f["merged_width"] = np.where(rows, height * f["width"], f["width"])
    f["chunk_rows"] = np.maximum(CHUNK // np.maximum(f["merged_width"], 1), 1)


def _patterns(values: Integers, sizes: Integers) -> Integers:
    """Values, truncated to elements of 1, 2 or 4 bytes, repeated over eight bytes."""
    bits = values.astype(np.uint64)
    repeats = {1: 0x0101010101010101, 2: 0x0001000100010001, 4: 0x0000000100000001}
    out = np.zeros(len(values), np.uint64)
    for size, repeat in repeats.items():
        mask = np.uint64((1 << (8 * size)) - 1)
        out = np.where(sizes == size, (bits & mask) * np.uint64(repeat), out)
    return out.view(np.int64)


def _areas(shapes: Table, f: Fields) -> tuple[int, ...]:
    """Bytes that the largest shape class needs of each of VARYING_AREAS."""

    def most(kernels: tuple[Kernel, ...], need: Integers) -> int:
        return int(np.where(is_kernel(shapes, *kernels), need, 0).max(initial=0)) + AREA_SLACK

    conv, both = (Kernel.CONV,), (Kernel.CONV, Kernel.DEPTHWISE)
    windows = (*both, Kernel.MAX_POOL, Kernel.AVG_POOL)
    span = (f["width"] - 1) * f["stride_w"] + (f["kernel_w"] - 1) * f["dilation_w"] + 1
    planes = np.where(is_kernel(shapes, *conv), 4, 1)
    weights = f["taps"] * np.where(is_kernel(shapes, *conv), 16, f["channels"]) * 4
    lines = most(windows, (span + 3 * LANES * f["stride_w"]) * 4)
    lines = max(lines, most((Kernel.MATMUL,), f["channels_in"] * 4), most((*windows, Kernel.SOFTMAX), f["width"] * 4))
    return (
        most(both, f["taps"] * 8),
        most(both, f["phases_h"] * f["phases_w"] * f["groups_in"] * planes * f["plane"] * 4),
        most(both, weights),
        most(both, (f["positions"] + LANES) * 16),
        lines,
        max(most((Kernel.MATMUL,), f["channels_in"]), most(windows, (span + 3 * LANES * f["stride_w"]) * 8)),
    )


def _operations(shapes: Table, dot: bool) -> Integers:
    """Operation of each shape class."""
    out = shapes["kernel"].astype(np.int64)
    fits = np.isin(shapes["a_type"], (Element.I8, Element.U8)) & (shapes["b_type"] == Element.I8)
    if dot:
        out = np.where(fits & (out == Kernel.CONV), Operation.CONV_DOT, out)
        out = np.where(fits & (out == Kernel.MATMUL), Operation.MATMUL_DOT, out)
    return out


def _task_cost(shapes: Table, f: Fields, operations: Integers) -> Integers:
    """Rough nanoseconds of a task of each shape class; only ratios matter."""
    elements = f["channels"] * f["height"] * f["width"]
    macs = (f["positions"] + 8) * (ceil_div(f["channels"], 4) * 4 + 1) * f["taps"] * 4
    packed = f["phases_h"] * f["phases_w"] * f["groups_in"] * f["plane"]
    pooled = elements * f["kernel_h"] * (1 + f["kernel_w"] // 8)
    per_kernel = {
        Operation.CONV_DOT: macs // 150 + packed // 6,
        Operation.CONV: macs // 15 + packed,
        Operation.DEPTHWISE: elements * f["taps"] // 8,
        Operation.MATMUL_DOT: f["height"] * f["channels_in"] * f["width"] // 30,
        Operation.MATMUL: f["height"] * f["channels_in"] * f["width"] // 15,
        Operation.MAX_POOL: pooled,
        Operation.AVG_POOL: 4 * pooled,
        Operation.SOFTMAX: 20 * elements,
        Operation.LRN: 10 * elements,
    }
    cost = elements
    for operation, estimate in per_kernel.items():
        cost = np.where(operations == operation, estimate, cost)
    return 50 + cost


def _box_records(boxes: Table) -> tuple[Integers, Integers, Integers]:
    """Records, operations and costs of the box classes."""
    f = {name: boxes[name].astype(np.int64) for name in boxes.dtype.names or ()}
    f["pattern"] = _patterns(f["value"], f["element"])
    # Adjacent runs become one: the inner axis first, then the outer one.
    copies = boxes["copy"] != Copy.GATHER
    read = boxes["copy"] == Copy.BOX
    for axis, outer in (("1", False), ("0", True)):
        joined = copies & (f[f"dst_{axis}"] == f["bytes"]) & (~read | (f[f"src_{axis}"] == f["bytes"]))
        joined &= (f["n1"] == 1) | (not outer)
        f["bytes"] = np.where(joined, f["bytes"] * f[f"n{axis}"], f["bytes"])
        f[f"n{axis}"] = np.where(joined, 1, f[f"n{axis}"])
    records = np.zeros((len(boxes), RECORD_WORDS), np.int64)
    for index, name in enumerate(BOX_FIELDS):
        records[:, index] = f[name]
    operation = np.array([Operation.BOX, Operation.GATHER, Operation.FILL], np.int64)[boxes["copy"]]
    runs = f["n0"] * f["n1"] * np.where(copies, 1, f["n2"])
    return records, operation, 20 + runs * (2 + f["bytes"] // 16)


def prepare(program: Program, *, dot: bool) -> Commands:
    """Commands of a valid program; with `dot`, 8 bit MAC work goes to the kernels with sums of four products."""
    shapes, tasks, boxes, transfers = program.shapes, program.tasks, program.boxes, program.transfers
    f = _shape_fields(shapes)
    shape_records = np.zeros((len(shapes), RECORD_WORDS), np.int64)
    for index, name in enumerate(SHAPE_FIELDS):
        shape_records[:, index] = f[name]
    operations = _operations(shapes, dot)
    box_records, box_operations, box_cost = _box_records(boxes)
    rows = np.zeros((len(tasks) + len(transfers), len(COMMAND)), np.int64)
    first, second = rows[: len(tasks)], rows[len(tasks) :]
    first[:, 0] = operations[tasks["shape"]]
    first[:, 1] = tasks["shape"].astype(np.int64) * (RECORD_WORDS * WORD)
    first[:, 2] = tasks["step"]
    first[:, 3:7] = task_addresses(program)
    second[:, 0] = box_operations[transfers["box"]]
    second[:, 1] = (transfers["box"].astype(np.int64) + len(shapes)) * (RECORD_WORDS * WORD)
    second[:, 2] = transfers["step"]
    second[:, (3, 6)] = transfer_addresses(program)
    areas = _areas(shapes, f)
    tile_bytes = -(-areas[VARYING_AREAS.index(Slot.PACKED)] // LINE_BYTES) * LINE_BYTES
    tiles = packed_tiles(program, first[:, 3:7], second[:, 6], tile_bytes)
    first[:, 7] = np.where(tiles.place < 0, 0, (tiles.place + 1) * 2 + tiles.kept)
    cost = np.concatenate([_task_cost(shapes, f, operations)[tasks["shape"]], box_cost[transfers["box"]]])
    # Within a step, rows of one place together: they touch the same memory.
    place = np.concatenate([first[:, 3], second[:, 6]])
    order = np.lexsort([np.arange(len(rows)), rows[:, 1], place, rows[:, 2]])
    records = np.concatenate([shape_records, box_records])
    return Commands(records, rows[order], rows[order, 2], cost[order], areas, tiles.arena)


def split(commands: Commands, threads: int) -> Integers:
    """Shares int64[shares, 3]: (first command, end command, first share of the phase), in order.

    The shares of a phase are independent; a phase may start when all earlier ones are done.
    """
    count = len(commands.rows)
    if threads == 1 or count == 0:
        return np.array([[0, count, 0]], np.int64)
    starts = np.flatnonzero(np.diff(commands.steps, prepend=-1))
    total = np.concatenate([[0], np.cumsum(commands.cost)])
    ends = np.append(starts[1:], count)
    solo = total[ends] - total[starts] < SOLO_NANOSECONDS
    begin = starts[~(solo & np.concatenate([[False], solo[:-1]]))]
    end = np.append(begin[1:], count)
    cost = total[end] - total[begin]
    alone = solo[np.searchsorted(starts, begin)]
    pieces = np.where(alone, 1, np.clip(cost // SHARE_NANOSECONDS, threads, SHARES_PER_THREAD * threads))
    phase = np.repeat(np.arange(len(begin)), pieces)
    first = np.cumsum(pieces) - pieces
    piece = np.arange(len(phase)) - first[phase]

    def cut(number: Integers) -> Integers:
        """First command of a piece: where the cost before it reaches its part of the phase."""
        goal = total[begin[phase]] + cost[phase] * number // pieces[phase]
        place = np.clip(np.searchsorted(total, goal), begin[phase], end[phase])
        return np.where(number == 0, begin[phase], np.where(number == pieces[phase], end[phase], place))

    return np.stack([cut(piece), cut(piece + 1), first[phase]], axis=1)
