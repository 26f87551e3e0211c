"""Weights and parameters in DRAM, one record per part, as the processing elements will load them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import BufferKind, Packing
from ...passes.tile.demand import Parameter, filter_bytes
from ...passes.tile.geometry import MAC_ROW_BYTES, WORD_BYTES, Plan, align
from .maps import box_records
from .memory import Dram
from .rows import Rows

Array = NDArray[Any]

PACKINGS = {"conv": Packing.FILTER, "depthwise": Packing.ROWS, "matmul": Packing.MATRIX}


@frozen(eq=False)
class Records:
    """n records in DRAM: where each lies, its bytes, and where its components start inside it.

    `weights` is the offset of the filter block, `parameters[i]` that of stage i's parameters. A record consists of
    `lines` lines, `pitch` bytes apart; nobody writes what lies between them.
    """

    buffer: Array
    address: Array
    size: Array
    weights: Array
    parameters: dict[int, Array]
    lines: Array
    pitch: Array

    def boxes(self, index: Array) -> NDArray[np.void]:
        """Box records that copy whole records."""
        lines, pitch = self.lines[index], self.pitch[index]
        return line_boxes(self.size[index] - (lines - 1) * pitch, lines, pitch)


def line_boxes(size: Array, lines: Array | int = 1, pitch: Array | int = 0) -> NDArray[np.void]:
    """Box records that copy `lines` lines of `size` bytes, `pitch` bytes apart on both sides."""
    return box_records(size, (1, lines), (0, pitch), (0, pitch), 1)


def part_records(
    rows: Rows,
    dram: Dram,
    plan: Plan,
    layer: int,
    parameters: Sequence[Parameter],
    channels: Array,
    reduction: Array,
    *,
    weights: bool,
    ports: Array | None = None,
) -> Records:
    """One record per (output channels, reduction) span; `channels` and `reduction` are [n, 2].

    Records are dealt to the DRAM ports in turn, or lie behind `ports`.
    """
    count = channels[:, 1] - channels[:, 0]
    filters = filter_bytes(plan, count, reduction[:, 1] - reduction[:, 0]) if weights else np.zeros_like(count)
    per_channel = [entry for entry in parameters if entry.per_channel]
    offset = np.zeros_like(count)
    places: dict[int, Array] = {}
    filters_first = plan.core != "depthwise"
    weight_offset = offset
    if filters_first:
        offset = offset + filters
    for entry in per_channel:
        places[entry.stage] = offset
        offset = offset + count * entry.record_bytes
    if not filters_first:
        weight_offset = offset
        offset = offset + filters
    buffer, address = _deal(rows, dram, layer, offset, ports)
    if weights:
        array = rows.array(plan.weight)
        spans = np.concatenate([channels, reduction], axis=1)
        rows.constants(buffer, address + weight_offset, array, PACKINGS[plan.core], spans)
    for entry in per_channel:
        spans = np.concatenate([channels, np.zeros_like(channels)], axis=1)
        rows.constants(buffer, address + places[entry.stage], rows.array(entry.values), Packing.ROWS, spans)
    if weights and plan.core == "matmul":
        lines, width = reduction[:, 1] - reduction[:, 0], count * plan.weight.itemsize
        pitch = align(width, MAC_ROW_BYTES)
        return Records(buffer, address, (lines - 1) * pitch + width, weight_offset, places, lines, pitch)
    return Records(buffer, address, offset, weight_offset, places, np.ones_like(count), np.zeros_like(count))


def fixed_record(rows: Rows, dram: Dram, layer: int, parameters: Sequence[Parameter]) -> Records | None:
    """The parameters that all pieces share, as one record; None when there are none."""
    fixed = [entry for entry in parameters if not entry.per_channel]
    if not fixed:
        return None
    places: dict[int, Array] = {}
    padded: list[Array] = []
    offset = 0
    for entry in fixed:
        places[entry.stage] = np.array([offset])
        data = entry.values.reshape(-1).view(np.uint8)
        padded.append(np.pad(data, (0, -data.size % WORD_BYTES)))
        offset += padded[-1].size
    port = dram.next_port()
    address = np.array([dram.take(port, offset)])
    buffer = rows.buffers(np.array([rows.processing_elements + port]), BufferKind.PARAMETERS, layer, address, offset)
    array = rows.array(np.concatenate(padded))
    rows.constants(buffer, address, array, Packing.RAW, np.zeros((1, 4), np.int64))
    one = np.array([1])
    return Records(buffer, address, np.array([offset]), np.array([0]), places, one, np.zeros_like(one))


def _deal(rows: Rows, dram: Dram, layer: int, sizes: Array, ports: Array | None) -> tuple[Array, Array]:
    """Addresses of records behind their ports; all of one port lie in one buffer, each aligned to 16 bytes."""
    chosen = np.arange(len(sizes)) % dram.ports if ports is None else ports
    buffer, address = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    for port in np.unique(chosen).tolist():
        mine = chosen == port
        room = align(sizes[mine], MAC_ROW_BYTES)
        start = dram.take(port, int(room.sum()))
        address[mine] = start + np.concatenate([[0], np.cumsum(room)[:-1]])
        buffer[mine] = rows.buffers(
            np.array([rows.processing_elements + port]), BufferKind.WEIGHTS, layer, start, int(room.sum())
        )
    return buffer, address
