"""Runs commands with generated code: compiles the walker once per process, owns scratch memory and threads."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock

import numpy as np

from ..jit import engine
from ..jit.features import features
from .commands import VARYING_AREAS, Commands, split
from .groups import Integers
from .kernels.layout import ALIGNMENT_BYTES, AREAS, CHUNK_A, STATE_WORDS, WORD, ZEROS, Slot, State
from .kernels.walker import SOURCES, WALK, YIELD, has_dot, walker
from .loader import Bytes, aligned_bytes

Walk = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
Counted = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


def call_with_state(address: int, state: Integers) -> int:
    """Call a generated function of one state array; its result."""
    return int(Counted(address)(state.ctypes.data))


def _yield_address() -> int | None:
    """Address of the C library's function that offers the processor to other threads."""
    try:
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):
        return None


@lru_cache(maxsize=2)
def _walker(mode: str) -> tuple[engine.Library, int]:
    address = _yield_address()
    target = features(mode)
    imports = {} if address is None else {YIELD: address}
    library = engine.load(lambda: walker(target, yields=address is not None), SOURCES, [WALK], imports, target)
    return library, library.address(WALK)


def uses_dot(mode: str) -> bool:
    """Whether code of this mode has kernels with sums of four products."""
    return has_dot(features(mode))


class MachineCode:
    """Commands bound to an image."""

    def __init__(self, commands: Commands, offsets: Integers, image: Bytes, *, mode: str, threads: int) -> None:
        self._library, address = _walker(mode)
        self._walk = Walk(address)
        self._commands, self._image = commands, image
        self._offsets = np.ascontiguousarray(offsets, np.int32)
        self._shares = np.ascontiguousarray(split(commands, threads))
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "snc") if threads > 1 else None
        self._lock = Lock()
        self._scratch = self._new_scratch()
        self._arena = aligned_bytes(max(commands.arena, ALIGNMENT_BYTES))
        self._state = aligned_bytes(STATE_WORDS * WORD).view(np.int64)
        self._state[:] = 0
        for word, value in (
            (State.IMAGE, image.ctypes.data),
            (State.COMMANDS, commands.rows.ctypes.data),
            (State.RECORDS, commands.records.ctypes.data),
            (State.SHARES, self._shares.ctypes.data),
            (State.COUNT, len(self._shares)),
            (State.SCRATCH, self._scratch.ctypes.data),
            (State.SCRATCH_BYTES, self._scratch.shape[1]),
            (State.ARENA, self._arena.ctypes.data),
        ):
            self._state[word] = value

    def _new_scratch(self) -> Bytes:
        """uint8[threads, bytes] with the headers filled in."""
        sizes = [-(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for size in self._commands.areas]
        starts = np.cumsum([-(-AREAS // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, *sizes])
        scratch = aligned_bytes(self._threads * int(starts[-1])).reshape(self._threads, -1)
        scratch[:, :CHUNK_A] = 0
        for thread in scratch:
            header = thread[:ZEROS].view(np.int64)
            header[Slot.OFFSETS] = self._offsets.ctypes.data
            for slot, start in zip(VARYING_AREAS, starts[:-1], strict=True):
                header[slot] = thread.ctypes.data + int(start)
            header[Slot.OWN_PACKED] = header[Slot.PACKED]
        return scratch

    def run(self) -> None:
        """Run all commands; returns when every thread is done. Calls from several threads wait for each other."""
        with self._lock:
            self._run()

    def _run(self) -> None:
        self._scratch[:, Slot.TAPS_RECORD * WORD : (Slot.TAPS_RECORD + 1) * WORD] = 0
        self._state[State.TAKEN] = self._state[State.DONE] = 0
        state = self._state.ctypes.data
        others = [self._pool.submit(self._walk, state, n) for n in range(1, self._threads)] if self._pool else []
        self._walk(state, 0)
        for other in others:
            if not other.cancel():
                other.result()
