"""The spiking dialect: synapses of connectors, delays, and what the verifier refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.core import Block, Value
from snc.ir.dialects.spiking import (
    EncodeOp,
    PopulationOp,
    ProjectOp,
    Synapses,
    conv2d_synapses,
    delays,
    due_steps,
    receptor_sums,
)
from snc.ir.types import F32, TensorType

Array = NDArray[Any]


def source(*shape: int, bias_neuron: bool = False) -> EncodeOp:
    return EncodeOp(x=Block([TensorType(shape, F32)]).arguments[0], bias_neuron=bias_neuron)


def joined(spikes: Value, weight: Any, **fields: Any) -> ProjectOp:
    matrix = np.asarray(weight, np.int32)
    return ProjectOp(spikes=spikes, connector="all-to-all", weight=matrix, shape=(1, matrix.shape[1]), **fields)


def as_matrix(synapses: Synapses, sources: int, targets: int) -> Array:
    matrix = np.zeros((sources, targets), np.int64)
    np.add.at(matrix, (synapses.pre, synapses.post), synapses.weight)
    return matrix


class TestSynapses:
    def test_all_to_all_leaves_zero_weights_out(self) -> None:
        op = joined(source(1, 3).out, [[1, 0], [0, -2], [0, 3]])
        synapses = op.synapses()
        assert len(synapses) == 3
        assert as_matrix(synapses, 3, 2).tolist() == op.weight.tolist()

    def test_bias_neurons_come_behind_the_elements(self) -> None:
        op = joined(source(1, 2, bias_neuron=True).out, [[1], [1]], bias=np.array([7], np.int32), chain=5)
        op.check()
        assert as_matrix(op.synapses(), 3, 2).tolist() == [[1, 0], [1, 0], [7, 5]]

    def test_index_renumbers_and_drops(self) -> None:
        index = np.array([2, -1, 0], np.int32)
        op = joined(source(1, 4).out, [[1], [2], [3]], input_shape=(1, 3), index=index)
        op.check()
        assert as_matrix(op.synapses(), 4, 1).reshape(-1).tolist() == [3, 0, 1, 0]

    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_convolution_joins_what_the_definition_says(self, data: st.DataObject) -> None:
        draw = data.draw
        groups, per_group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        filters = groups * draw(st.integers(1, 2))
        size, kernel = [[draw(st.integers(1, 4)) for _ in "hw"] for _ in range(2)]
        strides, dilations = [[draw(st.integers(1, 2)) for _ in "hw"] for _ in range(2)]
        pads = [draw(st.integers(0, 2)) for _ in "tl"]
        counts = [draw(st.integers(1, 3)) for _ in "rc"]
        weight = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 4, (filters, per_group, *kernel))
        channels = groups * per_group
        found = conv2d_synapses(
            (channels, size[0], size[1]),
            (filters, counts[0], counts[1]),
            weight,
            strides,
            [*pads, 0, 0],
            dilations,
            groups,
        )
        expected = np.zeros((channels, *size, filters, *counts), np.int64)
        for o, c, k, m, r, q in np.ndindex(filters, per_group, *kernel, *counts):
            row, column = r * strides[0] + k * dilations[0] - pads[0], q * strides[1] + m * dilations[1] - pads[1]
            if 0 <= row < size[0] and 0 <= column < size[1]:
                expected[o // (filters // groups) * per_group + c, row, column, o, r, q] += weight[o, c, k, m]
        flat = expected.reshape(channels * size[0] * size[1], -1)
        np.testing.assert_array_equal(as_matrix(found, *flat.shape), flat)

    def test_receptor_sums_keep_signs_apart(self) -> None:
        exc, inh = receptor_sums(joined(source(1, 3).out, [[1, 2], [-4, 8], [16, -32]]).synapses(), 2)
        assert (exc.tolist(), inh.tolist()) == ([17, 10], [4, 32])


class TestTiming:
    def test_delay_is_the_distance_of_due_steps(self) -> None:
        first = source(1, 2)
        first.attributes.update(EncodeOp.create(first.operands, {}).attributes)
        scheduled = EncodeOp(x=first.x, base=0, group=np.array([0, 1], np.uint16))
        projection = joined(scheduled.out, [[1, 1], [1, 1]])
        target = PopulationOp(
            currents=(projection.out,), threshold=np.array(1, np.int32), base=2, group=np.array([0, 1], np.uint16)
        )
        synapses = projection.synapses()
        found = dict(
            zip(zip(synapses.pre, synapses.post, strict=True), delays(scheduled, target, synapses), strict=True)
        )
        assert found == {(0, 0): 2, (0, 1): 3, (1, 0): 1, (1, 1): 2}

    def test_needs_a_schedule(self) -> None:
        with pytest.raises(ValueError, match="schedule-temporal-groups has not run"):
            due_steps(source(1, 2))


class TestChecks:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"connector": "all-to-all", "weight": np.zeros((2, 2), np.int32)}, "do not join"),
            ({"connector": "all-to-all", "weight": np.zeros((3, 2), np.int64)}, "int64"),
            ({"connector": "one-to-one", "weight": np.zeros((), np.int32)}, "do not join"),
            ({"connector": "pool", "weight": np.ones((), np.int32)}, "do not join"),
            ({"connector": "from-list", "weight": np.ones(1, np.int32)}, "expected pre of i32"),
            (
                {
                    "connector": "from-list",
                    "weight": np.ones(1, np.int32),
                    "pre": np.array([3], np.int32),
                    "post": np.array([0], np.int32),
                },
                "pre holds 3 .. 3, expected 0 .. 2",
            ),
            (
                {"connector": "all-to-all", "weight": np.zeros((3, 2), np.int32), "index": np.array([0], np.int32)},
                "expected index of i32",
            ),
            (
                {"connector": "all-to-all", "weight": np.zeros((3, 2), np.int32), "bias": np.ones(2, np.int32)},
                "has no bias neuron",
            ),
            ({"connector": "all-to-all", "weight": np.zeros((3, 2), np.int32), "chain": -1}, "excites the next"),
        ],
    )
    def test_refuses_a_projection_that_does_not_fit(self, fields: dict[str, Any], message: str) -> None:
        op = ProjectOp(spikes=source(1, 3).out, shape=(1, 2), **fields)
        with pytest.raises(ValueError, match=message):
            op.check()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"threshold": np.zeros(3, np.int32)}, "expected threshold"),
            ({"threshold": np.zeros((), np.int64)}, "expected threshold"),
            ({"offset": np.zeros(1, np.int32)}, "expected offset"),
            ({"shift_exc": 16}, "a receptor's shift"),
            ({"shift_exc": 2}, "no multiples of 2\\^2"),
            ({"bias_threshold": 1}, "the bias neuron gets 0"),
            ({"group": np.zeros(3, np.uint16)}, "expected 2 groups"),
            ({"base": -1}, "a base is at least 0"),
        ],
    )
    def test_refuses_a_population_that_does_not_fit(self, fields: dict[str, Any], message: str) -> None:
        projection = joined(source(1, 3).out, [[2, 1], [0, 0], [-1, 0]])
        op = PopulationOp(currents=(projection.out,), **{"threshold": np.array(1, np.int32), **fields})
        with pytest.raises(ValueError, match=message):
            op.check()

    def test_refuses_a_weight_beyond_sixteen_bits(self) -> None:
        projection = joined(source(1, 1).out, [[65536]])
        with pytest.raises(ValueError, match="up to 65535"):
            PopulationOp(currents=(projection.out,), threshold=np.array(1, np.int32)).check()
