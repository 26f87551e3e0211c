"""What each step of a program asks of each resource, before anything is said about when."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Phase
from .clocks import Clocks, Integers
from .loads import Loads, Resource, Resources, loads_of
from .noc import DIRECTIONS
from .program import Program
from .touches import field

PHASES = len(Phase)


@frozen(eq=False)
class StepWork:
    """Work by step and resource: step n, by its place among the steps that have rows, occupies
    `resource[bounds[n] : bounds[n + 1]]`, each for `busy` clocks, `wait` clocks after the start of the step or later.

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
    wait: Integers

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
            wait=_waits_for_orders(order, loads, resources, cell, clocks),
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


def _waits_for_orders(order: Order, loads: Loads, resources: Resources, cell: Integers, clocks: Clocks) -> Integers:
    """Clocks that the host needs for the first order of a step that concerns a resource, int64[cells].

    Routers that packets only pass do not wait.
    """
    moves, rows, elements, first = loads.moves, loads.orders.rows, clocks.processing_elements, resources.first
    told = resources.busy(np.full(len(rows), first[Resource.HOST]), loads.orders.number)
    concerned = [first[Resource.PE_INPUT] + moves.target[rows]]
    for memory in (moves.source[rows], moves.target[rows]):
        concerned.append(
            np.where(memory < elements, first[Resource.SRAM] + memory, first[Resource.DRAM] + memory - elements)
        )
    lanes = DIRECTIONS if clocks.noc.per_lane else 1
    for router in (moves.start[rows], moves.end[rows]):
        concerned += [first[Resource.NOC] + lanes * router + lane for lane in range(lanes)]
    never = np.iinfo(np.int64).max
    found = np.full(len(cell), never)
    for resource in concerned:
        key = order.transfer_step[rows] * int(first[-1]) + resource
        at = np.minimum(np.searchsorted(cell, key), len(cell) - 1)
        used = cell[at] == key
        np.minimum.at(found, at[used], told[used])
    return np.where(found == never, 0, found)


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
