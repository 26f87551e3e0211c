"""Shadow execution: does every row read what was written for it?

For every byte of the memories the verifier keeps which row wrote it last, walks the program step by step, and compares.
Values are not computed. A program without findings gives the same result in whatever order the rows of a step run.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ..jit import engine
from ..jit.features import features, jit_mode
from .accesses import Accesses, Kind, Source, accesses
from .groups import Integers, byte_index, gather_runs, groups, scatter_runs
from .kernels.shadow import FINDING_WORDS, SHADOW, SOURCES, Word, shadow
from .loader import SLACK
from .machine_code import call_with_state
from .program import Program
from .touches import Operand, Table

MAX_FINDINGS = 1000
"""More are not listed."""


class Fault(Enum):
    """What is wrong with an access."""

    UNWRITTEN = "reads bytes that nobody wrote"
    OVERWRITTEN = "reads bytes that another buffer overwrote"
    RACE = "meets bytes that another row of the same step writes"
    EXPIRED = "reads a buffer after its last step"


@frozen
class Finding:
    """One fault: row `row` of `table` in `step`, at its operand, concerning byte `address` of memory `memory`.

    `other` names the row that wrote the byte before ("tasks[3]"), or is empty.
    """

    fault: Fault
    table: str
    row: int
    operand: str
    step: int
    buffer: int
    memory: int
    address: int
    other: str = ""

    def __str__(self) -> str:
        where = f"{self.table}[{self.row}].{self.operand} in step {self.step}"
        other = f", written by {self.other}" if self.other else ""
        place = f"memory {self.memory}, byte {self.address}"
        return f"{where} (buffer {self.buffer}) {self.fault.value}: {place}{other}"


def verify(program: Program, *, jit: str | None = None) -> list[Finding]:
    """Findings of a program, at most MAX_FINDINGS, ordered by step. Raises ProgramError if a table is not valid."""
    program.validate()
    table = accesses(program)
    last = program.buffers["last"].astype(np.int64)
    bytes_ = int(program.memory_starts()[-1]) + SLACK
    if jit_mode(jit) == "off":
        raw = _walk(program, table, bytes_)
    else:
        raw = _shadow(program, table, bytes_, jit_mode(jit))
    late = (table.table["kind"] != Kind.WRITE) & (table.table["step"] > last[table.table["buffer"]])
    expired = [(int(index), int(table.table["address"][index]), -1) for index in np.flatnonzero(late)[:MAX_FINDINGS]]
    found = sorted([*raw[:MAX_FINDINGS], *expired])[:MAX_FINDINGS]
    return [_finding(program, table, *item) for item in found]


def _finding(program: Program, table: Accesses, index: int, place: int, writer: int) -> Finding:
    access = table.table[index]
    starts = program.memory_starts()
    memory = int(np.searchsorted(starts, place, side="right")) - 1
    step = int(access["step"])
    if writer < 0:
        fault = Fault.EXPIRED
    elif writer == 0:
        fault = Fault.UNWRITTEN
    else:
        fault = Fault.RACE if access["first_writer"] <= writer < access["end_writer"] else Fault.OVERWRITTEN
    source = Source(int(access["source"]))
    operand = Operand(int(access["operand"]))
    names = {Operand.A: "src", Operand.Y: "dst"} if source == Source.TRANSFERS else {}
    return Finding(
        fault=fault,
        table=source.name.lower(),
        row=int(access["row"]),
        operand=names.get(operand, operand.name.lower()),
        step=step,
        buffer=int(access["buffer"]),
        memory=memory,
        address=place - int(starts[memory]),
        other=f"{Source(int(table.source[writer])).name.lower()}[{table.row[writer]}]" if writer > 0 else "",
    )


@engine.once
def _library(mode: str) -> engine.Library:
    return engine.load(shadow, SOURCES, [SHADOW], {}, features(mode))


def _shadow(program: Program, table: Accesses, bytes_: int, mode: str) -> list[tuple[int, int, int]]:
    """(access, image byte, writer) of every finding, by generated code."""
    library = _library(mode)
    writers = np.zeros(bytes_, np.uint32)
    findings = np.zeros((MAX_FINDINGS, FINDING_WORDS), np.int64)
    offsets = np.ascontiguousarray(program.offsets, np.int32)
    state = np.zeros(len(Word), np.int64)
    for word, array in (
        (Word.ACCESSES, table.table),
        (Word.WRITERS, writers),
        (Word.BUFFER_OF, table.buffer_of),
        (Word.OFFSETS, offsets),
        (Word.FINDINGS, findings),
    ):
        state[word] = array.ctypes.data
    state[Word.COUNT], state[Word.ROOM] = len(table.table), MAX_FINDINGS
    count = call_with_state(library.address(SHADOW), state)
    return [(int(row[0]), int(row[1]), int(row[2])) for row in findings[: min(count, MAX_FINDINGS)]]


def _walk(program: Program, table: Accesses, bytes_: int) -> list[tuple[int, int, int]]:
    """The same in numpy; of two rows that write one byte in one step, the other one may be reported."""
    writers = np.zeros(bytes_, np.uint32)
    rows = table.table
    offsets = program.offsets.astype(np.int64)
    found: list[tuple[int, int, int]] = []
    written: list[Integers] = []
    boxes = ("n0", "n1", "n2", "s0", "s1", "s2", "run")
    ordered = np.minimum(rows["kind"], Kind.READ)
    for group in groups(rows["step"], ordered, rows["kind"], *(rows[name] for name in boxes)):
        access = rows[group]
        if written and (access["kind"][0] != Kind.WRITE or access["step"][0] != rows["step"][written[0][0]]):
            found += _lost(rows, writers, written)
            written = []
        starts, run = _starts(access, offsets), int(access["run"][0])
        held = gather_runs(writers, starts, run).reshape(len(access), -1).astype(np.int64)
        own = access["writer"][:, None]
        owner = table.buffer_of[held]
        foreign = owner != access["buffer"][:, None]
        race = (held >= access["first_writer"][:, None]) & (held < access["end_writer"][:, None]) & (held != own)
        if access["kind"][0] == Kind.WRITE:
            bad = race
            scatter_runs(writers, starts, np.broadcast_to(own[..., None], (*starts.shape, run)).astype(np.uint32))
            written.append(group)
        else:
            bad = (held == 0) | race | foreign
        found += _first_bad(group, starts, run, held, bad)
    return found + _lost(rows, writers, written)


def _starts(access: Table, offsets: Integers) -> Integers:
    """Image bytes where the runs of accesses of one form start: int64[accesses, runs]."""
    n = tuple(int(access[name][0]) for name in ("n0", "n1", "n2"))
    start = access["address"].astype(np.int64)
    if access["kind"][0] == Kind.GATHER:
        at = int(access["s0"][0])
        i, j, k = np.split(offsets[at : at + sum(n)], [n[0], n[0] + n[1]])
        place = start[:, None, None, None] + i[:, None, None] + j[:, None] + k
    else:
        place = byte_index(start, n, tuple(int(access[name][0]) for name in ("s0", "s1", "s2")))
    return place.reshape(len(access), -1)


def _first_bad(
    group: Integers, starts: Integers, run: int, held: Integers, bad: npt.NDArray[np.bool_]
) -> list[tuple[int, int, int]]:
    """The first bad byte of every access that has one."""
    some = np.flatnonzero(bad.any(axis=1))
    column = bad[some].argmax(axis=1)
    places = starts[some, column // run] + column % run
    found = zip(group[some], places, held[some, column], strict=True)
    return [(int(access), int(place), int(writer)) for access, place, writer in found]


def _lost(rows: Table, writers: npt.NDArray[np.uint32], written: list[Integers]) -> list[tuple[int, int, int]]:
    """Writes of one step whose bytes another row of the step wrote as well."""
    found: list[tuple[int, int, int]] = []
    none = np.zeros(0, np.int64)
    for group in written:
        access = rows[group]
        starts, run = _starts(access, none), int(access["run"][0])
        held = gather_runs(writers, starts, run).reshape(len(access), -1).astype(np.int64)
        found += _first_bad(group, starts, run, held, held != access["writer"][:, None])
    return found
