"""Small SpiNNaker2 programs for tests: a builder that lays buffers out, and one random task of every kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define, field, frozen

from snc.ir.dialects.spinn2_tables import ELEMENT_DTYPES, END, HOST, NO_BUFFER, TABLES, Copy, Element, Kernel, Packing
from snc.runtime.spinn2.program import Program

NARROW = (Element.I8, Element.U8, Element.I16, Element.U16)
BYTES = (Element.I8, Element.U8)


@define
class Builder:
    """Collects rows; buffers follow one another in their memories with random gaps."""

    processing_elements: int = 3
    sram_bytes: int = 1 << 19
    dram_bytes: tuple[int, ...] = (1 << 17, 1 << 16)
    rng: np.random.Generator = field(factory=lambda: np.random.default_rng(0))
    rows: dict[str, list[dict[str, Any]]] = field(factory=lambda: {name: [] for name in TABLES})
    offsets: list[int] = field(factory=list)
    arrays: list[np.ndarray] = field(factory=list)
    used: dict[int, int] = field(factory=dict)

    def add(self, table: str, **fields: Any) -> int:
        """Append a row; returns its number."""
        self.rows[table].append(fields)
        return len(self.rows[table]) - 1

    def buffer(self, memory: int, size: int, *, first: int = HOST, last: int = END, align: int = 1) -> int:
        """A buffer behind all others of its memory."""
        start = -(-(self.used.get(memory, 0) + int(self.rng.integers(0, 9))) // align) * align
        self.used[memory] = start + size
        return self.add("buffers", memory=memory, address=start, bytes=size, first=first, last=last)

    def address(self, buffer: int) -> int:
        """Where a buffer starts."""
        return self.rows["buffers"][buffer]["address"]

    def constant(self, memory: int, array: np.ndarray, packing: Packing = Packing.RAW, **slices: int) -> int:
        """A buffer that holds an array as it is."""
        buffer = self.buffer(memory, array.nbytes)
        self.arrays.append(array)
        self.add(
            "constants",
            buffer=buffer,
            address=self.address(buffer),
            array=len(self.arrays) - 1,
            packing=packing,
            **slices,
        )
        return buffer

    def task(self, step: int, shape: int, *, pe: int = 0, **operands: int) -> int:
        """A task whose operands start where their buffers start."""
        row: dict[str, Any] = {"step": step, "shape": shape, "pe": pe}
        for name in "abpy":
            row[name] = operands.get(name, NO_BUFFER)
            row[f"{name}_address"] = self.address(operands[name]) if name in operands else 0
        return self.add("tasks", **row)

    def transfer(self, step: int, box: int, dst: int, src: int = NO_BUFFER, *, src_at: int = 0, dst_at: int = 0) -> int:
        """A transfer between two buffers, `src_at` and `dst_at` bytes behind their starts."""
        source = 0 if src == NO_BUFFER else self.address(src) + src_at
        return self.add(
            "transfers",
            step=step,
            box=box,
            src=src,
            dst=dst,
            src_address=source,
            dst_address=self.address(dst) + dst_at,
        )

    def port(self, buffer: int, *, output: bool, index: int = 0) -> int:
        """A port over a whole buffer."""
        size = self.rows["buffers"][buffer]["bytes"]
        fields = {"address": self.address(buffer), "index": index, "output": int(output)}
        return self.add("ports", buffer=buffer, n0=1, bytes=size, pitch=size, at=0, **fields)

    def build(self) -> Program:
        """The program of the rows so far."""
        tables = {}
        for name, rows in self.rows.items():
            table = np.zeros(len(rows), TABLES[name])
            for column in TABLES[name].names or ():
                table[column] = [row.get(column, 0) for row in rows]
            tables[name] = table
        return Program(
            processing_elements=self.processing_elements,
            sram_bytes=self.sram_bytes,
            dram_bytes=self.dram_bytes,
            layers=("layer",),
            offsets=np.array(self.offsets, np.int32),
            arrays=tuple(self.arrays),
            **tables,
        )


@frozen(eq=False)
class Operand:
    """Bytes of a tile with gaps, its pitches, and its values as an array [channels, height, width]."""

    data: np.ndarray
    pitches: tuple[int, int, int]
    values: np.ndarray


def random_operand(
    rng: np.random.Generator,
    element: Element,
    extent: tuple[int, int, int],
    *,
    repeat: bool = False,
    skip: bool = False,
    values: np.ndarray | None = None,
) -> Operand:
    """A tile of random values; rows and channels are dense or have gaps.

    With `repeat` some axes have pitch 0, with `skip` columns may be several elements apart.
    """
    dtype = ELEMENT_DTYPES[element]
    channels, height, width = extent
    repeats = rng.random(3) < (0.3 if repeat else 0.0)
    apart = int(rng.integers(1, 4)) if skip else 1
    column = 0 if repeats[2] else dtype.itemsize * apart
    line = width * dtype.itemsize * apart
    row = 0 if repeats[1] else line + int(rng.integers(0, 2) * rng.integers(0, 7))
    channel = 0 if repeats[0] else max(height * row, line) + int(rng.integers(0, 2) * rng.integers(0, 7))
    size = (channels - 1) * channel + (height - 1) * row + (width - 1) * column + dtype.itemsize
    data = rng.integers(0, 256, size, dtype=np.uint8)
    if rng.random() < 0.2:
        data[:] = rng.choice(np.array([0, 0x7F, 0x80, 0xFF], np.uint8))
    position = (
        np.arange(channels)[:, None, None, None] * channel
        + np.arange(height)[:, None, None] * row
        + np.arange(width)[:, None] * column
        + np.arange(dtype.itemsize)
    )
    if values is not None:
        data[position] = np.ascontiguousarray(values, dtype)[..., None].view(np.uint8)
    return Operand(data, (channel, row, column), data[position].view(dtype)[..., 0].astype(np.int64))


@frozen(eq=False)
class Case:
    """A program of one task, the buffer and byte positions [channels, height, width, size] of y, and y's values."""

    program: Program
    buffer: int
    position: np.ndarray
    dtype: np.dtype[Any]
    expected: np.ndarray


def one_task(
    rng: np.random.Generator,
    kernel: Kernel,
    extent: tuple[int, int, int],
    y_type: Element,
    expected: np.ndarray,
    *,
    a: tuple[Element, Operand] | None = None,
    b: tuple[Element, Operand] | None = None,
    p: np.ndarray | None = None,
    y: np.ndarray | None = None,
    **fields: int,
) -> Case:
    """The program of one task. `y`: values that the result holds before."""
    builder = Builder(rng=rng)
    shape: dict[str, int] = {"kernel": kernel, "y_type": y_type, **fields}
    shape["channels"], shape["height"], shape["width"] = extent
    operands: dict[str, int] = {}
    for name, operand in (("a", a), ("b", b)):
        if operand is not None:
            shape[f"{name}_type"] = operand[0]
            for axis, pitch in zip(("channel", "row", "column"), operand[1].pitches, strict=True):
                shape[f"{name}_{axis}"] = pitch
            operands[name] = builder.constant(int(rng.integers(0, 4)), operand[1].data)
    if p is not None:
        operands["p"] = builder.constant(0, np.ascontiguousarray(p).reshape(-1).view(np.uint8))
    result = random_operand(rng, y_type, extent, values=y)
    shape["y_channel"], shape["y_row"], size = result.pitches
    operands["y"] = builder.constant(0, result.data)
    task_shape = builder.add("shapes", **shape)
    builder.task(1, task_shape, **operands)
    channels, height, width = (np.arange(count) for count in extent)
    position = (
        channels[:, None, None, None] * shape["y_channel"]
        + height[:, None, None] * shape["y_row"]
        + width[:, None] * size
        + np.arange(size)
    )
    return Case(builder.build(), operands["y"], position, ELEMENT_DTYPES[y_type], expected)


def gather_box(
    builder: Builder, rng: np.random.Generator, source_bytes: int, counts: tuple[int, int, int], size: int
) -> int:
    """A GATHER of random elements of a source."""
    n0, n1, n2 = counts
    at = len(builder.offsets)
    builder.offsets += [int(v) for v in rng.integers(0, (source_bytes - size) // 3 + 1, n0 + n1 + n2)]
    return builder.add(
        "boxes", copy=Copy.GATHER, n0=n0, n1=n1, n2=n2, bytes=size, dst_0=n1 * n2 * size, dst_1=n2 * size, at=at
    )


def copy_program(*rows: tuple[int, int, int, int, int], last: dict[int, int] | None = None) -> Builder:
    """Four buffers of 64 bytes in PE 0, the first a constant; rows are copies (step, source, target, at, bytes)."""
    builder = Builder()
    builder.constant(0, np.arange(64, dtype=np.uint8))
    for _ in range(3):
        builder.buffer(0, 64, first=1, last=END)
    for step, source, target, at, count in rows:
        box = builder.add("boxes", copy=Copy.BOX, n0=1, n1=1, bytes=count)
        builder.transfer(step, box, target, source, src_at=at, dst_at=at)
    for buffer, step in (last or {}).items():
        builder.rows["buffers"][buffer]["last"] = step
    return builder
