"""The timeline of a program: when each step, task and transfer starts and ends, in clocks of the PEs.

A step may start when the steps that it depends on have ended and the host has heard of it. Where the host orders every
transfer, no resource begins for a step before the first order that concerns it. Each resource serves steps in their
order, one after the other; a step ends when the slowest of its resources is done. Rows of one step share their
resources: what they demand of one adds up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .clocks import Clocks, Integers
from .loads import Loads, Resource, Resources, loads_of
from .program import Program
from .step_work import PHASES, Order, StepWork, sums
from .touches import field


@frozen(eq=False)
class Timeline:
    """All times in PE clocks, int64; of rows in the order of their tables.

    `steps` are the numbers of the steps that have rows; `phase_clocks` [layers, phases] adds up, with `setup_clocks`
    and `cleanup_clocks`, to `total_clocks`. `layer_start` and `layer_end` are -1 for a layer without rows. `busy` is
    the share of the total time for which resources of a class worked, on average. `dram_bytes` [ports] counts what
    transfers read and wrote behind each port, `noc_bytes` what they sent from one memory to another; `macs` are
    products and `arm_clocks` the clocks of all ARM cores together.
    """

    hertz: int
    steps: Integers
    step_start: Integers
    step_end: Integers
    task_start: Integers
    task_end: Integers
    transfer_start: Integers
    transfer_end: Integers
    layer_start: Integers
    layer_end: Integers
    phase_clocks: Integers
    busy: Mapping[str, float]
    dram_bytes: Integers
    noc_bytes: int
    macs: int
    arm_clocks: int
    setup_clocks: int
    cleanup_clocks: int
    total_clocks: int

    @property
    def latency_s(self) -> float:
        """Seconds from the first to the last clock."""
        return self.total_clocks / self.hertz


def time_program(program: Program, clocks: Clocks) -> Timeline:
    """The timeline of a program that has been validated."""
    work = StepWork.of(program, clocks)
    order, loads, resources = work.order, work.loads, work.resources
    cell, resource, busy = work.cell, work.resource, work.busy
    setup = clocks.host.setup_clocks
    starts, ends, begins = _run(work, setup)
    task_start, task_end = _task_times(order, loads, cell, begins, int(resources.first[-1]))
    transfer_start, transfer_end = _transfer_times(order, loads, cell, begins + busy, starts, ends, resources, clocks)
    layers = len(program.layers)
    last = int(ends.max(initial=setup))
    total = last + clocks.host.cleanup_clocks
    layer_start, layer_end = _layer_times(order, starts - work.delay, ends, layers)
    return Timeline(
        hertz=clocks.hertz,
        steps=order.steps,
        step_start=starts,
        step_end=ends,
        task_start=task_start,
        task_end=task_end,
        transfer_start=transfer_start,
        transfer_end=transfer_end,
        layer_start=layer_start,
        layer_end=layer_end,
        phase_clocks=_phase_clocks(order, loads, resources, ends, setup, layers),
        busy=_busy_shares(resource, busy, resources, total),
        dram_bytes=_dram_bytes(loads, clocks),
        noc_bytes=int(loads.moves.size[_crossing(loads)].sum()),
        macs=int(loads.macs.sum()),
        arm_clocks=int(loads.task_clocks[loads.task_resource >= resources.first[Resource.ARM]].sum()),
        setup_clocks=setup,
        cleanup_clocks=clocks.host.cleanup_clocks,
        total_clocks=total,
    )


def roofline(program: Program, clocks: Clocks) -> int:
    """Clocks below which no schedule of the program's work can be on this machine.

    The greater of: all products, spread over every unit of every MAC array; all constants, inputs and outputs that lie
    in DRAM, spread over every port, once.
    """
    no_group = np.zeros(len(program.tasks), np.int64)
    loads = loads_of(program, clocks, no_group, np.zeros(len(program.transfers), np.int64))
    units = clocks.processing_elements * clocks.mac.rows * clocks.mac.columns
    memory = field(program.buffers, "memory")
    outside = memory[program.constants["buffer"]] >= clocks.processing_elements
    needed = sum(program.arrays[index].nbytes for index in np.unique(program.constants["array"][outside]).tolist())
    ports = program.ports[memory[program.ports["buffer"]] >= clocks.processing_elements]
    needed += int((field(ports, "n0") * field(ports, "bytes")).sum())
    moved = int(_dram_bytes(loads, clocks).sum())
    rate = clocks.dram.ports * clocks.dram.bytes
    compute = -(-int(loads.macs.sum()) // units)
    return max(compute, -(-min(needed, moved) * clocks.dram.clocks // rate))


def _run(work: StepWork, setup: int) -> tuple[Integers, Integers, Integers]:
    """Start and end of each step, and when each of its resources begins to work for it."""
    order, bounds = work.order, work.bounds
    starts, ends = np.zeros((2, order.count), np.int64)
    begins = np.zeros_like(work.busy)
    free = np.full(int(work.resources.first[-1]), setup, np.int64)
    for step in range(order.count):
        low, high = bounds[step], bounds[step + 1]
        waits = order.waits[order.waits_at[step] : order.waits_at[step + 1]]
        ready = (int(ends[waits].max()) if len(waits) else setup) + int(work.delay[step])
        used = work.resource[low:high]
        begin = np.maximum(free[used], ready + work.wait[low:high])
        done = begin + work.busy[low:high]
        free[used] = done
        begins[low:high] = begin
        starts[step], ends[step] = ready, int(done.max(initial=ready)) + int(work.latency[step])
    return starts, ends, begins


def _task_times(
    order: Order, loads: Loads, cell: Integers, begins: Integers, resources: int
) -> tuple[Integers, Integers]:
    """Tasks of one step and resource follow each other in the order of their rows."""
    key = order.task_step * resources + loads.task_resource
    sorted_rows = np.argsort(key, kind="stable")
    clocks = loads.task_clocks[sorted_rows]
    before = np.cumsum(clocks) - clocks
    first = np.flatnonzero(np.diff(key[sorted_rows], prepend=-1))
    run = np.repeat(before[first], np.diff(np.append(first, len(key))))
    start = np.zeros(len(key), np.int64)
    start[sorted_rows] = begins[np.searchsorted(cell, key[sorted_rows])] + before - run
    return start, start + loads.task_clocks


def _transfer_times(
    order: Order,
    loads: Loads,
    cell: Integers,
    done: Integers,
    starts: Integers,
    ends: Integers,
    resources: Resources,
    clocks: Clocks,
) -> tuple[Integers, Integers]:
    """A transfer ends when the slower of its two memories is done with the step."""
    step, moves = order.transfer_step, loads.moves
    start = starts[step]
    end = start.copy()
    elements, first = clocks.processing_elements, resources.first
    for memory in (moves.source, moves.target):
        resource = np.where(memory < elements, first[Resource.SRAM] + memory, first[Resource.DRAM] + memory - elements)
        at = np.searchsorted(cell, step * int(first[-1]) + resource)
        end = np.where(memory >= 0, np.maximum(end, done[np.minimum(at, len(cell) - 1)] if len(cell) else end), end)
    return start, np.minimum(end + moves.latency, ends[step])


def _layer_times(order: Order, starts: Integers, ends: Integers, layers: int) -> tuple[Integers, Integers]:
    first = np.full(layers, np.iinfo(np.int64).max, np.int64)
    last = np.full(layers, -1, np.int64)
    np.minimum.at(first, order.group_layer, starts[order.group_step])
    np.maximum.at(last, order.group_layer, ends[order.group_step])
    return np.where(last < 0, -1, first), last


def _phase_clocks(
    order: Order, loads: Loads, resources: Resources, ends: Integers, setup: int, layers: int
) -> Integers:
    """The time by which each step moved the end of the program on, shared out among its layers and phases.

    The shares of a step are as the clocks that its layers and phases would take alone.
    """
    frontier = np.maximum.accumulate(np.maximum(ends, setup)) if len(ends) else ends
    gained = np.diff(frontier, prepend=setup)
    busy = resources.busy(loads.resource, loads.amount)
    alone = np.zeros(len(order.group_step), np.int64)
    np.maximum.at(alone, loads.group, busy)
    alone += 1
    until = np.cumsum(alone)
    first = np.searchsorted(order.group_step, np.arange(order.count))
    before = (until - alone)[first]
    whole = np.add.reduceat(alone, first) if len(first) else alone
    step = order.group_step
    upper = gained[step] * (until - before[step]) // whole[step]
    lower = gained[step] * (until - alone - before[step]) // whole[step]
    found = np.zeros((layers, PHASES), np.int64)
    np.add.at(found, (order.group_layer, order.group_phase), upper - lower)
    return found


def _busy_shares(resource: Integers, busy: Integers, resources: Resources, total: int) -> dict[str, float]:
    kind = np.searchsorted(resources.first, resource, side="right") - 1
    by_kind = sums(kind, busy, len(Resource))
    room = np.diff(resources.first) * max(total, 1)
    return {each.name.lower(): float(by_kind[each] / room[each]) for each in Resource}


def _dram_bytes(loads: Loads, clocks: Clocks) -> Integers:
    found = np.zeros(clocks.dram.ports, np.int64)
    for memory in (loads.moves.source, loads.moves.target):
        behind = memory >= clocks.processing_elements
        np.add.at(found, memory[behind] - clocks.processing_elements, loads.moves.size[behind])
    return found


def _crossing(loads: Loads) -> npt.NDArray[np.bool_]:
    return (loads.moves.source != loads.moves.target) & (loads.moves.source >= 0)
