"""The schedule dialect of SpiNNaker2: one operation that holds the tables of a program (see spinn2_tables.py)."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from ..context import Dialect
from ..core import Operation, Value
from ..spec import DENSE, INT, INTS, STR, STRS, attribute, operands
from ..types import Type
from .spinn2_tables import TABLES


class ScheduleOp(Operation):
    """A whole network as tables; its operands are the outputs, in order, that the tables compute."""

    name: ClassVar[str] = "spinn2.schedule"
    values: tuple[Value, ...] = operands()
    machine: str = attribute(STR)
    mapping: str = attribute(STR)
    processing_elements: int = attribute(INT)
    sram_bytes: int = attribute(INT)
    dram_bytes: tuple[int, ...] = attribute(INTS)
    layers: tuple[str, ...] = attribute(STRS)
    buffers: NDArray[Any] = attribute(DENSE)
    shapes: NDArray[Any] = attribute(DENSE)
    tasks: NDArray[Any] = attribute(DENSE)
    boxes: NDArray[Any] = attribute(DENSE)
    transfers: NDArray[Any] = attribute(DENSE)
    depends: NDArray[Any] = attribute(DENSE)
    constants: NDArray[Any] = attribute(DENSE)
    ports: NDArray[Any] = attribute(DENSE)
    offsets: NDArray[Any] = attribute(DENSE)

    def infer(self) -> tuple[Type, ...]:
        return ()

    def check(self) -> None:
        for name, dtype in TABLES.items():
            found: NDArray[Any] = getattr(self, name)
            if found.dtype != dtype:
                raise ValueError(f"the table {name} has the wrong columns: {found.dtype}")


SPINN2 = Dialect("spinn2", (ScheduleOp,))
