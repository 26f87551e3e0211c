"""Hand-over to NIR: the file, read back by the nir package and evaluated here, gives the spikes of the module."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.backends.spinn1.export.nir import export_nir
from snc.ir.diagnostics import ModelError
from snc.ir.dialects.builtin import ModuleOp
from snc.runtime.interpreter.evaluate import evaluate

from .nets import SpikingNet, dense_module, modules

nir = pytest.importorskip("nir")

Array = NDArray[Any]


def windows(x: Array, kernel: tuple[int, int], node: Any, dilation: tuple[int, int]) -> Array:
    """[channels, rows, columns, kernel rows, kernel columns] of x [channels, rows, columns]."""
    (ph, pw), (sh, sw), (dh, dw) = node.padding, node.stride, dilation
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw)))
    reach = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    every = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    return every[:, ::sh, ::sw, ::dh, ::dw]


def conv2d(node: Any, x: Array) -> Array:
    weight = node.weight.astype(np.float64)
    unfolded = windows(x, weight.shape[2:], node, tuple(node.dilation))
    channels, filters = weight.shape[1], len(weight) // int(node.groups)
    parts = [
        np.einsum(
            "crqkl,ockl->orq", unfolded[g * channels : (g + 1) * channels], weight[g * filters : (g + 1) * filters]
        )
        for g in range(int(node.groups))
    ]
    return np.concatenate(parts) + node.bias[:, None, None]


def compute(node: Any, x: Array) -> Array:
    match type(node).__name__:
        case "Conv2d":
            return conv2d(node, x)
        case "SumPool2d":
            return windows(x, tuple(node.kernel_size), node, (1, 1)).sum(axis=(3, 4))
        case "Scale":
            return x * node.scale
        case "Linear":
            return np.asarray(node.weight @ x)
        case "Flatten":
            return x.reshape(-1)
        case "Threshold":
            return (x > node.threshold).astype(np.float64)
        case _:
            return x


def outputs_of(graph: Any, x: Array) -> list[Array]:
    """Evaluates a graph without cycles on one sample; nodes add what comes in."""
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        before[end].append(start)
    known: dict[str, Array] = {}

    def value(name: str) -> Array:
        if name not in known:
            node = graph.nodes[name]
            arriving = x if isinstance(node, nir.Input) else np.sum([value(each) for each in before[name]], axis=0)
            known[name] = compute(node, arriving)
        return known[name]

    return [value(name) for name in graph.nodes if isinstance(graph.nodes[name], nir.Output)]


def assert_same(module: ModuleOp, seed: int) -> None:
    graph = nir.read(io.BytesIO(export_nir(module)))
    shape = module.main.body.arguments[0].shape
    for x in np.random.default_rng(seed).integers(0, 2, (4, *shape)):
        expected = evaluate(module, [x.astype(np.float32)])
        found = outputs_of(graph, x[0].astype(np.float64))
        assert [each.reshape(-1).tolist() for each in found] == [each.reshape(-1).tolist() for each in expected]


class TestNir:
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(modules(), st.integers(0, 2**32 - 1))
    def test_computes_what_the_module_does(self, module: ModuleOp, seed: int) -> None:
        try:
            assert_same(module, seed)
        except ModelError as error:
            assert "pads" in error.diagnostics[0].found

    def test_takes_a_dense_chain(self) -> None:
        assert_same(dense_module(50, 20, 20, 10), 0)

    def test_fires_at_the_threshold(self) -> None:
        net = SpikingNet(2)
        module = net.module(net.dense(net.x, [[5, 5], [1, 2]], threshold=7))
        (y,) = outputs_of(nir.read(io.BytesIO(export_nir(module))), np.ones(2))
        assert y.tolist() == [0, 1]

    def test_refuses_pads_that_it_has_no_word_for(self) -> None:
        net = SpikingNet(1, 4, 4)
        pads = {"kernel": (2, 2), "pads": (0, 0, 1, 1)}
        current = net.project(net.x, "pool", 1, (1, 4, 4), **pads)
        with pytest.raises(ModelError, match="NIR has no node"):
            export_nir(net.module(net.population(current, threshold=1)))
