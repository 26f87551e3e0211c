"""What a report of a spiking network is made of: loads of cores, links and routers, and the spikes of some samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...backends.spinn1.costs import timer_costs
from ...backends.spinn1.machine import Machine
from ...ir.dialects.spiking.ops import Neurons
from ...runtime.spinn1.costs import Costs
from ...runtime.spinn1.netlist import Netlist
from ...runtime.spinn1.timer import time_netlist
from ...runtime.spinn1.traffic import Traffic
from ..spinn1.executable import SpikingExecutable
from ..spinn1.profile import profile
from ..spinn1.summary import summary
from .measured import Progress

Array = NDArray[Any]

TRACED_SAMPLES = 3
MOST_CELLS = 1 << 27
"""Spikes (steps x neurons x tiles) that are looked at."""


@frozen(eq=False)
class SpikingMeasured:
    """An executable and everything that is counted and timed of it.

    `traffic` are averages over the steps of a run, `core_clocks` float64[populations] clocks of all cores of a tile in
    a step. `trace` bool[steps, neurons] are the spikes of tile 0 while `traced` samples pass it, `due` int64[neurons]
    the step after a sample's start at which a neuron is due, -1 where nothing says so. `operations` are the
    populations in the network, None where they are others than the netlist's.
    """

    executable: SpikingExecutable
    machine: Machine
    netlist: Netlist
    costs: Costs
    profile: dict[str, Any]
    summary: dict[str, Any]
    traffic: Traffic
    core_clocks: NDArray[np.float64]
    trace: NDArray[np.bool_]
    traced: int
    due: NDArray[np.int64]
    operations: tuple[Neurons, ...] | None

    @property
    def step_clocks(self) -> float:
        """Clocks of a core in a step."""
        return self.netlist.tick_us * self.costs.core.hertz / 10**6


def measure_spikes(
    executable: SpikingExecutable, inputs: Sequence[Array] | None, progress: Progress
) -> SpikingMeasured:
    """Times an executable with samples (its own without them) and follows the spikes of a few.

    Raises UsageError when an input does not fit.
    """
    netlist, machine = executable.netlist, executable.machine
    costs = timer_costs(machine)
    spikes = executable.activity if inputs is None else executable.elements(inputs)
    progress("words")
    executor = executable.executor()
    progress("times")
    timing = time_netlist(executor, costs, spikes)
    found = profile(executable, inputs, timing)
    progress("spikes")
    shown = traced_samples(netlist, spikes)
    trace = executor.trace(shown)[:, :, 0]
    operations = _operations(executable)
    owner = netlist.vertices["population"].astype(np.int64)
    clocks = np.bincount(owner, timing.traffic.clocks, len(netlist.populations))
    return SpikingMeasured(
        executable=executable,
        machine=machine,
        netlist=netlist,
        costs=costs,
        profile=found,
        summary=summary(executable),
        traffic=timing.traffic,
        core_clocks=clocks.astype(np.float64),
        trace=trace,
        traced=-(-len(shown) // netlist.tiles),
        due=_due(netlist, operations),
        operations=operations,
    )


def traced_samples(netlist: Netlist, spikes: Array) -> Array:
    """Samples of which the first tile gets TRACED_SAMPLES, or one where that would be too much to follow."""
    steps = (TRACED_SAMPLES - 1) * netlist.interval + netlist.latency
    wanted = TRACED_SAMPLES * netlist.tiles
    if steps * netlist.neurons * netlist.tiles > MOST_CELLS:
        wanted = 1
    return spikes[np.arange(wanted) % len(spikes)]


def _operations(executable: SpikingExecutable) -> tuple[Neurons, ...] | None:
    netlist = executable.netlist
    found = tuple(op for op in executable.module.main.body.ops if isinstance(op, Neurons))
    sizes = netlist.populations["neurons"].tolist()
    return found if [op.neurons for op in found] == sizes else None


def _due(netlist: Netlist, operations: tuple[Neurons, ...] | None) -> NDArray[np.int64]:
    due = np.full(netlist.neurons, -1, np.int64)
    for op, row in zip(operations or (), netlist.populations, strict=False):
        first = int(row["first_neuron"])
        if op.base is not None:
            due[first : first + op.neurons] = op.base + (0 if op.group is None else op.group.astype(np.int64))
    return due
