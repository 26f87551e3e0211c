"""From models to executables: what is taken is exact and near the float net, what is not is refused with reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from snc.compiler.driver import NOISE_CODE, compile, interpret_model
from snc.compiler.executable import Executable
from snc.compiler.pipelines import Spinn2Options
from snc.ir.diagnostics import DoesNotFit, ModelError, SncError, UsageError
from snc.ir.dialects.builtin import ModuleOp
from snc.runtime.spinn2.program import ProgramError
from snc.runtime.spinn2.verify import verify

from ..backends.spinn2.compiling import assert_exact, compile_module
from ..backends.spinn2.small_machines import small_machine, small_machine_text
from ..strategies import any_nn_modules
from .onnx.graphs import model, oracle
from .tiny_models import BLOCKS, CONVOLUTIONS, REFUSED, TAKEN, Array, Tiny, node, number, weights


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("machines") / "small.toml"
    path.write_text(small_machine_text(double_blocks=2, pes_per_qpe=4, storage=2, ports=2, data_bytes=8192))
    return path


def assert_sound(executable: Executable, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs, after comparing them with the reference interpreter."""
    assert verify(executable.program) == []
    arrays = list(inputs.values())
    found, expected = executable.run(arrays, integers=True), executable.interpret(arrays, integers=True)
    for ours, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, reference)
    return executable.run(arrays)


class TestFloatModels:
    @pytest.mark.parametrize("name", TAKEN)
    def test_outputs_are_exact_and_near_onnxruntime(self, name: str, machine: Path) -> None:
        """Each layer rounds by parts of a step; the bound is 5 steps of the output's range."""
        tiny = TAKEN[name]
        inputs = tiny.samples(0)
        executable = compile(tiny.proto(), machine=machine, calibration=inputs)
        assert executable.notes == ()
        outputs = assert_sound(executable, inputs)
        for found, expected in zip(outputs, oracle(tiny.proto(), list(inputs.values())), strict=True):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            spread = float(np.ptp(np.append(expected, 0)))
            assert float(np.abs(found - expected).max()) <= 5 * spread / 255

    @pytest.mark.parametrize("name", [*BLOCKS, "one_dimensional", "softmax_over_channels", "tokens", "slice"])
    @pytest.mark.parametrize("options", [{"bits": 16}, {"activations": "uint"}, {"rescale": "shift"}])
    def test_options(self, name: str, options: dict[str, object], machine: Path) -> None:
        inputs = TAKEN[name].samples(0)
        for mapping in ("baseline", "kelber2020"):
            executable = compile(TAKEN[name].proto(), machine=machine, calibration=inputs, mapping=mapping, **options)  # type: ignore[arg-type]
            assert_sound(executable, inputs)

    def test_the_whole_machine(self) -> None:
        inputs = BLOCKS["classifier"].samples(0)
        assert_sound(compile(BLOCKS["classifier"].proto(), calibration=inputs), inputs)


class Reader(CalibrationDataReader):
    def __init__(self, samples: list[dict[str, Array]]) -> None:
        self.samples: Iterator[dict[str, Array]] = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.samples, None)


FORMS = {
    "u8s8": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8},
    "s8s8_channels": {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True},
    "u8u8": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8},
    "operators": {"activation_type": QuantType.QUInt8, "quant_format": QuantFormat.QOperator},
}

QDQ_MODELS = {
    **{name: CONVOLUTIONS[name] for name in ("groups", "depthwise", "dilated", "stem", "channels_last")},
    **{name: BLOCKS[name] for name in ("residual", "dense_net", "swish", "classifier", "squeeze_and_excite")},
    **{name: TAKEN[name] for name in ("fully_connected", "tokens", "softmax_of_scores", "several", "split")},
    "tails": Tiny(
        [
            node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
            node("Clip", "a zero six", "b"),
            node("AveragePool", "b", "c", kernel_shape=[2, 2]),
            node("MaxPool", "c", "d", kernel_shape=[2, 2]),
            node("Resize", "d - s", "e", mode="nearest"),
            node("LeakyRelu", "e", "f"),
            node("HardSwish", "f", "g"),
            node("PRelu", "g p", "h"),
            node("GlobalAveragePool", "h", "i"),
            node("Flatten", "i", "y"),
        ],
        {"w": weights(4, 4, 3, 3), "zero": number(0), "six": number(6), "p": np.abs(weights(4, 1, 1))}
        | {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
}


def quantized(tiny: Tiny, form: Mapping[str, object], folder: Path) -> onnx.ModelProto:
    onnx.save(tiny.proto(), folder / "float.onnx")
    reader = Reader([tiny.samples(seed) for seed in range(4)])
    whole = form if "quant_format" in form else {**form, "op_types_to_quantize": [each.op_type for each in tiny.nodes]}
    quantize_static(folder / "float.onnx", folder / "qdq.onnx", reader, **whole)
    return onnx.load(folder / "qdq.onnx")


def output_steps(proto: onnx.ModelProto) -> list[float]:
    """The scale of every output."""
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    makers = {name: each for each in proto.graph.node for name in each.output}
    return [float(stored[makers[output.name].input[1]]) for output in proto.graph.output]


class TestQuantisedModels:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("name", QDQ_MODELS)
    def test_outputs_are_a_step_from_onnxruntime_at_most(
        self, name: str, form: str, machine: Path, tmp_path: Path
    ) -> None:
        tiny = QDQ_MODELS[name]
        proto = quantized(tiny, FORMS[form], tmp_path)
        inputs = tiny.samples(9)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        try:
            executables = [compile(proto, machine=machine, rescale=rescale) for rescale in ("auto", "multiplier")]
        except ModelError as error:
            # onnxruntime's own operators for sums, concats and more.
            assert form == "operators" and "com.microsoft" in str(error)
            return
        for executable in executables:
            assert executable.notes == ()
            for found, expected, step in zip(
                assert_sound(executable, inputs), session.run(None, inputs), output_steps(proto), strict=True
            ):
                apart = np.abs(found - expected) / step
                assert float((apart > 1.01).mean()) <= 0.001

    def test_scales_that_are_no_powers_of_two_are_refused_where_there_are_shifts_alone(self, tmp_path: Path) -> None:
        proto = quantized(BLOCKS["residual"], FORMS["u8s8"], tmp_path)
        with pytest.raises(ModelError, match=r"no power of two(.|\n)*--rescale multiplier"):
            compile(proto, rescale="shift")


class TestRefusal:
    @pytest.mark.parametrize("name", REFUSED)
    def test_the_error_names_node_and_reason(self, name: str) -> None:
        tiny, reason = REFUSED[name]
        with pytest.raises(ModelError) as error:
            compile(tiny.proto(), calibration=tiny.samples(0))
        assert reason in str(error.value)
        assert error.value.exit_code == 1
        assert all(each.node for each in error.value.diagnostics)

    def test_a_layer_that_does_not_fit_names_need_limit_and_remedy(self, tmp_path: Path) -> None:
        path = tmp_path / "small.toml"
        path.write_text(small_machine_text(data_bytes=64))
        tiny = CONVOLUTIONS["stem"]
        with pytest.raises(DoesNotFit, match=r"/Conv_c(.|\n)*needs \d+ bytes(.|\n)*has 64(.|\n)*--machine"):
            compile(tiny.proto(), machine=path, calibration=tiny.samples(0))

    def test_a_network_that_does_not_fit_the_dram(self, tmp_path: Path) -> None:
        path = tmp_path / "small.toml"
        text = small_machine_text().replace("capacity_bytes = 536_870_912", "capacity_bytes = 512")
        path.write_text(text)
        tiny = CONVOLUTIONS["stem"]
        with pytest.raises(DoesNotFit, match="behind DRAM port"):
            compile(tiny.proto(), machine=path, calibration=tiny.samples(0))

    @pytest.mark.parametrize(
        "options",
        [
            {"target": "loihi"},
            {"machine": "spinn3"},
            {"mapping": "best"},
            {"bits": 4},
            {"activations": "float"},
            {"rescale": "exact"},
            {"calibration_method": "median"},
            {"shapes": {"z": (1, 2)}},
        ],
    )
    def test_options_that_do_not_exist(self, options: dict[str, object]) -> None:
        tiny = CONVOLUTIONS["pointwise_stride"]
        with pytest.raises(UsageError):
            compile(tiny.proto(), calibration=tiny.samples(0), **options)  # type: ignore[arg-type]

    @settings(max_examples=120)
    @given(any_nn_modules(), st.sampled_from((8, 16)), st.sampled_from(("multiplier", "shift")))
    def test_any_graph_is_exact_or_refused_with_reasons(self, module: ModuleOp, bits: int, rescale: str) -> None:
        options = Spinn2Options(bits=bits, rescale=rescale)
        try:
            fixed, program = compile_module(module, options, small_machine(data_bytes=16384))
        except SncError as error:
            assert not isinstance(error, ProgramError)
            assert all(each.found and each.expected for each in error.diagnostics)
            return
        assert_exact(fixed, program)


class TestCalibration:
    tiny = BLOCKS["residual"]

    def test_noise_is_complained_about_only_when_ranges_are_needed(self, tmp_path: Path) -> None:
        executable = compile(self.tiny.proto())
        assert [note.code for note in executable.notes] == [NOISE_CODE]
        assert executable.options["calibration"] == "noise"
        assert compile(quantized(self.tiny, FORMS["u8s8"], tmp_path)).notes == ()

    @pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
    def test_every_method_gives_a_network_near_the_float_one(self, method: str) -> None:
        samples = self.tiny.samples(0, count=8)
        executable = compile(self.tiny.proto(), calibration=samples, calibration_method=method)
        assert executable.options["calibration"] == "data"
        x = samples["x"][:1]
        (expected,) = oracle(self.tiny.proto(), [x])
        error = np.asarray(executable(x)) - expected
        assert float(np.sqrt(np.mean(error**2))) <= 0.03 * float(expected.max())

    def test_one_input_may_have_another_name(self) -> None:
        (samples,) = self.tiny.samples(0).values()
        assert compile(self.tiny.proto(), calibration={"images": samples}).notes == ()

    def test_double_precision_is_taken(self) -> None:
        samples = {"x": self.tiny.samples(0)["x"].astype(np.float64)}
        assert compile(self.tiny.proto(), calibration=samples).notes == ()

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ({}, "lacks inputs"),
            ({"x": np.zeros((1, 3, 9, 10), np.float32)}, "does not fit the model"),
            ({"x": np.zeros((0, 4, 9, 10), np.float32)}, "does not fit the model"),
            ({"x": np.zeros((1, 4, 9, 10), np.int32)}, "does not fit the model"),
            ({"x": np.full((1, 4, 9, 10), np.nan, np.float32)}, "NaN or infinite"),
        ],
    )
    def test_data_that_does_not_fit(self, data: dict[str, Array], reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            compile(self.tiny.proto(), calibration=data)


class TestModels:
    def test_free_dimensions_are_fixed_by_name(self) -> None:
        proto = model([node("Relu", "x", "y")], {"x": ["N", 4]}, ["y"])
        executable = compile(proto, shapes={"x": (1, 4)})
        assert executable.inputs[0].shape == (1, 4)

    def test_a_file_gives_what_the_model_gives(self, tmp_path: Path) -> None:
        tiny = CONVOLUTIONS["groups"]
        proto = onnx.shape_inference.infer_shapes(tiny.proto())
        onnx.save(proto, tmp_path / "net.onnx")
        inputs = tiny.samples(0)
        one = compile(tmp_path / "net.onnx", calibration=inputs)
        other = compile(proto, calibration=inputs)
        assert one.source_sha256 == other.source_sha256
        np.testing.assert_array_equal(one(*inputs.values()), other(*inputs.values()))

    def test_interpret_model_stops_at_either_stage(self) -> None:
        tiny = CONVOLUTIONS["groups"]
        for stage in ("nn", "quant"):
            module, ports = interpret_model(tiny.proto(), stage=stage, calibration=tiny.samples(0))
            assert [port.name for port in ports] == ["x"]
            assert any(op.name == f"{stage}.conv2d" for op in module.walk())
        with pytest.raises(UsageError, match="there is no stage"):
            interpret_model(tiny.proto(), stage="spiking")

    def test_progress_names_the_stages_in_order(self) -> None:
        seen: list[str] = []
        tiny = CONVOLUTIONS["groups"]
        compile(tiny.proto(), calibration=tiny.samples(0), progress=seen.append)
        stages = list(dict.fromkeys(each.split(",")[0] for each in seen))
        assert stages == ["import", "graph", "fixed point", "tiling", "schedule"]
        programs = [each for each in seen if each.startswith("schedule, program ")]
        assert [int(each.split(",")[1].split()[-1]) for each in programs] == [*range(1, len(programs) + 1)]
        assert len(programs) > 1 and all(each.endswith(" ms") for each in programs[1:])
