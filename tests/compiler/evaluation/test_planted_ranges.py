"""A range that is too narrow in one layer of a quantised network is found as saturation, in that layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.driver import compile as compile_schedule
from snc.compiler.driver import run_pipeline
from snc.compiler.evaluation.correspondence import Correspondence
from snc.compiler.evaluation.evaluate import evaluate
from snc.compiler.evaluation.record import Evaluation
from snc.compiler.evaluation.widened import widened
from snc.compiler.onnx.importer import import_model
from snc.compiler.pipelines import graph_pipeline
from snc.passes.base import PassContext
from snc.runtime.interpreter.evaluate import evaluate as interpret

from .float_nets import ACTIVATIONS, INPUTS, dense_model, narrowed, outputs, samples

FEW = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
SEEDS = st.integers(0, 10_000)


@st.composite
def hidden_layers(draw: st.DrawFn) -> tuple[int, int, str, int]:
    """A seed, a number of layers, an activation, and a layer that is not the last one."""
    layers = draw(st.integers(2, 4))
    return draw(SEEDS), layers, draw(st.sampled_from(ACTIVATIONS)), draw(st.integers(0, layers - 2))


def losses(found: Evaluation) -> dict[str, float]:
    return {stage.name: stage.loss for stage in found.stages}


class TestPlantedRange:
    @FEW
    @given(hidden_layers())
    def test_stage_and_layer_are_found(self, place: tuple[int, int, str, int]) -> None:
        seed, layers, activation, layer = place
        # Few classes differ behind drawn sigmoids, so that rounding alone decides: those are judged by numbers, below.
        activation = "Tanh" if activation == "Sigmoid" else activation
        model, x = dense_model(seed, layers, activation), samples(seed)
        executable = narrowed(model, x, f"fc{layer}" if activation != "Relu" else f"act{layer}", 1 / 12)
        found = evaluate(executable, ArrayDataSet({"x": x}, outputs(model, x).argmax(axis=1)), reference=model)
        assert found.worst is not None
        assert found.worst.stage == "saturation"
        assert f"fc{layer}" in found.worst.onnx
        assert "--calibrate" in found.worst.remedy

    @FEW
    @given(hidden_layers())
    def test_error_of_numbers_rises_there_too(self, place: tuple[int, int, str, int]) -> None:
        seed, layers, activation, layer = place
        model, x = dense_model(seed, layers, activation), samples(seed)
        executable = narrowed(model, x, f"fc{layer}" if activation != "Relu" else f"act{layer}", 1 / 12)
        found = evaluate(executable, ArrayDataSet({"x": x}, outputs(model, x)), reference=model)
        assert found.metric == "mse" and found.worst is not None
        assert found.worst.stage == "saturation" and f"fc{layer}" in found.worst.onnx
        lost = losses(found)
        assert sum(lost.values()) == found.stages[-1].scores["mse"] - found.stages[0].scores["mse"]
        assert lost["saturation"] > 0 and lost["schedule"] == 0


class TestWidened:
    @FEW
    @given(SEEDS, st.sampled_from(("Relu", "")), st.integers(1, 4))
    def test_computes_the_same_integers_where_nothing_saturates(self, seed: int, activation: str, layers: int) -> None:
        model, x = dense_model(seed, layers, activation), samples(seed, 50)
        executable = compile_schedule(model, calibration={"x": 1.3 * x}, level=0)
        graph = import_model(model)
        run_pipeline(graph_pipeline(), graph, PassContext(), ())
        wide = widened(executable.module, Correspondence.of(executable.module, graph))
        for sample in x[:, None] / 2:
            assert np.array_equal(interpret(wide, [sample])[0], interpret(executable.module, [sample])[0])

    def test_values_go_beyond_8_bits(self) -> None:
        model, x = dense_model(3, 2, "Relu"), samples(3, 50)
        executable = compile_schedule(model, calibration={"x": x / 10}, level=0)
        graph = import_model(model)
        run_pipeline(graph_pipeline(), graph, PassContext(), ())
        wide = widened(executable.module, Correspondence.of(executable.module, graph))
        exact = outputs(model, x)
        error, saturated = (
            np.abs(np.concatenate([interpret(module, [sample])[0] for sample in x[:, None]]) - exact).max()
            for module in (wide, executable.module)
        )
        assert error < 0.1 < 1 < saturated


class TestWithoutReference:
    def test_stages_start_at_the_fixed_point(self) -> None:
        model, x = dense_model(1, 2, "Relu"), samples(1)
        executable = compile_schedule(model, calibration={"x": x}, level=0)
        found = evaluate(executable, ArrayDataSet({"x": x}, outputs(model, x).argmax(axis=1)))
        assert [stage.name for stage in found.stages] == ["fixed point", "saturation", "schedule"]
        assert "reference" in found.stages[0].note
        assert found.worst is None
        assert all(layer.snr_db is None and layer.saturated is None for layer in found.layers)

    def test_artefact_alone(self) -> None:
        model, x = dense_model(1, 2, "Relu"), samples(1)
        executable = compile_schedule(model, calibration={"x": x}, level=0)
        data = ArrayDataSet({"x": x}, outputs(model, x).argmax(axis=1))
        found = evaluate(executable, data, stages=False)
        assert [stage.name for stage in found.stages] == ["schedule"]
        assert found.layers == ()
        assert found.scores == evaluate(executable, data).scores


class TestExecutable:
    def test_evaluates_itself(self) -> None:
        model, x = dense_model(2, 1, ""), samples(2, 40)
        executable = compile_schedule(model, calibration={"x": x}, level=0)
        classes = outputs(model, x).argmax(axis=1)
        found = executable.evaluate(x, labels=classes)
        own = executable(x)
        assert isinstance(own, np.ndarray)
        assert found.scores["top1"] == (own.argmax(axis=1) == classes).mean()
        assert found.samples == 40 and found.data_sha256 == executable.evaluate({"x": x}, labels=classes).data_sha256

    def test_bytes_in_the_place_of_fractions_are_refused_with_the_factor(self) -> None:
        x = np.random.default_rng(0).uniform(0, 1, (20, INPUTS)).astype(np.float32)
        executable = compile_schedule(dense_model(2, 1, ""), calibration={"x": x}, level=0)
        grey = (x * 255).astype(np.uint8)
        with pytest.raises(Exception, match="SNC0843") as caught:
            executable.evaluate(grey, labels=np.zeros(20, np.int64))
        assert "--preprocess scale=1/255" in str(caught.value)
