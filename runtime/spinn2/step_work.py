"""What each step of a program asks of each resource, before anything is said about when."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Phase
from .clocks import Clocks, Integers
from .loads import Loads, Resources, loads_of
from .program import Program
from .touches import field

PHASES = len(Phase)


@frozen(eq=False)
class StepWork:
    """Work by step and resource: step n, by its place among the steps that have rows, occupies
    `resource[bounds[n] : bounds[n + 1]]`, each for `busy` clocks.

    `latency` is what a step takes beyond that: the host's messages and the longest way of a packet; `delay` what the
    host takes before a layer's first step.
    """

    order: Order
    loads: Loads
    resources: Resources
    cell: Integers
    bounds: Integers
    resource: Integers
    busy: Integers
    latency: Integers
    delay: Integers

    @classmethod
    def of(cls, program: Program, clocks: Clocks) -> StepWork:
        """The work of a program that has been validated."""
        order = Order(program)
        resources = Resources.of(clocks)
        loads = loads_of(program, clocks, order.task_group, order.transfer_group)
        count = int(resources.first[-1])
        key = order.group_step[loads.group] * count + loads.resource
        cell, which = np.unique(key, return_inverse=True)
        amount = sums(which, loads.amount, len(cell))
        step, resource = np.divmod(cell, count)
        delay = np.zeros(order.count, np.int64)
        delay[order.layer_step[order.layer_step >= 0]] = clocks.host.layer_clocks
        return cls(
            order=order,
            loads=loads,
            resources=resources,
            cell=cell,
            bounds=np.searchsorted(step, np.arange(order.count + 1)),
            resource=resource,
            busy=resources.busy(resource, amount),
            latency=_latencies(order, loads, clocks),
            delay=delay,
        )


class Order:
    """The steps of a program in order, and its rows by group: rows of one step, layer and phase."""

    def __init__(self, program: Program) -> None:
        tasks, transfers = program.tasks, program.transfers
        task_step, transfer_step = field(tasks, "step"), field(transfers, "step")
        self.steps, place = np.unique(np.concatenate([task_step, transfer_step]), return_inverse=True)
        self.count = len(self.steps)
        self.task_step, self.transfer_step = place[: len(tasks)], place[len(tasks) :]
        layer = np.concatenate([field(tasks, "layer"), field(transfers, "layer")])
        phase = np.concatenate([field(tasks, "phase"), field(transfers, "phase")])
        key = (place * len(program.layers) + layer) * PHASES + phase
        names, group = np.unique(key, return_inverse=True)
        self.task_group, self.transfer_group = group[: len(tasks)], group[len(tasks) :]
        self.group_step = names // (len(program.layers) * PHASES)
        self.group_layer = names // PHASES % len(program.layers)
        self.group_phase = names % PHASES
        self.layer_step = np.full(len(program.layers), -1, np.int64)
        self.layer_step[self.group_layer[::-1]] = self.group_step[::-1]
        self.waits, self.waits_at = self._waits(program)

    def _waits(self, program: Program) -> tuple[Integers, Integers]:
        """For each step the steps (by place) that it waits for: waits[waits_at[n] : waits_at[n + 1]].

        A step without rows stands for the ones before it that have rows.
        """
        before, after = field(program.depends, "before"), field(program.depends, "after")
        target = np.searchsorted(self.steps, after)
        source = np.searchsorted(self.steps, before, side="right") - 1
        known = (target < self.count) & (source >= 0)
        target, source = target[known], source[known]
        apart = source < target
        order = np.argsort(target[apart], kind="stable")
        target, source = target[apart][order], source[apart][order]
        return source, np.searchsorted(target, np.arange(self.count + 1))


def _latencies(order: Order, loads: Loads, clocks: Clocks) -> Integers:
    """Clocks of each step beyond the work of its resources: the host's message there and back, the longest way."""
    longest = np.zeros(order.count, np.int64)
    np.maximum.at(longest, order.transfer_step, loads.moves.latency)
    return longest + 2 * clocks.host.interface_clocks


def sums(key: Integers, values: Integers, count: int) -> Integers:
    """Exact sums of integers by key."""
    found = np.zeros(count, np.int64)
    np.add.at(found, key, values)
    return found
