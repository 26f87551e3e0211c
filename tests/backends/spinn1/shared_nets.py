"""The networks that are handed to other tools and compared with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snc.ir.dialects.builtin import ModuleOp

from .nets import SpikingNet, dense_module


def slides() -> ModuleOp:
    return dense_module(785, 100, 100, 100)


def groups_on_many_cores() -> ModuleOp:
    return dense_module(30, 150, 90, 40, groups=20, per_core=8, density=0.9)


def delays_that_fill_the_ring() -> ModuleOp:
    net = SpikingNet(5, per_core=4)
    spikes = net.x
    for _ in range(3):
        spikes = net.dense(spikes, np.eye(5) * 19 + 1, threshold=10)
    skipping = net.project(net.x, "all-to-all", np.full((5, 6), 7), (6,))
    near = net.project(spikes, "all-to-all", np.full((5, 6), -3), (6,))
    return net.module(
        net.population(near, skipping, threshold=[9, -4, 3, 2, 1, 0], offset=np.arange(6, dtype=np.int32))
    )


def chained_biases() -> ModuleOp:
    net = SpikingNet(6, bias=True, per_core=8)
    rng = np.random.default_rng(5)
    spikes = net.x
    for _ in range(2):
        size = spikes.shape[1]
        weight = rng.integers(-300, 900, (size, 9)) << 3
        current = net.project(
            spikes, "all-to-all", weight, (9,), bias=(np.arange(-4, 5) * 3000).astype(np.int32), chain=1 << 15
        )
        spikes = net.population(current, threshold=1 << 14, bias_threshold=1 << 14, shift_exc=3, shift_inh=3)
    return net.module(spikes)


NETS: tuple[Callable[[], ModuleOp], ...] = (slides, groups_on_many_cores, delays_that_fill_the_ring, chained_biases)
