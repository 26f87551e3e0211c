"""Runs a program: memories as bytes, rows step by step, exact integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import NO_BUFFER
from .loader import Bytes, load_image, read_outputs, write_inputs
from .program import Program
from .reference import run_steps

Integers = npt.NDArray[np.int64]


def image_addresses(program: Program, buffers: npt.NDArray[np.integer], addresses: npt.NDArray[np.integer]) -> Integers:
    """Where addresses of named buffers lie in the image; 0 where there is no buffer."""
    known = (buffers != NO_BUFFER) & (buffers < len(program.buffers))
    if not len(program.buffers):
        return np.zeros(buffers.shape, np.int64)
    memory = program.buffers["memory"][np.where(known, buffers, 0)]
    return np.where(known, program.memory_starts()[memory] + addresses, 0)


class Executor:
    """Executes one program any number of times.

    The program is validated once. `run` gives the bytes of every output; the memories stay as the run left them.
    """

    def __init__(self, program: Program, *, jit: str | None = None, threads: int | None = None) -> None:
        program.validate()
        self.program = program
        self._image: Bytes | None = None
        tasks, transfers = program.tasks, program.transfers
        self._starts = np.stack(
            [image_addresses(program, tasks[name], tasks[f"{name}_address"]) for name in ("a", "b", "p", "y")], axis=1
        )
        self._ends = np.stack(
            [image_addresses(program, transfers[name], transfers[f"{name}_address"]) for name in ("src", "dst")], axis=1
        )

    def load(self) -> Bytes:
        """Build the memories anew: constants in place, every other byte poisoned. Returns the image."""
        self._image = load_image(self.program)
        return self._image

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> list[Bytes]:
        """Write the inputs (integer arrays of the ports' sizes), run all steps, return the bytes of every output.

        Raises ProgramError if the inputs do not fit the ports.
        """
        image = self.load() if self._image is None else self._image
        write_inputs(self.program, image, inputs)
        run_steps(self.program, image, 1, 0xFFFF_FFFF, self._starts, self._ends)
        return read_outputs(self.program, image)

    def read_buffer(self, index: int) -> Bytes:
        """A copy of the bytes of one buffer as the last run (or load) left them."""
        image = self.load() if self._image is None else self._image
        row = self.program.buffers[index]
        start = int(self.program.memory_starts()[row["memory"]]) + int(row["address"])
        return image[start : start + int(row["bytes"])].copy()
