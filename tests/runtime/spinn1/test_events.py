"""The event-driven machine code follows the plain model, and the model does what its description says."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn1.costs import CoreCosts, Costs, EnergyCosts, FabricCosts
from snc.runtime.spinn1.event_layout import Count
from snc.runtime.spinn1.events import EventResult
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.netlist import Netlist

from .netlists import Shape, draw, random_samples, random_shape

HERTZ = 200_000_000
FABRIC = FabricCosts(
    router_packets_per_s=133_000_000, link_packets_per_s=6_000_000, hop_ns=200, sdram_bytes_per_s=10**9
)
ENERGY = EnergyCosts(chip_w=0.35, core_w=0.034, board_w=10.0, packet_j=1e-9)
CORE = CoreCosts(
    hertz=HERTZ,
    packet_cycles=100,
    lookup_cycles=100,
    lookup_step_cycles=20,
    dma_setup_cycles=250,
    dma_word_cycles=2,
    synapse_cycles=20,
    neuron_cycles=400,
    tick_cycles=1000,
    send_cycles=60,
    source_tick_cycles=1000,
    source_send_cycles=200,
    fifo_packets=256,
)
COSTS = Costs(CORE, FABRIC, ENERGY)


def with_core(**changes: int) -> Costs:
    """COSTS with other numbers of the core."""
    return attrs.evolve(COSTS, core=attrs.evolve(CORE, **changes))


BURST = with_core(fifo_packets=5, source_send_cycles=10)
"""All packets of a source come before the first of them is done."""


def random_costs(rng: np.random.Generator) -> Costs:
    """Small numbers, zeros among them, and a short FIFO."""
    names = [name for name in attrs.asdict(CORE) if name not in ("hertz", "fifo_packets")]
    numbers = {name: int(number) for name, number in zip(names, rng.integers(0, 50, len(names)), strict=True)}
    return with_core(**numbers, fifo_packets=int(rng.integers(1, 6)))


def microseconds(clocks: int) -> int:
    """The shortest step that has these clocks."""
    return -(-clocks * 10**6 // HERTZ)


def total(result: EventResult, count: Count) -> int:
    """A sum over all vertices."""
    return int(result.counts[:, count].sum())


def one_layer(*, sources: int, cells: int, seed: int = 0) -> Netlist:
    """All sources, on one core, to all cells, on another one, with delays of 1; a sample every other step."""
    shape = Shape(sizes=(sources, cells), tiles=1, per_core=max(sources, cells), density=1.0, interval=2)
    netlist = draw(np.random.default_rng(seed), shape).netlist
    sources_table = netlist.sources.copy()
    sources_table["element"] = np.arange(sources)
    return attrs.evolve(netlist, sources=sources_table)


class TestRunCongested:
    @given(seed=st.integers(0, 2**32), samples=st.sampled_from([0, 1, 7]))
    @settings(max_examples=60, deadline=None)
    def test_machine_code_follows_the_plain_model(self, seed: int, samples: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        x, costs, tick = random_samples(rng, netlist, samples), random_costs(rng), int(rng.choice([1, 2, 5, 15, 10**6]))
        found = Executor(netlist, jit="auto", threads=2).run_congested(x, costs, tick_us=tick)
        expected = Executor(netlist, jit="off").run_congested(x, costs, tick_us=tick)
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_array_equal(found.outputs, expected.outputs)
        assert found.steps == expected.steps

    def test_random_runs_have_late_and_lost_packets(self) -> None:
        """The property above would be weak without them."""
        late = lost = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            netlist = draw(rng, random_shape(rng)).netlist
            result = Executor(netlist).run_congested(random_samples(rng, netlist, 7), random_costs(rng), tick_us=5)
            late += total(result, Count.LATE) > 0
            lost += total(result, Count.LOST) > 0
        assert min(late, lost) >= 3

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=30, deadline=None)
    def test_steps_as_long_as_the_longest_work_change_nothing(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        x, costs = random_samples(rng, netlist, 12), with_core(fifo_packets=1000)
        executor = Executor(netlist)
        needed = microseconds(int(executor.run_congested(x, costs).counts[:, Count.PEAK_CLOCKS].max()))
        result = executor.run_congested(x, costs, tick_us=needed)
        assert total(result, Count.LATE) == total(result, Count.LOST) == 0
        free = executor.run(x)
        np.testing.assert_array_equal(result.outputs, free.outputs)
        assert total(result, Count.SPIKES) == free.spikes.sum()

    def test_a_step_one_microsecond_too_short_makes_packets_late(self) -> None:
        netlist = one_layer(sources=20, cells=10)
        executor, x = Executor(netlist), np.ones((3, 20), np.uint8)
        needed = microseconds(int(executor.run_congested(x, COSTS).counts[:, Count.PEAK_CLOCKS].max()))
        assert total(executor.run_congested(x, COSTS, tick_us=needed), Count.LATE) == 0
        late = executor.run_congested(x, COSTS, tick_us=needed - 1)
        assert total(late, Count.LATE) == 3
        assert total(late, Count.LATE_SYNAPSES) == 30

    def test_clocks_of_a_step_add_up(self) -> None:
        netlist = one_layer(sources=20, cells=10)
        executor = Executor(netlist)
        x = np.ones((1, 20), np.uint8)
        result = executor.run_congested(x, COSTS)
        words = executor.synapses.rows.words[:2].sum()
        packet = 100 + 100 + 20 + 2 * 250 + 2 * words + 10 * 20
        source, cells = result.counts
        assert source[Count.PEAK_CLOCKS] == 1000 + 20 * 200
        first_spikes = int(executor.trace(x)[0, 20:].sum())
        assert cells[Count.PEAK_CLOCKS] == 1000 + 10 * 400 + 60 * first_spikes + 20 * packet
        assert cells[Count.PACKETS] == 20
        assert cells[Count.FETCHED_WORDS] == 20 * words
        assert cells[Count.BUSY_CLOCKS] == result.steps * 5000 + 60 * cells[Count.SPIKES] + 20 * packet

    def test_packets_that_find_the_fifo_full_are_lost(self) -> None:
        netlist = one_layer(sources=20, cells=10)
        result = Executor(netlist).run_congested(np.ones((1, 20), np.uint8), BURST)
        # The core is busy with its neurons and the first packet while all others arrive.
        assert total(result, Count.LOST) == 15

    def test_late_packets_keep_the_synapses_whose_step_is_still_to_come(self) -> None:
        netlist = draw(
            np.random.default_rng(3), Shape(sizes=(12, 9), wild=True, tiles=1, per_core=12, density=1.0)
        ).netlist
        executor, x = Executor(netlist), np.ones((1, netlist.elements), np.uint8)
        needed = microseconds(int(executor.run_congested(x, COSTS).counts[:, Count.PEAK_CLOCKS].max()))
        result = executor.run_congested(x, COSTS, tick_us=needed * 2 // 3)
        late = total(result, Count.LATE)
        assert 0 < total(result, Count.LATE_SYNAPSES) < 9 * late

    def test_refuses_costs_that_no_core_has(self) -> None:
        with pytest.raises(ValueError, match="fifo_packets"):
            with_core(fifo_packets=0)
