"""What a report of a schedule is made of: the program, its timeline, and when which part of the machine works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...backends.spinn2.machine import Machine
from ...ir.dialects.spinn2_tables import MAC_KERNELS
from ...runtime.spinn2.program import Program
from ...runtime.spinn2.step_work import StepWork
from ...runtime.spinn2.timer import Timeline, time_program
from ...runtime.spinn2.traffic import Occupancy, Traffic
from ..executable import Executable
from ..profile import profile
from ..summary import summary, transfer_bytes
from .intervals import Integers, lengths, merged

Progress = Callable[[str], None]


@frozen(eq=False)
class Tasks:
    """Columns of the tasks, by their rows: the layer, the PE, whether the MAC array works, start and end in clocks."""

    layer: Integers
    pe: Integers
    on_mac: NDArray[np.bool_]
    start: Integers
    end: Integers

    @classmethod
    def of(cls, program: Program, times: Timeline) -> Tasks:
        """The tasks of a program."""
        rows = program.tasks
        on_mac = np.isin(program.shapes["kernel"], MAC_KERNELS)[rows["shape"]]
        layer, pe = rows["layer"].astype(np.int64), rows["pe"].astype(np.int64)
        return cls(layer, pe, on_mac, times.task_start, times.task_end)


@frozen(eq=False)
class Measured:
    """An executable and everything that is counted and timed of it.

    `layer_clocks` int64[PEs, layers] are clocks of a PE's tasks for a layer; `working` (PE, begin, end) the times in
    which its MAC array, its ARM core or both work.
    """

    executable: Executable
    machine: Machine
    program: Program
    times: Timeline
    tasks: Tasks
    occupancy: Occupancy
    traffic: Traffic
    profile: dict[str, Any]
    summary: dict[str, Any]
    layer_clocks: Integers
    working: tuple[Integers, Integers, Integers]
    transfer_bytes: Integers

    @property
    def working_clocks(self) -> Integers:
        """Clocks in which each PE works, int64[PEs]."""
        return lengths(*self.working, self.program.processing_elements)

    @property
    def total(self) -> int:
        """Clocks of the run, at least 1."""
        return max(self.times.total_clocks, 1)


def measure(executable: Executable, progress: Progress) -> Measured:
    """Times an executable and counts what a report shows."""
    machine, program = executable.machine, executable.program
    clocks = executable.clocks
    progress("times")
    times = time_program(program, clocks)
    progress("traffic")
    work = StepWork.of(program, clocks)
    tasks = Tasks.of(program, times)
    layer_clocks = np.zeros((program.processing_elements, len(program.layers)), np.int64)
    np.add.at(layer_clocks, (tasks.pe, tasks.layer), tasks.end - tasks.start)
    return Measured(
        executable=executable,
        machine=machine,
        program=program,
        times=times,
        tasks=tasks,
        occupancy=Occupancy.of(work, times),
        traffic=Traffic.of(work, clocks),
        profile=profile(executable, times),
        summary=summary(executable),
        layer_clocks=layer_clocks,
        working=merged(tasks.pe, tasks.start, tasks.end),
        transfer_bytes=transfer_bytes(program),
    )
