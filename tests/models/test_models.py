"""Real networks, end to end: `make test-models`.

Every network is imported, compared with onnxruntime in float, built for SpiNNaker2 under both mappings and executed
from its tables; the integers must be those of the reference interpreter.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest

from snc.compiler.driver import compile, interpret_model
from snc.compiler.executable import Executable, load
from snc.runtime.interpreter.evaluate import evaluate
from snc.runtime.spinn2.verify import verify

from . import zoo

pytestmark = pytest.mark.models

FLOAT_NETS = [name for name in zoo.names() if not name.endswith("_qdq")]
QDQ_NETS = [name for name in zoo.names() if name.endswith("_qdq")]
PHOTOGRAPH_NETS = [name for name in zoo.names() if name.startswith("efficientnet_lite0")]

FLOAT_TOLERANCE = 1e-4
"""Largest difference to onnxruntime over the largest output: both sum thousands of f32 products in other orders."""


def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(zoo.model(name)), options, providers=["CPUExecutionProvider"])


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@cache
def calibration(name: str) -> dict[str, np.ndarray[Any, Any]] | None:
    """Photographs for the trained networks that know them; the others get seeded noise of their own."""
    if name in PHOTOGRAPH_NETS:
        return {"image": zoo.photographs().images}
    return None


def build(name: str, mapping: str) -> Executable:
    return compile(zoo.model(name), mapping=mapping, calibration=calibration(name))


class TestFloatImport:
    @pytest.mark.parametrize("name", FLOAT_NETS)
    def test_agrees_with_onnxruntime(self, name: str) -> None:
        module, ports = interpret_model(zoo.model(name), stage="nn")
        x = noise(ports[0].shape, seed=1)
        ours = evaluate(module, [x])[0]
        theirs = session(name).run(None, {ports[0].name: x})[0]
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        print(f"\n{name}: {difference:.2e} of the largest output")
        assert difference <= FLOAT_TOLERANCE


class TestPrograms:
    @pytest.mark.parametrize("mapping", ["baseline", "kelber2020", "optimized"])
    @pytest.mark.parametrize("name", zoo.names())
    def test_computes_the_interpreters_integers(self, name: str, mapping: str) -> None:
        network = build(name, mapping)
        x = noise(network.inputs[0].shape, seed=2)
        assert not verify(network.program)
        found = network.run([x], integers=True)
        expected = network.interpret([x], integers=True)
        assert len(np.unique(expected[0])) > 1
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_survives_an_artefact(self, tmp_path: Any) -> None:
        network = build("resnet50_dynamo", "kelber2020")
        network.save(tmp_path / "a.snc")
        again = load(tmp_path / "a.snc")
        again.save(tmp_path / "b.snc")
        assert (tmp_path / "a.snc").read_bytes() == (tmp_path / "b.snc").read_bytes()
        x = noise(network.inputs[0].shape, seed=3)
        np.testing.assert_array_equal(network(x), again(x))


class TestQdqNets:
    @pytest.mark.parametrize("name", QDQ_NETS)
    def test_lies_at_most_one_output_step_from_onnxruntime(self, name: str) -> None:
        network = build(name, "kelber2020")
        assert not network.notes, "a model with its own scales needs no calibration"
        images = [*(noise((1, 3, 224, 224), seed=seed) for seed in range(4)), *zoo.photographs().images[:, None]]
        runner = session(name)
        step = network_step(network)
        ours = np.concatenate([network.run([x])[0] for x in images])
        theirs = np.concatenate([runner.run(None, {"image": x})[0] for x in images])
        steps = np.rint(np.abs(ours - theirs) / step)
        share = float((steps <= 1).mean())
        print(f"\n{name}: {share:.4%} of outputs within one step, largest difference {int(steps.max())} steps")
        assert share >= 0.999


def network_step(network: Executable) -> float:
    """The scale of the network's output."""
    owner = network.module.main.return_op.values[0].owner
    assert owner is not None
    return float(owner.scale)  # type: ignore[attr-defined]  # a dequantize


class TestPhotographs:
    @pytest.mark.parametrize("name", PHOTOGRAPH_NETS)
    def test_keep_their_class_in_int8(self, name: str) -> None:
        network = build(name, "kelber2020")
        photographs = zoo.photographs()
        logits = network.run([photographs.images])[0]
        for scores, expected, title in zip(logits, photographs.expected, photographs.names, strict=True):
            assert int(scores.argmax()) in set(expected.tolist()) - {-1}, title

    def test_recorded_digit_keeps_its_label(self) -> None:
        x, expected = zoo.mnist_sample()
        network = compile(zoo.model("qonnx_mnist"), calibration={"Input3": x})
        assert int(network.run([x])[0].argmax()) == int(expected.argmax())
