"""What passes each router and link of the mesh in one run, and when each resource of the machine works.

Both are read from the work that the timer does (`step_work.py`), for reports; nothing is timed here.
"""

from __future__ import annotations

import attrs
import numpy as np
from attrs import frozen

from .clocks import Clocks, Integers
from .loads import Resource
from .noc import DIRECTIONS, occupied
from .step_work import StepWork
from .timer import Timeline


@frozen(eq=False)
class Traffic:
    """Packets of one run, requests included.

    `links` int64[routers, DIRECTIONS] counts those that leave a router to the east, west, south and north, `routers`
    int64[routers] those that pass it; `packet_bytes` is what a packet carries at most.
    """

    links: Integers
    routers: Integers
    packet_bytes: int

    @classmethod
    def of(cls, work: StepWork, clocks: Clocks) -> Traffic:
        """The traffic of a program, by XY routing, whatever the machine's routers are limited by."""
        flows = work.loads.flows
        by_lane, by_router = (attrs.evolve(clocks.noc, per_lane=per_lane) for per_lane in (True, False))
        links = np.zeros(clocks.noc.routers * DIRECTIONS, np.int64)
        routers = np.zeros(clocks.noc.routers, np.int64)
        for noc, found in ((by_lane, links), (by_router, routers)):
            _, place, packets = occupied(flows, noc)
            np.add.at(found, place, packets)
        return cls(links.reshape(-1, DIRECTIONS), routers, clocks.noc.packet_bytes)


@frozen(eq=False)
class Occupancy:
    """The times in which resources work: row n says that number `index` of class `kind` (`loads.Resource`) works from
    clock `begin` to `end`. All int64; times of one resource do not overlap."""

    kind: Integers
    index: Integers
    begin: Integers
    end: Integers

    @classmethod
    def of(cls, work: StepWork, times: Timeline) -> Occupancy:
        """The occupancy behind a timeline.

        Each resource serves its steps in order: with start s_k and work b_k, it is done with step k at
        e_k = max(e_(k-1), s_k) + b_k, which is max over j <= k of s_j + b_j + ... + b_k. The
        start s_k includes the wait for an order of the host.
        """
        step = np.repeat(np.arange(work.order.count), np.diff(work.bounds))
        order = np.argsort(work.resource, kind="stable")
        resource, busy = work.resource[order], work.busy[order]
        start = times.step_start[step[order]] + work.wait[order]
        done = np.cumsum(busy)
        slack = start - (done - busy)
        # A run of one resource starts above all of the run before, so that its maximum owes that one nothing.
        first = np.diff(resource, prepend=-1) != 0
        lift = (np.cumsum(first) - 1) * (int(np.ptp(slack)) + 1 if len(slack) else 1)
        end = np.maximum.accumulate(slack + lift) - lift + done
        bounds = work.resources.first
        kind = np.searchsorted(bounds, resource, side="right") - 1
        return cls(kind, resource - bounds[kind], end - busy, end)

    def rows(self, kind: Resource) -> tuple[Integers, Integers, Integers]:
        """(index, begin, end) of one class of resources."""
        chosen = self.kind == kind
        return self.index[chosen], self.begin[chosen], self.end[chosen]
