"""Times, rates and energies of a netlist."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn1.event_layout import Count
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.timer import time_netlist

from .netlists import Shape, draw, random_samples, random_shape
from .test_events import BURST, COSTS, FABRIC, one_layer


class TestTimeNetlist:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=30, deadline=None)
    def test_nothing_is_late_at_the_smallest_step(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        executor, x = Executor(netlist), random_samples(rng, netlist, 6)
        timing = time_netlist(executor, COSTS, x)
        tight = time_netlist(executor, COSTS, x, tick_us=timing.smallest_tick_us)
        assert tight.late == 0
        assert tight.in_time
        assert tight.smallest_tick_us == timing.smallest_tick_us

    def test_counts_what_is_late_at_a_shorter_step(self) -> None:
        executor, x = Executor(one_layer(sources=20, cells=10)), np.ones((4, 20), np.uint8)
        timing = time_netlist(executor, COSTS, x)
        assert timing.limit == "a core of population1"
        short = time_netlist(executor, COSTS, x, tick_us=timing.smallest_tick_us - 1)
        assert short.late == 4
        assert not short.in_time
        assert [row.late for row in short.rows] == [0, 4]

    def test_rates_follow_from_steps(self) -> None:
        netlist = attrs.evolve(draw(np.random.default_rng(1), Shape(tiles=3, interval=4)).netlist, latency=9)
        timing = time_netlist(Executor(netlist), COSTS, np.zeros((2, netlist.elements)), tick_us=14_000)
        assert timing.time_scale_factor == 14
        assert timing.latency_s == pytest.approx(9 * 0.014)
        assert timing.throughput_per_s == pytest.approx(3 / (4 * 0.014))

    def test_energy_is_the_power_of_boards_and_cores_for_the_time_of_a_sample(self) -> None:
        netlist = draw(np.random.default_rng(1), Shape(tiles=2, interval=3)).netlist
        costs = attrs.evolve(COSTS, energy=attrs.evolve(COSTS.energy, packet_j=0.0))
        timing = time_netlist(Executor(netlist), costs, np.zeros((2, netlist.elements)), tick_us=1000)
        watts = 0.35 * len(netlist.chips) + 0.034 * len(netlist.placements) + 10.0
        assert timing.energy_j == pytest.approx(watts * 3e-3 / 2)

    def test_packets_cost_energy_at_every_router(self) -> None:
        netlist = one_layer(sources=20, cells=10)
        executor, x = Executor(netlist), np.ones((1, 20), np.uint8)
        plain = attrs.evolve(COSTS, energy=attrs.evolve(COSTS.energy, packet_j=0.0))
        spared = time_netlist(executor, COSTS, x).energy_j - time_netlist(executor, plain, x).energy_j
        routers = np.count_nonzero(executor.paths.visit_sender == 0)
        cells = executor.run(x).spikes[1].sum() * np.count_nonzero(executor.paths.visit_sender == 1)
        assert spared == pytest.approx((20 * routers + cells) * 1e-9)

    def test_a_full_link_sets_the_step(self) -> None:
        netlist = draw(np.random.default_rng(2), Shape(sizes=(12, 6), density=1.0)).netlist
        slow = attrs.evolve(COSTS, fabric=attrs.evolve(FABRIC, link_packets_per_s=100))
        executor, x = Executor(netlist), np.ones((20, netlist.elements), np.uint8)
        timing = time_netlist(executor, slow, x)
        assert timing.limit == "a link"
        assert not timing.in_time
        assert time_netlist(executor, slow, x, tick_us=timing.smallest_tick_us).link_load == pytest.approx(1, abs=1e-3)

    def test_packets_lost_at_any_step_are_told(self) -> None:
        executor = Executor(one_layer(sources=20, cells=10))
        timing = time_netlist(executor, BURST, np.ones((1, 20), np.uint8))
        assert timing.lost == timing.lost_at_any_tick == 15
        assert not timing.in_time

    def test_rows_describe_populations(self) -> None:
        drawn = draw(np.random.default_rng(5), Shape())
        netlist = drawn.netlist
        executor = Executor(netlist)
        x = random_samples(np.random.default_rng(6), netlist, 12)
        timing = time_netlist(executor, COSTS, x)
        assert [row.label for row in timing.rows] == list(netlist.labels)
        assert sum(row.cores for row in timing.rows) == len(netlist.vertices)
        assert sum(row.synapses for row in timing.rows) == len(drawn.synapses)
        spikes = executor.run(x).spikes.sum(axis=1) / 12
        np.testing.assert_allclose([row.spikes for row in timing.rows], spikes)
        peak = executor.run_congested(x, COSTS).counts[:, Count.PEAK_CLOCKS].max()
        assert max(row.step_us for row in timing.rows) == pytest.approx(peak / 200)

    def test_refuses_to_time_nothing(self) -> None:
        netlist = draw(np.random.default_rng(5), Shape()).netlist
        with pytest.raises(ValueError, match="no samples"):
            time_netlist(Executor(netlist), COSTS, np.zeros((0, netlist.elements)))
