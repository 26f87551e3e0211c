"""Which steps must wait for which others: those that touch bytes in common, at least one of them writing.

Memory is looked at in granules of 16 bytes. A program whose `depends` table orders all these pairs gives the same bytes
in whatever order, and however much at once, its steps run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn2_tables import DEPEND
from ..jit import engine
from ..jit.features import features, jit_mode
from .accesses import Kind, Source, accesses
from .groups import Integers, byte_index, groups
from .kernels.dataflow import DATAFLOW, GRANULE, READERS, RECORD, SOURCES, Word, dataflow
from .machine_code import call_with_state
from .program import Program
from .touches import Table, field

Bits = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.uint8]


@frozen(eq=False)
class Edges:
    """Pairs of steps by their place among `steps`, the step numbers that have rows: `after` waits for `before`."""

    steps: Integers
    before: Integers
    after: Integers

    def table(self) -> npt.NDArray[np.void]:
        """The pairs as a `depends` table."""
        found = np.zeros(len(self.before), DEPEND)
        found["before"], found["after"] = self.steps[self.before], self.steps[self.after]
        return found


def dependences(program: Program, *, jit: str | None = None) -> Edges:
    """The pairs of steps that share bytes, without those that follow from others; ordered by `after`.

    Of more than READERS steps that read the same bytes, some wait for others though they need not.
    """
    steps = _steps(program)
    after, before = np.nonzero(_marked(program, steps, None, jit))
    return _reduced(steps, before, after)


def unordered(program: Program, *, jit: str | None = None) -> list[tuple[int, int]]:
    """Pairs of steps (before, after) that share bytes although the program's own `depends` do not order them.

    Beyond READERS steps that read the same bytes in any order, a pair of them is reported too.
    """
    steps = _steps(program)
    count = len(steps)
    given_before = np.searchsorted(steps, field(program.depends, "before"), side="right") - 1
    given_after = np.searchsorted(steps, field(program.depends, "after"))
    known = (given_before >= 0) & (given_after < count) & (given_before < given_after)
    bits = _reach_of(count, given_before[known], given_after[known])
    reach = np.zeros((count + 1, count + 1), np.uint8)
    reach[1:, 1:] = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :count]
    after, before = np.nonzero(_marked(program, steps, reach, jit) & ~reach[1:, 1:].astype(bool))
    return [(int(steps[b]), int(steps[a])) for a, b in zip(after, before, strict=True)]


def _steps(program: Program) -> Integers:
    return np.unique(np.concatenate([field(program.tasks, "step"), field(program.transfers, "step")]))


def _marked(program: Program, steps: Integers, reach: Marks | None, jit: str | None) -> Marks:
    """u8[steps, steps]: the step of the row has to wait for that of the column."""
    rows = _rows(program, steps)
    granules = int((rows["address"] + _reach(rows)).max(initial=0)) // GRANULE + 2
    mode = jit_mode(jit)
    marked = np.zeros((len(steps) + 1, len(steps) + 1), np.uint8)
    if mode == "off":
        _walk(rows, granules, marked, reach)
    else:
        _mark(rows, granules, marked, reach, mode)
    return marked[1:, 1:]


def _rows(program: Program, steps: Integers) -> Table:
    """Accesses by rows of steps to memory that rows write, with compact addresses and step places from 1."""
    table = accesses(program).table
    table = table[(table["source"] == Source.TASKS) | (table["source"] == Source.TRANSFERS)]
    elements = program.processing_elements
    memory, size = field(program.buffers, "memory"), field(program.buffers, "bytes")
    starts = program.memory_starts()
    written = np.zeros(len(memory), bool)
    written[table["buffer"][table["kind"] == Kind.WRITE]] = True
    outside = memory >= elements
    used = ~outside | written
    table = table[used[table["buffer"]]].copy()
    image = starts[memory] + field(program.buffers, "address")
    room = np.where(outside & written, -(-size // 64) * 64 + 64, 0)
    place = starts[elements] + np.cumsum(room) - room + image % 64
    shift = np.where(outside, place - image, 0)
    gather = table["kind"] == Kind.GATHER
    buffer = table["buffer"]
    for name in ("n0", "n1", "n2"):
        table[name] = np.where(gather, 1, table[name])
    table["run"] = np.where(gather, size[buffer], table["run"])
    table["address"] = np.where(gather, image[buffer], table["address"]) + shift[buffer]
    table["kind"] = np.where(table["kind"] == Kind.WRITE, Kind.WRITE, Kind.READ)
    table["step"] = np.searchsorted(steps, table["step"]) + 1
    reads_first = np.lexsort([table["kind"] == Kind.WRITE, table["step"]])
    return np.ascontiguousarray(table[reads_first])


def _reach(rows: Table) -> Integers:
    far = sum((rows[f"n{n}"] - 1) * np.maximum(rows[f"s{n}"], 0) for n in range(3))
    return np.asarray(far + rows["run"], np.int64)


@engine.once
def _library(mode: str) -> engine.Library:
    return engine.load(dataflow, SOURCES, [DATAFLOW], {}, features(mode))


def _mark(rows: Table, granules: int, marked: Marks, reach: Marks | None, mode: str) -> None:
    records = np.zeros(granules * RECORD, np.uint8)
    state = np.zeros(len(Word), np.int64)
    for word, array in ((Word.ACCESSES, rows), (Word.GRANULES, records), (Word.EDGES, marked)):
        state[word] = array.ctypes.data
    state[Word.COUNT], state[Word.PITCH] = len(rows), marked.shape[1]
    state[Word.REACH] = 0 if reach is None else reach.ctypes.data
    call_with_state(_library(mode).address(DATAFLOW), state)


def _walk(rows: Table, granules: int, marked: Marks, reach: Marks | None) -> None:
    """The same, step by step in numpy."""
    writer = np.zeros(granules, np.int64)
    readers = np.zeros((READERS, granules), np.int64)
    for own in np.split(rows, np.flatnonzero(np.diff(rows["step"])) + 1):
        if not len(own):
            continue
        step = int(own["step"][0])
        read = _granules(own[own["kind"] == Kind.READ])
        out = _falling_out(readers[:, read], step, reach)
        waits = [writer[read], np.where(out < 0, readers[-1, read], 0)]
        rest = np.arange(READERS)[:, None] + (np.arange(READERS)[:, None] >= np.where(out < 0, READERS - 1, out))
        readers[1:, read] = np.take_along_axis(readers[:, read], np.minimum(rest[:-1], READERS - 1), axis=0)
        readers[0, read] = step
        written = _granules(own[own["kind"] == Kind.WRITE])
        waits += [writer[written], readers[:, written].ravel()]
        writer[written] = step
        readers[:, written] = 0
        before = np.unique(np.concatenate(waits))
        marked[step, before[(before > 0) & (before != step)]] = 1


def _falling_out(readers: Integers, step: int, reach: Marks | None) -> Integers:
    """For each granule that has as many readers as are kept, one that another waits for; -1 where there is none."""
    out = np.full(readers.shape[1], -1)
    if reach is None:
        return out
    full = readers[-1] != 0
    for number in range(READERS):
        for after in (np.full_like(readers[0], step), *np.delete(readers, number, axis=0)):
            out[full & (reach[after, readers[number]] != 0)] = number
    return out


def _granules(rows: Table) -> Integers:
    """The distinct granules that rows touch."""
    found = [np.zeros(0, np.int64)]
    for group in groups(*(rows[name] for name in ("n0", "n1", "n2", "s0", "s1", "s2", "run"))):
        one = rows[group[0]]
        counts, pitches = tuple(int(one[f"n{n}"]) for n in range(3)), tuple(int(one[f"s{n}"]) for n in range(3))
        start = byte_index(rows["address"][group], counts, pitches).reshape(-1)
        first, last = start // GRANULE, (start + int(one["run"]) - 1) // GRANULE
        wide = first[:, None] + np.arange(int((last - first).max(initial=0)) + 1)
        found.append(wide[wide <= last[:, None]])
    return np.unique(np.concatenate(found))


def _reduced(steps: Integers, before: Integers, after: Integers) -> Edges:
    """The pairs without those that others imply."""
    count = len(steps)
    reach = np.zeros((count, -(-count // 64)), np.uint64)
    bounds = np.searchsorted(after, np.arange(count + 1))
    kept = np.zeros(len(before), bool)
    for step in range(count):
        low, high = int(bounds[step]), int(bounds[step + 1])
        own = reach[step]
        for edge in range(high - 1, low - 1, -1):
            other = int(before[edge])
            if own[other >> 6] >> np.uint64(other & 63) & np.uint64(1):
                continue
            kept[edge] = True
            own |= reach[other]
            own[other >> 6] |= np.uint64(1) << np.uint64(other & 63)
    return Edges(steps, before[kept], after[kept])


def _reach_of(count: int, before: Integers, after: Integers) -> Bits:
    """Bit `b` of row `a`: step b ends before step a starts."""
    reach = np.zeros((count, -(-count // 64)), np.uint64)
    order = np.argsort(after, kind="stable")
    for edge in order.tolist():
        own, other = reach[after[edge]], int(before[edge])
        own |= reach[other]
        own[other >> 6] |= np.uint64(1) << np.uint64(other & 63)
    return reach
