"""The same sweep on a dask.distributed cluster: the same table, whatever happens to its workers."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, LocalCluster

import snc
from snc.compiler import cluster as connection
from snc.compiler.cluster import SharedFiles, connected
from snc.compiler.sweep import cluster
from snc.compiler.sweep.columns import CRASHED, OK
from snc.compiler.sweep.sweep import sweep
from snc.ir.diagnostics import UsageError

from .conftest import At, Swept

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Two workers, each a process; a task that ends one is not tried again by dask itself."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as running,
    ):
        yield running.scheduler_address


def kill_worker(scheduler: str) -> None:
    with Client(scheduler, set_as_default=False) as client:
        os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)


class TestTable:
    def test_is_that_of_local_processes(self, forty: Swept, scheduler: str, tmp_path: Path) -> None:
        found = sweep(forty.spec, out=tmp_path / "r", scheduler=scheduler)
        assert found.computed == 40
        assert found.table.read_bytes() == forty.table

    def test_is_the_same_when_a_worker_is_killed(self, forty: Swept, scheduler: str, tmp_path: Path) -> None:
        killed = At(15, lambda: kill_worker(scheduler))
        found = sweep(forty.spec, out=tmp_path / "r", scheduler=scheduler, advance=killed)
        assert killed.happened and found.computed == 40
        assert found.table.read_bytes() == forty.table

    def test_a_point_that_kills_its_workers_crashed(
        self, four: Swept, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        doomed = four.result.rows[1]["key"]

        def deadly(job: Any, *parts: Any) -> Any:
            if job.key == doomed:
                os._exit(1)
            return importlib.import_module("snc.compiler.sweep.cluster")._work(job, *parts)

        monkeypatch.setattr(cluster, "_work", deadly)
        found = sweep(four.spec, out=tmp_path / "r", scheduler=scheduler)
        assert found.statuses == {OK: 3, CRASHED: 1}
        assert found.rows[1]["status"] == CRASHED


class TestConnection:
    def test_nobody_there_is_said_at_once(self, four: Swept, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be reached"):
            sweep(four.spec, out=tmp_path / "r", scheduler="tcp://127.0.0.1:9")

    @pytest.mark.parametrize("address", ["here", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "ftp://127.0.0.1:9"])
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(UsageError, match="SNC0648"), connected(address):
            raise AssertionError("connected")

    def test_without_workers_there_is_no_sweep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "WORKER_SECONDS", 0.1)
        with (
            LocalCluster(n_workers=0, processes=False, protocol="tcp://", dashboard_address=":0") as empty,
            pytest.raises(UsageError, match="no workers"),
            connected(empty.scheduler_address),
        ):
            raise AssertionError("connected")

    def test_workers_of_another_version_are_refused(self, scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "__version__", "9.9")
        with pytest.raises(UsageError, match="SNC0649") as error, connected(scheduler):
            raise AssertionError("connected")
        assert snc.__version__ in error.value.diagnostics[0].found

    def test_without_dask_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(UsageError, match=r"snc\[cluster\]"), connected("tcp://127.0.0.1:9"):
            raise AssertionError("connected")

    def test_a_scheduler_that_goes_away_ends_the_sweep_and_keeps_its_rows(self, four: Swept, tmp_path: Path) -> None:
        program = """
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://",
                      dashboard_address=None) as running:
        print(running.scheduler_address, flush=True)
        input()
"""
        environment = {**os.environ, "PYTHONPATH": str(Path(snc.__file__).parents[1])}
        command = [sys.executable, "-c", program]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as running:
            assert running.stdout is not None
            address = running.stdout.readline().strip()
            with pytest.raises(UsageError, match="SNC0652"):
                sweep(four.spec, out=tmp_path / "r", scheduler=address, advance=At(1, running.kill))
        assert (tmp_path / "r" / "rows.csv").read_bytes().count(b"\n") == 2


class TestFiles:
    def test_contents_are_held_once_and_come_back_whole(self, scheduler: str) -> None:
        with connected(scheduler) as client:
            files = SharedFiles(client)
            digest = files.add(b"some content")
            assert files.add(b"some content") == digest
            assert files.future(digest).result() == b"some content"
            path = client.submit(connection.local_file, files.future(digest), digest, ".txt").result()
            assert path.name == f"{digest}.txt" and path.read_bytes() == b"some content"

    def test_a_damaged_content_is_not_written(self) -> None:
        with pytest.raises(ValueError, match="damaged"):
            connection.local_file(b"other", "0" * 64, ".txt")
