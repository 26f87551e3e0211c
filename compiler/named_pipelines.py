"""The pipelines that have a name on the command line."""

from __future__ import annotations

from ..backends.spinn1.machine import load_machine as load_spinn1_machine
from ..backends.spinn2.machine import load_machine
from .driver import DEFAULT_MACHINES, machine_pipeline
from .pipelines import (
    Spinn2Options,
    binary_pipeline,
    fixed_point_pipeline,
    graph_pipeline,
    groups_pipeline,
    spiking_pipeline,
)
from .spinn1.driver import DEFAULT_MACHINE
from .spinn1.options import SpikingOptions


def named_pipelines() -> dict[str, str]:
    """Pipeline text by name: `graph`, and for each target all that runs before its schedule, with default options."""
    options = Spinn2Options()
    machine = load_machine(DEFAULT_MACHINES["spinn2"])
    spinn2 = f"{fixed_point_pipeline(options)},{machine_pipeline(options, machine)}"
    return {"graph": graph_pipeline(), "spinn2": spinn2, "spinn1": _spinn1()}


def _spinn1() -> str:
    options, core = SpikingOptions(), load_spinn1_machine(DEFAULT_MACHINE).core
    ring_bits = core.ring_buffer_entries.bit_length() - 1
    groups = groups_pipeline(1, None, None, most_neurons=core.neurons_per_core, ring_bits=ring_bits)
    return f"{binary_pipeline(options)},{spiking_pipeline(options)},{groups}"
