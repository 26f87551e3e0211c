"""The order of steps: every resource serves steps as they are numbered, so what is urgent comes first.

A list scheduler: whenever something could start, of the steps whose forerunners have ended that with the longest way to
the program's end. Which steps depend on which others follows from the bytes that they share.
"""

from __future__ import annotations

import heapq
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...runtime.spinn2.clocks import Clocks
from ...runtime.spinn2.dataflow import dependences
from ...runtime.spinn2.program import Program
from ...runtime.spinn2.step_work import StepWork
from ...runtime.spinn2.timer import time_program
from .rows import set_lives

Array = NDArray[Any]

SLACK = 500
"""Clocks that a step may wait for a resource in the queue; one that would wait longer lets others go first."""


def dataflow_order(program: Program, clocks: Clocks, *, urgency: bool = True) -> Program:
    """The same rows with dependences from their bytes alone and, with `urgency`, steps renumbered by a list schedule.

    The steps of the result are numbered 1, 2, ... in an order that respects every dependence, so that it computes the
    same bytes.
    """
    edges = dependences(program)
    loose = attrs.evolve(program, depends=edges.table())
    if not urgency or not len(edges.steps):
        return loose
    work = StepWork.of(loose, clocks)
    place = _list_schedule(work)
    return renumbered(loose, place)


def total_clocks(program: Program, clocks: Clocks) -> int:
    """When a program would end if its steps were put in order."""
    ordered = dataflow_order(program, clocks)
    return time_program(ordered, clocks).total_clocks


def renumbered(program: Program, place: Array) -> Program:
    """The program with step `steps[n]` (in order of their numbers) as step place[n] + 1."""
    steps = np.unique(np.concatenate([program.tasks["step"], program.transfers["step"]]).astype(np.int64))
    number = np.zeros(int(steps.max(initial=0)) + 1, np.int64)
    number[steps] = place + 1
    tasks, transfers, depends = program.tasks.copy(), program.transfers.copy(), program.depends.copy()
    tasks["step"], transfers["step"] = number[tasks["step"]], number[transfers["step"]]
    depends["before"], depends["after"] = number[depends["before"]], number[depends["after"]]
    order = np.lexsort([depends["before"], depends["after"]])
    task_order, transfer_order = (np.argsort(rows["step"], kind="stable") for rows in (tasks, transfers))
    tasks, transfers, buffers = tasks[task_order], transfers[transfer_order], program.buffers.copy()
    set_lives(buffers, tasks, transfers, program.constants, program.ports)
    return attrs.evolve(program, buffers=buffers, tasks=tasks, transfers=transfers, depends=depends[order])


def _list_schedule(work: StepWork) -> Array:
    """The place of each step in the new order."""
    count, bounds = work.order.count, work.bounds.tolist()
    longest = (
        np.array([int(work.busy[bounds[n] : bounds[n + 1]].max(initial=0)) for n in range(count)], np.int64)
        + work.latency
        + work.delay
    )
    waits, waits_at = work.order.waits, work.order.waits_at
    after = np.repeat(np.arange(count), np.diff(waits_at))
    users_order = np.argsort(waits, kind="stable")
    users, users_at = after[users_order], np.searchsorted(waits[users_order], np.arange(count + 1)).tolist()
    users = users.tolist()
    tail = longest.tolist()
    for step in range(count - 1, -1, -1):
        tail[step] += max((tail[user] for user in users[users_at[step] : users_at[step + 1]]), default=0)
    missing = np.diff(waits_at).tolist()
    ready = [0] * count
    free = np.zeros(int(work.resources.first[-1]), np.int64)
    future: list[tuple[int, int, int]] = [(0, -tail[step], step) for step in range(count) if not missing[step]]
    heapq.heapify(future)
    now: list[tuple[int, int]] = []
    place = np.zeros(count, np.int64)
    clock = number = 0
    while future or now:
        if not now:
            clock = max(clock, future[0][0])
        while future and future[0][0] <= clock:
            _, urgency, step = heapq.heappop(future)
            heapq.heappush(now, (urgency, step))
        urgency, step = heapq.heappop(now)
        used = work.resource[bounds[step] : bounds[step + 1]]
        begin = np.maximum(free[used], ready[step] + int(work.delay[step]))
        first = int(begin.max(initial=ready[step]))
        if first > clock + SLACK:
            heapq.heappush(future, (first, urgency, step))
            continue
        done = begin + work.busy[bounds[step] : bounds[step + 1]]
        free[used] = done
        end = int(done.max(initial=first)) + int(work.latency[step])
        place[step] = number
        number += 1
        for user in users[users_at[step] : users_at[step + 1]]:
            ready[user] = max(ready[user], end)
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(future, (ready[user], -tail[user], user))
    return place
