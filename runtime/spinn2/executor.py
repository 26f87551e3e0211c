"""Runs a program: memories as bytes, rows step by step, exact integers."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects.spinn2_tables import END
from ..jit.features import jit_mode
from .commands import prepare, task_addresses, transfer_addresses
from .loader import Bytes, load_image, read_outputs, write_inputs
from .machine_code import MachineCode, uses_dot
from .program import Program, ProgramError
from .reference import run_steps
from .verify import verify

MAX_DEFAULT_THREADS = 4
MAX_THREADS = 256


def thread_count(threads: int | None = None) -> int:
    """`threads`, or what SNC_THREADS says, or the number of processors (at most 4). Raises UsageError."""
    text = str(threads) if threads is not None else os.environ.get("SNC_THREADS", "")
    if not text:
        return min(os.cpu_count() or 1, MAX_DEFAULT_THREADS)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_THREADS:
        raise UsageError(Diagnostic("SNC0553", "bad number of threads", found=text, expected=f"1 to {MAX_THREADS}"))
    return int(text)


class Executor:
    """Executes one program any number of times, by machine code or (`jit="off"`) in numpy: the same bits.

    The program is validated first. `jit` is one of the modes of `runtime.jit.features` (default: SNC_JIT, "auto");
    `threads` the number of threads of machine code (default: SNC_THREADS, the number of processors up to 4). With
    `check`, every access of every row is shadowed first, and ProgramError lists what is wrong.
    """

    def __init__(
        self, program: Program, *, jit: str | None = None, threads: int | None = None, check: bool = False
    ) -> None:
        program.validate()
        if check:
            found = verify(program, jit=jit)
            if found:
                raise ProgramError(Diagnostic("SNC0554", str(finding)) for finding in found)
        self.program = program
        self._mode = jit_mode(jit)
        self._threads = thread_count(threads)
        self._image: Bytes | None = None
        self._code: MachineCode | None = None
        self._commands = None if self._mode == "off" else prepare(program, dot=uses_dot(self._mode))

    def load(self) -> Bytes:
        """Build the memories anew: constants in place, every other byte poisoned. Returns the image."""
        self._image = load_image(self.program)
        if self._commands is not None:
            offsets = self.program.offsets.astype(np.int64)
            self._code = MachineCode(self._commands, offsets, self._image, mode=self._mode, threads=self._threads)
        return self._image

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> list[Bytes]:
        """Write the inputs (integer arrays of the ports' sizes), run all steps, return the bytes of every output.

        The memories stay as the run leaves them. Raises ProgramError if the inputs do not fit the ports.
        """
        image = self.load() if self._image is None else self._image
        write_inputs(self.program, image, inputs)
        if self._code is not None:
            self._code.run()
        else:
            addresses = task_addresses(self.program), transfer_addresses(self.program)
            run_steps(self.program, image, 1, END, *addresses)
        return read_outputs(self.program, image)

    def read_buffer(self, index: int) -> Bytes:
        """A copy of the bytes of one buffer as the last run (or load) left them."""
        image = self.load() if self._image is None else self._image
        row = self.program.buffers[index]
        start = int(self.program.memory_starts()[row["memory"]]) + int(row["address"])
        return image[start : start + int(row["bytes"])].copy()
