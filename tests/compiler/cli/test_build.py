"""snc build: products, end summary, options, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from snc.backends.spinn2 import schedule
from snc.backends.spinn2.machine import machine_text
from snc.compiler.cli import main
from snc.compiler.cli.options import MAPPINGS, METHODS, TARGETS
from snc.compiler.targets import TARGETS as COMPILER_TARGETS
from snc.passes.quant.calibrate import Calibrate
from snc.passes.quant.quantize import Quantize

from .conftest import DIGITS, Snc
from .nets import conv_net, deep_net, save, unsupported

NET = DIGITS / "digits_cnn.onnx"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save(conv_net(), tmp_path / "net.onnx")


class TestBuild:
    def test_default_name_is_the_stem_in_the_current_folder(self, snc: Snc, net: Path, tmp_path: Path) -> None:
        folder = tmp_path / "models"
        folder.mkdir()
        assert snc("build", net.rename(folder / "net.v2.onnx")).exit_code == 0
        assert (tmp_path / "net.v2.snc").is_file()
        assert [each.name for each in folder.iterdir()] == ["net.v2.onnx"]

    def test_summary_names_every_number_with_its_unit(self, snc: Snc) -> None:
        built = snc("build", NET, "--calibrate", DIGITS / "calibration.npz", "-o", "d.snc")
        rows = dict(line.split(maxsplit=1) for line in built.stdout.splitlines()[1:])
        assert rows["target"] == "spinn2, machine spinn2-2020, mapping optimized"
        assert rows["calibration"] == "on the given samples (min-max)"
        assert rows["layers"] == "3: 2 conv, 1 matmul"
        assert rows["MACs"] == "1.0 M"
        assert rows["parameters"] == "20,490, weights 20.0 KiB"
        assert re.fullmatch(r"\S+ KiB of 96.0 KiB in the fullest PE \(\d+%\)", rows["SRAM"])
        assert all(word in rows["schedule"] for word in ("tasks", "transfers", "steps"))
        assert "from DRAM" in built.stdout and "KiB" in built.stdout.splitlines()[0]
        assert not built.stderr

    def test_says_more_when_asked(self, snc: Snc) -> None:
        built = snc("build", NET, "--calibrate", DIGITS / "calibration.npz", "-o", "d.snc", "-v")
        assert "note[SNC0131]" in built.stderr and "the batch is free" in built.stderr

    def test_noise_calibration_is_loud(self, snc: Snc, net: Path) -> None:
        built = snc("build", net)
        assert "warning[SNC0422]" in built.stderr
        assert "ON RANDOM NOISE" in built.stdout

    def test_json_is_one_document_with_the_same_numbers(self, snc: Snc, net: Path) -> None:
        built = snc("build", net, "--json", "--pass-timing")
        document = json.loads(built.stdout)
        assert document["ok"] and document["command"] == "build" and document["schema_version"] == 1
        assert document["artefact"] == {"path": "net.snc", "bytes": Path("net.snc").stat().st_size}
        assert document["summary"]["macs"] == 4 * 8 * 8 * 3 * 9
        assert [note["code"] for note in document["diagnostics"]] == ["SNC0422"]
        assert {row["pass"].split("{")[0] for row in document["passes"]} >= {"quantize", "split-layers"}

    def test_quiet_prints_no_summary(self, snc: Snc, net: Path) -> None:
        built = snc("build", net, "-q")
        assert built.stdout == ""
        assert "SNC0422" in built.stderr

    def test_verbose_names_the_stages(self, snc: Snc, net: Path) -> None:
        lines = [line for line in snc("build", net, "-v").stderr.splitlines() if line.startswith("stage: ")]
        stages = list(dict.fromkeys(line.split(",")[0] for line in lines))
        assert stages == [f"stage: {s}" for s in ("import", "graph", "fixed point", "tiling", "schedule", "write")]
        assert any(line.startswith("stage: schedule, program 2, fastest so far") for line in lines)

    def test_options_reach_the_artefact(self, snc: Snc, net: Path) -> None:
        options = ["--bits", 16, "--activations", "uint", "--rescale", "shift", "--mapping", "baseline"]
        summary = json.loads(snc("build", net, *options, "--calibration", "percentile", "--json").stdout)["summary"]
        assert summary["mapping"] == "baseline"
        chosen = {"bits": 16, "activations": "uint", "rescale": "shift", "calibration_method": "percentile"}
        assert chosen.items() <= summary["options"].items()

    def test_same_input_gives_same_bytes(self, snc: Snc, net: Path) -> None:
        for name in ("a.snc", "b.snc"):
            assert snc("build", net, "-q", "-o", name).exit_code == 0
        assert Path("a.snc").read_bytes() == Path("b.snc").read_bytes()

    def test_choices_are_those_of_the_compiler(self) -> None:
        choices = {option.name: option.choices for option in (*Quantize.options(), *Calibrate.options())}
        assert choices["method"] == METHODS
        assert choices["bits"] == (8, 16) and choices["activations"] == ("int", "uint")
        assert tuple(COMPILER_TARGETS) == TARGETS
        assert schedule.MAPPINGS == MAPPINGS


class TestWatch:
    def test_ir_is_printed_after_the_pass(self, snc: Snc, net: Path) -> None:
        built = snc("build", net, "-q", "--print-ir-after", "form-blocks")
        assert built.stderr.count("module {") == 1 and "tile.block" in built.stderr
        assert built.stdout == ""

    def test_ir_is_printed_only_where_it_changed(self, snc: Snc, net: Path) -> None:
        every = snc("build", net, "-q", "--print-ir-after", "all").stderr.count("module {")
        changed = snc("build", net, "-q", "--print-ir-after-changed").stderr.count("module {")
        assert 0 < changed < every

    def test_unknown_pass_is_refused_with_the_nearest_name(self, snc: Snc, net: Path) -> None:
        built = snc("build", net, "--print-ir-after", "quantise")
        assert built.exit_code == 2 and "did you mean quantize" in built.stderr

    def test_stages_are_dumped_under_running_numbers(self, snc: Snc, net: Path) -> None:
        assert snc("build", net, "-q", "--dump-stages", "stages").exit_code == 0
        names = sorted(path.name for path in Path("stages").glob("*.snir"))
        assert names[0] == "00-input.snir" and names[-1].endswith("-split-layers.snir")
        assert [int(name[:2]) for name in names] == list(range(len(names)))

    def test_times_are_printed(self, snc: Snc, net: Path) -> None:
        assert "s  total" in snc("build", net, "-q", "--pass-timing").stderr


class TestRefusals:
    @pytest.mark.parametrize(
        "content", [b"", b"no protobuf at all", NET.read_bytes()[:5000]], ids=["empty", "text", "cut"]
    )
    def test_corrupt_model(self, snc: Snc, content: bytes) -> None:
        Path("bad.onnx").write_bytes(content)
        built = snc("build", "bad.onnx")
        assert built.exit_code == 5 and "error[SNC0202]" in built.stderr
        assert not Path("bad.snc").exists()

    def test_missing_model(self, snc: Snc) -> None:
        built = snc("build", "nowhere.onnx")
        assert built.exit_code == 2 and "nowhere.onnx: cannot open the model" in built.stderr

    @pytest.mark.parametrize(
        ("location", "code"),
        [("weights.bin", 1), ("../../etc/passwd", 5), ("/etc/passwd", 5)],
        ids=["gone", "up", "root"],
    )
    def test_external_data(self, snc: Snc, location: str, code: int, tmp_path: Path) -> None:
        made = conv_net()
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=location))
        built = snc("build", save(made, tmp_path / "net.onnx"))
        assert built.exit_code == code and "error[SNC" in built.stderr
        assert not Path("net.snc").exists()

    def test_free_dimensions_need_a_shape(self, snc: Snc, tmp_path: Path) -> None:
        net = save(conv_net((1, 3, "height", "width")), tmp_path / "net.onnx")
        refused = snc("build", net)
        assert refused.exit_code == 1 and "--shape x=1,3,HEIGHT,WIDTH" in refused.stderr
        built = snc("build", net, "--shape", "x=1,3,6,7", "--json")
        assert json.loads(built.stdout)["summary"]["inputs"][0]["shape"] == [1, 3, 6, 7]

    @pytest.mark.parametrize("text", ["1,3", "x", "x=1,-3", "x=1,a", "x=1,99999999999", "=1"])
    def test_bad_shape_text(self, snc: Snc, net: Path, text: str) -> None:
        built = snc("build", net, "--shape", text)
        assert built.exit_code == 2 and "image=1,3,224,224" in built.stderr

    def test_two_shapes_for_one_input(self, snc: Snc, net: Path) -> None:
        assert snc("build", net, "--shape", "x=1,3,8,8", "--shape", "x=1,3,9,9").exit_code == 2

    def test_nan_weights(self, snc: Snc, tmp_path: Path) -> None:
        built = snc("build", save(conv_net(weight=np.nan), tmp_path / "net.onnx"))
        assert built.exit_code == 1 and "error[SNC0208]: w:" in built.stderr

    def test_all_unsupported_nodes_are_listed(self, snc: Snc, tmp_path: Path) -> None:
        built = snc("build", save(unsupported(), tmp_path / "net.onnx"), "--json")
        assert built.exit_code == 1
        assert "first_bad" in built.stderr and "second_bad" in built.stderr
        document = json.loads(built.stdout)
        assert document["exit_code"] == 1 and not document["ok"] and len(document["diagnostics"]) == 2

    def test_too_small_machine_names_layer_need_have_and_remedy(self, snc: Snc, net: Path) -> None:
        text = machine_text("spinn2-2020")
        assert "data_bytes = 98_304" in text
        Path("tiny.toml").write_text(text.replace("data_bytes = 98_304", "data_bytes = 256"))
        built = snc("build", net, "--machine", "tiny.toml")
        assert built.exit_code == 3
        for words in ("conv", "smallest piece needs", "a processing element has 256", "try 8 bits"):
            assert words in built.stderr
        assert not Path("net.snc").exists()

    def test_bad_machine_files(self, snc: Snc, net: Path) -> None:
        Path("bad.toml").write_text("[machine]\nname = 3\n")
        assert snc("build", net, "--machine", "bad.toml").exit_code == 2
        assert "spinn2-2020" in snc("build", net, "--machine", "spinn2-202").stderr

    def test_calibration_data_that_does_not_fit(self, snc: Snc, net: Path) -> None:
        np.savez("other.npz", other=np.zeros((2, 3, 8, 8), np.float32), more=np.zeros(3))
        assert "SNC0423" in snc("build", net, "--calibrate", "other.npz").stderr
        np.save("wrong.npy", np.zeros((2, 3, 9, 9), np.float32))
        wrong = snc("build", net, "--calibrate", "wrong.npy")
        assert wrong.exit_code == 2 and "SNC0402" in wrong.stderr

    def test_model_is_never_overwritten(self, snc: Snc, net: Path) -> None:
        before = net.read_bytes()
        Path("link.snc").symlink_to(net)
        for out in (net, "link.snc"):
            built = snc("build", net, "-o", out)
            assert built.exit_code == 2 and "an input of this run" in built.stderr
        assert net.read_bytes() == before

    def test_unwritable_outputs_are_refused_before_the_work(
        self, snc: Snc, net: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("snc.compiler.driver.load_model", lambda *_: pytest.fail("the work began"))
        Path("folder").mkdir()
        for out in ("nowhere/x.snc", "folder", "/dev/null"):
            built = snc("build", net, "-o", out)
            assert built.exit_code == 2 and "error[SNC0701]" in built.stderr

    def test_full_disk_leaves_the_old_file(self, snc: Snc, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("net.snc").write_bytes(b"old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        assert snc("build", net).exit_code == 6
        assert Path("net.snc").read_bytes() == b"old"
        assert sorted(path.name for path in Path().iterdir()) == ["net.onnx", "net.snc"]


class TestBugs:
    def test_crash_of_a_pass_leaves_a_reproducer_that_opt_runs(
        self, snc: Snc, net: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def crash(*_: object) -> None:
            raise KeyError("boom")

        monkeypatch.setattr("snc.passes.graph.fold_batch_norm.FoldBatchNorm.run", crash)
        built = snc("build", net)
        assert built.exit_code == 70
        assert "a bug of snc" in built.stderr and "boom" in built.stderr and "net.crash.snir" in built.stderr
        assert not Path("net.snc").exists()
        again = snc("opt", "net.crash.snir")
        assert again.exit_code == 70 and "boom" in again.stderr

    def test_traceback_is_there_for_those_who_ask(
        self, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def crash(*_: object, **__: object) -> None:
            raise ValueError("boom")

        monkeypatch.setattr("snc.compiler.driver.import_model", crash)
        monkeypatch.setenv("SNC_TRACEBACK", "1")
        with pytest.raises(SystemExit) as end:
            main(["build", str(net)])
        assert end.value.code == 70 and "Traceback" in capsys.readouterr().err

    def test_lack_of_memory_is_a_limit(self, snc: Snc, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*_: object, **__: object) -> None:
            raise MemoryError("Unable to allocate 9 TiB")

        monkeypatch.setattr("snc.compiler.driver.import_model", crash)
        built = snc("build", net)
        assert built.exit_code == 6 and "9 TiB" in built.stderr

    def test_deep_networks_build(self, snc: Snc, tmp_path: Path) -> None:
        assert snc("build", save(deep_net(8), tmp_path / "deep.onnx"), "-q").exit_code == 0
