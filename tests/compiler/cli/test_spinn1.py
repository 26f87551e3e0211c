"""The command line on networks for SpiNNaker1: values, reports, hand-over, and what is refused with which exit code."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from snc.compiler.cli.build import build as build_command
from snc.compiler.cli.options import WATCH_NAMES
from snc.compiler.cli.target_options import OWN
from snc.compiler.spinn1.driver import OPTION_NAMES
from snc.compiler.spinn1.profile import profile_schema
from snc.compiler.targets import TARGETS

from ..step_models import conv_steps, dense_spikes, dense_steps, grey_steps, samples
from .conftest import Snc, run_snc

DATA = Path(__file__).resolve().parents[2] / "data"
FIXED = ("--target", "spinn1", "--machine", "spinn3")
SLOW = ("--groups", 2, "--tiles", 2, "--time-scale-factor", 5)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact of a small network with votes behind its spikes; the model lies beside it."""
    folder = tmp_path_factory.mktemp("spikes")
    (folder / "net.onnx").write_bytes(dense_steps("key"))
    done = run_snc("build", *FIXED, folder / "net.onnx", "-o", folder / "net.snc", *SLOW)
    assert done.exit_code == 0, done.output
    return folder / "net.snc"


@pytest.fixture
def x() -> np.ndarray:
    """Twenty samples, which lie in x.npy too."""
    found = samples(20, 12)
    np.save("x.npy", found)
    return found


class TestOptions:
    def test_own_options_are_those_of_the_compiler(self) -> None:
        assert set(OWN["spinn1"]) == set(OPTION_NAMES) == TARGETS["spinn1"].options
        renamed = {"calibration": "calibration_method"}
        assert {renamed.get(name, name) for name in OWN["spinn2"]} == TARGETS["spinn2"].options

    def test_every_option_of_build_belongs_somewhere(self) -> None:
        common = {"model", "out", "target", "machine", "shapes", "calibrate", "as_json", "verbose", "quiet"}
        names = {parameter.name for parameter in build_command.params}
        assert names == common | set(WATCH_NAMES) | set(OWN["spinn1"]) | set(OWN["spinn2"])

    @pytest.mark.parametrize(
        ("target", "option"), [("spinn2", ("--groups", "2")), ("spinn1", ("--bits", "16")), ("spinn1", ("-O", "1"))]
    )
    def test_options_of_another_target_are_refused(self, snc: Snc, target: str, option: tuple[str, str]) -> None:
        Path("net.onnx").write_bytes(dense_steps())
        done = snc("build", "--target", target, "net.onnx", *option)
        assert done.exit_code == 2 and f"{option[0]}: an option of" in done.stderr
        assert not list(Path().glob("*.snc"))

    @pytest.mark.parametrize(
        "option",
        [
            ("--groups", "0"),
            ("--tiles", "1.5"),
            ("--neurons-per-core", "many"),
            ("--time-scale-factor", "nan"),
            ("--time-scale-factor", "-1"),
            ("--weights", "q0.9"),
            ("--bias", "none"),
            ("--optimize", "energy"),
            ("--machine", "spinn9"),
        ],
    )
    def test_values_that_cannot_be(self, snc: Snc, option: tuple[str, str]) -> None:
        Path("net.onnx").write_bytes(dense_steps())
        done = snc("build", "--target", "spinn1", "net.onnx", *option)
        assert done.exit_code == 2 and done.stderr.startswith("error[") and not Path("net.snc").exists()


class TestRun:
    def test_gives_output_spikes(self, snc: Snc, net: Path, x: np.ndarray) -> None:
        assert snc("run", net, "--input", "x.npy", "-o", "y.npy").exit_code == 0
        found = np.load("y.npy")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, dense_spikes(x))

    @pytest.mark.parametrize("option", ["--interpret", "--congestion"])
    def test_other_ways_give_the_same_spikes_when_all_come_in_time(
        self, snc: Snc, net: Path, x: np.ndarray, option: str
    ) -> None:
        assert snc("run", net, "--input", "x.npy", "-o", "y.npy", option).exit_code == 0
        np.testing.assert_array_equal(np.load("y.npy"), dense_spikes(x))

    def test_decoded_outputs(self, snc: Snc, net: Path, x: np.ndarray) -> None:
        assert snc("run", net, "--input", "x.npy", "-o", "votes.npy", "--decoded").exit_code == 0
        found = np.load("votes.npy")
        assert found.dtype == np.float32 and found.shape == (20, 3)

    def test_congestion_says_what_it_left_out(self, snc: Snc, x: np.ndarray) -> None:
        Path("net.onnx").write_bytes(dense_steps())
        snc("build", *FIXED, "net.onnx", "--groups", 1, "--time-scale-factor", 0.005)
        done = snc("run", "net.snc", "--input", "x.npy", "-o", "y.npy", "--congestion", "--json")
        (note,) = json.loads(done.stdout)["diagnostics"]
        assert note["severity"] == "warning" and " late" in note["message"]
        assert (np.load("y.npy") != dense_spikes(x)).any()

    @pytest.mark.parametrize(
        ("bad", "word"),
        [
            (np.full((2, 12), 2), "no spikes"),
            (np.full((2, 12), 0.5), "no spikes"),
            (np.zeros((0, 12)), "one sample or more"),
            (np.zeros((2, 13)), "does not fit"),
        ],
    )
    def test_inputs_that_are_no_spikes(self, snc: Snc, net: Path, bad: np.ndarray, word: str) -> None:
        np.save("bad.npy", bad)
        done = snc("run", net, "--input", "bad.npy", "-o", "y.npy")
        assert done.exit_code == 2 and word in done.stderr and not Path("y.npy").exists()

    def test_numbers_for_a_network_with_its_own_threshold(self, snc: Snc) -> None:
        Path("grey.onnx").write_bytes(grey_steps())
        assert snc("build", *FIXED, "grey.onnx").exit_code == 0
        np.save("x.npy", np.array([[99, 100, 0, 0]], np.float32))
        assert snc("run", "grey.snc", "--input", "x.npy", "-o", "y.npy").exit_code == 0
        np.testing.assert_array_equal(np.load("y.npy"), [[0, 1]])

    @pytest.mark.parametrize("options", [("--integers",), ("--interpret", "--congestion")])
    def test_options_that_mean_nothing(self, snc: Snc, net: Path, x: np.ndarray, options: tuple[str, ...]) -> None:
        assert snc("run", net, "--input", "x.npy", *options).exit_code == 2

    def test_options_of_spikes_are_refused_for_schedules(self, snc: Snc, digits: Path) -> None:
        assert snc("run", digits, "--congestion").exit_code == 2


class TestReports:
    def test_profile_is_of_the_published_schema(self, snc: Snc, net: Path, x: np.ndarray) -> None:
        for more in ((), ("--input", "x.npy")):
            document = json.loads(snc("profile", net, "--json", *more).stdout)
            jsonschema.Draft202012Validator(profile_schema()).validate(document["profile"])

    def test_profile_as_text_has_units(self, snc: Snc, net: Path) -> None:
        shown = snc("profile", net).stdout
        for word in ("samples/s", "ms", "J a sample", "all in time", "bias neurons"):
            assert word in shown

    def test_a_trace_is_for_schedules(self, snc: Snc, net: Path) -> None:
        assert snc("profile", net, "--trace", "t.json").exit_code == 2

    def test_inspect(self, snc: Snc, net: Path) -> None:
        shown = snc("inspect", net)
        assert shown.exit_code == 0 and "population" in shown.stdout and "first" in shown.stdout
        assert snc("inspect", net, "--ir").stdout.count("spiking.population") == 2
        detail = json.loads(snc("inspect", net, "--layer", "second", "--json").stdout)["layer"]
        assert detail["neurons"] == 6 and detail["kind"] == "neuron"
        assert json.loads(snc("inspect", net, "--json").stdout)["summary"]["tiles"] == 2

    def test_verify_and_rebuild(self, snc: Snc, net: Path) -> None:
        done = snc("verify", net, "--rebuild", net.with_suffix(".onnx"), "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["checks"] == {"tables": True, "values": True, "rebuild": True}

    def test_build_says_what_was_chosen(self, snc: Snc) -> None:
        Path("net.onnx").write_bytes(dense_steps())
        done = snc("build", *FIXED, "net.onnx", "--json", "--pass-timing")
        document = json.loads(done.stdout)
        assert document["summary"]["choices"]["reasons"] and document["summary"]["throughput_per_s"] > 0
        assert [row["pass"].partition("{")[0] for row in document["passes"]][-1] == "schedule-temporal-groups"


class TestCheck:
    @pytest.mark.parametrize(
        ("model", "options", "code"),
        [
            (dense_steps(), (), 0),
            (conv_steps(), ("--weights", "q4.8", "--weight-scale", "layer"), 0),
            (dense_steps(activation="relu"), (), 1),
            (dense_steps(activation="relu"), ("--binarize", "threshold"), 0),
            (dense_steps(scale=40), ("--weights", "q4.8"), 1),
            (dense_steps(), ("--tiles", "500"), 3),
            (dense_steps(), ("--groups", "4096", "--neurons-per-core", "8"), 3),
        ],
    )
    def test_verdict_is_that_of_the_build(self, snc: Snc, model: bytes, options: tuple[str, ...], code: int) -> None:
        Path("net.onnx").write_bytes(model)
        assert snc("check", *FIXED, "net.onnx", *options).exit_code == code
        done = snc("build", *FIXED, "net.onnx", *options)
        assert done.exit_code == code and Path("net.snc").exists() == (code == 0)


class TestExport:
    def test_pynn(self, snc: Snc, net: Path) -> None:
        assert snc("export", net, "--to", "pynn", "-o", "out").exit_code == 0
        compile(Path("out/run_pynn.py").read_text(), "run_pynn.py", "exec")
        with np.load("out/network.npz", allow_pickle=False) as data:
            assert data["neurons"].sum() > 0
        again = json.loads(snc("export", net, "--to", "pynn", "-o", "out", "--json").stdout)
        assert again["files"] == ["out/run_pynn.py", "out/network.npz"]

    def test_nir(self, snc: Snc, net: Path) -> None:
        done = snc("export", net, "--to", "nir", "-o", "net.nir")
        installed = importlib.util.find_spec("nir") is not None
        assert done.exit_code == (0 if installed else 2) and Path("net.nir").exists() == installed

    def test_places_that_cannot_be_written(self, snc: Snc, net: Path) -> None:
        Path("file").write_text("here")
        for place in ("no/such/folder", "file"):
            assert snc("export", net, "--to", "pynn", "-o", place).exit_code == 2
        assert Path("file").read_text() == "here" and not Path("no").exists()

    def test_schedules_are_refused(self, snc: Snc, digits: Path) -> None:
        done = snc("export", digits, "--to", "pynn")
        assert done.exit_code == 2 and "spinn1" in done.stderr and not list(Path().iterdir())


class TestTargets:
    def test_machines_are_listed_and_shown(self, snc: Snc) -> None:
        listed = {each["name"]: each for each in json.loads(snc("targets", "--json").stdout)["targets"]}
        assert {each["name"] for each in listed["spinn1"]["machines"]} >= {"spinn3", "spinn5"}
        assert [each["name"] for each in listed["spinn1"]["machines"] if each["default"]] == ["spinn5"]
        Path("board.toml").write_text(snc("targets", "show", "spinn5").stdout)
        assert snc("targets", "show", "board.toml").stdout == Path("board.toml").read_text()
        assert json.loads(snc("targets", "show", "board.toml", "--json").stdout)["machine"]["mesh"]["width_chips"] == 8

    def test_a_board_of_ones_own(self, snc: Snc) -> None:
        text = snc("targets", "show", "spinn3").stdout
        Path("board.toml").write_text(text.replace("dead_chips = []", "dead_chips = [[1, 1]]"))
        Path("net.onnx").write_bytes(dense_steps())
        assert snc("build", "--target", "spinn1", "--machine", "board.toml", "net.onnx").exit_code == 0
        dead = "dead_chips = [[0, 0], [0, 1], [1, 0], [1, 1]]"
        Path("board.toml").write_text(text.replace("dead_chips = []", dead))
        done = snc("build", "--target", "spinn1", "--machine", "board.toml", "net.onnx", "-o", "dead.snc")
        assert done.exit_code == 2 and "board.toml" in done.stderr and not Path("dead.snc").exists()


class TestSlides:
    """The dense network of the slides, by the command line."""

    def test_190_tiles_of_4_cores_classify_the_digits(self, snc: Snc) -> None:
        with np.load(DATA / "mnist_test_bits.npz") as stored:
            images, labels = np.unpackbits(stored["bits"], axis=1), stored["labels"]
        np.save("x.npy", images)
        options: tuple[Any, ...] = ("--groups", 1, "--tiles", 190, "--time-scale-factor", 5, "--no-monitors")
        model = DATA / "mnist_dense3_bn.onnx"
        built = snc("build", "--target", "spinn1", model, "-o", "net.snc", *options)
        assert built.exit_code == 0, built.output
        assert snc("run", "net.snc", "--input", "x.npy", "-o", "y.npy").exit_code == 0
        found = np.load("y.npy").reshape(-1, 10, 10).sum(axis=2).argmax(axis=1)
        assert abs((found == labels).mean() - 0.9341) <= 0.001
        measured = json.loads(snc("profile", "net.snc", "--json", "--input", "x.npy").stdout)["profile"]
        assert (measured["tiles"], measured["cores"], measured["neurons"]) == (190, 760, 57_000)
        assert measured["sample_interval_steps"] * measured["tick_s"] == pytest.approx(0.010)
        assert measured["late_spikes"] == 0

    def test_with_the_monitors_on_one_tile_less_fits(self, snc: Snc) -> None:
        model = DATA / "mnist_dense3_bn.onnx"
        options = ("--target", "spinn1", "--groups", 1, "--time-scale-factor", 5, "--monitors")
        refused = snc("build", model, "-o", "net.snc", *options, "--tiles", 190)
        assert refused.exit_code == 3 and "--tiles 189" in refused.stderr and not Path("net.snc").exists()
        assert snc("build", model, "-o", "net.snc", *options, "--tiles", 189).exit_code == 0
