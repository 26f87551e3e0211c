"""Every access of a program to its memories, in order: which row reads or writes which boxes of bytes when.

Host writes (constants, input ports) come first as step 0, output ports are reads behind the last step.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import END, Copy, Packing
from .commands import image_addresses, task_addresses, transfer_addresses
from .groups import Integers
from .program import Program
from .row_checks import constant_bytes
from .touches import Operand, Table, box_touches, field, shape_touches


class Kind(IntEnum):
    """In each step, first all IN_PLACE reads are checked, then all writes made, then all other reads checked: so a
    read of what another row of the step writes is always seen, whatever the order of the rows."""

    IN_PLACE = 0
    WRITE = 1
    READ = 2
    GATHER = 3


class Source(IntEnum):
    """The table that a row of the accesses comes from."""

    CONSTANTS = 0
    PORTS = 1
    TASKS = 2
    TRANSFERS = 3


ACCESS = np.dtype(
    [
        ("step", "<i8"),
        ("kind", "<i8"),
        ("address", "<i8"),  # in the image
        ("n0", "<i8"),
        ("n1", "<i8"),
        ("n2", "<i8"),
        ("s0", "<i8"),  # first entry in the offsets table, for GATHER
        ("s1", "<i8"),
        ("s2", "<i8"),
        ("run", "<i8"),
        ("buffer", "<i8"),
        ("writer", "<i8"),  # number of the row that accesses, from 1, ascending with the step
        ("first_writer", "<i8"),  # numbers of the rows of the same step: [first_writer, end_writer)
        ("end_writer", "<i8"),
        ("source", "<i8"),
        ("row", "<i8"),
        ("operand", "<i8"),
    ]
)
"""All fields are 64 bit words, so that generated code reads them like any other record."""


@frozen(eq=False)
class Accesses:
    """`table`: ACCESS rows in order; `buffer_of`: buffer that each writer wrote (last entry wins), -1 for none;
    `source`, `row`: where each writer comes from."""

    table: Table
    buffer_of: Integers
    source: Integers
    row: Integers


def _rows(source: Source, rows: Integers, step: Integers, **fields: Integers | int) -> Table:
    out = np.zeros(len(rows), ACCESS)
    out["source"], out["row"], out["step"] = source, rows, step
    for name in ("n0", "n1", "n2"):
        out[name] = 1
    for name, value in fields.items():
        out[name] = value
    return out


def _expand(touches: Table, keys: Integers, count: int) -> tuple[Integers, Table]:
    """For every key (a row of a shapes or boxes table with `count` rows) its touches: (index into keys, touch)."""
    begin = np.searchsorted(touches["row"], np.arange(count + 1))
    per = (begin[1:] - begin[:-1])[keys]
    index = np.repeat(np.arange(len(keys)), per)
    within = np.arange(len(index)) - np.repeat(np.cumsum(per) - per, per)
    return index, touches[begin[:-1][keys][index] + within]


def _touched(
    source: Source, index: Integers, touch: Table, step: Integers, address: Integers, buffer: Integers
) -> Table:
    boxes = {name: touch[name] for name in ("n0", "n1", "n2", "s0", "s1", "s2", "run")}
    kind = np.where(touch["write"], Kind.WRITE, Kind.READ)
    place = address[index, touch["operand"]] + touch["offset"]
    operand = touch["operand"].astype(np.int64)
    owner = buffer[index, touch["operand"]]
    return _rows(source, index, step[index], kind=kind, address=place, buffer=owner, operand=operand, **boxes)


def _task_rows(program: Program) -> Table:
    tasks, shapes = program.tasks, program.shapes
    index, touch = _expand(shape_touches(shapes), field(tasks, "shape"), len(shapes))
    buffers = np.stack([field(tasks, name) for name in "abpy"], axis=1)
    address = task_addresses(program)
    out = _touched(Source.TASKS, index, touch, field(tasks, "step"), address, buffers)
    # An operand that starts where y starts is computed in place (validate allows no other overlap).
    same = address[index, touch["operand"]] == address[index, Operand.Y]
    out["kind"] = np.where(same & ~touch["write"], Kind.IN_PLACE, out["kind"])
    return out


def _transfer_rows(program: Program) -> Table:
    transfers, boxes = program.transfers, program.boxes
    index, touch = _expand(box_touches(boxes, program.offsets.astype(np.int64)), field(transfers, "box"), len(boxes))
    ends = transfer_addresses(program)
    address = np.stack([ends[:, 0], ends[:, 0], ends[:, 0], ends[:, 1]], axis=1)
    src, dst = field(transfers, "src"), field(transfers, "dst")
    buffers = np.stack([src, src, src, dst], axis=1)
    out = _touched(Source.TRANSFERS, index, touch, field(transfers, "step"), address, buffers)
    box = boxes[transfers["box"][index]]
    gather = (box["copy"] == Copy.GATHER) & (touch["operand"] == Operand.A)
    out["kind"] = np.where(gather, Kind.GATHER, out["kind"])
    out["address"] = np.where(gather, ends[index, 0], out["address"])
    out["s0"] = np.where(gather, field(box, "at"), out["s0"])
    out["run"] = np.where(gather, field(box, "bytes"), out["run"])
    for name in ("n0", "n1", "n2"):
        out[name] = np.where(gather, field(box, name), out[name])
    return out


def _constant_rows(program: Program) -> Table:
    constants = program.constants
    rows = np.arange(len(constants))
    shape = np.ones((len(program.arrays), 8), np.int64)
    for index, array in enumerate(program.arrays):
        shape[index, : array.ndim] = array.shape
    size = np.array([array.dtype.itemsize for array in program.arrays], np.int64)
    which = field(constants, "array")
    run = constant_bytes(constants, shape[which], size[which])
    matrix = constants["packing"] == Packing.MATRIX
    lines = np.where(matrix, field(constants, "c1") - field(constants, "c0"), 1)
    line = np.where(matrix, (field(constants, "o1") - field(constants, "o0")) * size[which], run)
    address = image_addresses(program, constants["buffer"], constants["address"])
    fields = {"address": address, "n0": lines, "s0": -(-line // 16) * 16, "run": line}
    buffer, zero = field(constants, "buffer"), np.zeros(len(rows), np.int64)
    return _rows(Source.CONSTANTS, rows, zero, kind=Kind.WRITE, buffer=buffer, operand=Operand.Y, **fields)


def _port_rows(program: Program) -> Table:
    ports = program.ports
    output = ports["output"] == 1
    fields = {"n0": field(ports, "n0"), "s0": field(ports, "pitch"), "run": field(ports, "bytes")}
    fields["address"] = image_addresses(program, ports["buffer"], ports["address"])
    fields["kind"] = np.where(output, Kind.READ, Kind.WRITE)
    fields["operand"] = np.where(output, Operand.A, Operand.Y)
    step = np.where(output, END, 0)
    return _rows(Source.PORTS, np.arange(len(ports)), step, buffer=field(ports, "buffer"), **fields)


def accesses(program: Program) -> Accesses:
    """All accesses of a valid program, ordered by step and kind."""
    parts = [_constant_rows(program), _port_rows(program), _task_rows(program), _transfer_rows(program)]
    table = np.concatenate(parts)
    step, source, row = (field(table, name) for name in ("step", "source", "row"))
    kind = np.minimum(field(table, "kind"), Kind.READ)
    # One number orders rows within a step; tables have fewer than 2**31 rows.
    name = (source << 32) | row
    order = np.lexsort([name, step])
    fresh = np.ones(len(table), bool)
    fresh[1:] = (np.diff(name[order]) != 0) | (np.diff(step[order]) != 0)
    writer = np.empty(len(table), np.int64)
    writer[order] = np.cumsum(fresh)
    table["writer"] = writer
    writers = int(writer.max(initial=0)) + 1
    buffer_of, source_of, row_of = np.full(writers, -1), np.zeros(writers, np.int64), np.zeros(writers, np.int64)
    source_of[writer], row_of[writer] = source, row
    writes = kind == Kind.WRITE
    buffer_of[writer[writes]] = table["buffer"][writes]
    opens = np.flatnonzero(np.diff(step[order], prepend=-1))
    ends = np.append(opens[1:], len(table))
    which = np.repeat(np.arange(len(opens)), ends - opens)
    if len(table):
        ordered = writer[order]
        table["first_writer"][order] = ordered[opens][which]
        table["end_writer"][order] = ordered[ends - 1][which] + 1
    final = np.lexsort([writer, step * 4 + kind])
    return Accesses(np.ascontiguousarray(table[final]), buffer_of, source_of, row_of)
