"""snc check: findings without a build."""

from __future__ import annotations

import json
from pathlib import Path

from onnx import helper

from snc.backends.spinn2.machine import machine_text

from .conftest import DIGITS, Snc
from .nets import conv_net, model, save, unsupported


class TestCheck:
    def test_good_model(self, snc: Snc) -> None:
        checked = snc("check", DIGITS / "digits_cnn.onnx", "--target", "spinn2")
        assert checked.exit_code == 0
        assert checked.stdout.splitlines()[-1].endswith("builds for spinn2: 0 errors, 0 warnings")
        assert not list(Path().iterdir())

    def test_everything_unsupported_at_once(self, snc: Snc, tmp_path: Path) -> None:
        checked = snc("check", save(unsupported(), tmp_path / "net.onnx"))
        assert checked.exit_code == 1
        assert "first_bad" in checked.stdout and "second_bad" in checked.stdout
        assert "is refused for spinn2: 2 errors" in checked.stdout

    def test_operators_without_an_integer_form(self, snc: Snc, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("ReduceSumSquare", ["x"], ["a"], name="squares", keepdims=1),
            helper.make_node("Add", ["x", "a"], ["y"], name="add"),
        ]
        net = save(model(nodes, {"x": (1, 3, 4, 4)}, {"y": (1, 3, 4, 4)}, {}), tmp_path / "net.onnx")
        checked = snc("check", net)
        assert checked.exit_code == 1 and "squares" in checked.stdout

    def test_layer_that_does_not_fit(self, snc: Snc, tmp_path: Path) -> None:
        Path("tiny.toml").write_text(machine_text("spinn2-2020").replace("data_bytes = 98_304", "data_bytes = 256"))
        net = save(conv_net(), tmp_path / "net.onnx")
        checked = snc("check", net, "--machine", "tiny.toml", "--json")
        document = json.loads(checked.stdout)
        assert checked.exit_code == document["exit_code"] == 3
        assert "a processing element has 256" in document["diagnostics"][0]["found"]

    def test_dram_that_is_too_small(self, snc: Snc, tmp_path: Path) -> None:
        small = machine_text("spinn2-2020").replace("capacity_bytes = 536_870_912", "capacity_bytes = 64")
        Path("small.toml").write_text(small)
        checked = snc("check", save(conv_net(), tmp_path / "net.onnx"), "--machine", "small.toml")
        assert checked.exit_code == 3 and "does not fit the machine's DRAM" in checked.stdout

    def test_shape_of_no_input_is_wrong_usage(self, snc: Snc, tmp_path: Path) -> None:
        checked = snc("check", save(conv_net(), tmp_path / "net.onnx"), "--shape", "z=1,3,8,8")
        assert checked.exit_code == 2 and "no input z" in checked.stderr

    def test_notes_stand_in_the_document(self, snc: Snc) -> None:
        document = json.loads(snc("check", DIGITS / "digits_cnn.onnx", "--json").stdout)
        assert document["ok"] and [each["severity"] for each in document["diagnostics"]] == ["note"]
