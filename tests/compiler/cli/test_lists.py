"""The verbs that only tell: passes, ops, targets, doctor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snc.backends.spinn2.machine import machine_names, machine_text
from snc.compiler.named_pipelines import named_pipelines
from snc.compiler.onnx.registry import support_table
from snc.passes.pipeline import parse_pipeline
from snc.passes.registry import PASSES

from .conftest import Snc


class TestPasses:
    def test_every_pass_has_a_line(self, snc: Snc) -> None:
        lines = snc("passes").stdout.splitlines()
        for name in PASSES:
            assert any(line.startswith(f"{name} ") and line.rstrip().endswith(".") for line in lines), name

    def test_one_pass_with_options(self, snc: Snc) -> None:
        shown = snc("passes", "quantize").stdout
        assert "rescale" in shown and "multiplier, shift" in shown and "stage graph" in shown

    def test_json_holds_the_pipelines(self, snc: Snc) -> None:
        document = json.loads(snc("passes", "--json").stdout)
        assert [each["name"] for each in document["passes"]] == list(PASSES)
        assert document["pipelines"] == named_pipelines()

    def test_printed_pipelines_are_those_of_the_targets(self, snc: Snc) -> None:
        parts = snc("passes").stdout.split("\npipeline ")[1:]
        printed = dict(part.split(":\n") for part in parts)
        assert {name: parse_pipeline(text).passes for name, text in printed.items()} == {
            name: parse_pipeline(text).passes for name, text in named_pipelines().items()
        }

    def test_unknown_pass(self, snc: Snc) -> None:
        shown = snc("passes", "quantise")
        assert shown.exit_code == 2 and "did you mean quantize" in shown.stderr


class TestOps:
    def test_all(self, snc: Snc) -> None:
        assert f"{len(support_table())} operators" in snc("ops").stdout
        assert len(json.loads(snc("ops", "--json").stdout)["operators"]) == len(support_table())

    def test_one(self, snc: Snc) -> None:
        assert snc("ops", "conv").stdout.splitlines()[1].startswith("Conv ")

    @pytest.mark.parametrize(("name", "words"), [("Convv", "did you mean Conv"), ("LSTM", "recurrent layers")])
    def test_those_that_are_not_taken(self, snc: Snc, name: str, words: str) -> None:
        shown = snc("ops", name)
        assert shown.exit_code == 1 and words in shown.stderr


class TestTargets:
    def test_list(self, snc: Snc) -> None:
        shown = snc("targets").stdout
        assert all(name in shown for name in machine_names()) and "spinn2-2020 (default)" in shown
        machines = json.loads(snc("targets", "--json").stdout)["targets"][0]["machines"]
        assert [each["name"] for each in machines if each["default"]] == ["spinn2-2020"]

    @pytest.mark.parametrize("name", machine_names())
    def test_shown_machine_is_a_machine_file(self, snc: Snc, name: str) -> None:
        text = snc("targets", "show", name).stdout
        assert text == machine_text(name)
        Path("mine.toml").write_text(text)
        mine, preset = (json.loads(snc("targets", "show", each, "--json").stdout) for each in ("mine.toml", name))
        assert mine == preset

    def test_bad_files(self, snc: Snc) -> None:
        Path("bad.toml").write_text("x = [")
        assert snc("targets", "show", "bad.toml").exit_code == 2
        assert "did you mean spinn2-chip" in snc("targets", "show", "spinn2-chi").stderr


class TestDoctor:
    def test_healthy(self, snc: Snc) -> None:
        seen = snc("doctor")
        assert seen.exit_code == 0 and "machine code  ok" in seen.stdout

    def test_json(self, snc: Snc) -> None:
        document = json.loads(snc("doctor", "--json").stdout)
        assert document["checks"] == {"machine code": "ok", "cache": "ok"} and document["facts"]["numpy"]

    def test_broken_code(self, snc: Snc, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash() -> int:
            raise RuntimeError("no code")

        monkeypatch.setattr("snc.compiler.self_test.differing_integers", crash)
        seen = snc("doctor")
        assert seen.exit_code == 4 and "FAILED: RuntimeError: no code" in seen.stdout
