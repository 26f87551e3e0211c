"""Writes the report of a compiled network: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UsageError
from ..evaluation.record import Evaluation
from ..executable import Executable
from ..spinn1.executable import SpikingExecutable
from ..whole_files import whole_file
from .evaluation_file import read_evaluation
from .frame import render
from .measured import Progress
from .schedule_page import schedule_page
from .spikes_page import spikes_page
from .sweep_file import read_sweep

Array = NDArray[Any]


def report_html(
    executable: Executable | SpikingExecutable,
    *,
    title: str = "",
    evaluation: Evaluation | str | Path | None = None,
    sweep: str | Path | None = None,
    inputs: Sequence[Array] | None = None,
    progress: Progress = lambda stage: None,
) -> str:
    """The report as HTML; the same arguments give the same text.

    `evaluation` is that of this executable, or a file that `snc eval --json` printed; `sweep` the table that
    `snc sweep` wrote; `inputs` samples by which the load of a spiking network is judged. `progress` is told each stage.

    Raises UsageError for files that cannot be read, inputs that do not fit, an evaluation of another network;
    UnsafeInput for files that hold something else.
    """
    judged = evaluation if isinstance(evaluation, Evaluation | None) else read_evaluation(evaluation)
    if judged is not None:
        _check_same(executable, judged)
    table = None if sweep is None else read_sweep(sweep)
    name = title or f"network for {executable.target}"
    if isinstance(executable, Executable):
        if inputs is not None:
            raise UsageError(Diagnostic("SNC0664", "the times of a schedule do not depend on inputs"))
        schedule = schedule_page(executable, name, judged, table, progress)
        progress("page")
        return render("schedule.html.j2", schedule)
    spikes = spikes_page(executable, name, inputs, judged, table, progress)
    progress("page")
    return render("spikes.html.j2", spikes)


def write_report(executable: Executable | SpikingExecutable, path: str | Path, **options: Any) -> None:
    """Writes the report, whole or not at all; options as for `report_html`."""
    page = report_html(executable, **options).encode("utf-8")
    with whole_file(path) as file:
        file.write(page)


def _check_same(executable: Executable | SpikingExecutable, evaluation: Evaluation) -> None:
    found = (evaluation.target, evaluation.source_sha256)
    expected = (executable.target, executable.source_sha256)
    if found != expected:
        raise UsageError(
            Diagnostic(
                "SNC0663",
                "the evaluation is of another network",
                found=f"{found[0]}, model sha256 {found[1][:16]}",
                expected=f"{expected[0]}, model sha256 {expected[1][:16]}",
                help="evaluate this artefact: snc eval",
            )
        )
