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
from .groups import Integers, byte_index, groups
from .kernels.dataflow import DATAFLOW, GRANULE, READERS, RECORD, SOURCES, Word, dataflow
from .machine_code import call_with_state
from .program import Program
from .step_touches import StepTouches
from .touches import Table, field

Bits = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]


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

    The program must be valid. Of more than READERS steps that read the same bytes, some wait for others though they
    need not.
    """
    touches = StepTouches.of(program)
    marked = _marked(touches, None, jit)
    after, before = np.divmod(np.flatnonzero(marked), marked.shape[1])
    return _reduced(touches.steps, before - 1, after - 1)


def unordered(program: Program, *, jit: str | None = None) -> list[tuple[int, int]]:
    """Pairs of steps (before, after) of a valid program that share bytes though its own `depends` do not order them.

    Beyond READERS steps that read the same bytes in any order, a pair of them is reported too.
    """
    touches = StepTouches.of(program)
    steps, count = touches.steps, len(touches.steps)
    given_before = np.searchsorted(steps, field(program.depends, "before"), side="right") - 1
    given_after = np.searchsorted(steps, field(program.depends, "after"))
    known = (given_before >= 0) & (given_after < count) & (given_before < given_after)
    bits = _reach_of(count, given_before[known], given_after[known])
    reach = np.zeros((count + 1, count + 1), bool)
    reach[1:, 1:] = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :count]
    after, before = np.nonzero(_marked(touches, reach, jit) & ~reach)
    return [(int(steps[b - 1]), int(steps[a - 1])) for a, b in zip(after, before, strict=True)]


def _marked(touches: StepTouches, reach: Marks | None, jit: str | None) -> Marks:
    """bool[1 + steps, 1 + steps]: the step of the row has to wait for that of the column; both count from 1."""
    mode = jit_mode(jit)
    marked = np.zeros((len(touches.steps) + 1, len(touches.steps) + 1), bool)
    granules = touches.space // GRANULE + 1
    if mode == "off":
        _walk(touches, granules, marked, reach)
    else:
        _mark(touches, granules, marked, reach, mode)
    return marked


@engine.once
def _library(mode: str) -> engine.Library:
    return engine.load(dataflow, SOURCES, [DATAFLOW], {}, features(mode))


def _mark(touches: StepTouches, granules: int, marked: Marks, reach: Marks | None, mode: str) -> None:
    records = np.zeros(granules * RECORD, np.uint8)
    state = np.zeros(len(Word), np.int64)
    for word, array in (
        (Word.BOUNDS, touches.bounds),
        (Word.ORDER, touches.order),
        (Word.ROWS, touches.rows),
        (Word.FORMS, touches.forms),
        (Word.TOUCHES, touches.touches),
        (Word.GRANULES, records),
        (Word.EDGES, marked),
    ):
        state[word] = array.ctypes.data
    state[Word.STEPS], state[Word.PITCH] = len(touches.steps), marked.shape[1]
    state[Word.REACH] = 0 if reach is None else reach.ctypes.data
    call_with_state(_library(mode).address(DATAFLOW), state)


def _walk(touches: StepTouches, granules: int, marked: Marks, reach: Marks | None) -> None:
    """The same, step by step in numpy."""
    writer = np.zeros(granules, np.int64)
    readers = np.zeros((READERS, granules), np.int64)
    for number in range(len(touches.steps)):
        step, rows = number + 1, touches.rows[touches.order[touches.bounds[number] : touches.bounds[number + 1]]]
        read = _granules(touches, rows, "reads", "writes")
        out = _falling_out(readers[:, read], step, reach)
        waits = [writer[read], np.where(out < 0, readers[-1, read], 0)]
        rest = np.arange(READERS)[:, None] + (np.arange(READERS)[:, None] >= np.where(out < 0, READERS - 1, out))
        readers[1:, read] = np.take_along_axis(readers[:, read], np.minimum(rest[:-1], READERS - 1), axis=0)
        readers[0, read] = step
        written = _granules(touches, rows, "writes", "end")
        waits += [writer[written], readers[:, written].ravel()]
        writer[written] = step
        readers[:, written] = 0
        before = np.unique(np.concatenate(waits))
        marked[step, before[(before > 0) & (before != step)]] = True


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


def _granules(touches: StepTouches, rows: Table, first: str, end: str) -> Integers:
    """The distinct granules that rows touch, by the touches of their forms from `first` to `end`."""
    begin = touches.forms[first][rows["form"]]
    per = touches.forms[end][rows["form"]] - begin
    index = np.repeat(np.arange(len(rows)), per)
    touch = touches.touches[begin[index] + np.arange(len(index)) - np.repeat(np.cumsum(per) - per, per)]
    address = rows["address"][index, touch["operand"]]
    known = address >= 0
    address, touch = (address + touch["offset"])[known], touch[known]
    found = [np.zeros(0, np.int64)]
    for group in groups(*(touch[name] for name in ("n0", "n1", "n2", "s0", "s1", "s2", "run"))):
        one = touch[group[0]]
        counts, pitches = tuple(int(one[f"n{n}"]) for n in range(3)), tuple(int(one[f"s{n}"]) for n in range(3))
        start = byte_index(address[group], counts, pitches).reshape(-1)
        low, high = start // GRANULE, (start + int(one["run"]) - 1) // GRANULE
        wide = low[:, None] + np.arange(int((high - low).max(initial=0)) + 1)
        found.append(wide[wide <= high[:, None]])
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
