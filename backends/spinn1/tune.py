"""Chooses what a user leaves open: temporal groups, interval, neurons on a core, tiles and time-scale factor.

    1. The network is run on samples (activity.py); its synapses and spikes tell what a step asks of each core
       (workload.py).
    2. Cuts into slices are tried for several numbers of groups (search.py).
    3. The best of them is mapped and timed for good, by the timer that `snc profile` uses, with the same samples. If
       spikes are lost there, the next best is.

The same module, machine and samples give the same choice.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.clone import clone_module
from ...ir.diagnostics import DoesNotFit
from ...ir.dialects.builtin import ModuleOp
from ...passes.base import PassContext
from ...passes.spiking.schedule_temporal_groups import ScheduleTemporalGroups
from ...runtime.spinn1.executor import Executor
from ...runtime.spinn1.netlist import Netlist
from ...runtime.spinn1.timer import ENDLESS_US, Timing, time_netlist
from .activity import Activity, measure
from .costs import timer_costs
from .machine import Machine
from .netlist import build_netlist
from .search import Candidate, Fixed, Goal, Search
from .workload import Schedule, Workload

__all__ = ["Fixed", "Goal", "Tuned", "tune"]

Array = NDArray[Any]

QUEUE_SHARE = 0.75
"""How much of a packet queue the samples may fill, because others may fill more; nothing makes up for a lost packet."""
TRIED = 4
"""Candidates that are mapped and timed at most."""
HEADROOM = 0.1
"""How much longer a step is than the fullest of the samples asks for, as a share, because others may be fuller."""
UNKNOWN_QUEUE_SHARE = 0.5
UNKNOWN_HEADROOM = 1.0
"""The same two without samples: the real ones may have spikes where the random ones have none."""


@frozen(eq=False)
class Tuned:
    """What was chosen: the pass that schedules the module so, the module scheduled, its netlist and its timing.

    `reasons` say in words, one sentence a choice, what was chosen and why.
    """

    schedule: ScheduleTemporalGroups
    module: ModuleOp
    netlist: Netlist
    timing: Timing
    reasons: tuple[str, ...]


def tune(
    module: ModuleOp,
    machine: Machine,
    stimuli: Array | None = None,
    *,
    goal: Goal = Goal.THROUGHPUT,
    fixed: Fixed = Fixed(),  # noqa: B008  (frozen)
    headroom: float | None = None,
    timestep_us: int = 1000,
    seed: int = 1,
    threads: int = 1,
) -> Tuned:
    """Schedules and maps a module at stage spiking (scheduled or not; it stays as it is).

    `stimuli` are spikes of the sources, 0 or 1, [samples, elements]; None: random ones, drawn by `seed`. What is
    `fixed` stays; `threads` run the timer. A time-scale factor is chosen to the microsecond of a step, which is longer
    by the share `headroom` than the samples ask for; None: `HEADROOM`, `UNKNOWN_HEADROOM` for random ones.
    `timing.in_time` says whether every spike of the samples comes in time: unless too much is fixed it does. Raises
    DoesNotFit when nothing that was tried fits the machine, UsageError for layers that do not exist.
    """
    activity = measure(module.main, stimuli, seed=seed)
    known = stimuli is not None
    if headroom is None:
        headroom = HEADROOM if known else UNKNOWN_HEADROOM
    queue_share = QUEUE_SHARE if known else UNKNOWN_QUEUE_SHARE
    workload = Workload.of(module.main, activity, timer_costs(machine).core, queue_share)
    search = Search(workload, machine, goal, fixed, timestep_us, headroom)
    ranked = search.best()
    if not ranked:
        workload.relax()
        ranked = search.best()
    found: list[Tuned] = []
    refused: DoesNotFit | None = None
    for candidate in ranked[:TRIED] or (None,):
        try:
            tuned, safe = _built(module, search, candidate, ranked, activity, threads)
        except DoesNotFit as error:
            refused = refused or error
            continue
        if safe:
            return tuned
        found.append(tuned)
    if not found:
        assert refused is not None
        raise refused
    return min(found, key=lambda each: each.timing.late + each.timing.lost)


def _built(
    module: ModuleOp,
    search: Search,
    candidate: Candidate | None,
    ranked: tuple[Candidate, ...],
    activity: Activity,
    threads: int,
) -> tuple[Tuned, bool]:
    """Maps and times a candidate, and says whether all is in time, with room in the queues. None: what is fixed, and
    else what the pass itself would take."""
    machine, fixed = search.machine, search.fixed
    schedule = _pass(search, candidate)
    scheduled = clone_module(module)
    schedule.run(scheduled, PassContext())
    tiles = fixed.tiles or (1 if search.goal == Goal.CORES else None)
    netlist = build_netlist(scheduled, machine, tiles=tiles, timestep_us=search.timestep_us)
    executor = Executor(netlist, threads=threads)
    costs = timer_costs(machine)
    queue = max(int(costs.core.fifo_packets * search.workload.queue_share), 1)
    tight = attrs.evolve(costs, core=attrs.evolve(costs.core, fifo_packets=queue))
    free = time_netlist(executor, tight, activity.stimuli, tick_us=ENDLESS_US)
    if fixed.time_scale_factor is None:
        tick_us = int(np.ceil(free.smallest_tick_us * (1 + search.headroom)))
    else:
        tick_us = max(round(fixed.time_scale_factor * search.timestep_us), 1)
    timing = time_netlist(executor, costs, activity.stimuli, tick_us=tick_us)
    netlist = attrs.evolve(netlist, tick_us=tick_us)
    reasons = _reasons(search, schedule, netlist, timing, ranked, activity)
    return Tuned(schedule, scheduled, netlist, timing, reasons), timing.in_time and free.lost_at_any_tick == 0


def _pass(search: Search, candidate: Candidate | None) -> ScheduleTemporalGroups:
    fixed, core = search.fixed, search.machine.core
    groups = fixed.groups or 1
    chosen = Schedule(groups, fixed.interval or groups) if candidate is None else candidate.schedule
    layers = dict(fixed.layers)
    if candidate is not None:
        for layer, size in zip(search.workload.layers, candidate.sizes, strict=True):
            if layer.label in search.workload.nameable and not (layer.is_source and size == layer.neurons):
                layers.setdefault(layer.label, size)
    return ScheduleTemporalGroups(
        groups=chosen.groups,
        interval=chosen.interval,
        neurons_per_core=fixed.neurons_per_core,
        layers="; ".join(f"{label}={size}" for label, size in layers.items()),
        most_neurons=core.neurons_per_core,
        ring_bits=core.ring_buffer_entries.bit_length() - 1,
    )


def _reasons(
    search: Search,
    schedule: ScheduleTemporalGroups,
    netlist: Netlist,
    timing: Timing,
    ranked: tuple[Candidate, ...],
    activity: Activity,
) -> tuple[str, ...]:
    fixed, cores = search.fixed, len(netlist.vertices)
    groups = f"temporal groups: {schedule.groups}"
    if fixed.groups is not None:
        groups += ", as asked"
    elif ranked:
        tried = ", ".join(str(each) for each in sorted(each.schedule.groups for each in ranked))
        groups += f", the best for {search.goal} of those that were tried, fit and lose no packet ({tried})"
    interval = f"sample interval: {_count(netlist.interval, 'step')}, "
    interval += "as asked" if fixed.interval is not None else "as short as lets every group have a step of its own"
    free = search.machine.application_cores
    tiles = f"tiles: {netlist.tiles} of {_count(cores, 'core')}, "
    if fixed.tiles is not None:
        tiles += "as asked"
    elif search.goal == Goal.CORES:
        tiles += "because few cores are wanted"
    else:
        tiles += f"all that {free} cores hold"
    wanted = f"{timing.smallest_tick_us} us ({timing.limit}) for {activity.about}"
    factor = f"time-scale factor: {netlist.time_scale_factor:g}, "
    if fixed.time_scale_factor is not None:
        factor += f"as asked; the shortest step is {wanted}"
    else:
        factor += f"{search.headroom:.0%} above the shortest step, {wanted}"
    return groups, interval, _slices(search, netlist, timing), tiles, factor


def _slices(search: Search, netlist: Netlist, timing: Timing) -> str:
    """How populations were cut, with the length of their fullest step."""
    parts = []
    for label, population, row in zip(netlist.labels, netlist.populations, timing.rows, strict=True):
        asked = " as asked" if label in search.fixed.layers else ""
        parts.append(
            f"{label} {population['neurons_per_core']}{asked} ({_count(row.cores, 'core')}, {row.step_us:.0f} us)"
        )
    asked = "at most " + str(search.fixed.neurons_per_core) + " as asked: " if search.fixed.neurons_per_core else ""
    return f"neurons on a core: {asked}" + ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
