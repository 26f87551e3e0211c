"""How the verbs show an executable of each target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from ...ir.diagnostics import Diagnostic
from .. import summary as spinn2_summary
from .. import verification as spinn2_verification
from ..executable import Executable
from ..spinn1 import summary as spinn1_summary
from ..spinn1 import verification as spinn1_verification
from ..spinn1.executable import SpikingExecutable
from ..targets import Compiled
from . import layer_detail, schedule_report, spiking_report

Findings = list[Diagnostic]


@frozen
class View:
    """What is shown of one target's executables, and the proofs that `snc verify` makes about them.

    `parts` are the names of layers or populations, `detail` says more about one of them. `subjects` says, for an
    executable and a number of samples, what holds where a proof finds nothing.
    """

    summary: Callable[[Any], Mapping[str, Any]]
    print_summary: Callable[[str, Mapping[str, Any], int], None]
    print_parts: Callable[[Mapping[str, Any]], None]
    parts: Callable[[Any], Sequence[str]]
    detail: Callable[[Any, int], Mapping[str, Any]]
    print_detail: Callable[[Mapping[str, Any]], None]
    check_tables: Callable[[Any], Findings]
    check_values: Callable[[Any, int], Findings]
    check_rebuild: Callable[[Any, Path, Path, Mapping[str, Any] | None], Findings]
    subjects: Callable[[Any, int], Mapping[str, str]]


def view_of(executable: Compiled) -> View:
    """The view of an executable's target."""
    return VIEWS[executable.target]


def _spinn2_subjects(executable: Executable, samples: int) -> dict[str, str]:
    program = executable.program
    return {
        "tables": f"{len(program.tasks)} tasks and {len(program.transfers)} transfers read what was written for them",
        "values": f"program and reference interpreter agree bit for bit on {samples} samples",
    }


def _spinn1_subjects(executable: SpikingExecutable, samples: int) -> dict[str, str]:
    netlist = executable.netlist
    words = len(netlist.words) + len(netlist.master) + len(netlist.parameters)
    return {
        "tables": f"{words} words are sound, {len(netlist.routes)} routes lead every packet to the cores of its tile",
        "values": f"netlist and reference interpreter agree spike for spike on {samples} samples",
    }


def _population_detail(executable: SpikingExecutable, index: int) -> dict[str, Any]:
    return {"index": index, **spinn1_summary.population_rows(executable)[index]}


VIEWS: Mapping[str, View] = {
    "spinn2": View(
        summary=spinn2_summary.summary,
        print_summary=schedule_report.print_summary,
        print_parts=lambda numbers: schedule_report.print_layers(numbers["layers"]),
        parts=lambda executable: executable.program.layers,
        detail=layer_detail.layer_detail,
        print_detail=layer_detail.print_layer,
        check_tables=spinn2_verification.check_tables,
        check_values=spinn2_verification.check_values,
        check_rebuild=spinn2_verification.check_rebuild,
        subjects=_spinn2_subjects,
    ),
    "spinn1": View(
        summary=spinn1_summary.summary,
        print_summary=spiking_report.print_summary,
        print_parts=lambda numbers: spiking_report.print_populations(numbers["populations"]),
        parts=lambda executable: executable.netlist.labels,
        detail=_population_detail,
        print_detail=lambda detail: spiking_report.print_populations([detail]),
        check_tables=spinn1_verification.check_tables,
        check_values=spinn1_verification.check_values,
        check_rebuild=spinn1_verification.check_rebuild,
        subjects=_spinn1_subjects,
    ),
}
