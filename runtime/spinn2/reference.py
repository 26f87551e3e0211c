"""The rows of a program in plain numpy: the bits that machine code must give, and the way without machine code.

Rows of one step that share a shape class (or box class) run as one batch: their tiles are gathered into one array,
computed, and scattered back. Values are int64 throughout and wrap as the contract says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import ELEMENT_DTYPES, Copy, Kernel
from .groups import Integers, byte_index, gather_runs, groups, scatter_runs
from .loader import Bytes
from .program import Program
from .reference_arithmetic import average, clamp, limit_float, lookup, normalise, products, requantize, softmax, wrap32

BATCH_BYTES = 1 << 25
"""Index arrays of a batch stay below about eight times this."""

Row = np.void


class Tile:
    """One operand of a batch of tasks: int64 values to read, or a place to write."""

    def __init__(self, image: Bytes, start: Integers, element: int) -> None:
        self.image = image
        self.start = start
        self.dtype = ELEMENT_DTYPES[element]

    def index(self, counts: tuple[int, ...], pitches: tuple[int, ...]) -> Integers:
        """Byte addresses int64[rows, *counts, element bytes]."""
        return byte_index(self.start, counts, pitches, self.dtype.itemsize)

    def read(self, counts: tuple[int, ...], pitches: tuple[int, ...]) -> Integers:
        """Values int64[rows, *counts]."""
        if pitches[-1] == self.dtype.itemsize:
            starts = byte_index(self.start, counts[:-1], pitches[:-1])[..., 0]
            data = gather_runs(self.image, starts, counts[-1] * self.dtype.itemsize)
            return data.view(self.dtype).astype(np.int64)
        return self.image[self.index(counts, pitches)].view(self.dtype)[..., 0].astype(np.int64)

    def write(self, counts: tuple[int, ...], pitches: tuple[int, ...], values: Integers) -> None:
        """Store values int64[rows, *counts], truncated to the element, dense along the last axis."""
        stored = np.ascontiguousarray(np.broadcast_to(values, (len(self.start), *counts))).astype(self.dtype)
        starts = byte_index(self.start, counts[:-1], pitches[:-1])[..., 0]
        scatter_runs(self.image, starts, stored.view(np.uint8))


class Batch:
    """The rows of one step that share a shape class: shape fields as ints and the four operands."""

    def __init__(self, image: Bytes, shape: Row, starts: Integers) -> None:
        self._shape = shape
        self.rows = len(starts)
        types = (int(shape["a_type"]), int(shape["b_type"]), 4, int(shape["y_type"]))
        self.a, self.b, self.p, self.y = (
            Tile(image, starts[:, operand], element) for operand, element in enumerate(types)
        )
        self.extent = self["channels"], self["height"], self["width"]
        self.y_pitches = self["y_channel"], self["y_row"], self.y.dtype.itemsize

    def __getitem__(self, name: str) -> int:
        return int(self._shape[name])

    def map(self, name: str) -> Integers:
        """Operand a or b as values of y's extent."""
        tile = self.a if name == "a" else self.b
        return tile.read(self.extent, tuple(self[f"{name}_{axis}"] for axis in ("channel", "row", "column")))

    def parameters(self, count: int) -> Integers:
        """int64[rows, count] from operand p."""
        return self.p.read((count,), (4,))

    def store(self, values: Integers) -> None:
        """Write y."""
        self.y.write(self.extent, self.y_pitches, values)

    def store_clamped(self, values: Integers) -> None:
        """Add zero_y, limit to [low, high] and write y."""
        self.store(clamp(values + self["zero_y"], self["low"], self["high"]))


def _windows(batch: Batch, channels: int) -> Integers:
    """Operand a of CONV and DEPTHWISE: [rows, channels, kernel_h, kernel_w, height, width], a view of the tile."""
    height = (batch["height"] - 1) * batch["stride_h"] + (batch["kernel_h"] - 1) * batch["dilation_h"] + 1
    width = (batch["width"] - 1) * batch["stride_w"] + (batch["kernel_w"] - 1) * batch["dilation_w"] + 1
    pitches = batch["a_channel"], batch["a_row"], batch["a_column"]
    tile = batch.a.read((channels, height, width), pitches)
    return _slide(tile, batch)


def _slide(tile: npt.NDArray[np.generic], batch: Batch) -> Integers:
    row, channel, down, right = tile.strides
    return np.lib.stride_tricks.as_strided(
        tile,
        (batch.rows, tile.shape[1], batch["kernel_h"], batch["kernel_w"], batch["height"], batch["width"]),
        (
            row,
            channel,
            down * batch["dilation_h"],
            right * batch["dilation_w"],
            down * batch["stride_h"],
            right * batch["stride_w"],
        ),
        writeable=False,
    )


def _conv(batch: Batch) -> None:
    filters, channels = batch["channels"], batch["channels_in"]
    windows = _windows(batch, channels)
    groups_o, groups_c = -(-filters // 4), -(-channels // 4)
    size = batch.b.dtype.itemsize
    counts = (groups_o, batch["kernel_h"], batch["kernel_w"], groups_c, 4, 4)
    flat = batch.b.read((int(np.prod(counts)),), (size,)).reshape(batch.rows, *counts)
    ordered = flat.transpose(0, 1, 5, 4, 6, 2, 3).reshape(batch.rows, groups_o * 4, groups_c * 4, *counts[1:3])
    weights = ordered[:, :filters, :channels].reshape(batch.rows, filters, -1)
    sums = products(weights, windows.reshape(batch.rows, weights.shape[2], -1))
    batch.store(sums.reshape(batch.rows, *batch.extent))


def _depthwise(batch: Batch) -> None:
    windows = _windows(batch, batch["channels"])
    size = batch.b.dtype.itemsize
    taps = batch["kernel_h"], batch["kernel_w"]
    weights = batch.b.read((batch["channels"], *taps), (taps[0] * taps[1] * size, taps[1] * size, size))
    batch.store(np.einsum("ncuvij,ncuv->ncij", windows, weights))


def _matmul(batch: Batch) -> None:
    height, inner, width = batch["height"], batch["channels_in"], batch["width"]
    a = batch.a.read((height, inner), (batch["a_row"], batch["a_column"]))
    b = batch.b.read((inner, width), (batch["b_row"], batch.b.dtype.itemsize))
    batch.y.write((height, width), (batch["y_row"], 4), products(a, b))


def _pad(batch: Batch) -> None:
    index = batch.y.index(batch.extent, batch.y_pitches)
    outside = np.ones(batch.extent, bool)
    top, left = batch["pad_top"], batch["pad_left"]
    outside[:, top : top + batch["height_in"], left : left + batch["width_in"]] = False
    value = np.array([batch["zero_y"]]).astype(batch.y.dtype).view(np.uint8)
    batch.y.image[index[:, outside]] = value


def _accumulate(batch: Batch) -> None:
    batch.store(batch.map("a") + batch.y.read(batch.extent, batch.y_pitches))


def _requantize(batch: Batch) -> None:
    records = batch.p.read((batch["channels"], 3), (batch["p_pitch"], 4))
    bias, multiplier, shift = (records[:, :, None, None, n] for n in range(3))
    batch.store_clamped(requantize(wrap32(batch.map("a") - batch["zero_a"] + bias), multiplier, shift))


def _add(batch: Batch) -> None:
    p = batch.parameters(3)[:, :, None, None, None]
    a, b = wrap32(batch.map("a") - batch["zero_a"]), wrap32(batch.map("b") - batch["zero_b"])
    batch.store_clamped(requantize(a * p[:, 0] + b * p[:, 1], 1, p[:, 2]))


def _requantize_float(batch: Batch) -> None:
    channels, pitch = batch["channels"], batch["p_pitch"]
    bias = batch.p.read((channels,), (pitch,))[:, :, None, None]
    scale = batch.p.read((channels, 2), (pitch, 4))[:, :, 1].astype(np.int32).view(np.float32)[:, :, None, None]
    total = wrap32(batch.map("a") - batch["zero_a"] + bias).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.rint(total * scale)
    batch.store(limit_float(values, batch["zero_y"], batch["low"], batch["high"]))


def _add_float(batch: Batch) -> None:
    p = batch.parameters(3).astype(np.int32).view(np.float32).astype(np.float64)[:, :, None, None, None]
    a, b = batch.map("a").astype(np.float64), batch.map("b").astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        partial = (a * p[:, 0] + p[:, 2]).astype(np.float32)
        values = np.rint((b * p[:, 1] + partial.astype(np.float64)).astype(np.float32))
    batch.store(limit_float(values, 0, batch["low"], batch["high"]))


def _mul(batch: Batch) -> None:
    p = batch.parameters(2)[:, :, None, None, None]
    a, b = wrap32(batch.map("a") - batch["zero_a"]), wrap32(batch.map("b") - batch["zero_b"])
    batch.store_clamped(requantize(a * b, p[:, 0], p[:, 1]))


def _table(batch: Batch) -> None:
    limits = np.iinfo(batch.a.dtype)
    size = batch.y.dtype.itemsize
    entries = Tile(batch.y.image, batch.p.start, batch["y_type"])
    table = entries.read((batch["channels"], int(limits.max) - int(limits.min) + 1), (batch["p_pitch"], size))
    batch.store(lookup(table, batch.map("a") - int(limits.min)))


def _pool_windows(batch: Batch, fill: int) -> tuple[Integers, npt.NDArray[np.int64]]:
    """Windows [rows, C, kernel_h * kernel_w, H, W] with `fill` outside the tile, and how many of each lie inside."""
    extent = batch["height_in"], batch["width_in"]
    pads = batch["pad_top"], batch["pad_left"]
    inside = np.ones((1, 1, 1, 1), np.int64)
    # Only what some window covers belongs to the operand; the tile may say more.
    height, width = (
        min(extent[axis], (batch[side] - 1) * batch[f"stride_{name}"] - pads[axis] + reach + 1)
        for axis, (side, name) in enumerate((("height", "h"), ("width", "w")))
        for reach in [(batch[f"kernel_{name}"] - 1) * batch[f"dilation_{name}"]]
    )
    if height > 0 and width > 0:
        pitches = batch["a_channel"], batch["a_row"], batch["a_column"]
        tile = batch.a.read((batch["channels"], height, width), pitches)
    else:
        tile = np.zeros((batch.rows, batch["channels"], 1, 1), np.int64)
    for axis, (name, outputs) in enumerate((("h", batch["height"]), ("w", batch["width"])), start=2):
        taps = np.arange(batch[f"kernel_{name}"]) * batch[f"dilation_{name}"]
        positions = np.arange(outputs) * batch[f"stride_{name}"] - pads[axis - 2] + taps[:, None]
        within = (positions >= 0) & (positions < extent[axis - 2])
        place = 2 if axis == 2 else 4
        tile = np.take(tile, np.where(within, positions, 0).clip(max=tile.shape[place] - 1), axis=place)
        form = (-1, 1, outputs, 1) if axis == 2 else (1, len(taps), 1, outputs)
        inside = inside * within.reshape(form)
    ordered = tile.transpose(0, 1, 2, 4, 3, 5)
    filled = np.where(inside.astype(bool), ordered, fill)
    shape = (batch.rows, batch["channels"], -1, batch["height"], batch["width"])
    return filled.reshape(shape), inside.sum(axis=(0, 1))


def _max_pool(batch: Batch) -> None:
    batch.store(_pool_windows(batch, int(np.iinfo(batch.a.dtype).min))[0].max(axis=2))


def _avg_pool(batch: Batch) -> None:
    windows, inside = _pool_windows(batch, batch["zero_a"])
    total = (windows - batch["zero_a"]).sum(axis=2)
    count = np.full_like(inside, batch["count"]) if batch["count"] else inside
    p = batch.parameters(2)[:, :, None, None, None]
    batch.store_clamped(average(total, count, p[:, 0], p[:, 1]))


def _softmax(batch: Batch) -> None:
    batch.store_clamped(softmax(batch.map("a"), batch.parameters(257)))


def _lrn(batch: Batch) -> None:
    values = wrap32(batch.map("a") - batch["zero_a"])
    batch.store_clamped(normalise(values, batch["kernel_h"], batch.parameters(2 + 1024)))


def _maximum(batch: Batch) -> None:
    batch.store(np.maximum(batch.map("a"), batch.map("b")))


def _minimum(batch: Batch) -> None:
    batch.store(np.minimum(batch.map("a"), batch.map("b")))


KERNELS: dict[Kernel, Callable[[Batch], None]] = {
    Kernel.CONV: _conv,
    Kernel.DEPTHWISE: _depthwise,
    Kernel.MATMUL: _matmul,
    Kernel.PAD: _pad,
    Kernel.ACCUMULATE: _accumulate,
    Kernel.REQUANTIZE: _requantize,
    Kernel.ADD: _add,
    Kernel.MUL: _mul,
    Kernel.TABLE: _table,
    Kernel.MAX_POOL: _max_pool,
    Kernel.AVG_POOL: _avg_pool,
    Kernel.SOFTMAX: _softmax,
    Kernel.LRN: _lrn,
    Kernel.MAXIMUM: _maximum,
    Kernel.MINIMUM: _minimum,
    Kernel.REQUANTIZE_FLOAT: _requantize_float,
    Kernel.ADD_FLOAT: _add_float,
}


def copy_boxes(image: Bytes, box: Row, offsets: Integers, src: Integers, dst: Integers) -> None:
    """Run transfers of one box class; `src` and `dst` are image addresses int64[rows]."""
    n0, n1, run = (int(box[name]) for name in ("n0", "n1", "bytes"))
    if box["copy"] == Copy.GATHER:
        at, n2 = int(box["at"]), int(box["n2"])
        first, second, third = np.split(offsets[at : at + n0 + n1 + n2], [n0, n0 + n1])
        element = first[:, None, None] + second[:, None] + third
        place = byte_index(dst, (n0, n1, n2), (int(box["dst_0"]), int(box["dst_1"]), run))[..., 0]
        scatter_runs(image, place, gather_runs(image, src[:, None, None, None] + element, run))
        return
    place = byte_index(dst, (n0, n1), (int(box["dst_0"]), int(box["dst_1"])))[..., 0]
    if box["copy"] == Copy.FILL:
        pattern = np.array([box["value"]], "<i4").view(np.uint8)[: int(box["element"])]
        scatter_runs(image, place, np.tile(pattern, run // len(pattern)))
    else:
        source = byte_index(src, (n0, n1), (int(box["src_0"]), int(box["src_1"])))[..., 0]
        scatter_runs(image, place, gather_runs(image, source, run))


def _pieces(rows: Integers, bytes_each: int) -> Iterator[Integers]:
    """`rows` in pieces whose gathered bytes stay near BATCH_BYTES."""
    yield from np.array_split(rows, min(len(rows), len(rows) * bytes_each // BATCH_BYTES + 1))


def run_steps(program: Program, image: Bytes, first: int, last: int, starts: Integers, ends: Integers) -> None:
    """Run the rows of steps first .. last in place.

    `starts`: image addresses int64[tasks, 4] of a, b, p, y; `ends`: image addresses int64[transfers, 2] of src, dst.
    """
    tasks, transfers = program.tasks, program.transfers
    offsets = program.offsets.astype(np.int64)
    work: list[tuple[int, bool, Integers]] = []
    for table, column, is_task in ((tasks, "shape", True), (transfers, "box", False)):
        chosen = np.flatnonzero((table["step"] >= first) & (table["step"] <= last))
        for group in groups(table["step"][chosen], table[column][chosen]):
            rows = chosen[group]
            work.append((int(table["step"][rows[0]]), is_task, rows))
    for _, is_task, group in sorted(work, key=lambda item: item[0]):
        if is_task:
            shape = program.shapes[tasks["shape"][group[0]]]
            kernel = KERNELS[Kernel(int(shape["kernel"]))]
            for rows in _pieces(group, _task_bytes(shape)):
                kernel(Batch(image, shape, starts[rows]))
        else:
            box = program.boxes[transfers["box"][group[0]]]
            moved = int(box["n0"]) * int(box["n1"]) * max(int(box["n2"]), 1) * int(box["bytes"])
            for rows in _pieces(group, moved):
                copy_boxes(image, box, offsets, ends[rows, 0], ends[rows, 1])


def _task_bytes(shape: Row) -> int:
    """About how many values one task of a shape gathers."""
    window = int(shape["kernel_h"]) * int(shape["kernel_w"])
    inner = max(int(shape["channels_in"]), 1)
    outputs = int(shape["height"]) * int(shape["width"])
    return 8 * outputs * max(window, 1) * max(inner, int(shape["channels"]))
