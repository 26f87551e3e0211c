"""snc sharpen; what trains needs torch."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from snc.compiler.sharpen import sharpen as training

from ..sharpen.small_nets import CLASSES, dense, samples
from .conftest import Snc

with_torch = pytest.mark.skipif(find_spec("torch") is None, reason="training needs torch")
QUICK = ("--votes", 3, "--finish-epochs", 3, "--batch", 32)


@pytest.fixture(autouse=True)
def files() -> None:
    """net.onnx, train.npz and test.npz in this folder."""
    onnx.save(dense(), "net.onnx")
    store("train.npz", 400, 0)
    store("test.npz", 100, 9)


def store(name: str, count: int, seed: int) -> None:
    batch = next(samples(count, seed).batches(count))
    labels: NDArray[Any] = np.asarray(batch.labels)
    np.savez(name, x=batch.inputs["x"], labels=labels)


@with_torch
class TestSharpen:
    def test_prints_epochs_and_the_result(self, snc: Snc) -> None:
        done = snc("sharpen", "net.onnx", "--data", "train.npz", "--test", "test.npz", "-o", "sharp.onnx", *QUICK)
        assert done.exit_code == 0, done.output
        epochs = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
        assert [line.split()[2] for line in epochs] == ["soft", *["sharpen"] * 3, *["finish"] * 3]
        assert epochs[-1].endswith("sharpness 1.00 1.00 1.00")
        assert "held out" in done.stdout and "of 100 right" in done.stdout
        assert sorted(path.name for path in Path().iterdir()) == ["net.onnx", "sharp.onnx", "test.npz", "train.npz"]

    def test_json_is_one_document(self, snc: Snc) -> None:
        command = ("sharpen", "net.onnx", "--data", "train.npz", "--test", "test.npz", "-o", "sharp.onnx", *QUICK)
        done = snc(*command, "--json")
        found = json.loads(done.stdout)["sharpened"]
        assert found["test"]["samples"] == 100
        assert found["validation"]["samples"] == 40
        assert found["key"] == [c for c in range(CLASSES) for _ in range(3)]
        assert len(found["epochs"]) == 7
        assert not done.stderr

    def test_goes_on_after_an_interrupt(self, snc: Snc, monkeypatch: pytest.MonkeyPatch) -> None:
        from snc.compiler.sharpen.training import Trainer

        command = ("sharpen", "net.onnx", "--data", "train.npz", "-o", "sharp.onnx")
        assert snc(*command, *QUICK).exit_code == 0
        whole = Path("sharp.onnx").read_bytes()
        run = Trainer.run

        def interrupted(trainer: Any, stretch: Any, number: int, advance: Any) -> Any:
            if number == 4:
                raise KeyboardInterrupt
            return run(trainer, stretch, number, advance)

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "run", interrupted)
            done = snc("sharpen", "net.onnx", "--data", "train.npz", "-o", "again.onnx", *QUICK)
        assert done.exit_code == 130
        assert "--resume again.checkpoint" in done.stderr
        assert not Path("again.onnx").exists()
        done = snc("sharpen", "net.onnx", "--data", "train.npz", "-o", "again.onnx", "--resume", "again.checkpoint")
        assert done.exit_code == 0, done.output
        assert Path("again.onnx").read_bytes() == whole
        assert not Path("again.checkpoint").exists()

    def test_refuses_other_settings_than_those_of_the_checkpoint(self, snc: Snc) -> None:
        command = ("sharpen", "net.onnx", "--data", "train.npz", "-o", "sharp.onnx")
        assert snc(*command, *QUICK, "--checkpoint", "kept.checkpoint").exit_code == 0
        assert Path("kept.checkpoint").exists()
        again = ("--resume", "kept.checkpoint", "--checkpoint", "kept.checkpoint")
        done = snc(*command, *again, "--seed", 5)
        assert done.exit_code == 2 and "SNC0496" in done.stderr and "seed" in done.stderr
        assert snc(*command, *again, "--seed", 0).exit_code == 0

    def test_refuses_what_is_no_checkpoint(self, snc: Snc) -> None:
        command = ("sharpen", "net.onnx", "--data", "train.npz", "-o", "sharp.onnx", "--resume")
        assert snc(*command, "train.npz").exit_code == 5
        assert snc(*command, "none.checkpoint").exit_code == 2


class TestWithoutTraining:
    def test_says_what_is_missing_where_torch_is_not_installed(self, snc: Snc, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.compiler.sharpen.problems.find_spec", lambda _name: None)
        done = snc("sharpen", "net.onnx", "--data", "train.npz", "-o", "sharp.onnx")
        assert done.exit_code == 2
        assert "SNC0493" in done.stderr and "pip install 'snc[sharpen]'" in done.stderr

    def test_writes_nothing_on_an_error(self, snc: Snc, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.compiler.sharpen.problems.find_spec", lambda _name: object())
        for wrong in (("--rate", "0"), ("--votes", "0"), ("--data", "none.npz"), ("-o", "no/sharp.onnx")):
            done = snc("sharpen", "net.onnx", "--data", "train.npz", "-o", "sharp.onnx", *wrong)
            assert done.exit_code == 2, done.output
        assert not Path("sharp.onnx").exists()

    def test_the_library_says_so_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.compiler.sharpen.problems.find_spec", lambda _name: None)
        with pytest.raises(Exception, match="SNC0493"):
            training.sharpen(dense(), samples())
