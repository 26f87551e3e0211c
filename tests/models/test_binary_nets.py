"""A trained convolutional network of steps on all digits: `make test-models`, conv_ste_bn.onnx in SNC_MODELS."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from snc.compiler.onnx.importer import import_model
from snc.compiler.onnx.loading import load_model
from snc.ir.clone import clone_module
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.spiking import PopulationOp, interval_of, latency_of
from snc.passes.pipeline import parse_pipeline
from snc.runtime.interpreter.evaluate import evaluate

from . import zoo

pytestmark = pytest.mark.models

NET = zoo.folder() / "conv_ste_bn.onnx"
DIGITS = Path(__file__).parents[1] / "data" / "mnist_test_bits.npz"
BATCH = 100


@cache
def binary(batch: int) -> ModuleOp:
    if not NET.exists():
        pytest.skip(f"{NET} is not there")
    module = import_model(load_model(NET), shapes={"x": (batch, 1, 28, 28)})
    parse_pipeline("fold-constants,fold-batch-norm,binarize-activations").run(module)
    return module


def behind(pipeline: str, batch: int = BATCH) -> ModuleOp:
    module = clone_module(binary(batch))
    parse_pipeline(pipeline).run(module)
    return module


def accuracy(module: ModuleOp) -> float:
    stored = np.load(DIGITS)
    images = np.unpackbits(stored["bits"], axis=1).astype(np.float32).reshape(-1, BATCH, 1, 28, 28)
    labels = stored["labels"].reshape(-1, BATCH)
    hits = 0
    for batch, expected in zip(images, labels, strict=True):
        (spikes,) = evaluate(module, [batch])
        hits += int((spikes.reshape(BATCH, 10, 10).sum(axis=2).argmax(axis=1) == expected).sum())
    return hits / labels.size


class TestConvolutionalDigits:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("weights=q4.8", 0.9802),
            ("weights=q4.8 weight-scale=layer", 0.9863),
            ("weights=q4.5 weight-scale=layer", 0.9796),
            ("weights=code16", 0.9858),
        ],
    )
    def test_accuracy_is_that_of_the_reference(self, options: str, expected: float) -> None:
        assert abs(accuracy(behind(f"quantize-weights{{{options}}}")) - expected) <= 0.001

    def test_populations_lose_nothing_that_matters_where_the_code_rounds_once_more(self) -> None:
        assert accuracy(behind("quantize-weights{weights=q4.8 weight-scale=layer},lower-to-spiking")) >= 0.985

    def test_neurons_latency_and_interval_are_those_of_the_slides(self) -> None:
        module = behind("quantize-weights,lower-to-spiking,schedule-temporal-groups{groups=20}", 1)
        populations = [op for op in module.main.body.ops if isinstance(op, PopulationOp)]
        assert sum(op.size for op in populations) == 47640
        assert (latency_of(module.main), interval_of(module.main)) == (121, 22)
