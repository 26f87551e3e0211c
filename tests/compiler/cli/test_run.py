"""snc run: arrays in, arrays out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snc.compiler.executable import load

from .conftest import DIGITS, Snc
from .nets import conv_net, save, two_ports

NET = DIGITS / "digits_cnn.onnx"


@pytest.fixture
def x(images: np.ndarray) -> Path:
    """One digit in a file."""
    np.save("x.npy", images[:1])
    return Path("x.npy")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with two inputs and two outputs."""
    return save(two_ports(), tmp_path_factory.mktemp("pair") / "pair.onnx")


class TestArtefact:
    def test_values_are_those_of_the_library(self, snc: Snc, digits: Path, images: np.ndarray) -> None:
        np.save("x.npy", images)
        assert snc("run", digits, "--input", "x.npy", "-o", "y.npy").exit_code == 0
        assert np.array_equal(np.load("y.npy"), load(digits)(images))

    def test_interpreter_and_program_give_the_same_integers(self, snc: Snc, digits: Path, x: Path) -> None:
        assert snc("run", digits, "--input", x, "--integers", "-o", "a.npy", "--threads", 1).exit_code == 0
        assert snc("run", digits, "--input", x, "--integers", "--interpret", "-o", "b.npy").exit_code == 0
        a, b = np.load("a.npy"), np.load("b.npy")
        assert a.dtype == np.int8 and np.array_equal(a, b)

    def test_archives_are_taken_and_written(self, snc: Snc, digits: Path, images: np.ndarray) -> None:
        np.savez_compressed("x.npz", image=images[:2])
        assert snc("run", digits, "--input", "x.npz", "-o", "y.npz").exit_code == 0
        with np.load("y.npz") as held:
            assert list(held) == ["logits"] and held["logits"].shape == (2, 10)

    def test_without_output_file_values_are_printed(self, snc: Snc, digits: Path, x: Path) -> None:
        ran = snc("run", digits, "--input", f"image={x}")
        assert ran.stdout.startswith("logits float32 [1, 10]\n[[")

    def test_json_holds_shapes_and_values(self, snc: Snc, digits: Path, x: Path) -> None:
        (output,) = json.loads(snc("run", digits, "--input", x, "--json").stdout)["outputs"]
        assert output["shape"] == [1, 10] and len(output["values"][0]) == 10
        (output,) = json.loads(snc("run", digits, "--input", x, "--json", "-o", "y.npy").stdout)["outputs"]
        assert output == {"name": "logits", "shape": [1, 10], "dtype": "float32", "file": "y.npy"}


class TestModel:
    def test_stage_nn_computes_in_float(self, snc: Snc, pair: Path) -> None:
        rng = np.random.default_rng(3)
        a, b = rng.standard_normal((2, 1, 4, 5, 5)).astype(np.float32)
        np.save("a.npy", a)
        np.save("b.npy", b)
        assert snc("run", pair, "--input", "b=b.npy", "--input", "a.npy", "-o", "s.npy", "-o", "d.npy").exit_code == 0
        assert np.array_equal(np.load("s.npy"), a + b) and np.array_equal(np.load("d.npy"), a - b)

    def test_stage_quant_gives_the_integers_of_the_artefact(self, snc: Snc, digits: Path, x: Path) -> None:
        options = ("--stage", "quant", "--calibrate", DIGITS / "calibration.npz", "--integers", "--input", x)
        assert snc("run", NET, *options, "-o", "a.npy").exit_code == 0
        assert snc("run", digits, "--interpret", "--integers", "--input", x, "-o", "b.npy").exit_code == 0
        assert np.array_equal(np.load("a.npy"), np.load("b.npy"))

    def test_shape_fixes_free_dimensions(self, snc: Snc, tmp_path: Path) -> None:
        net = save(conv_net((1, 3, "h", "w")), tmp_path / "net.onnx")
        np.save("x.npy", np.ones((1, 3, 5, 6), np.float32))
        assert snc("run", net, "--shape", "x=1,3,5,6", "--input", "x.npy", "-o", "y.npy").exit_code == 0
        assert np.load("y.npy").shape == (1, 4, 5, 6)

    def test_corrupt_model(self, snc: Snc, x: Path) -> None:
        Path("bad.onnx").write_bytes(b"\x00\x01\x02")
        assert snc("run", "bad.onnx", "--input", x).exit_code == 5


class TestInputs:
    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((1, 1, 28, 27), np.float32), "found: shape [1, 1, 28, 27], float32"),
            (np.zeros((1, 1, 28, 28), np.float64), "found: shape [1, 1, 28, 28], float64"),
            (np.zeros((0, 1, 28, 28), np.float32), "found: shape [0, 1, 28, 28]"),
            (np.full((1, 1, 28, 28), np.nan, np.float32), "NaN"),
            (np.zeros((1, 1, 28, 28), "S4"), "|S4"),
            (np.zeros((1, 1, 28, 28), ">f4"), ">f4"),
        ],
        ids=["shape", "dtype", "empty", "nan", "text", "big-endian"],
    )
    def test_wrong_arrays_are_refused(self, snc: Snc, digits: Path, array: np.ndarray, words: str) -> None:
        np.save("x.npy", array)
        ran = snc("run", digits, "--input", "x.npy", "-o", "y.npy")
        assert ran.exit_code == 2 and words in ran.stderr
        assert not Path("y.npy").exists()

    def test_missing_file(self, snc: Snc, digits: Path) -> None:
        ran = snc("run", digits, "--input", "gone.npy")
        assert ran.exit_code == 2 and "gone.npy" in ran.stderr

    def test_missing_input_is_named_with_its_shape(self, snc: Snc, pair: Path) -> None:
        np.save("a.npy", np.zeros((1, 4, 5, 5), np.float32))
        ran = snc("run", pair, "--input", "a.npy")
        assert ran.exit_code == 2 and "input b is not given" in ran.stderr and "[1, 4, 5, 5]" in ran.stderr

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (("a.npy", "a.npy", "a.npy"), "one array too many"),
            (("a=a.npy", "a=a.npy"), "given twice"),
            (("c.npz",), "no input: did you mean a"),
            (("a=two.npz",), "holds 2 arrays"),
        ],
        ids=["too many", "twice", "unknown", "several"],
    )
    def test_inputs_that_do_not_match(self, snc: Snc, pair: Path, given: tuple[str, ...], words: str) -> None:
        array = np.zeros((1, 4, 5, 5), np.float32)
        np.save("a.npy", array)
        np.savez("c.npz", aa=array)
        np.savez("two.npz", a=array, b=array)
        ran = snc("run", pair, *(word for name in given for word in ("--input", name)))
        assert ran.exit_code == 2 and words in ran.stderr

    def test_inputs_are_left_alone(self, snc: Snc, digits: Path, x: Path) -> None:
        before = x.read_bytes(), digits.read_bytes()
        for out in (x, digits):
            ran = snc("run", digits, "--input", x, "-o", out)
            assert ran.exit_code == 2 and "an input of this run" in ran.stderr
        assert before == (x.read_bytes(), digits.read_bytes())


class TestOutputs:
    def test_number_of_outputs_must_match(self, snc: Snc, pair: Path) -> None:
        for out in (("-o", "s.npy"), ("-o", "a.npz", "-o", "b.npy")):
            ran = snc("run", pair, *out)
            assert ran.exit_code == 2

    def test_same_file_twice(self, snc: Snc, pair: Path) -> None:
        np.save("a.npy", np.zeros((1, 4, 5, 5), np.float32))
        given = ("--input", "a.npy", "--input", "a.npy")
        ran = snc("run", pair, *given, "-o", "s.npy", "-o", "./s.npy")
        assert ran.exit_code == 2 and "named twice" in ran.stderr

    def test_unwritable_output_is_refused_before_the_work(
        self, snc: Snc, digits: Path, x: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("snc.compiler.executable.Executable.run", lambda *_, **__: pytest.fail("the work began"))
        ran = snc("run", digits, "--input", x, "-o", "nowhere/y.npy")
        assert ran.exit_code == 2 and "there is no folder" in ran.stderr

    def test_nothing_is_left_when_writing_fails(self, snc: Snc, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.save("a.npy", np.zeros((1, 4, 5, 5), np.float32))
        calls: list[int] = []

        def full(handle: int) -> None:
            calls.append(handle)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        ran = snc("run", pair, "--input", "a.npy", "--input", "a.npy", "-o", "s.npy", "-o", "d.npy")
        assert ran.exit_code == 6 and [path.name for path in Path().iterdir()] == ["a.npy"]


class TestOptions:
    @pytest.mark.parametrize(
        "options", [("--stage", "nn"), ("--shape", "image=1,1,28,28"), ("--interpret", "--threads", "2")]
    )
    def test_options_that_mean_nothing_for_an_artefact(self, snc: Snc, digits: Path, options: tuple[str, ...]) -> None:
        ran = snc("run", digits, *options)
        assert ran.exit_code == 2 and "an artefact takes no --" in ran.stderr

    @pytest.mark.parametrize(
        "options", [("--interpret",), ("--threads", "2"), ("--integers",), ("--calibrate", "c.npz")]
    )
    def test_options_that_mean_nothing_for_a_model(self, snc: Snc, options: tuple[str, ...]) -> None:
        ran = snc("run", NET, *options)
        assert ran.exit_code == 2 and "a model at stage nn takes no --" in ran.stderr


class TestHostileArtefacts:
    def test_missing(self, snc: Snc) -> None:
        for verb in ("run", "inspect", "verify"):
            assert snc(verb, "gone.snc").exit_code == 2

    def test_cut_and_changed_files_are_refused(self, snc: Snc, digits: Path) -> None:
        data = digits.read_bytes()
        rng = np.random.default_rng(4)
        cuts = [data[: int(at)] for at in rng.integers(0, len(data), 6)]
        flips = []
        for at in rng.integers(0, len(data), 12):
            changed = bytearray(data)
            changed[at] ^= 1 << int(rng.integers(8))
            flips.append(bytes(changed))
        for content in (b"", b"PK\x03\x04", NET.read_bytes(), data + b"\0", *cuts, *flips):
            Path("bad.snc").write_bytes(content)
            refused = snc("inspect", "bad.snc")
            assert refused.exit_code == 5 and "error[SNC06" in refused.stderr

    def test_folders_and_devices(self, snc: Snc) -> None:
        Path("folder.snc").mkdir()
        assert snc("inspect", "folder.snc").exit_code == 5
        assert snc("inspect", "/dev/zero").exit_code == 5
