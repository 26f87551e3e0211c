"""Traffic on a board against the paths of single packets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn1.event_layout import Count
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.timer import ENDLESS_US, time_netlist
from snc.runtime.spinn1.traffic import Traffic

from .netlists import draw, random_samples, random_shape
from .test_events import COSTS


class TestTraffic:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=20, deadline=None)
    def test_counts_the_spikes_of_every_sender_at_every_place_of_its_way(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        executor, x = Executor(netlist, jit="off"), random_samples(rng, netlist, 4)
        run = executor.run_congested(x, COSTS, tick_us=ENDLESS_US)
        found = Traffic.of(netlist, executor.paths, run)
        links, routers = np.zeros_like(found.links), np.zeros_like(found.routers)
        rate = run.counts[:, Count.SPIKES] / run.steps
        paths, vertices = executor.paths, len(netlist.vertices)
        for sender, chip in zip(paths.visit_sender, paths.visit_chip, strict=True):
            routers[chip] += rate[sender % vertices]
        for sender, chip, link in zip(paths.hop_sender, paths.hop_chip, paths.hop_link, strict=True):
            links[chip, link] += rate[sender % vertices]
        # Sums of a few dozen quotients, in another order.
        np.testing.assert_allclose(found.routers, routers, rtol=1e-12)
        np.testing.assert_allclose(found.links, links, rtol=1e-12)
        assert found.fetched.sum() == pytest.approx(
            4 * netlist.tiles * run.counts[:, Count.FETCHED_WORDS].sum() / run.steps
        )

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=10, deadline=None)
    def test_the_timing_names_the_busiest_of_each(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        timing = time_netlist(Executor(netlist, jit="off"), COSTS, random_samples(rng, netlist, 4))
        step_s = timing.tick_us / 1e6
        traffic, fabric = timing.traffic, COSTS.fabric
        assert timing.link_load == traffic.links.max() / (fabric.link_packets_per_s * step_s)
        assert timing.router_load == traffic.routers.max() / (fabric.router_packets_per_s * step_s)
        assert timing.sdram_load == traffic.fetched.max() / (fabric.sdram_bytes_per_s * step_s)
