"""snc inspect: what an artefact says about itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snc.compiler.executable import load
from snc.ir.printer import print_module

from .conftest import Snc


class TestInspect:
    def test_shows_build_and_layers(self, snc: Snc, digits: Path) -> None:
        shown = snc("inspect", digits).stdout
        assert "mapping optimized" in shown and "built by snc 0.1.0" in shown
        rows = [line.split() for line in shown.splitlines() if line[:1].isdecimal()]
        assert [row[1] for row in rows] == ["/conv1/Conv", "/conv2/Conv", "/classify/Gemm"]
        assert "1x16x14x14" in rows[0] and "1x10" in rows[2]

    def test_json_agrees_with_the_tables(self, snc: Snc, digits: Path) -> None:
        document = json.loads(snc("inspect", digits, "--json").stdout)
        program = load(digits).program
        layers = document["summary"]["layers"]
        assert [layer["name"] for layer in layers] == list(program.layers)
        assert sum(layer["tasks"] for layer in layers) == document["summary"]["tasks"] == len(program.tasks)
        assert document["manifest"]["members"]["weights.safetensors"]["size"] > 0

    def test_ir_is_the_network(self, snc: Snc, digits: Path) -> None:
        assert snc("inspect", digits, "--ir").stdout == print_module(load(digits).module)

    @pytest.mark.parametrize("name", ["1", "/conv2/Conv", "/pool2/MaxPool"])
    def test_layer_by_number_or_node(self, snc: Snc, digits: Path, name: str) -> None:
        detail = json.loads(snc("inspect", digits, "--layer", name, "--json").stdout)["layer"]
        assert detail["index"] == 1 and detail["kind"] == "conv"
        assert sum(detail["tasks_by_kernel"].values()) == detail["tasks"]
        assert sum(detail["bytes_by_phase"].values()) == detail["bytes_moved"]
        assert "/relu2/Relu" in snc("inspect", digits, "--layer", name).stdout

    def test_unknown_layer(self, snc: Snc, digits: Path) -> None:
        shown = snc("inspect", digits, "--layer", "/conv3/Conv")
        assert shown.exit_code == 2 and "did you mean" in shown.stderr

    def test_ir_stands_alone(self, snc: Snc, digits: Path) -> None:
        assert snc("inspect", digits, "--ir", "--json").exit_code == 2
