"""Sweeps on this computer: what they measure, and that nothing makes them lose or change a row."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import psutil
import pyarrow.parquet
import pytest

import snc
from snc.compiler.cli import main
from snc.compiler.data.open import open_data
from snc.compiler.evaluation.evaluate import evaluate
from snc.compiler.sweep import local
from snc.compiler.sweep.answers import answer
from snc.compiler.sweep.cluster import _read
from snc.compiler.sweep.columns import CRASHED, DOES_NOT_FIT, OK, REFUSED, UNSCORED, line_of
from snc.compiler.sweep.inputs import Job, Source, job_of, read_inputs
from snc.compiler.sweep.local import run_local
from snc.compiler.sweep.measure import measure
from snc.compiler.sweep.spec import read_spec
from snc.compiler.sweep.sweep import sweep
from snc.compiler.sweep.table import locked, read_table
from snc.ir.diagnostics import LimitExceeded, UnsafeInput, UsageError

from ..step_models import dense_steps, samples
from .conftest import At, Swept, in_process
from .sweeps import FOUR, write_sweep


def kill_worker() -> None:
    workers = [child for child in psutil.Process().children() if "snc.compiler.sweep.worker" in child.cmdline()]
    workers[0].kill()


class TestTable:
    def test_has_a_row_for_every_point_whatever_came_of_it(self, forty: Swept) -> None:
        assert forty.result.statuses == {OK: 12, REFUSED: 4, DOES_NOT_FIT: 24}
        rows = list(csv.DictReader(forty.table.decode().splitlines()))
        assert [(row["weights"], row["groups"], row["tiles"]) for row in rows[:4]] == [
            ("code16", "1", "1"),
            ("code16", "1", "9998"),
            ("code16", "1", "9999"),
            ("code16", "2", "1"),
        ]
        assert [row["level"] for row in rows[36:]] == ["0", "1", "2", "3"]
        assert all(row["code"].startswith("SNC") and row["message"] for row in rows if row["status"] != OK)

    def test_rows_are_those_of_the_artefact_that_build_writes(self, four: Swept, tmp_path: Path) -> None:
        row = four.result.rows[3]
        assert (row["weights"], row["groups"], row["status"]) == ("q2.1", "2", OK)
        words = ["--target", "spinn1", "--machine", "spinn3", "--weights", "q2.1", "--groups", "2", "--tiles", "1"]
        path = tmp_path / "net.snc"
        files = [str(four.spec.parent / "net.onnx"), "--calibrate", str(four.spec.parent / "samples.npy")]
        with pytest.raises(SystemExit) as end:
            main(["build", *files, *words, "--time-scale-factor", "5", "-o", str(path), "-q"])
        assert end.value.code == 0
        content = path.read_bytes()
        assert (row["artefact_sha256"], row["artefact_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        network = snc.load(path)
        numbers = network.profile()
        for name in ("latency_s", "throughput_per_s", "energy_j", "cores", "chips", "boards", "late_spikes"):
            assert row[name] == numbers[name]
        assert row["chosen_groups"] == network.choices.groups
        found = evaluate(network, open_data(four.spec.parent / "data.npz"))
        assert (row["metric"], row["accuracy"], row["samples"]) == (found.metric, found.scores["top1"], 30)

    def test_says_nothing_of_time_or_place(self, forty: Swept) -> None:
        text = forty.table.decode()
        assert str(forty.spec.parent) not in text
        assert os.uname().nodename not in text
        log = [json.loads(line) for line in (forty.result.folder / "log.jsonl").read_text().splitlines()]
        assert {each["key"] for each in log} == {row["key"] for row in forty.result.rows}
        assert all(each["seconds"] >= 0 for each in log)

    def test_reads_back_as_it_was(self, forty: Swept) -> None:
        assert read_table(forty.result.table) == [dict(row) for row in forty.result.rows]

    def test_parquet_has_the_same_rows_with_types(self, forty: Swept) -> None:
        found = sweep(forty.spec, out=forty.result.folder, parquet=True)
        assert found.computed == 0
        table = pyarrow.parquet.read_table(found.folder / "table.parquet")
        assert table.to_pylist() == [dict(row) for row in forty.result.rows]
        assert str(table.schema.field("latency_s").type) == "double"

    def test_front_is_of_measured_points(self, forty: Swept) -> None:
        front = [forty.result.rows[place] for place in forty.result.front]
        assert front and all(row["status"] == OK for row in front)


@pytest.mark.usefixtures("no_processes")
class TestResuming:
    def test_a_second_sweep_computes_nothing(self, forty: Swept) -> None:
        before = forty.table
        again = sweep(forty.spec, out=forty.result.folder, jobs=2)
        assert (again.taken, again.computed) == (40, 0)
        assert forty.table == before

    def test_content_counts_not_names_and_places(self, four: Swept, tmp_path: Path) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "moved")
        (folder / "net.onnx").rename(folder / "other.onnx")
        spec = folder / "sweep.toml"
        spec.write_text(FOUR.replace("net.onnx", "other.onnx"))
        again = sweep(spec, out=folder / "results")
        assert again.computed == 0
        assert {row["model"] for row in again.rows} == {"other.onnx"}

    @pytest.mark.parametrize("name", ["net.onnx", "data.npz", "samples.npy"])
    def test_other_content_is_measured_anew(self, name: str, four: Swept, tmp_path: Path) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "changed")
        spec = folder / "sweep.toml"
        spec.write_text(FOUR.replace('"code16", ', "").replace("1, 2", "1"))
        if name == "net.onnx":
            (folder / name).write_bytes(dense_steps("key", scale=2.0))
        elif name == "data.npz":
            np.savez(folder / name, x=samples(30, 12), labels=np.zeros(30, np.int64))
        else:
            np.save(folder / name, samples(5, 12))
        assert sweep(spec, out=folder / "results", jobs=1).computed == 1

    def test_a_longer_list_computes_what_is_new(self, four: Swept, tmp_path: Path) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "longer")
        spec = folder / "sweep.toml"
        spec.write_text(FOUR.replace('["code16", ', '["q4.3", "code16", '))
        longer = sweep(spec, out=folder / "results", jobs=1)
        assert (longer.taken, longer.computed) == (4, 2)
        assert [row["weights"] for row in longer.rows[:3]] == ["q4.3", "q4.3", "code16"]

    def test_a_torn_last_row_is_dropped_and_measured_again(self, four: Swept, tmp_path: Path) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "torn")
        rows = folder / "results" / "rows.csv"
        rows.write_bytes(rows.read_bytes()[:-7])
        again = sweep(folder / "sweep.toml", out=folder / "results", jobs=1)
        assert (again.taken, again.computed) == (3, 1)
        assert [note.code for note in again.notes] == ["SNC0647"]
        assert again.table.read_bytes() == four.table

    @pytest.mark.parametrize("damage", [(b"ok", b"fine"), (b"key,model", b"key,net"), (b"0.0", b"zero")])
    def test_edited_rows_are_refused_with_their_line(
        self, damage: tuple[bytes, bytes], four: Swept, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "edited")
        rows = folder / "results" / "rows.csv"
        rows.write_bytes(rows.read_bytes().replace(*damage, 1))
        with pytest.raises(UnsafeInput, match="SNC0645"):
            sweep(folder / "sweep.toml", out=folder / "results")


class TestInterruptions:
    def test_two_processes_one_of_them_killed_make_the_same_table(self, forty: Swept, tmp_path: Path) -> None:
        killed = At(20, kill_worker)
        again = sweep(forty.spec, out=tmp_path / "results", jobs=2, advance=killed)
        assert killed.happened and again.computed == 40
        assert again.table.read_bytes() == forty.table

    def test_ctrl_c_keeps_what_was_computed(self, four: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        in_process(monkeypatch, tmp_path)
        # A shell starts programs in the background with this signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            sweep(four.spec, out=tmp_path / "r", advance=At(2, lambda: signal.raise_signal(signal.SIGINT)))
        signal.signal(signal.SIGINT, before)
        again = sweep(four.spec, out=tmp_path / "r")
        assert (again.taken, again.computed) == (2, 2)
        assert again.table.read_bytes() == four.table

    def test_kill_9_keeps_what_was_computed_and_leaves_no_process(
        self, four: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = """
import os, psutil, signal, sys
from snc.compiler.sweep.sweep import sweep

def advance(done, total):
    if done == 2:
        print(*(child.pid for child in psutil.Process().children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

sweep(sys.argv[1], out=sys.argv[2], jobs=1, advance=advance)
"""
        source = str(Path(snc.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", program, str(four.spec), str(tmp_path / "r")],
            env={**os.environ, "PYTHONPATH": source},
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        workers = [psutil.Process(int(each)) for each in done.stdout.split() if psutil.pid_exists(int(each))]
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive
        in_process(monkeypatch, tmp_path)
        again = sweep(four.spec, out=tmp_path / "r")
        assert (again.taken, again.computed) == (2, 2)
        assert again.table.read_bytes() == four.table

    def test_a_full_disk_is_one_error_and_loses_nothing(
        self, four: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = tmp_path / "r" / "rows.csv"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (rows.stat().st_size + 100, hard))

        try:
            with pytest.raises(LimitExceeded, match="SNC0646") as error:
                sweep(four.spec, out=tmp_path / "r", jobs=1, advance=At(2, fill))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.value.exit_code == 6 and len(error.value.diagnostics) == 1
        assert rows.read_bytes().count(b"\n") == 3 and rows.read_bytes().endswith(b"\n")
        in_process(monkeypatch, tmp_path)
        again = sweep(four.spec, out=tmp_path / "r")
        assert (again.taken, again.computed, again.notes) == (2, 2, ())
        assert again.table.read_bytes() == four.table

    def test_a_second_sweep_on_the_same_results_is_refused(self, four: Swept) -> None:
        with locked(four.result.folder), pytest.raises(UsageError, match="SNC0644") as error:
            sweep(four.spec, out=four.result.folder)
        assert str(os.getpid()) in error.value.diagnostics[0].found


class Doomed:
    """A model that ends the process that unpickles a job with it."""

    sha256 = path = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


class TestWorkers:
    @pytest.fixture
    def jobs(self, four: Swept) -> list[Job]:
        spec = read_spec(four.spec)
        inputs = read_inputs(spec)
        return [job_of(point, inputs, spec.data) for point in spec.points]

    def test_a_point_that_ends_its_worker_twice_crashed(self, jobs: list[Job]) -> None:
        object.__setattr__(jobs[1], "model", Doomed())
        found = {each.key: each.row_or_raise() for each in run_local(jobs[:2], 1)}
        assert [found[job.key]["status"] for job in jobs[:2]] == [OK, CRASHED]
        assert found[jobs[1].key]["code"] == "SNC0651"

    @pytest.mark.usefixtures("no_processes")
    def test_crashed_points_are_measured_again_on_demand(self, four: Swept, tmp_path: Path) -> None:
        folder = shutil.copytree(four.spec.parent, tmp_path / "crashed")
        rows = folder / "results" / "rows.csv"
        lines = rows.read_text().splitlines(keepends=True)
        row = dict(four.result.rows[0]) | {"status": CRASHED}
        rows.write_text("".join([lines[0], line_of(row), *lines[2:]]))
        spec = folder / "sweep.toml"
        assert sweep(spec, out=folder / "results").statuses == {OK: 3, CRASHED: 1}
        again = sweep(spec, out=folder / "results", jobs=1, retry=True)
        assert (again.computed, again.statuses) == (1, {OK: 4})
        assert again.table.read_bytes() == four.table

    def test_a_worker_that_cannot_start_ends_the_sweep(
        self, four: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local.sys, "executable", shutil.which("false"))
        with pytest.raises(LimitExceeded, match="SNC0655"):
            sweep(four.spec, out=tmp_path / "r", jobs=1)

    def test_workers_have_one_thread_unless_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SNC_THREADS", raising=False)
        assert local._environment()["SNC_THREADS"] == "1"
        monkeypatch.setenv("SNC_THREADS", "3")
        assert local._environment()["SNC_THREADS"] == "3"

    def test_a_file_that_changes_while_the_sweep_runs_ends_it(self, jobs: list[Job], four: Swept) -> None:
        object.__setattr__(jobs[0], "model", Source(jobs[0].model.path, "0" * 64))
        with pytest.raises(UsageError, match="SNC0653"):
            answer(jobs[0], four.spec.parent).row_or_raise()


@pytest.mark.usefixtures("no_processes")
class TestInputs:
    def test_a_model_that_is_refused_is_a_row(self, tmp_path: Path) -> None:
        spec = write_sweep(tmp_path, FOUR.replace('"net.onnx"', '["net.onnx", "broken.onnx"]').replace("1, 2", "1"))
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        found = sweep(spec, out=tmp_path / "r", jobs=1)
        assert [row["status"] for row in found.rows] == [OK, OK, REFUSED, REFUSED]
        assert found.rows[2]["code"] == "SNC0202" and str(tmp_path) not in str(found.rows[2]["message"])

    @pytest.mark.parametrize("name", ["net.onnx", "data.npz", "samples.npy"])
    def test_a_missing_file_is_an_error(self, name: str, tmp_path: Path) -> None:
        spec = write_sweep(tmp_path, FOUR)
        (tmp_path / name).unlink()
        with pytest.raises(UsageError):
            sweep(spec, out=tmp_path / "r")

    def test_data_without_labels_is_an_error(self, tmp_path: Path) -> None:
        spec = write_sweep(tmp_path, FOUR)
        np.savez(tmp_path / "data.npz", x=samples(3, 12))
        with pytest.raises(UsageError, match="SNC0656"):
            sweep(spec, out=tmp_path / "r")

    def test_data_that_does_not_fit_leaves_the_other_numbers(self, tmp_path: Path) -> None:
        spec = write_sweep(tmp_path, FOUR.replace('"code16", ', "").replace("1, 2", "1"))
        np.savez(tmp_path / "data.npz", x=samples(3, 13), labels=np.zeros(3, np.int64))
        (row,) = sweep(spec, out=tmp_path / "r", jobs=1).rows
        assert (row["status"], row["accuracy"], row["cores"]) == (UNSCORED, None, 3)
        assert row["code"] == "SNC0841" and str(row["message"]).startswith("data.npz: ")

    def test_a_finding_is_the_same_where_samples_were_sent(self, tmp_path: Path) -> None:
        spec = read_spec(write_sweep(tmp_path, FOUR))
        np.savez(tmp_path / "data.npz", x=samples(3, 13), labels=np.zeros(3, np.int64))
        job = job_of(spec.points[0], read_inputs(spec), spec.data)
        suffix, content, source = _read("samples", job.samples)
        path = tmp_path / f"content{suffix}"
        path.write_bytes(content)
        sent = attrs.evolve(job, samples=attrs.evolve(source, path=str(path)))
        assert measure(sent, tmp_path) == measure(job, tmp_path)

    def test_without_data_there_is_no_accuracy(self, tmp_path: Path) -> None:
        text = FOUR.replace('data = "data.npz"', "").replace('"code16", ', "").replace("1, 2", "1")
        found = sweep(write_sweep(tmp_path, text), out=tmp_path / "r", jobs=1)
        assert found.statuses == {OK: 1}
        assert found.objectives == ("latency", "throughput", "energy", "cores")

    def test_jobs_and_a_scheduler_exclude_each_other(self, four: Swept) -> None:
        with pytest.raises(UsageError, match="SNC0659"):
            sweep(four.spec, jobs=2, scheduler="tcp://127.0.0.1:1")
