"""Collects the rows of a program's tables; everything is added as whole arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import (
    BOX,
    BUFFER,
    CONSTANT,
    DEPEND,
    END,
    HOST,
    NO_BUFFER,
    PORT,
    SHAPE,
    TASK,
    TRANSFER,
    BufferKind,
    Packing,
    Phase,
)
from ...runtime.spinn2.program import Program
from .machine import Machine
from .memory import Dram

Array = NDArray[Any]
Column = Array | int


def records(dtype: np.dtype[np.void], count: int, columns: Mapping[str, Column]) -> NDArray[np.void]:
    """`count` rows of `dtype` with these columns; the others are 0."""
    rows = np.zeros(count, dtype)
    for name, values in columns.items():
        rows[name] = values
    return rows


def _distinct(rows: NDArray[np.void]) -> tuple[NDArray[np.void], Array]:
    """The distinct rows, in the order of their first appearance, and the index of each row among them."""
    if not rows.size:
        return rows, np.zeros(0, np.int64)
    raw = rows.view(np.dtype((np.void, rows.dtype.itemsize)))
    _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return rows[first[order]], rank[inverse.reshape(-1)]


class Rows:
    """The tables of a program while it is being scheduled.

    `step` is the step that rows are added to; `next_step` opens another one, which waits for those `behind` which it
    comes. Rows of one step must not depend on each other.
    """

    def __init__(self, processing_elements: int) -> None:
        self.processing_elements = processing_elements
        self.step = 0
        self.behind: tuple[int, ...] = ()
        self._filled: set[int] = set()
        self._waits_of: dict[int, tuple[int, ...]] = {0: ()}
        self._buffers: list[NDArray[np.void]] = []
        self._buffer_count = 0
        self._tasks: list[NDArray[np.void]] = []
        self._shapes: list[NDArray[np.void]] = []
        self._transfers: list[NDArray[np.void]] = []
        self._boxes: list[NDArray[np.void]] = []
        self._constants: list[NDArray[np.void]] = []
        self._ports: list[NDArray[np.void]] = []
        self._offsets: list[Array] = []
        self._offset_count = 0
        self._waits: list[tuple[int, int]] = []
        self.arrays: list[Array] = []
        self._numbers: dict[int, int] = {}

    def next_step(self, after: Iterable[int] | None = None) -> int:
        """Opens the next step and returns it.

        It waits for the steps `after`, without them for the one before it; what those wait for has ended then, too. A
        step without rows stands for those that it waits for.
        """
        self.step += 1
        named = self.behind if after is None else after
        before = {real for each in named for real in ((each,) if each in self._filled else self._waits_of[each])}
        self._waits_of[self.step] = tuple(sorted(before))
        self._waits += [(each, self.step) for each in self._waits_of[self.step]]
        self.behind = (self.step,)
        return self.step

    def follow(self, steps: Iterable[int]) -> None:
        """Lets the next step wait for `steps` instead of the one before it, unless it says what it waits for."""
        self.behind = tuple(steps)

    def buffers(self, memory: Array, kind: BufferKind, layer: int, address: Column, size: Column) -> Array:
        """Adds buffers; returns their numbers."""
        count = len(memory)
        row = records(
            BUFFER, count, {"memory": memory, "kind": int(kind), "layer": layer, "address": address, "bytes": size}
        )
        self._buffers.append(row)
        self._buffer_count += count
        return np.arange(self._buffer_count - count, self._buffer_count)

    def tasks(
        self, layer: int, pe: Array, phase: Phase, shapes: NDArray[np.void], operands: Mapping[str, Column]
    ) -> None:
        """Adds tasks to the open step; `operands` are the columns a, a_address, b, ... of those that exist."""
        columns: dict[str, Column] = {"a": NO_BUFFER, "b": NO_BUFFER, "p": NO_BUFFER, "y": NO_BUFFER, **operands}
        columns |= {"step": self.step, "layer": layer, "pe": pe, "phase": int(phase)}
        if len(pe):
            self._filled.add(self.step)
        self._tasks.append(records(TASK, len(pe), columns))
        self._shapes.append(shapes)

    def transfers(
        self,
        layer: int,
        phase: Phase,
        boxes: NDArray[np.void],
        src: Column,
        src_address: Column,
        dst: Column,
        dst_address: Column,
    ) -> None:
        """Adds transfers to the open step."""
        columns: dict[str, Column] = {
            "step": self.step,
            "layer": layer,
            "phase": int(phase),
            "src": src,
            "dst": dst,
            "src_address": src_address,
            "dst_address": dst_address,
        }
        if len(boxes):
            self._filled.add(self.step)
        self._transfers.append(records(TRANSFER, len(boxes), columns))
        self._boxes.append(boxes)

    def array(self, values: Array) -> int:
        """Adds a constant array, once; returns its number."""
        number = self._numbers.setdefault(id(values), len(self.arrays))
        if number == len(self.arrays):
            self.arrays.append(values)
        return number

    def constants(self, buffer: Column, address: Array, array: int, packing: Packing, spans: Array) -> None:
        """Adds constants that the host lays out at `address`; `spans` is [n, 4]: o0, o1, c0, c1."""
        columns: dict[str, Column] = {"buffer": buffer, "address": address, "array": array, "packing": int(packing)}
        columns |= {name: spans[:, i] for i, name in enumerate(("o0", "o1", "c0", "c1"))}
        self._constants.append(records(CONSTANT, len(address), columns))

    def ports(self, index: int, *, output: bool, columns: Mapping[str, Column], count: int) -> None:
        """Adds rows that say where input or output `index` of the network lies."""
        self._ports.append(records(PORT, count, {**columns, "index": index, "output": int(output)}))

    def offsets(self, values: Array) -> int:
        """Adds entries of the offsets table; returns the number of the first."""
        self._offsets.append(values.astype(np.int32))
        self._offset_count += len(values)
        return self._offset_count - len(values)

    def tables(self) -> dict[str, Array]:
        """Every table by name. First and last step of each buffer follow from the rows that use it."""
        tasks, transfers = _join(self._tasks, TASK), _join(self._transfers, TRANSFER)
        shapes, tasks["shape"] = _distinct(_join(self._shapes, SHAPE))
        boxes, transfers["box"] = _distinct(_join(self._boxes, BOX))
        constants, ports = _join(self._constants, CONSTANT), _join(self._ports, PORT)
        buffers = _join(self._buffers, BUFFER)
        set_lives(buffers, tasks, transfers, constants, ports)
        buffers = _drop_unused(buffers, tasks, transfers, constants, ports)
        return {
            "buffers": buffers,
            "shapes": shapes,
            "tasks": tasks,
            "boxes": boxes,
            "transfers": transfers,
            "depends": self._depends(),
            "constants": constants,
            "ports": ports,
            "offsets": np.concatenate([np.zeros(0, np.int32), *self._offsets]),
        }

    def _depends(self) -> NDArray[np.void]:
        pairs = np.array(self._waits, np.int64).reshape(-1, 2)
        return records(DEPEND, len(pairs), {"before": pairs[:, 0], "after": pairs[:, 1]})


def program_of(rows: Rows, dram: Dram, machine: Machine, layers: Sequence[str] = ()) -> Program:
    """The rows as a program."""
    return Program(
        processing_elements=machine.processing_elements,
        sram_bytes=machine.pe.data_bytes,
        dram_bytes=tuple(max(used, 1) for used in dram.used),
        layers=tuple(layers) or ("",),
        arrays=tuple(rows.arrays),
        **rows.tables(),
    )


def set_lives(
    buffers: NDArray[np.void],
    tasks: NDArray[np.void],
    transfers: NDArray[np.void],
    constants: NDArray[np.void],
    ports: NDArray[np.void],
) -> None:
    """Writes the first and last step of each buffer, as the rows use it."""
    first = np.full(buffers.size, END, np.int64)
    last = np.zeros(buffers.size, np.int64)
    reads = [(tasks, name) for name in ("a", "b", "p")] + [(transfers, "src")]
    for rows, name in [(tasks, "y"), (transfers, "dst")]:
        np.minimum.at(first, rows[name].astype(np.int64), rows["step"].astype(np.int64))
        np.maximum.at(last, rows[name].astype(np.int64), rows["step"].astype(np.int64))
    for rows, name in reads:
        used = rows[rows[name] != NO_BUFFER]
        np.maximum.at(last, used[name].astype(np.int64), used["step"].astype(np.int64))
    first[constants["buffer"]] = HOST
    first[ports["buffer"][ports["output"] == 0]] = HOST
    last[ports["buffer"][ports["output"] == 1]] = END
    buffers["first"], buffers["last"] = first, last


def _drop_unused(buffers: NDArray[np.void], *users: NDArray[np.void]) -> NDArray[np.void]:
    """Removes buffers that no row names, and renumbers the rows."""
    columns = [
        (rows, name) for rows in users for name in ("a", "b", "p", "y", "src", "dst", "buffer") if name in _names(rows)
    ]
    used = np.zeros(buffers.size, bool)
    for rows, name in columns:
        used[rows[name][rows[name] != NO_BUFFER]] = True
    number = np.cumsum(used) - 1
    for rows, name in columns:
        present = rows[name] != NO_BUFFER
        rows[name][present] = number[rows[name][present]]
    return buffers[used]


def _names(rows: NDArray[np.void]) -> tuple[str, ...]:
    return rows.dtype.names or ()


def _join(parts: list[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """All rows, put together as bytes: of records numpy would compare the fields, part by part."""
    return np.concatenate([np.zeros(0, np.uint8), *(np.ascontiguousarray(part).view(np.uint8) for part in parts)]).view(
        dtype
    )
