"""The netlist dialect of SpiNNaker1: one operation that holds the tables of a netlist (see spinn1_tables.py)."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from ..context import Dialect
from ..core import Operation, Value
from ..spec import DENSE, INT, STR, STRS, attribute, operands
from ..types import Type
from .spinn1_tables import TABLES, WORD, WORD_TABLES


class NetlistOp(Operation):
    """A whole network as tables; its operands are the outputs, in order, that the tables compute.

    `width` and `height` are those of the machine in chips, `labels` the names of the populations. A step of the
    simulation stands for `timestep_us` and takes `tick_us` (time-scale factor times `timestep_us`) of real time.
    Samples enter a tile every `interval` steps; the last output of a sample is due in step `latency - 1` after its
    start. Keys hold `colour_bits` bits of the step that a spike was sent in; `key_stride` tells tiles apart.
    """

    name: ClassVar[str] = "spinn1.netlist"
    values: tuple[Value, ...] = operands()
    machine: str = attribute(STR)
    width: int = attribute(INT)
    height: int = attribute(INT)
    tiles: int = attribute(INT)
    interval: int = attribute(INT)
    latency: int = attribute(INT)
    timestep_us: int = attribute(INT)
    tick_us: int = attribute(INT)
    colour_bits: int = attribute(INT)
    key_stride: int = attribute(INT)
    labels: tuple[str, ...] = attribute(STRS)
    populations: NDArray[Any] = attribute(DENSE)
    vertices: NDArray[Any] = attribute(DENSE)
    sources: NDArray[Any] = attribute(DENSE)
    outputs: NDArray[Any] = attribute(DENSE)
    placements: NDArray[Any] = attribute(DENSE)
    routes: NDArray[Any] = attribute(DENSE)
    chips: NDArray[Any] = attribute(DENSE)
    master: NDArray[Any] = attribute(DENSE)
    words: NDArray[Any] = attribute(DENSE)
    parameters: NDArray[Any] = attribute(DENSE)

    def infer(self) -> tuple[Type, ...]:
        return ()

    def check(self) -> None:
        for name, dtype in {**TABLES, **dict.fromkeys(WORD_TABLES, WORD)}.items():
            found: NDArray[Any] = getattr(self, name)
            if found.dtype != dtype:
                raise ValueError(f"the table {name} has the wrong columns: {found.dtype}")


SPINN1 = Dialect("spinn1", (NetlistOp,))
