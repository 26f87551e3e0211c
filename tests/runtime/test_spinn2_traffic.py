"""Traffic and occupancy against the timeline that they explain."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.driver import compile
from snc.compiler.self_test import small_model
from snc.runtime.spinn2.clocks import Clocks
from snc.runtime.spinn2.loads import Resource
from snc.runtime.spinn2.noc import DIRECTIONS, hops
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.step_work import StepWork
from snc.runtime.spinn2.timer import time_program
from snc.runtime.spinn2.traffic import Occupancy, Traffic

from .test_spinn2_timer import CLOCKS, ORDERED, programs

EAST, WEST, SOUTH, NORTH = range(DIRECTIONS)


def served(work: StepWork, starts: np.ndarray) -> dict[tuple[int, int], tuple[int, int]]:
    """Begin and end of what each resource does for each step, resource by resource and one after the other."""
    free: dict[int, int] = {}
    found = {}
    for step, start in enumerate(starts.tolist()):
        for row in range(work.bounds[step], work.bounds[step + 1]):
            resource = int(work.resource[row])
            begin = max(free.get(resource, 0), start + int(work.wait[row]))
            free[resource] = begin + int(work.busy[row])
            found[step, resource] = begin, free[resource]
    return found


class TestOccupancy:
    @given(programs(), st.sampled_from((CLOCKS, ORDERED)))
    @settings(max_examples=30, deadline=None)
    def test_resources_serve_their_steps_one_after_the_other(self, program: Program, clocks: Clocks) -> None:
        work, times = StepWork.of(program, clocks), time_program(program, clocks)
        found = Occupancy.of(work, times)
        first = work.resources.first
        expected = sorted(
            (resource, begin, end) for (_, resource), (begin, end) in served(work, times.step_start).items()
        )
        rows = zip(first[found.kind] + found.index, found.begin, found.end, strict=True)
        assert sorted((int(a), int(b), int(c)) for a, b, c in rows) == expected

    @given(programs())
    @settings(max_examples=30, deadline=None)
    def test_adds_up_to_the_busy_shares_of_the_timeline(self, program: Program) -> None:
        work, times = StepWork.of(program, CLOCKS), time_program(program, CLOCKS)
        found = Occupancy.of(work, times)
        for kind in Resource:
            _, begin, end = found.rows(kind)
            room = int(np.diff(work.resources.first)[kind]) * max(times.total_clocks, 1)
            assert (end - begin).sum() / room == times.busy[kind.name.lower()]
            assert end.max(initial=0) <= times.total_clocks

    @pytest.mark.parametrize("mapping", ["kelber2020", "optimized"])
    def test_tasks_run_while_their_resource_works(self, mapping: str) -> None:
        executable = compile(small_model(), mapping=mapping)
        clocks = executable.clocks
        work, times = StepWork.of(executable.program, clocks), time_program(executable.program, clocks)
        found = Occupancy.of(work, times)
        resource = work.resources.first[found.kind] + found.index
        for task in range(0, len(times.task_start), 7):
            own = resource == work.loads.task_resource[task]
            inside = (found.begin[own] <= times.task_start[task]) & (times.task_end[task] <= found.end[own])
            assert inside.sum() >= 1


class TestTraffic:
    @pytest.mark.parametrize("per_lane", [False, True])
    @given(program=programs())
    @settings(max_examples=30, deadline=None)
    def test_packets_take_as_many_links_as_their_way_has_hops(self, per_lane: bool, program: Program) -> None:
        clocks = attrs.evolve(CLOCKS, noc=attrs.evolve(CLOCKS.noc, per_lane=per_lane))
        work = StepWork.of(program, clocks)
        found, flows = Traffic.of(work, clocks), work.loads.flows
        way = hops(flows.start, flows.end, clocks.noc)
        assert found.links.sum() == (flows.packets * way).sum()
        assert found.routers.sum() == (flows.packets * (way + 1)).sum()

    @given(programs())
    @settings(max_examples=30, deadline=None)
    def test_what_enters_a_router_leaves_it(self, program: Program) -> None:
        work = StepWork.of(program, CLOCKS)
        found, flows = Traffic.of(work, CLOCKS), work.loads.flows
        # Three routers in a row.
        entering = np.bincount(flows.start, flows.packets, 3)
        entering[1:] += found.links[:-1, EAST]
        entering[:-1] += found.links[1:, WEST]
        np.testing.assert_array_equal(entering, found.routers)
        assert not found.links[:, (SOUTH, NORTH)].any()

    def test_packets_of_a_whole_network_are_those_of_its_bytes_or_more(self) -> None:
        executable = compile(small_model())
        clocks = executable.clocks
        work = StepWork.of(executable.program, clocks)
        found = Traffic.of(work, clocks)
        assert found.packet_bytes == 16
        assert found.routers.sum() * found.packet_bytes >= time_program(executable.program, clocks).noc_bytes
