"""Spiking networks for the tests of the SpiNNaker1 back end: built by hand or drawn, always scheduled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Value
from snc.ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.spiking import INTERVAL, DecodeOp, EncodeOp, PopulationOp, ProjectOp
from snc.ir.spec import INT
from snc.ir.types import F32, TensorType

Array = NDArray[Any]


class SpikingNet:
    """Builds `@main` layer by layer. Layer d is due from step d * groups on; neurons have groups in turn.

    `per_core` is given to every population that names no other.
    """

    def __init__(
        self,
        *shape: int,
        bias: bool = False,
        groups: int = 1,
        per_core: int | None = None,
        source_per_core: int | None = None,
    ) -> None:
        self.groups = groups
        self.per_core = per_core
        self.body = Block([TensorType((1, *shape), F32)])
        self.builder = Builder(self.body)
        self.depth: dict[Value, int] = {}
        neurons = int(np.prod(shape)) + bias
        op = EncodeOp(
            x=self.body.arguments[0],
            label="input",
            bias_neuron=bias,
            group=self._group(neurons),
            base=0,
            neurons_per_core=source_per_core,
        )
        self.x = self.builder.insert(op).out
        self.depth[self.x] = 0

    def _group(self, neurons: int) -> Array | None:
        return None if self.groups == 1 else (np.arange(neurons) % self.groups).astype(np.uint16)

    def project(self, spikes: Value, connector: str, weight: Any, shape: tuple[int, ...], **more: Any) -> Value:
        op = ProjectOp(
            spikes=spikes, connector=connector, weight=np.asarray(weight, np.int32), shape=(1, *shape), **more
        )
        out = self.builder.insert(op).out
        self.depth[out] = self.depth[spikes]
        return out

    def population(self, *currents: Value, threshold: Any, per_core: int | None = None, **more: Any) -> Value:
        depth = 1 + max(self.depth[each] for each in currents)
        neurons = int(np.prod(currents[0].shape[2:])) + (more.get("bias_threshold") is not None)
        op = PopulationOp(
            currents=currents,
            threshold=np.asarray(threshold, np.int32),
            label=f"layer{depth}",
            group=self._group(neurons),
            base=depth * self.groups,
            neurons_per_core=per_core or self.per_core,
            **more,
        )
        out = self.builder.insert(op).out
        self.depth[out] = depth
        return out

    def dense(self, spikes: Value, weight: Any, *, threshold: Any, **more: Any) -> Value:
        weight = np.asarray(weight, np.int32)
        current = self.project(spikes, "all-to-all", weight, (weight.shape[1],))
        return self.population(current, threshold=threshold, **more)

    def module(self, *outputs: Value, interval: int | None = None) -> ModuleOp:
        decoded = [self.builder.insert(DecodeOp(spikes=each)).out for each in outputs]
        self.builder.insert(ReturnOp(values=decoded))
        main = FuncOp(sym_name="main", body=self.body)
        main.attributes[INTERVAL] = INT.encode(interval or self.groups + 1)
        module = ModuleOp()
        Builder(module.body).insert(main)
        return module


def dense_module(*sizes: int, seed: int = 0, density: float = 1.0, **more: Any) -> ModuleOp:
    """A chain of all-to-all layers with random weights of both signs, the slides' shape: input first."""
    rng = np.random.default_rng(seed)
    net = SpikingNet(sizes[0], **more)
    spikes = net.x
    for before, neurons in pairwise(sizes):
        weight = rng.integers(-(1 << 14), 1 << 14, (before, neurons)) * (rng.random((before, neurons)) < density)
        spikes = net.dense(spikes, weight >> 8 << 8, threshold=1 << 15, shift_exc=8, shift_inh=8)
    return net.module(spikes)


@st.composite
def modules(draw: st.DrawFn) -> ModuleOp:
    """Small networks of every connector, with biases in each form, groups, skip connections and several slices."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.integers(1, 5))
    bias = draw(st.booleans())
    sizes = st.integers(1, 9)
    shape = (draw(st.integers(1, 2)), draw(st.integers(2, 5)), draw(st.integers(2, 5)))
    net = SpikingNet(
        *shape, bias=bias, groups=groups, per_core=draw(st.integers(1, 8)), source_per_core=draw(st.integers(3, 60))
    )
    spikes, chained = net.x, bias
    for _ in range(draw(st.integers(1, 3))):
        shift = draw(st.integers(0, 4))

        def weights(*of: int, shift: int = shift) -> Array:
            return rng.integers(-40, 40, of) * (rng.random(of) < 0.6) << shift

        shape = spikes.shape[1:]
        more: dict[str, Any] = {}
        kinds = ["dense", "list"] + (["conv", "pool"] if len(shape) == 3 else [])
        match draw(st.sampled_from(kinds)):
            case "conv":
                out, weight = (draw(st.integers(1, 3)), *shape[1:]), weights
                kernel = weight(out[0], shape[0], 3, 3)
                current = net.project(spikes, "conv2d", kernel, out, pads=(1, 1, 1, 1))
            case "pool":
                out = (shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
                current = net.project(
                    spikes, "pool", 30 << shift, out, kernel=(2, 2), strides=(2, 2), pads=(0, 0, 1, 1)
                )
            case "dense":
                out = (draw(sizes),)
                matrix = weights(int(np.prod(shape)), out[0])
                bias_weights = weights(out[0]).astype(np.int32) if chained else None
                chain = 1 << shift if chained and draw(st.booleans()) else 0
                more["bias_threshold"] = chain or None
                inputs = (1, int(np.prod(shape)))
                current = net.project(
                    spikes, "all-to-all", matrix, out, input_shape=inputs, bias=bias_weights, chain=chain
                )
            case _:
                out = (draw(sizes),)
                count = draw(st.integers(0, 20))
                pre, post = rng.integers(0, int(np.prod(shape)), count), rng.integers(0, out[0], count)
                ends = {"pre": pre.astype(np.int32), "post": post.astype(np.int32)}
                current = net.project(
                    spikes, "from-list", weights(count), out, input_shape=(1, int(np.prod(shape))), **ends
                )
        neurons = int(np.prod(out))
        threshold = rng.integers(-10, 60, neurons) << shift if draw(st.booleans()) else np.array(9 << shift)
        offset = (rng.integers(-20, 20, neurons) << shift).astype(np.int32) if draw(st.booleans()) else None
        spikes = net.population(current, threshold=threshold, offset=offset, shift_exc=shift, shift_inh=shift, **more)
        chained = more.get("bias_threshold") is not None
    return net.module(spikes, interval=draw(st.integers(1, 7)))
