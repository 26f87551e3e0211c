"""Networks of steps in their other forms: tails, convolutions, poolings, numbers as inputs, soft activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.evaluation.evaluate import evaluate
from snc.compiler.evaluation.record import Evaluation
from snc.compiler.spinn1.driver import compile_with
from snc.compiler.spinn1.executable import SpikingExecutable
from snc.ir.diagnostics import UsageError

from ..step_models import CLASSES, OUTPUTS, conv_steps, dense_spikes, dense_steps, grey_steps, samples

COUNT = 80
FIXED: dict[str, Any] = {"tiles": 2, "groups": 1, "time_scale_factor": 20, "monitors": False}


def built(model: bytes, **options: Any) -> SpikingExecutable:
    return compile_with(onnx.load_from_string(model), **(FIXED | options))


def evaluated(model: bytes, executable: SpikingExecutable, x: Any, labels: Any, **options: Any) -> Evaluation:
    return evaluate(executable, ArrayDataSet({"x": x}, labels), reference=onnx.load_from_string(model), **options)


class TestTails:
    @pytest.mark.parametrize("tail", ["key", "argmax", "softmax"])
    def test_classes_are_those_of_the_executable(self, tail: str) -> None:
        model, x = dense_steps(tail), samples(COUNT, 12)
        executable = built(model)
        labels = np.random.default_rng(2).integers(0, CLASSES, COUNT)
        found = evaluated(model, executable, x, labels)
        accuracy = float((executable.labels(executable(x)) == labels).mean())
        assert {stage.scores["top1"] for stage in found.stages} == {accuracy}
        assert found.worst is None and not found.notes

    def test_spikes_that_vote(self) -> None:
        model, x = dense_steps(), samples(COUNT, 12)
        votes = dense_spikes(x).reshape(COUNT, CLASSES, -1).sum(axis=2).argmax(axis=1)
        found = evaluated(model, built(model), x, votes, classes=CLASSES)
        assert found.scores["top1"] == 1
        assert [note.code for note in found.notes] == ["SNC0854"]

    def test_numbers_of_a_tail(self) -> None:
        model, x = dense_steps("key"), samples(COUNT, 12)
        executable = built(model)
        (wanted,) = executable.decode(executable(x))
        found = evaluated(model, executable, x, wanted + np.float32(0.5))
        assert found.metric == "mse" and found.scores["mse"] == 0.25


class TestForms:
    def test_convolution_and_pooling(self) -> None:
        model, x = conv_steps(), samples(COUNT, 1, 6, 6)
        executable = built(model)
        labels = executable(x).argmax(axis=1)
        found = evaluated(model, executable, x, labels, classes=4)
        assert found.scores["top1"] == 1
        assert [layer.name for layer in found.layers] == ["conv", "pool", "dense"]
        spikes = executable.execute([x]).spikes.sum(axis=1)[1:] - executable.netlist.populations["bias_neurons"][1:]
        rows = {label: each / COUNT for label, each in zip(executable.netlist.labels[1:], spikes, strict=True)}
        assert {layer.name: layer.spikes_per_sample for layer in found.layers} == pytest.approx(rows)

    def test_numbers_that_the_host_encodes(self) -> None:
        model = grey_steps()
        x = np.random.default_rng(3).integers(0, 200, (COUNT, 4)).astype(np.float32)
        executable = built(model)
        labels = (x[:, :2] >= 100).argmax(axis=1)
        found = evaluated(model, executable, x, labels, classes=2)
        assert {stage.scores["top1"] for stage in found.stages} == {1.0}

    def test_soft_activation_that_became_a_step_is_the_activation_change(self) -> None:
        model, x = dense_steps(activation="relu"), samples(COUNT, 12)
        executable = built(model, binarize="threshold")
        soft = evaluated(model, executable, x, np.zeros(COUNT, np.int64), classes=CLASSES, samples_per_stage=COUNT)
        assert "soft" in soft.stages[2].title
        # With the classes of the soft network as labels, all that is lost is lost by the steps.
        labels = soft_classes(model, x)
        found = evaluated(model, executable, x, labels, classes=CLASSES)
        assert found.stages[0].scores["top1"] == 1 > found.scores["top1"]
        assert found.worst is not None and found.worst.stage == "activation change"
        assert found.worst.layer == "first" or "first" in found.worst.onnx
        assert "steps" in found.worst.remedy


class TestRefusals:
    def test_values_that_are_no_spikes(self) -> None:
        executable = built(dense_steps())
        x = np.full((COUNT, 12), 0.3, np.float32)
        with pytest.raises(UsageError, match="SNC0843"):
            executable.evaluate(x, labels=np.zeros(COUNT, np.int64), classes=CLASSES)

    def test_more_classes_than_outputs(self) -> None:
        executable = built(dense_steps())
        with pytest.raises(UsageError, match="SNC0849"):
            executable.evaluate(samples(COUNT, 12), labels=np.full(COUNT, OUTPUTS))


def soft_classes(model: bytes, x: Any) -> Any:
    from snc.compiler.onnx.importer import import_model
    from snc.runtime.interpreter.evaluate import evaluate as interpret

    module = import_model(onnx.load_from_string(model), shapes={"x": x.shape})
    (spikes,) = interpret(module, [x.astype(np.float32)])
    return spikes.reshape(len(x), CLASSES, -1).sum(axis=2).argmax(axis=1)
