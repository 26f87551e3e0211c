"""snc report: what it writes, what it says, and what it refuses with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ..step_models import dense_steps, samples
from .conftest import Snc, run_snc


@pytest.fixture(scope="module")
def spikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact for spinn1."""
    folder = tmp_path_factory.mktemp("spikes")
    (folder / "net.onnx").write_bytes(dense_steps("key"))
    options = ("--target", "spinn1", "--machine", "spinn3", "--groups", 2, "--tiles", 2, "--time-scale-factor", 5)
    done = run_snc("build", *options, folder / "net.onnx", "-o", folder / "net.snc")
    assert done.exit_code == 0, done.output
    return folder / "net.snc"


class TestReport:
    def test_writes_a_page_named_after_the_artefact(self, snc: Snc, digits: Path) -> None:
        done = snc("report", digits)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("digits.html  ")
        page = Path("digits.html").read_text("utf-8")
        assert page.startswith("<!doctype html>") and "<h1>digits.snc</h1>" in page

    def test_the_same_artefact_gives_the_same_bytes(self, snc: Snc, digits: Path) -> None:
        for name in ("one.html", "two.html"):
            assert snc("report", digits, "-o", name).exit_code == 0
        assert Path("one.html").read_bytes() == Path("two.html").read_bytes()

    def test_prints_one_document_on_request(self, snc: Snc, spikes: Path) -> None:
        done = snc("report", spikes, "-o", "out.html", "--json")
        document = json.loads(done.stdout)
        assert document["command"] == "report" and document["ok"]
        assert (document["file"], document["bytes"]) == ("out.html", Path("out.html").stat().st_size)

    def test_shows_a_sweep(self, snc: Snc, digits: Path) -> None:
        Path("table.csv").write_text("groups,status,latency_s,energy_j,accuracy\n1,ok,0.5,0.1,0.9\n2,ok,0.7,0.1,0.95\n")
        assert snc("report", digits, "--sweep", "table.csv", "-o", "out.html").exit_code == 0
        assert '<section id="sweep"' in Path("out.html").read_text("utf-8")

    def test_takes_samples_for_spikes(self, snc: Snc, spikes: Path) -> None:
        np.save("x.npy", samples(5, 12))
        assert snc("report", spikes, "--input", "x.npy", "-o", "out.html").exit_code == 0
        assert "the given samples" in Path("out.html").read_text("utf-8")

    @pytest.mark.parametrize(
        ("options", "code", "word"),
        [
            (("--input", "x.npy"), 2, "--input"),
            (("--evaluation", "absent.json"), 2, "SNC0660"),
            (("--evaluation", "broken.json"), 5, "SNC0661"),
            (("--sweep", "broken.json"), 5, "SNC0662"),
            (("-o", "absent/out.html"), 2, "SNC0701"),
        ],
    )
    def test_refuses_and_leaves_no_file(
        self, snc: Snc, digits: Path, options: tuple[str, ...], code: int, word: str
    ) -> None:
        Path("broken.json").write_text("{")
        done = snc("report", digits, *options)
        assert done.exit_code == code and word in done.stderr
        assert [each.name for each in Path().iterdir()] == ["broken.json"]

    def test_does_not_write_over_what_it_reads(self, snc: Snc, digits: Path) -> None:
        before = digits.read_bytes()
        assert snc("report", digits, "-o", digits).exit_code == 2
        assert digits.read_bytes() == before
