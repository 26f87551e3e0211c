"""Runs groups of streams with generated code: compiles once per process, gives every thread memory of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from ..jit import engine
from ..jit.features import features
from .checks import Integers
from .errors import netlist_error
from .kernel import RUN, SOURCES, generate
from .layout import WORD, List, State
from .plan import Plan
from .streams import Group

ALIGNMENT_BYTES = 64
MAX_RECORD_BYTES = 1 << 32
Call = ctypes.CFUNCTYPE(None, ctypes.c_int64)


@engine.once
def _library(mode: str) -> engine.Library:
    return engine.load(generate, SOURCES, [RUN], {}, features(mode))


def aligned(size: int) -> npt.NDArray[np.uint8]:
    """Zeros that start at a cache line."""
    raw = np.zeros(size + ALIGNMENT_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[start : start + size]


@frozen(eq=False)
class Counts:
    """What a group adds to the statistics: spikes int64[populations, interval], saturations int64[populations]."""

    spikes: Integers
    saturations: Integers


@frozen(eq=False)
class _Memory:
    """Lists and sums of one thread. Sums are zero between runs."""

    lists: npt.NDArray[np.uint8]
    sums: npt.NDArray[np.uint8]


@frozen(eq=False)
class MachineCode:
    """A plan bound to code; `run` may be called by several threads at once."""

    plan: Plan
    interval: int
    mode: str
    _idle: SimpleQueue[_Memory] = field(init=False, factory=SimpleQueue)
    _code: engine.Library = field(init=False)

    @_code.default
    def _compiled(self) -> engine.Library:
        """Compiled here: LLVM must not be entered by two threads at once."""
        return _library(self.mode)

    @contextmanager
    def _memory(self) -> Iterator[_Memory]:
        """Memory that no other thread uses at this time."""
        try:
            memory = self._idle.get_nowait()
        except Empty:
            memory = _Memory(aligned(self.plan.list_bytes), aligned(self.plan.sum_bytes))
        yield memory
        self._idle.put(memory)

    def run(self, group: Group) -> tuple[npt.NDArray[np.uint64], Counts]:
        """Execute a group; the record uint64[steps, columns] of masks, and what it counted.

        Raises NetlistError for a run that is too long.
        """
        plan = self.plan
        size = group.steps * plan.record_columns * WORD
        if size > MAX_RECORD_BYTES:
            found, expected = f"{size} bytes of output spikes", f"at most {MAX_RECORD_BYTES}"
            raise netlist_error("the run is too long", node="interval", found=found, expected=expected)
        record = np.zeros((group.steps, plan.record_columns), np.uint64)
        counts = Counts(
            np.zeros((len(plan.populations), self.interval), np.int64), np.zeros(len(plan.populations), np.int64)
        )
        state = np.zeros(len(State), np.int64)
        arrays: dict[State, npt.NDArray[np.generic]] = {
            State.SLICES: plan.slices,
            State.BLOCKS: plan.blocks,
            State.ROWS: plan.rows,
            State.WORDS: plan.words,
            State.THRESHOLDS: plan.thresholds,
            State.OFFSETS: plan.offsets,
            State.IDLE: plan.idle,
            State.SOURCES: plan.sources,
            State.PHASES: plan.phases,
            State.POPULATIONS: plan.populations,
            State.BITS: group.bits,
            State.PRESENT: group.present,
            State.ALIVE: group.alive,
            State.COUNTED: group.counted,
            State.RECORD: record,
            State.SPIKES: counts.spikes,
            State.SATURATIONS: counts.saturations,
        }
        for name, array in arrays.items():
            assert array.flags.c_contiguous
            state[name] = array.ctypes.data
        state[State.SLICE_COUNT] = len(plan.slices)
        state[State.POPULATION_COUNT] = len(plan.populations)
        state[State.SLOT_MASK] = plan.slots - 1
        state[State.INTERVAL] = self.interval
        state[State.ELEMENTS] = group.bits.shape[1]
        state[State.SAMPLES] = group.bits.shape[0]
        state[State.STEPS] = group.steps
        state[State.COLUMNS] = plan.record_columns
        with self._memory() as memory:
            slots = np.arange(plan.slots) * plan.populations[:, List.STRIDE, None]
            memory.lists.view(np.int64)[(plan.populations[:, List.FIRST, None] + slots) // WORD] = 0
            state[State.LISTS], state[State.SUMS] = memory.lists.ctypes.data, memory.sums.ctypes.data
            Call(self._code.address(RUN))(state.ctypes.data)
        return record, counts
