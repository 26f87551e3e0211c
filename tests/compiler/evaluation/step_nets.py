"""Drawn networks of steps, in which a fault can be planted, and samples with the classes that they give."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from attrs import evolve, frozen
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

INPUTS, CLASSES, EACH = 16, 4, 3
SAMPLES = 400


@frozen(eq=False)
class StepNet:
    """Dense layers with steps z >= threshold; `strict` are the layers with z > threshold instead."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    thresholds: tuple[float, ...]
    strict: frozenset[int] = frozenset()
    prefix: str = ""

    @property
    def layers(self) -> int:
        return len(self.weights)

    def model(self) -> onnx.ModelProto:
        """x [N, 16] -> spikes [N, outputs]; layer i has the nodes fc<i>, ge<i>, cast<i>."""
        nodes: list[onnx.NodeProto] = []
        held: dict[str, Array] = {}
        last = "x"
        for number in range(self.layers):
            out = "spikes" if number == self.layers - 1 else f"s{number}"
            compare = "Greater" if number in self.strict else "GreaterOrEqual"
            nodes += [
                helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [f"z{number}"], name=self.name(number)),
                helper.make_node(
                    compare, [f"z{number}", f"t{number}"], [f"g{number}"], name=f"{self.prefix}ge{number}"
                ),
                helper.make_node(
                    "Cast", [f"g{number}"], [out], to=TensorProto.FLOAT, name=f"{self.prefix}cast{number}"
                ),
            ]
            held |= {
                f"w{number}": self.weights[number].astype(np.float32),
                f"b{number}": self.biases[number].astype(np.float32),
                f"t{number}": np.array(self.thresholds[number], np.float32),
            }
            last = out
        graph = helper.make_graph(
            nodes,
            "steps",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS])],
            [helper.make_tensor_value_info("spikes", TensorProto.FLOAT, ["N", self.weights[-1].shape[1]])],
            [numpy_helper.from_array(array, name) for name, array in held.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def name(self, number: int) -> str:
        """The node of a layer's product."""
        return f"{self.prefix}fc{number}"

    def spikes(self, x: Array) -> Array:
        """The output spikes in double precision."""
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = x.astype(np.float64) @ weight + bias
            level = self.thresholds[number]
            x = (z > level if number in self.strict else z >= level).astype(np.float64)
        return x

    def classes(self, x: Array) -> NDArray[np.int64]:
        """The class by votes, the lowest of those with most."""
        return self.spikes(x).reshape(len(x), CLASSES, -1).sum(axis=2).argmax(axis=1)

    def scaled(self, layer: int, factor: float) -> StepNet:
        """The same function, with weights, bias and threshold of a layer times `factor`."""
        return evolve(
            self,
            weights=_with(self.weights, layer, self.weights[layer] * factor),
            biases=_with(self.biases, layer, self.biases[layer] * factor),
            thresholds=_with(self.thresholds, layer, self.thresholds[layer] * factor),
        )


def _with(parts: Sequence[Any], place: int, new: Any) -> tuple[Any, ...]:
    return (*parts[:place], new, *parts[place + 1 :])


def drawn_net(seed: int, layers: int, *, grid: int = 0, width: int = 12) -> StepNet:
    """Weights around 0.3, on a grid of 1 / `grid` where that is not 0; about half of all neurons spike."""
    rng = np.random.default_rng(seed)
    sizes = [INPUTS, *[width] * (layers - 1), CLASSES * EACH]
    weights, biases = [], []
    for inner, outer in itertools.pairwise(sizes):
        weight = np.clip(rng.normal(0, 0.3, (inner, outer)), -0.9, 0.9)
        bias = np.clip(0.25 - weight.sum(axis=0) / 2 + rng.normal(0, 0.05, outer), -0.9, 0.9)
        weights.append(np.rint(weight * grid) / grid if grid else weight)
        biases.append(np.rint(bias * grid) / grid if grid else bias)
    return StepNet(tuple(weights), tuple(biases), (0.25,) * layers)


def bits(seed: int, count: int = SAMPLES) -> Array:
    """Samples of 0 and 1, uint8."""
    return np.random.default_rng((seed, 1)).integers(0, 2, (count, INPUTS)).astype(np.uint8)


@st.composite
def places(draw: st.DrawFn, most: int = 3) -> tuple[int, int, int]:
    """A seed, a number of layers, and one of them."""
    layers = draw(st.integers(1, most))
    return draw(st.integers(0, 10_000)), layers, draw(st.integers(0, layers - 1))
