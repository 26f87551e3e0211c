"""quantize-weights: formats, rounding, scales, and what becomes of trained accuracy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.compiler.onnx.importer import import_model
from snc.compiler.onnx.loading import load_model
from snc.ir.diagnostics import ModelError, UsageError
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.dialects.nn import CastOp, CompareOp, MatMulOp
from snc.ir.dialects.quant import BinarizeOp
from snc.ir.types import F32
from snc.passes.base import PassContext
from snc.passes.spiking.grid import on_grid, threshold_on_grid
from snc.runtime.interpreter.evaluate import evaluate

from ...strategies import step_modules
from ..nets import Net, only
from .networks import assert_same_outputs, binary_inputs, run

Array = NDArray[Any]

DATA = Path(__file__).parents[2] / "data"
few = settings(max_examples=25, deadline=None)

ACCURACY = {
    "q4.16": 0.9340,
    "q4.8": 0.9347,
    "q4.7": 0.9361,
    "q4.6": 0.9326,
    "q4.5": 0.9283,
    "q4.4": 0.9184,
    "q4.8 rounding=truncate": 0.9378,
    "q4.6 rounding=truncate": 0.9307,
    "q4.5 rounding=truncate": 0.8809,
    "q4.8 rounding=floor": 0.9007,
    "q4.5 weight-scale=layer": 0.9348,
    "q4.3 weight-scale=layer": 0.9357,
    "code16": 0.9341,
}
"""Accuracy on all test digits, as measured with another implementation (PyTorch) when the network was trained."""

TOLERANCE = 0.001
"""Ten digits of ten thousand: ties at the threshold fall differently where bias and threshold are rounded together."""


def dense(weight: Any, threshold: float = 0.5) -> ModuleOp:
    """One layer of steps."""
    matrix = np.asarray(weight, np.float32)
    net = Net((1, matrix.shape[0]))
    z = net(MatMulOp(lhs=net.x, rhs=net.constant(matrix)))
    step = net(CompareOp(lhs=z, rhs=net.constant(threshold), predicate="ge"))
    return net.module(net(CastOp(x=step, to=F32)))


def integers(module: ModuleOp) -> Array:
    """The weights of the one layer."""
    (found,) = [op.value for op in module.main.body.ops if isinstance(op, ConstantOp)]
    return found


@cache
def digits() -> tuple[Array, Array]:
    stored = np.load(DATA / "mnist_test_bits.npz")
    return np.unpackbits(stored["bits"], axis=1).astype(np.float32), stored["labels"]


@cache
def trained() -> ModuleOp:
    batch = import_model(load_model(DATA / "mnist_dense3_bn.onnx"), shapes={"x": (2500, 784)})
    return run(batch, "fold-constants,fold-batch-norm,binarize-activations")


class TestFormats:
    @few
    @given(module=step_modules(), seed=st.integers(0, 99), scale=st.sampled_from(("none", "layer")))
    def test_a_fine_grid_keeps_the_outputs(self, module: ModuleOp, seed: int, scale: str) -> None:
        for weights in ("q8.12", "code16"):
            quantised = run(module, f"binarize-activations,quantize-weights{{weights={weights} weight-scale={scale}}}")
            assert_same_outputs(module, quantised, binary_inputs(module, seed))

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [("nearest", [3, -3, 2, -2]), ("truncate", [2, -2, 2, -2]), ("floor", [2, -3, 2, -3])],
    )
    def test_rounds_as_asked(self, rounding: str, expected: list[int]) -> None:
        module = dense(np.array([[2.75], [-2.75], [2.25], [-2.25]]) / 4)
        fixed = run(module, f"binarize-activations,quantize-weights{{weights=q4.2 rounding={rounding}}}")
        assert integers(fixed).reshape(-1).tolist() == expected

    @settings(deadline=None)
    @given(
        threshold=st.floats(-100, 100),
        fraction=st.integers(-4, 16),
        steps=st.integers(-(2**20), 2**20),
    )
    def test_the_threshold_is_exact(self, threshold: float, fraction: int, steps: int) -> None:
        found = int(threshold_on_grid(np.asarray(threshold), fraction))
        assert (steps >= found) == (steps * 2.0**-fraction >= threshold)

    def test_halves_go_to_even(self) -> None:
        assert on_grid(np.array([0.5, 1.5, 2.5]), 0, "nearest").tolist() == [0, 2, 2]

    def test_layer_scale_fills_the_range(self) -> None:
        fixed = run(dense([[0.01], [0.012]]), "binarize-activations,quantize-weights{weights=q4.5 weight-scale=layer}")
        assert 128 <= integers(fixed).max() <= 255
        assert only(fixed, BinarizeOp).fraction == 14

    def test_code_is_the_finest_that_no_volley_overflows(self) -> None:
        weights = integers(run(dense(np.full((10, 1), 0.7)), "binarize-activations,quantize-weights"))
        # Ten weights of 0.7 add up to 7: units of 2^-13 hold 8, those of 2^-14 only 4.
        assert weights.reshape(-1).tolist() == [round(0.7 * 2**13) << 2] * 10
        assert (weights >> 2).sum() <= 65535 < (weights >> 1).sum()


class TestRefusals:
    def test_names_the_neuron_and_the_scale(self) -> None:
        with pytest.raises(ModelError, match=r"weights lie outside q2\.4") as caught:
            run(dense([[0.5, 1.0], [0.25, -3.5]]), "binarize-activations,quantize-weights{weights=q2.4}")
        (found,) = caught.value.diagnostics
        assert "-3.5 at neuron (or channel) 1, 1.5 beyond the range" in found.found
        assert "q3.4" in found.help and "divides this layer by 2" in found.help

    def test_saturates_and_counts_when_asked(self) -> None:
        context = PassContext()
        text = "binarize-activations,quantize-weights{weights=q2.4 overflow=saturate}"
        fixed = run(dense([[0.5, 1.0], [9, -3.5]]), text, context)
        assert integers(fixed).tolist() == [[8, 16], [31, -32]]
        assert [found.found for found in context.warnings] == ["2 outside q2.4"]

    def test_refuses_sums_beyond_the_words(self) -> None:
        module = dense(np.full((3, 2), 30000.0))
        with pytest.raises(ModelError, match=r"90000 at neuron 0, 24465 beyond the range") as caught:
            run(module, "binarize-activations,quantize-weights")
        assert len(caught.value.diagnostics) == 1 and "scale the layer by 0.5" in caught.value.diagnostics[0].help
        assert integers(run(module, "binarize-activations,quantize-weights{weight-scale=layer}")).any()

    @pytest.mark.parametrize("text", ["int8", "q4", "q0.8", "q20.20", "q4.8.1"])
    def test_refuses_an_unknown_format(self, text: str) -> None:
        with pytest.raises(UsageError, match=f"there is no weight format {text}"):
            run(dense([[1.0]]), f"binarize-activations,quantize-weights{{weights={text}}}")


class TestAccuracy:
    @pytest.mark.parametrize("options", ACCURACY)
    def test_is_that_of_the_reference(self, options: str) -> None:
        fixed = run(trained(), f"quantize-weights{{weights={options}}}")
        images, labels = digits()
        hits = 0
        for first in range(0, len(images), 2500):
            (spikes,) = evaluate(fixed, [images[first : first + 2500]])
            votes = spikes.reshape(-1, 10, 10).sum(axis=2)
            hits += int((votes.argmax(axis=1) == labels[first : first + 2500]).sum())
        assert abs(hits / len(images) - ACCURACY[options]) <= TOLERANCE
