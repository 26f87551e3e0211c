"""Looks for the groups, and the cut of each population into slices, that suit a goal best by the estimate.

For each number of groups the search starts with the fewest cores and splits, again and again, what lightens the fullest
core most for each core that it takes, until the machine is full. Every state on the way is a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from attrs import frozen

from .machine import Machine
from .workload import Schedule, Workload

GROUPS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of groups that are looked at first."""
MICRO = 10**6


class Goal(StrEnum):
    """What a choice is to make best."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    CORES = "cores"


@frozen
class Fixed:
    """What is given; None, or a label that `layers` lacks, is left open.

    `groups`; `interval` in steps; `neurons_per_core` of all populations but the sources, `layers` of single ones by
    label; `tiles`; `time_scale_factor`.
    """

    groups: int | None = None
    interval: int | None = None
    neurons_per_core: int | None = None
    layers: Mapping[str, int] = {}
    tiles: int | None = None
    time_scale_factor: float | None = None


@frozen
class Candidate:
    """One choice: the schedule, neurons on a core of each population, cores of a tile, tiles, and by the estimate
    whether no queue overflows and how long a step is, in microseconds; `fullest` is the population that sets it."""

    schedule: Schedule
    sizes: tuple[int, ...]
    cores: int
    tiles: int
    step_us: float
    fullest: int

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.tiles * MICRO / (self.schedule.interval * self.step_us)


@frozen
class Search:
    """A search on one machine for one goal. A step takes `headroom` (a share) longer than its fullest core works."""

    workload: Workload
    machine: Machine
    goal: Goal
    fixed: Fixed
    timestep_us: int
    headroom: float

    def best(self) -> tuple[Candidate, ...]:
        """The best candidate of each number of groups that was looked at, the best first; empty when nothing fits.

        Numbers of groups double until two in turn are no better than the best, then those around it are looked at.
        """
        limit = self.fixed.interval or GROUPS[-1]
        if self.fixed.groups is not None:
            return tuple(filter(None, [self._best_of(self.fixed.groups)]))
        found: list[Candidate] = []
        worse = 0
        for groups in (each for each in GROUPS if each <= limit):
            now = self._best_of(groups)
            better = now is not None and now == min([*found, now], key=self.rank)
            worse = 0 if better or not found else worse + 1
            found += [now] if now is not None else []
            if worse == 2:
                break
        if found:
            around = min(found, key=self.rank).schedule.groups
            others = (around * share // 4 for share in (3, 5, 6))
            seen = {each.schedule.groups for each in found}
            found += filter(None, [self._best_of(each) for each in others if 0 < each <= limit and each not in seen])
        return tuple(sorted(found, key=self.rank))

    def _best_of(self, groups: int) -> Candidate | None:
        return min(self.candidates(groups), key=self.rank, default=None)

    def rank(self, candidate: Candidate) -> tuple[float, ...]:
        """Of two candidates the goal prefers the one whose rank is less."""
        depth = max(layer.depth for layer in self.workload.layers)
        latency = (depth * candidate.schedule.groups + 1) * candidate.step_us
        match self.goal:
            case Goal.THROUGHPUT:
                return -candidate.rate, candidate.cores, latency
            case Goal.LATENCY:
                return latency, candidate.cores, -candidate.rate
        return candidate.cores, -candidate.rate, latency

    def tiles(self, cores: int) -> int:
        """How many copies of a network of so many cores there will be."""
        return self.fixed.tiles or (1 if self.goal == Goal.CORES else self.machine.application_cores // cores)

    def candidates(self, groups: int) -> Iterator[Candidate]:
        """The states on the way, the fewest cores first; those whose queues overflow or whose step is too long are
        left out. Waves start as close as they can without meeting on a core: as many steps apart as there are groups.
        """
        schedule = Schedule(groups, self.fixed.interval or groups)
        sizes = [self._sizes(number, schedule) for number in range(len(self.workload.layers))]
        if not all(sizes):
            return
        at = [0] * len(sizes)
        most = self.machine.application_cores // (self.fixed.tiles or 1)
        while True:
            now = tuple(each[place] for each, place in zip(sizes, at, strict=True))
            cores = self.workload.cores(now)
            if cores > most:
                return
            clocks = [self.workload.load(number, now, schedule).clocks for number in range(len(now))]
            fullest = max(range(len(now)), key=lambda number: clocks[number])
            step_us = self._step_us(clocks[fullest])
            if step_us is not None:
                yield Candidate(schedule, now, cores, self.tiles(cores), step_us, fullest)
            move = self._move(fullest, at, sizes, schedule)
            if move is None:
                return
            at[move] += 1

    def _sizes(self, number: int, schedule: Schedule) -> tuple[int, ...]:
        """Neurons on a core of a population that come into question."""
        layer = self.workload.layers[number]
        asked = self.fixed.layers.get(layer.label, None if layer.is_source else self.fixed.neurons_per_core)
        if asked is not None:
            return (min(asked, layer.neurons),)
        sizes = self.workload.sizes(layer, self.machine, schedule.groups)
        return sizes if layer.label in self.workload.nameable else sizes[:1]

    def _step_us(self, clocks: float) -> float | None:
        """How long a step is; None if there is no such length."""
        if math.isinf(clocks):
            return None
        needed = clocks * MICRO / self.machine.core.clock_hz
        if self.fixed.time_scale_factor is None:
            return needed * (1 + self.headroom)
        given = self.fixed.time_scale_factor * self.timestep_us
        return given if needed <= given else None

    def _move(self, fullest: int, at: list[int], sizes: Sequence[tuple[int, ...]], schedule: Schedule) -> int | None:
        """The population to split next: the fullest or one that sends to it, by what each core more gains."""
        layer = self.workload.layers[fullest]
        open_ = [each for each in (fullest, *layer.arriving) if at[each] + 1 < len(sizes[each])]
        if not open_:
            return None
        now = tuple(each[place] for each, place in zip(sizes, at, strict=True))
        old = self.workload.load(fullest, now, schedule).clocks

        if math.isinf(old):
            return open_[0]

        def gain(split: int) -> float:
            then = tuple(sizes[each][at[each] + (each == split)] for each in range(len(sizes)))
            new = self.workload.load(fullest, then, schedule).clocks
            return (old - new) / (self.workload.cores(then) - self.workload.cores(now))

        return max(open_, key=gain)
