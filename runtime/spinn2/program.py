"""A SpiNNaker2 program as the executor, the timer and the artefact hold it: tables, constant arrays, memory sizes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from ...ir.dialects.spinn2_tables import TABLES
from .checks import check_boxes, check_buffers, check_dtypes, check_memories, check_shapes
from .errors import ProgramError
from .row_checks import check_constants, check_depends, check_ports, check_tasks, check_transfers

__all__ = ["Program", "ProgramError"]

MEMORY_ALIGNMENT = 64
"""Bytes to which each memory is rounded up in the image, so that vectors of one memory share no cache line."""


def _table(name: str) -> npt.NDArray[np.void]:
    return np.zeros(0, TABLES[name])


@frozen(eq=False)
class Program:
    """Tables (dtypes of `ir/dialects/spinn2_tables.py`) and what they refer to.

    `arrays` are the constant arrays that the constants table indexes, `sram_bytes` the data bytes of each of the
    `processing_elements`, `dram_bytes` the bytes used behind each DRAM port, `layers` names for reports.
    """

    processing_elements: int
    sram_bytes: int
    dram_bytes: tuple[int, ...]
    layers: tuple[str, ...]
    buffers: npt.NDArray[np.void] = field(factory=lambda: _table("buffers"))
    shapes: npt.NDArray[np.void] = field(factory=lambda: _table("shapes"))
    tasks: npt.NDArray[np.void] = field(factory=lambda: _table("tasks"))
    boxes: npt.NDArray[np.void] = field(factory=lambda: _table("boxes"))
    transfers: npt.NDArray[np.void] = field(factory=lambda: _table("transfers"))
    depends: npt.NDArray[np.void] = field(factory=lambda: _table("depends"))
    constants: npt.NDArray[np.void] = field(factory=lambda: _table("constants"))
    ports: npt.NDArray[np.void] = field(factory=lambda: _table("ports"))
    offsets: npt.NDArray[np.int32] = field(factory=lambda: np.zeros(0, np.int32))
    arrays: tuple[npt.NDArray[np.generic], ...] = ()

    def tables(self) -> dict[str, npt.NDArray[np.generic]]:
        """Every table by its name in `TABLES`, and `offsets`."""
        return {name: getattr(self, name) for name in (*TABLES, "offsets")}

    def memory_bytes(self) -> npt.NDArray[np.int64]:
        """Size of each memory: the SRAMs of the processing elements, then the DRAM ports."""
        return np.array([self.sram_bytes] * self.processing_elements + list(self.dram_bytes), np.int64)

    def memory_starts(self) -> npt.NDArray[np.int64]:
        """Where each memory starts in the image that holds them all; one more entry says where the image ends."""
        rounded = -(-self.memory_bytes() // MEMORY_ALIGNMENT) * MEMORY_ALIGNMENT
        return np.concatenate([[0], np.cumsum(rounded)])

    def validate(self) -> None:
        """Check every table; afterwards no row can touch a byte outside the buffers that it names.

        Raises ProgramError, which names the first bad row, what was found and what was expected.
        """
        check_dtypes(self.tables())
        check_memories(self.processing_elements, self.sram_bytes, self.dram_bytes)
        check_buffers(self.buffers, self.memory_bytes(), len(self.layers))
        check_shapes(self.shapes)
        check_tasks(self.tasks, self.shapes, self.buffers, self.processing_elements, len(self.layers))
        check_boxes(self.boxes, self.offsets.astype(np.int64))
        check_transfers(self.transfers, self.boxes, self.offsets.astype(np.int64), self.buffers, len(self.layers))
        check_constants(self.constants, self.arrays, self.buffers)
        check_ports(self.ports, self.buffers)
        check_depends(self.depends)
