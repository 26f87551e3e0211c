"""What the rows of each step read and write where rows write at all: addresses by row, boxes of bytes by form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn2_tables import Copy
from .groups import Integers
from .program import Program
from .touches import Operand, Table, box_touches, field, shape_touches

ROW = np.dtype([("form", "<i8"), ("address", "<i8", 4)])
"""A task or transfer: which touches it has, and where its operands (a, b, p, y) lie; negative where nobody writes."""
FORM = np.dtype([("reads", "<i8"), ("writes", "<i8"), ("end", "<i8")])
"""The touches of a form: those from `reads` to `writes` read, those from there to `end` write."""
BOXED = np.dtype([(name, "<i8") for name in ("operand", "offset", "n0", "n1", "n2", "s0", "s1", "s2", "run")])
"""A touch, see touches.py. All fields are 64 bit words, so that generated code reads them like any other record."""
NOWHERE = -(1 << 62)
DRAM_LINE = 64


@frozen(eq=False)
class StepTouches:
    """The touches of a program, memory by memory in one space of `space` bytes.

    Step `steps[n]` has the rows `order[bounds[n] : bounds[n + 1]]` of `rows` (first all tasks, then all transfers).
    The source of a GATHER counts as read as a whole.
    """

    steps: Integers
    bounds: Integers
    order: Integers
    rows: Table
    forms: Table
    touches: Table
    space: int

    @classmethod
    def of(cls, program: Program) -> StepTouches:
        """The touches of a program that has been validated."""
        tasks, transfers, boxes = program.tasks, program.transfers, program.boxes
        box = field(transfers, "box")
        # Each gather has a form of its own, as its source may be of any size.
        gathers = np.flatnonzero(boxes["copy"][box] == Copy.GATHER)
        form = len(program.shapes) + box
        form[gathers] = len(program.shapes) + len(boxes) + np.arange(len(gathers))
        sources = field(transfers, "src")[gathers]
        forms, touches = _forms(program, box[gathers], field(program.buffers, "bytes")[sources])
        shape, writes = field(tasks, "shape"), forms["end"] > forms["writes"]
        written = np.zeros(len(program.buffers), bool)
        written[tasks["y"][writes[shape]]] = True
        written[transfers["dst"][writes[form]]] = True
        base, space = _bases(program, written)
        rows = np.empty(len(tasks) + len(transfers), ROW)
        _fill(rows[: len(tasks)], shape, base, tasks, dict(zip(Operand, "abpy", strict=True)))
        moved = rows[len(tasks) :]
        _fill(moved, form, base, transfers, {Operand.A: "src", Operand.Y: "dst"})
        moved["address"][gathers, Operand.A] = base[sources] + field(program.buffers, "address")[sources]
        step = np.concatenate([field(tasks, "step"), field(transfers, "step")])
        order = np.argsort(step, kind="stable")
        opens = np.flatnonzero(np.diff(step[order], prepend=-1))
        return cls(step[order[opens]], np.append(opens, len(step)), order, rows, forms, touches, space)


def _fill(rows: Table, form: Integers, base: Integers, table: Table, operands: dict[Operand, str]) -> None:
    rows["form"], rows["address"] = form, NOWHERE
    for operand, name in operands.items():
        rows["address"][:, operand] = base[np.minimum(table[name], len(base) - 1)] + table[f"{name}_address"]


def _forms(program: Program, gathered: Integers, size: Integers) -> tuple[Table, Table]:
    """The forms: all shapes, all boxes, then a box for each of `gathered` whose source has so many bytes."""
    shapes, boxes = program.shapes, program.boxes
    moves = box_touches(np.concatenate([boxes, boxes[gathered]]), program.offsets.astype(np.int64))
    alone = (moves["row"] >= len(boxes)) & ~moves["write"]
    moves["run"][alone] = size[moves["row"][alone] - len(boxes)]
    moves["offset"][alone] = 0
    moves["row"] += len(shapes)
    found = np.concatenate([shape_touches(shapes), moves])
    found = found[np.lexsort([found["write"], found["row"]])]
    touches = np.empty(len(found), BOXED)
    for name in BOXED.names or ():
        touches[name] = found[name]
    forms = np.empty(len(shapes) + len(boxes) + len(gathered), FORM)
    key, every = 2 * found["row"] + found["write"], 2 * np.arange(len(forms))
    for number, name in enumerate(FORM.names or ()):
        forms[name] = np.searchsorted(key, every + number)
    return forms, touches


def _bases(program: Program, written: npt.NDArray[np.bool_]) -> tuple[Integers, int]:
    """Where byte 0 of the memory of each buffer lies in the space, and its size; the last entry stands for NO_BUFFER.

    SRAMs keep their places; behind them lie the buffers in DRAM that rows write, those that they only read are nowhere.
    """
    memory, address = field(program.buffers, "memory"), field(program.buffers, "address")
    starts, inside = program.memory_starts(), int(program.memory_starts()[program.processing_elements])
    outside = memory >= program.processing_elements
    lines = -(-field(program.buffers, "bytes") // DRAM_LINE) + 1
    room = np.where(outside & written, lines * DRAM_LINE, 0)
    place = inside + np.cumsum(room) - room + (starts[memory] + address) % DRAM_LINE
    base = np.where(outside, np.where(written, place - address, NOWHERE), starts[memory])
    return np.append(base, NOWHERE), inside + int(room.sum())
