"""The order of steps: every resource serves steps as they are numbered, so what is urgent comes first.

A list scheduler: whenever something can start, of the steps whose forerunners have ended the most urgent. At first that
is the one with the longest way to the program's end; then schedules from the end and from the start take turns, each
serving first what the one before it had to serve last. Short steps may have a head start: they hold up others for
little time, and what waits for them often takes resources that lie idle meanwhile. Which steps depend on which others
follows from the bytes that they share.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...runtime.spinn2.clocks import Clocks
from ...runtime.spinn2.dataflow import dependences
from ...runtime.spinn2.program import Program
from ...runtime.spinn2.step_work import StepWork
from .rows import set_lives

Array = NDArray[Any]

SHORT = 800
"""Clocks for which a short step takes its resources at most."""
HEAD_STARTS = (0, 30_000, 600_000)
"""Clocks by which short steps are taken to be more urgent than they are."""


def dataflow_order(program: Program, clocks: Clocks, *, urgency: bool = True) -> Program:
    """The same rows with dependences from their bytes alone and, with `urgency`, steps renumbered by a list schedule.

    The steps of the result are numbered 1, 2, ... in an order that respects every dependence, so that it computes the
    same bytes.
    """
    edges = dependences(program)
    loose = attrs.evolve(program, depends=edges.table())
    if not urgency or not len(edges.steps):
        return loose
    graph = _Graph.of(StepWork.of(loose, clocks))
    return renumbered(loose, _places(graph.schedule([-each for each in graph.ways()]).order))


def better_order(program: Program, clocks: Clocks, rounds: int) -> Program:
    """A program in order of its dependences in the best of `rounds` orders more for each head start, or as it is."""
    if not rounds or not len(program.depends):
        return program
    graph = _Graph.of(StepWork.of(program, clocks))
    reverse = graph.reversed()
    given = graph.ends_of(range(len(graph.busy)))
    best = max(given)
    order: list[int] | None = None
    short = np.array([busy.max(initial=0) <= SHORT for busy in graph.busy])
    for clocks_ahead in HEAD_STARTS:
        ends = given
        for _ in range(rounds):
            backwards = reverse.schedule(_urgency(ends, short * clocks_ahead))
            forwards = graph.schedule(_urgency(backwards.ends, short * clocks_ahead))
            ends = forwards.ends
            if max(ends) < best:
                best, order = max(ends), forwards.order
    return program if order is None else renumbered(program, _places(order))


def _urgency(ends: Sequence[int], ahead: Array) -> list[int]:
    """What ends last in one direction comes first in the other, some steps so many clocks ahead."""
    found: list[int] = (-np.array(ends, np.int64) - ahead).tolist()
    return found


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


def _places(order: Sequence[int]) -> Array:
    """The place of each step in an order."""
    place = np.zeros(len(order), np.int64)
    place[np.array(order, np.int64)] = np.arange(len(order))
    return place


@frozen(eq=False)
class _Schedule:
    """The steps in the order in which they were served, and when each ended."""

    order: list[int]
    ends: list[int]


@frozen(eq=False)
class _Graph:
    """Steps with the resources that they occupy and for how long, what they wait for and who waits for them.

    `lead` clocks go by before a step takes its resources, and `trail` clocks behind them before others may start.
    """

    resources: int
    resource: list[Array]
    busy: list[Array]
    before: list[list[int]]
    after: list[list[int]]
    lead: list[int]
    trail: list[int]

    @classmethod
    def of(cls, work: StepWork) -> _Graph:
        """The steps of a program, by their places among its steps."""
        count, waits, at = work.order.count, work.order.waits, work.order.waits_at
        users = np.repeat(np.arange(count), np.diff(at))[np.argsort(waits, kind="stable")]
        users_at = np.searchsorted(np.sort(waits), np.arange(1, count))
        return cls(
            resources=int(work.resources.first[-1]),
            resource=np.split(work.resource, work.bounds[1:-1]),
            busy=np.split(work.busy, work.bounds[1:-1]),
            before=[each.tolist() for each in np.split(waits, at[1:-1])],
            after=[each.tolist() for each in np.split(users, users_at)],
            lead=work.delay.tolist(),
            trail=work.latency.tolist(),
        )

    def reversed(self) -> _Graph:
        """The same steps as they look when time runs backwards."""
        return attrs.evolve(self, before=self.after, after=self.before, lead=self.trail, trail=self.lead)

    def ways(self) -> list[int]:
        """Clocks from the start of each step to the program's end, if no resource were ever taken."""
        found = [
            int(busy.max(initial=0)) + lead + trail
            for busy, lead, trail in zip(self.busy, self.lead, self.trail, strict=True)
        ]
        for step in range(len(found) - 1, -1, -1):
            found[step] += max((found[user] for user in self.after[step]), default=0)
        return found

    def ends_of(self, order: Sequence[int]) -> list[int]:
        """When each step ends if steps are served in this order, which respects all dependences."""
        free, ends = np.zeros(self.resources, np.int64), [0] * len(self.busy)
        for step in order:
            ready = max((ends[each] for each in self.before[step]), default=0)
            ends[step] = self._serve(step, ready, free)
        return ends

    def schedule(self, urgency: Sequence[int]) -> _Schedule:
        """Serves, of the steps that could take all their resources at once, the one of least `urgency` first."""
        count = len(self.busy)
        missing = [len(each) for each in self.before]
        ready, ends = [0] * count, [0] * count
        free = np.zeros(self.resources, np.int64)
        order: list[int] = []
        waiting = [(self.lead[step], urgency[step], step) for step in range(count) if not missing[step]]
        heapq.heapify(waiting)
        now: list[tuple[int, int]] = []
        clock = 0
        while waiting or now:
            if not now:
                clock = max(clock, waiting[0][0])
            while waiting and waiting[0][0] <= clock:
                _, key, step = heapq.heappop(waiting)
                heapq.heappush(now, (key, step))
            key, step = heapq.heappop(now)
            first = int(free[self.resource[step]].max(initial=0))
            if first > clock:
                heapq.heappush(waiting, (first, key, step))
                continue
            ends[step] = self._serve(step, ready[step], free)
            order.append(step)
            for user in self.after[step]:
                ready[user] = max(ready[user], ends[step])
                missing[user] -= 1
                if not missing[user]:
                    heapq.heappush(waiting, (ready[user] + self.lead[user], urgency[user], user))
        return _Schedule(order, ends)

    def _serve(self, step: int, ready: int, free: Array) -> int:
        """Takes the resources of a step that could start when `ready`; returns when it ends."""
        used = self.resource[step]
        begin = np.maximum(free[used], ready + self.lead[step])
        done = begin + self.busy[step]
        free[used] = done
        return int(done.max(initial=ready + self.lead[step])) + self.trail[step]
