"""snc diff: what changed, in words and as JSON, and when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import jsonschema
import numpy as np
import pytest

from snc.compiler.comparison.compare import diff_schema
from snc.compiler.evaluation.record import Evaluation
from snc.compiler.targets import load

from ..step_models import dense_steps
from .conftest import DIGITS, Snc, run_snc


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digit network without any of the mapping's tricks."""
    path = tmp_path_factory.mktemp("slow") / "slow.snc"
    samples = DIGITS / "calibration.npz"
    built = run_snc("build", DIGITS / "digits_cnn.onnx", "--calibrate", samples, "--mapping", "baseline", "-o", path)
    assert built.exit_code == 0, built.output
    return path


@pytest.fixture(scope="module")
def spiking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small spiking network."""
    folder = tmp_path_factory.mktemp("spiking")
    (folder / "net.onnx").write_bytes(dense_steps("key"))
    built = run_snc(
        *("build", "--target", "spinn1", "--machine", "spinn3", folder / "net.onnx", "-o", folder / "net.snc"),
        *("--groups", 2, "--tiles", 2),
    )
    assert built.exit_code == 0, built.output
    return folder / "net.snc"


def evaluation(path: Path, top1: float) -> Evaluation:
    executable = load(path)
    return Evaluation(
        target=executable.target,
        machine="any",
        source_sha256=executable.source_sha256,
        data="digits.npz",
        data_sha256="00" * 32,
        samples=1000,
        metric="top1",
        scores={"top1": top1},
        stages=(),
        layers=(),
        worst=None,
    )


class TestText:
    def test_nothing_changed_is_one_line(self, snc: Snc, digits: Path, spiking: Path) -> None:
        for path in (digits, spiking):
            done = snc("diff", path, path)
            assert done.exit_code == 0
            assert done.output.splitlines() == [f"nothing changed: {path} and {path} hold the same build"]

    def test_changes_come_with_units_and_the_largest_first(self, snc: Snc, digits: Path, slow: Path) -> None:
        done = snc("diff", digits, slow)
        assert done.exit_code == 0
        lines = done.output.splitlines()
        (heading,) = (index for index, line in enumerate(lines) if line.startswith("number"))
        rows = lines[heading + 1 : lines.index("", heading)]
        percents = [abs(float(row.split()[-2])) for row in rows]
        assert percents == sorted(percents, reverse=True)
        assert any(row.startswith("latency") and " us " in row for row in rows)
        assert any(line.split() == ["mapping", "optimized", "baseline"] for line in lines)
        assert any("added" in line and "/conv1/Conv" in line for line in lines)

    def test_two_targets(self, snc: Snc, digits: Path, spiking: Path) -> None:
        done = snc("diff", digits, spiking)
        assert done.exit_code == 0 and "two targets: layers and arrays are not compared" in done.output


class TestJson:
    def test_keeps_its_schema(self, snc: Snc, digits: Path, slow: Path, spiking: Path) -> None:
        for a, b in ((digits, digits), (digits, slow), (slow, spiking), (spiking, spiking)):
            document = json.loads(snc("diff", a, b, "--json").output)
            jsonschema.validate(document["diff"], diff_schema())
            assert document["command"] == "diff" and document["ok"] and document["diff"]["changed"] == (a != b)


class TestLimits:
    def test_fail_on_change(self, snc: Snc, digits: Path, slow: Path) -> None:
        assert snc("diff", digits, digits, "--fail-on-change").exit_code == 0
        done = snc("diff", digits, slow, "--fail-on-change", "--json")
        assert done.exit_code == 4
        document = json.loads(done.stdout)
        assert [note["code"] for note in document["diagnostics"]] == ["SNC0670"] and not document["ok"]

    @pytest.mark.parametrize("option", ["--max-slower", "--max-energy"])
    def test_growth_beyond_a_limit(self, snc: Snc, digits: Path, slow: Path, option: str) -> None:
        assert snc("diff", digits, slow, option, 1e6).exit_code == 0
        assert snc("diff", slow, digits, option, 0).exit_code == 0
        done = snc("diff", digits, slow, option, 10)
        assert done.exit_code == 4 and "SNC0671" in done.output and "at most +10 %" in done.output

    def test_a_worse_score(self, snc: Snc, digits: Path, slow: Path) -> None:
        for name, path, score in (("a.json", digits, 0.95), ("b.json", slow, 0.93)):
            Path(name).write_text(json.dumps({"evaluation": evaluation(path, score).as_json()}))
        given = ("diff", digits, slow, "--evaluation", "a.json", "b.json", "--max-drop")
        assert snc(*given, 0.05).exit_code == snc(*given, 0.02).exit_code == snc(*given, "2%").exit_code == 0
        done = snc(*given, 0.01)
        assert done.exit_code == 4 and "SNC0672" in done.output
        assert any(line.split()[:4] == ["top1", "95.00%", "93.00%", "-2.00"] for line in done.output.splitlines())

    def test_a_worse_error(self, snc: Snc, digits: Path) -> None:
        for name, error in (("a.json", 0.5), ("b.json", 0.75)):
            found = attrs.evolve(evaluation(digits, 0.0), metric="mse", scores={"mse": error})
            Path(name).write_text(json.dumps(found.as_json()))
        assert snc("diff", digits, digits, "--evaluation", "a.json", "b.json", "--max-drop", 0.2).exit_code == 4
        assert snc("diff", digits, digits, "--evaluation", "b.json", "a.json", "--max-drop", 0).exit_code == 0


class TestRefusals:
    def test_wrong_usage(self, snc: Snc, digits: Path) -> None:
        assert snc("diff", digits).exit_code == 2
        assert snc("diff", digits, "absent.snc").exit_code == 2
        assert snc("diff", digits, digits, "--max-drop", 0.1).exit_code == 2
        assert snc("diff", digits, digits, "--max-slower", -1).exit_code == 2

    def test_files_that_are_no_artefacts_or_evaluations(self, snc: Snc, digits: Path) -> None:
        np.save("x.npy", np.zeros(3))
        assert snc("diff", digits, "x.npy").exit_code == 5
        assert snc("diff", digits, digits, "--evaluation", "x.npy", "x.npy").exit_code == 5
