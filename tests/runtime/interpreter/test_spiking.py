"""The meaning of the spiking dialect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.core import Block
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.spiking import DecodeOp, EncodeOp, PopulationOp, ProjectOp
from snc.ir.types import F32, I1, TensorType
from snc.runtime.interpreter.evaluate import evaluate
from snc.runtime.interpreter.spiking import encode, project

from ...passes.nets import Net
from ...passes.spiking.networks import LOWERED, run
from ...strategies import step_modules

Array = NDArray[Any]


def population(weight: Any, **fields: Any) -> ModuleOp:
    """Inputs, one layer of this weight, outputs."""
    matrix = np.asarray(weight, np.int32)
    net = Net((1, matrix.shape[0]))
    spikes = net(EncodeOp(x=net.x))
    current = net(ProjectOp(spikes=spikes, connector="all-to-all", weight=matrix, shape=(1, matrix.shape[1])))
    return net.module(net(DecodeOp(spikes=net(PopulationOp(currents=(current,), **fields)))))


def fires(module: ModuleOp, *inputs: float) -> list[float]:
    return evaluate(module, [np.array([inputs], np.float32)])[0][0].tolist()


class TestPopulation:
    def test_fires_at_its_threshold(self) -> None:
        module = population([[1, 3], [2, -1]], threshold=np.array([2, 2], np.int32))
        assert fires(module, 1, 1) == [1, 1]
        assert fires(module, 1, 0) == [0, 1]
        assert fires(module, 0, 1) == [1, 0]

    def test_offset_counts_without_input(self) -> None:
        module = population([[1, 1]], threshold=np.array(2, np.int32), offset=np.array([1, 2], np.int32))
        assert fires(module, 0) == [0, 1] and fires(module, 1) == [1, 1]

    def test_each_receptor_stops_at_its_own_limit(self) -> None:
        weight = [[60000], [60000], [-60000]]
        # 65535 - 60000, not 120000 - 60000.
        assert fires(population(weight, threshold=np.array(5535, np.int32)), 1, 1, 1) == [1]
        assert fires(population(weight, threshold=np.array(5536, np.int32)), 1, 1, 1) == [0]
        assert fires(population(weight, threshold=np.array(60000, np.int32), shift_exc=5), 1, 1, 1) == [1]


class TestEncode:
    @pytest.mark.parametrize("bits", [2, 3, 8])
    def test_bits_add_up_to_the_rounded_input(self, bits: int) -> None:
        op = EncodeOp(x=Block([TensorType((1, 2, 3), F32)]).arguments[0], bits=bits)
        x = np.array([[[0, 0.1, 0.5], [0.9, 1.0, 7.0]]], np.float32)
        worth = 2.0 ** -np.arange(1, bits + 1)
        found = (encode(op, [x]).reshape(1, 2, bits, 3) * worth[:, None]).sum(axis=2)
        expected = np.minimum(np.floor(x * 2.0**bits + 0.5), 2**bits - 1) / 2**bits
        np.testing.assert_array_equal(found, expected)


class TestProject:
    @settings(max_examples=30, deadline=None)
    @given(module=step_modules(), seed=st.integers(0, 99))
    def test_currents_are_the_sums_of_the_synapses(self, module: ModuleOp, seed: int) -> None:
        lowered = run(module, f"{LOWERED},schedule-temporal-groups")
        rng = np.random.default_rng(seed)
        for op in lowered.main.body.ops:
            if isinstance(op, ProjectOp):
                spikes = rng.random(op.spikes.shape) < 0.5
                synapses = op.synapses()
                on = np.append(spikes.reshape(-1), True)[synapses.pre] & (synapses.post < op.targets)
                expected = np.zeros((2, op.targets), np.int64)
                receptor = (synapses.weight < 0).astype(int)
                np.add.at(expected, (receptor[on], synapses.post[on]), np.abs(synapses.weight[on]))
                np.testing.assert_array_equal(project(op, [spikes]).reshape(2, -1), expected)

    def test_lists_add_synapses_between_the_same_neurons(self) -> None:
        spikes = Block([TensorType((1, 2), I1)]).arguments[0]
        pre, post, weight = (np.array(each, np.int32) for each in ([0, 0, 1], [1, 1, 0], [2, 3, -4]))
        op = ProjectOp(spikes=spikes, connector="from-list", shape=(1, 2), weight=weight, pre=pre, post=post)
        assert project(op, [np.ones((1, 2), bool)]).tolist() == [[[0, 5]], [[4, 0]]]
