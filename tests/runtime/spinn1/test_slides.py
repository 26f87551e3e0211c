"""The dense network of the slides (Vineyard et al., NICE 2019): 785-100-100-100, 190 tiles of four cores."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.timer import time_netlist

from .netlists import Shape, draw
from .test_events import COSTS

MOST_PIXELS = 258
"""Of a digit of the MNIST test set, at the level 127; the mean is 105."""


@pytest.fixture(scope="module")
def executor() -> Executor:
    """The network, a step of 1 ms, time-scale factor 5."""
    shape = Shape((785, 100, 100, 100), tiles=190, per_core=785, density=1.0, chain=True, width=8, height=6)
    netlist = draw(np.random.default_rng(0), shape).netlist
    sources = netlist.sources.copy()
    sources["element"] = np.arange(785)
    return Executor(attrs.evolve(netlist, sources=sources, tick_us=5000))


def digits(rng: np.random.Generator, count: int) -> np.ndarray:
    """Samples with as many pixels as digits have, the last one (always on) among them."""
    pixels = np.minimum(rng.normal(105, 45, count).astype(int).clip(20), MOST_PIXELS)
    pixels[0] = MOST_PIXELS
    x = rng.random((count, 785)).argsort(axis=1) < pixels[:, None]
    x[:, -1] = True
    return x.astype(np.uint8)


class TestSlides:
    def test_190_tiles_on_760_cores_hold_57000_neurons(self, executor: Executor) -> None:
        netlist = executor.netlist
        assert len(netlist.placements) == 760
        assert netlist.tiles * netlist.computing_neurons == 57_000

    def test_the_factor_of_the_slides_is_the_smallest_one(self, executor: Executor) -> None:
        """The one figure that the costs were chosen by: at 5 nothing is late, at 4 the fullest digit is."""
        x = digits(np.random.default_rng(0), 400)
        timing = time_netlist(executor, COSTS, x)
        assert timing.smallest_time_scale_factor == 5
        assert timing.in_time
        assert time_netlist(executor, COSTS, x, tick_us=4000).late > 0

    def test_the_rate_of_the_slides_follows_from_the_step(self, executor: Executor) -> None:
        """53 samples a tile and 10 ms each are 0.53 s for 10,000 samples; the slides measured 0.657 s, 15,317 a second,
        with the start and the end of the run."""
        timing = time_netlist(executor, COSTS, digits(np.random.default_rng(1), 20))
        assert timing.throughput_per_s == pytest.approx(190 / 0.010)
        assert 15_317 < timing.throughput_per_s < 1.3 * 15_317

    def test_machine_code_gives_the_spikes_of_the_reference(self, executor: Executor) -> None:
        x = digits(np.random.default_rng(2), 300)
        plain = Executor(executor.netlist, jit="off").run(x)
        found = executor.run(x)
        np.testing.assert_array_equal(found.outputs, plain.outputs)
        np.testing.assert_array_equal(found.spikes, plain.spikes)
        assert 0 < found.outputs.mean() < 1
