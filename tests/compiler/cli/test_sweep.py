"""snc sweep: what it prints, and its exit codes."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from snc.compiler.cli import sweep as verb
from snc.compiler.sweep.columns import COLUMNS
from snc.compiler.sweep.table import locked

from ..sweep.conftest import Swept, in_process, swept
from ..sweep.sweeps import FORTY, FOUR, write_sweep
from .conftest import Snc

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "sweep"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Forty points that are measured already."""
    return swept(tmp_path_factory.mktemp("cli"), FORTY)


class TestOutput:
    def test_says_how_points_ended_shows_the_front_and_why_others_are_not_on_it(self, snc: Snc, done: Swept) -> None:
        result = snc("sweep", done.spec, "-o", done.result.folder)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[0] == "40 points: 12 ok, 4 refused, 24 does-not-fit"
        assert lines[1] == "measured now: 0; taken from earlier results: 40"
        heading = next(line for line in lines if line.startswith("target"))
        assert heading.split()[:4] == ["target", "weights", "groups", "tiles"]
        assert "latency" in heading and "cores or PEs" in heading
        assert " ms " in result.stdout and " mJ " in result.stdout and " /s " in result.stdout
        assert "does-not-fit" in result.stdout and "SNC" in result.stdout
        assert lines[-1] == f"table: {done.result.table}"

    def test_json_is_one_document_with_the_front(self, snc: Snc, done: Swept) -> None:
        result = snc("sweep", done.spec, "-o", done.result.folder, "--json")
        document = json.loads(result.stdout)
        assert document["ok"] and document["points"] == 40
        assert (document["computed"], document["taken_from_table"]) == (0, 40)
        assert document["statuses"] == {"ok": 12, "refused": 4, "does-not-fit": 24}
        assert document["varied"] == ["target", "level", "weights", "groups", "tiles"]
        assert len(document["front"]) == len(done.result.front)
        assert set(document["front"][0]) == {column.name for column in COLUMNS}

    def test_a_torn_row_is_noted(self, snc: Snc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        four = swept(tmp_path, FOUR)
        rows = four.result.folder / "rows.csv"
        rows.write_bytes(rows.read_bytes()[:-1])
        in_process(monkeypatch, tmp_path)
        result = snc("sweep", four.spec, "-o", four.result.folder)
        assert result.exit_code == 0 and "SNC0647" in result.stderr
        assert "measured now: 1; taken from earlier results: 3" in result.stdout

    def test_quiet_prints_nothing(self, snc: Snc, done: Swept) -> None:
        result = snc("sweep", done.spec, "-o", done.result.folder, "--quiet")
        assert (result.exit_code, result.output) == (0, "")

    def test_results_lie_in_this_folder_under_the_name_of_the_specification(
        self, snc: Snc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        in_process(monkeypatch, tmp_path)
        assert snc("sweep", write_sweep(folder, FOUR), "-q").exit_code == 0
        assert Path("sweep.results/table.csv").exists()


class TestErrors:
    def test_mistakes_are_usage(self, snc: Snc, tmp_path: Path) -> None:
        spec = write_sweep(tmp_path, FOUR.replace("weights", "wieghts"))
        result = snc("sweep", spec)
        assert result.exit_code == 2
        assert f"{spec}:8" in result.stderr and "did you mean weights?" in result.stderr

    def test_nobody_at_the_scheduler_is_usage(self, snc: Snc, done: Swept, tmp_path: Path) -> None:
        result = snc("sweep", done.spec, "-o", tmp_path / "r", "--scheduler", "tcp://127.0.0.1:9")
        assert result.exit_code == 2 and "cannot be reached" in result.stderr

    def test_no_pyarrow_is_told_before_the_work(
        self, snc: Snc, done: Swept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        result = snc("sweep", done.spec, "-o", tmp_path / "r", "--parquet")
        assert result.exit_code == 2 and "pip install 'snc[parquet]'" in result.stderr
        assert not (tmp_path / "r").exists()

    def test_a_second_sweep_is_usage(self, snc: Snc, done: Swept) -> None:
        with locked(done.result.folder):
            result = snc("sweep", done.spec, "-o", done.result.folder)
        assert result.exit_code == 2 and "another sweep writes these results" in result.stderr

    def test_ctrl_c_is_interrupted(self, snc: Snc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = write_sweep(tmp_path, FOUR)
        module = sys.modules["snc.compiler.sweep.sweep"]
        monkeypatch.setattr(module, "run_local", lambda _jobs, _workers: signal.raise_signal(signal.SIGINT))
        result = snc("sweep", spec, "--json")
        assert result.exit_code == 130 and result.stdout == ""

    def test_results_that_are_a_file_are_usage(self, snc: Snc, done: Swept, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        assert snc("sweep", done.spec, "-o", tmp_path / "taken").exit_code == 2


class TestExamples:
    @pytest.mark.parametrize("name", ["spinn1.toml", "spinn2.toml", "targets.toml"])
    def test_are_sound_and_their_files_are_there(self, name: str) -> None:
        from snc.compiler.sweep.inputs import read_inputs
        from snc.compiler.sweep.spec import read_spec

        spec = read_spec(EXAMPLES / name)
        inputs = read_inputs(spec)
        assert 10 <= len(spec.points) <= 12 and not inputs.refused

    def test_that_of_help_is_sound(self, tmp_path: Path) -> None:
        from snc.compiler.sweep.spec import read_spec

        text = verb.EPILOG.partition("A specification:\n")[2]
        (tmp_path / "s.toml").write_text(text)
        assert len(read_spec(tmp_path / "s.toml").points) == 9
