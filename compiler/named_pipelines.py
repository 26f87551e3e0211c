"""The pipelines that have a name on the command line."""

from __future__ import annotations

from ..backends.spinn2.machine import load_machine
from .driver import DEFAULT_MACHINES, machine_pipeline
from .pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline


def named_pipelines() -> dict[str, str]:
    """Pipeline text by name: `graph`, and for each target all that runs before its schedule, with default options."""
    options = Spinn2Options()
    machine = load_machine(DEFAULT_MACHINES["spinn2"])
    spinn2 = f"{fixed_point_pipeline(options)},{machine_pipeline(options, machine)}"
    return {"graph": graph_pipeline(), "spinn2": spinn2}
