"""Sweeps and their tables, as they come about without any other process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from snc.compiler.sweep.answers import answer
from snc.compiler.sweep.sweep import SweepResult, sweep

from .sweeps import FORTY, FOUR, write_sweep


@frozen
class Swept:
    """A specification and what came of it."""

    spec: Path
    result: SweepResult

    @property
    def table(self) -> bytes:
        return self.result.table.read_bytes()


def in_process(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    """Points are measured in this process: where processes are not what is tested, they take too long to start."""
    module = importlib.import_module("snc.compiler.sweep.sweep")
    monkeypatch.setattr(module, "run_local", lambda jobs, _workers: (answer(job, scratch) for job in jobs))


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_process(monkeypatch, tmp_path)


def swept(folder: Path, text: str) -> Swept:
    spec = write_sweep(folder, text)
    with pytest.MonkeyPatch.context() as patch:
        in_process(patch, folder)
        return Swept(spec, sweep(spec, out=folder / "results"))


@pytest.fixture(scope="session")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return swept(tmp_path_factory.mktemp("forty"), FORTY)


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return swept(tmp_path_factory.mktemp("four"), FOUR)


class At:
    """What `advance` is: does something once, when so many points are done."""

    def __init__(self, done: int, act: Callable[[], object]) -> None:
        self.done, self.act, self.happened = done, act, False

    def __call__(self, done: int, _total: int) -> None:
        if done >= self.done and not self.happened:
            self.happened = True
            self.act()
