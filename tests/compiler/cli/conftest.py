"""The command line in this process, and an artefact to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from snc.compiler.cli import main

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits"

Snc = Callable[..., Result]


def run_snc(*arguments: object, stdin: bytes | str | None = None) -> Result:
    """One run; anything but an exit is an escaped error."""
    result = CliRunner().invoke(main, [str(each) for each in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def snc() -> Snc:
    return run_snc


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digit network as an artefact."""
    path = tmp_path_factory.mktemp("artefact") / "digits.snc"
    built = run_snc("build", DIGITS / "digits_cnn.onnx", "--calibrate", DIGITS / "calibration.npz", "-o", path)
    assert built.exit_code == 0, built.output
    return path


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Twenty digits as the network takes them: float32 [20, 1, 28, 28]."""
    with np.load(DIGITS / "digits.npz") as data:
        return data["images"][:20] / np.float32(255)
