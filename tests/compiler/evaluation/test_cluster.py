"""An evaluation on a dask.distributed cluster is that of one process, to the last bit."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

import snc
from snc.compiler.data.open import open_data
from snc.compiler.evaluation.cluster import evaluate_on_cluster
from snc.compiler.evaluation.evaluate import evaluate
from snc.ir.diagnostics import UsageError

from ..cli.conftest import run_snc
from ..step_models import dense_steps, samples

SAMPLES = 9000
"""Three batches."""


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs=50) as running:
        yield running.scheduler_address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact for SpiNNaker1, its model, and labelled samples."""
    found = tmp_path_factory.mktemp("evaluated")
    (found / "net.onnx").write_bytes(dense_steps("key"))
    network = snc.compile(
        found / "net.onnx",
        target="spinn1",
        machine="spinn3",
        calibration={"x": samples(6, 12)},
        weights="q2.1",
        groups=1,
        tiles=1,
        time_scale_factor=0.01,  # far too fast: packets are late
    )
    network.save(found / "net.snc")
    labels = np.random.default_rng(4).integers(0, 3, SAMPLES)
    np.savez(found / "data.npz", x=samples(SAMPLES, 12), labels=labels)
    return found


class TestEvaluation:
    def test_is_that_of_one_process(self, folder: Path, scheduler: str) -> None:
        data = open_data(folder / "data.npz")
        options = {"reference": folder / "net.onnx", "key": np.array([2, 1, 0])}
        expected = evaluate(snc.load(folder / "net.snc"), data, **options)
        told: list[tuple[int, int]] = []
        found = evaluate_on_cluster(
            folder / "net.snc", data, scheduler=scheduler, progress=lambda *done: told.append(done), **options
        )
        assert found == expected
        assert len(found.stages) == 7 and told == [(4096, 9000), (8192, 9000), (9000, 9000)]

    def test_a_worker_that_dies_costs_its_batches_a_second_attempt(self, folder: Path, scheduler: str) -> None:
        data, artefact = open_data(folder / "data.npz"), folder / "net.snc"
        expected = evaluate(snc.load(artefact), data, stages=False)

        def kill(done: int, _total: int) -> None:
            if done == 4096:
                with Client(scheduler, set_as_default=False) as client:
                    (process,) = client.run(os.getpid).values()
                os.kill(process, signal.SIGKILL)

        assert evaluate_on_cluster(artefact, data, scheduler=scheduler, stages=False, progress=kill) == expected

    def test_what_is_wrong_with_a_sample_is_told(self, folder: Path, scheduler: str, tmp_path: Path) -> None:
        x = samples(SAMPLES, 12)
        x[8500, 3] = 7
        np.savez(tmp_path / "data.npz", x=x, labels=np.zeros(SAMPLES, np.int64))
        with pytest.raises(UsageError, match="0 and 1 only"):
            evaluate_on_cluster(folder / "net.snc", open_data(tmp_path / "data.npz"), scheduler=scheduler)

    def test_the_command_says_the_same(self, folder: Path, scheduler: str) -> None:
        words = ["eval", folder / "net.snc", "--data", folder / "data.npz", "--json"]
        alone, together = run_snc(*words), run_snc(*words, "--scheduler", scheduler)
        assert together.exit_code == 0, together.output
        assert json.loads(together.stdout) == json.loads(alone.stdout)
