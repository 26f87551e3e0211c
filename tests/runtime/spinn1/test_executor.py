"""Machine code gives the spikes of the plain reference, and both give what the network means."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.dialects.spinn1_tables import ALWAYS_ON
from snc.runtime.spinn1.errors import NetlistError
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.reference import Result, neurons_of
from snc.runtime.spinn1.streams import LANES

from .netlists import Drawn, Shape, draw, random_samples, random_shape


def assert_equal(found: Result, expected: Result) -> None:
    """Every field of two results is the same."""
    for name in attrs.asdict(expected):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def layer_by_layer(drawn: Drawn, x: np.ndarray) -> np.ndarray:
    """Outputs of a scheduled network without any notion of time: uint8[N, outputs]."""
    netlist, neurons = drawn.netlist, neurons_of(drawn.netlist)
    spikes = np.zeros((len(x), netlist.neurons), np.int64)
    element = netlist.sources["element"]
    spikes[:, netlist.sources["neuron"]] = np.where(element == ALWAYS_ON, 1, x[:, np.maximum(element, 0)])
    pre, post, receptor, weight, _ = drawn.synapses.T
    for population in netlist.populations[1:]:
        own = slice(int(population["first_neuron"]), int(population["first_neuron"] + population["neurons"]))
        sums = np.zeros((2, len(x), netlist.neurons), np.int64)
        np.add.at(sums, (receptor, slice(None), post), weight[:, None] * spikes[:, pre].T)
        volts = np.minimum(sums, 65535) << neurons.shift[:, None]
        v = (volts[0] - volts[1] + neurons.offset).astype(np.int32)
        spikes[:, own] = (v >= neurons.threshold)[:, own]
    return spikes[:, netlist.outputs["neuron"]].astype(np.uint8)


class TestExecutor:
    @given(seed=st.integers(0, 2**32), samples=st.sampled_from([0, 1, 3, 20, 150]))
    @settings(max_examples=60, deadline=None)
    def test_machine_code_gives_what_the_reference_gives(self, seed: int, samples: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        x = random_samples(rng, netlist, samples)
        expected = Executor(netlist, jit="off").run(x)
        for mode, threads in (("auto", 1), ("auto", 3), ("portable", 1)):
            assert_equal(Executor(netlist, jit=mode, threads=threads).run(x), expected)

    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=40, deadline=None)
    def test_a_scheduled_network_gives_what_its_layers_give(self, seed: int) -> None:
        """A synapse brings the spike that its source sends when due to the step in which its target is due; so neither
        the samples before and behind nor neurons that spike in every step change what is due."""
        rng = np.random.default_rng(seed)
        drawn = draw(rng, attrs.evolve(random_shape(rng), wild=False))
        x = random_samples(rng, drawn.netlist, 30)
        np.testing.assert_array_equal(Executor(drawn.netlist).run(x).outputs, layer_by_layer(drawn, x))

    @pytest.mark.parametrize(("least", "most"), [(0, 3), (1, 1), (2, 256), (100, 2)])
    def test_slices_of_any_size_give_the_same_spikes(
        self, least: int, most: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Small networks would always be cut without regard to the steps that their neurons are due in."""
        monkeypatch.setattr("snc.runtime.spinn1.plan.LEAST_NEURONS", least)
        monkeypatch.setattr("snc.runtime.spinn1.plan.MOST_NEURONS", most)
        for seed in range(15):
            rng = np.random.default_rng((least, most, seed))
            netlist = draw(rng, random_shape(rng)).netlist
            x = random_samples(rng, netlist, 40)
            assert_equal(Executor(netlist).run(x), Executor(netlist, jit="off").run(x))

    def test_random_networks_saturate_and_have_neurons_that_need_no_input(self) -> None:
        """The properties above would be weak without them."""
        clamped = idle = spikes = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            netlist = draw(rng, random_shape(rng)).netlist
            result = Executor(netlist).run(random_samples(rng, netlist, 20))
            neurons = neurons_of(netlist)
            clamped += int(result.saturations.sum() > 0)
            idle += int((neurons.cells & (neurons.offset >= neurons.threshold)).any())
            spikes += int(0 < result.outputs.mean() < 1)
        assert min(clamped, idle, spikes) >= 3

    def test_runs_are_cut_where_there_are_fewer_tiles_than_lanes(self) -> None:
        rng = np.random.default_rng(5)
        netlist = draw(rng, Shape(tiles=1, groups=3, interval=4)).netlist
        x = random_samples(rng, netlist, 700)
        assert_equal(Executor(netlist, threads=2).run(x), Executor(netlist, jit="off").run(x))

    def test_more_tiles_than_lanes_run_in_several_groups(self) -> None:
        rng = np.random.default_rng(6)
        netlist = draw(rng, Shape(sizes=(4, 3), tiles=LANES + 9, width=5, height=5)).netlist
        x = random_samples(rng, netlist, 3 * LANES)
        assert_equal(Executor(netlist).run(x), Executor(netlist, jit="off").run(x))

    def test_the_order_of_samples_in_a_batch_is_kept(self) -> None:
        rng = np.random.default_rng(7)
        netlist = draw(rng, Shape()).netlist
        executor = Executor(netlist)
        x = random_samples(rng, netlist, 40)
        order = rng.permutation(40)
        np.testing.assert_array_equal(executor.run(x[order]).outputs, executor.run(x).outputs[order])

    def test_threads_share_one_executor(self) -> None:
        rng = np.random.default_rng(11)
        netlist = draw(rng, Shape()).netlist
        executor = Executor(netlist, threads=2)
        batches = [random_samples(rng, netlist, 50) for _ in range(8)]
        expected = [executor.run(x).outputs for x in batches]
        with ThreadPoolExecutor(4) as pool:
            for found, wanted in zip(pool.map(executor.run, batches), expected, strict=True):
                np.testing.assert_array_equal(found.outputs, wanted)

    def test_a_trace_holds_every_spike(self) -> None:
        rng = np.random.default_rng(8)
        netlist = draw(rng, Shape(groups=2, interval=3)).netlist
        executor = Executor(netlist)
        x = random_samples(rng, netlist, 9)
        trace, result = executor.trace(x), executor.run(x)
        assert trace.shape == (result.steps, netlist.neurons, 3)
        assert trace.sum() == result.spikes.sum()

    @pytest.mark.parametrize(
        "given", [np.array(1), np.zeros((3, 2)), np.full((3, 9), 2), np.full((3, 9), 0.5), np.array(["a"])]
    )
    def test_refuses_inputs_that_do_not_fit(self, given: np.ndarray) -> None:
        netlist = draw(np.random.default_rng(9), Shape()).netlist
        assert netlist.elements > 2
        with pytest.raises(NetlistError):
            Executor(netlist).run(given)

    @pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float32])
    def test_takes_zeros_and_ones_of_any_type_and_shape(self, kind: type) -> None:
        rng = np.random.default_rng(10)
        netlist = draw(rng, Shape()).netlist
        x = random_samples(rng, netlist, 12)
        expected = Executor(netlist).run(x).outputs
        np.testing.assert_array_equal(Executor(netlist).run(x.reshape(12, 1, -1).astype(kind)).outputs, expected)
