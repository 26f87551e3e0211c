"""Where the time of a compiled network goes, counted from the timeline of its program."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.spinn2.machine import Energy, Machine
from ..ir.diagnostics import Diagnostic, UsageError
from ..ir.dialects.spinn2_tables import Phase
from ..runtime.spinn2.program import Program
from ..runtime.spinn2.timer import Timeline, roofline, time_program
from .artefact_arrays import Json
from .executable import Executable
from .profile_record import Profile
from .schema_files import read_schema

TIMED_TARGETS = ("spinn2",)


def timeline(executable: Executable) -> Timeline:
    """The timeline of an executable on its own machine; UsageError for a target that has no clock model."""
    if executable.target not in TIMED_TARGETS:
        raise UsageError(
            Diagnostic(
                "SNC0480",
                f"there is no clock model for {executable.target}",
                found=f"an artefact for {executable.target}",
                expected=f"one for {', '.join(TIMED_TARGETS)}",
            )
        )
    return time_program(executable.program, executable.clocks)


def profile(executable: Executable, times: Timeline | None = None) -> Profile:
    """Times, bytes, memory and energy of one run, as JSON of the published schema (`profile_schema`).

    Units stand in the keys; `clocks` are those of the PEs. The phases of all layers, with `setup` and `cleanup`, add up
    to `total_clocks`. `times` is the executable's timeline, if it is at hand.
    """
    times = timeline(executable) if times is None else times
    machine, program = executable.machine, executable.program
    bound = roofline(program, executable.clocks)
    energy = energy_of(times, machine.energy)
    found = {
        "target": executable.target,
        "machine": machine.name,
        "mapping": executable.mapping,
        "clock_hz": times.hertz,
        "total_clocks": times.total_clocks,
        "latency_s": times.latency_s,
        "throughput_per_s": times.hertz / times.total_clocks if times.total_clocks else None,
        "energy_j": energy["total_j"],
        "roofline_s": bound / times.hertz,
        "roofline_share": bound / times.total_clocks if times.total_clocks else None,
        "layers": layer_times(program, times),
        "phases": {
            **_phases(times.phase_clocks.sum(axis=0)),
            "setup": times.setup_clocks,
            "cleanup": times.cleanup_clocks,
        },
        "bytes": {
            "dram": int(times.dram_bytes.sum()),
            "dram_by_port": times.dram_bytes.tolist(),
            "noc": times.noc_bytes,
        },
        "sram": sram_high_water(program, machine),
        "busy": dict(times.busy),
        "macs": times.macs,
        "energy": energy,
    }
    return Profile(found)


def layer_times(program: Program, times: Timeline) -> list[dict[str, Any]]:
    """A row for each layer; `clocks` are those by which it moves the end of the run on, `phases` are its parts."""
    return [
        {
            "name": name,
            "onnx": name.split(" + ") if name else [],
            "start_s": max(int(start), 0) / times.hertz,
            "end_s": max(int(end), 0) / times.hertz,
            "clocks": int(clocks.sum()),
            "phases": _phases(clocks),
        }
        for name, start, end, clocks in zip(
            program.layers, times.layer_start, times.layer_end, times.phase_clocks, strict=True
        )
    ]


def _phases(clocks: NDArray[np.int64]) -> dict[str, Json]:
    return {phase.name.lower(): int(clocks[phase]) for phase in Phase}


def sram_high_water(program: Program, machine: Machine) -> dict[str, Any]:
    """The end of the highest buffer in each PE's data memory."""
    memory = program.buffers["memory"].astype(np.int64)
    inside = memory < program.processing_elements
    ends = program.buffers["address"].astype(np.int64) + program.buffers["bytes"]
    high = np.zeros(program.processing_elements, np.int64)
    np.maximum.at(high, memory[inside], ends[inside])
    return {
        "bytes_per_pe": machine.pe.data_bytes,
        "high_water_bytes": int(high.max(initial=0)),
        "high_water_by_pe": high.tolist(),
    }


def energy_of(times: Timeline, energy: Energy) -> dict[str, Any]:
    """Joules of one run by the machine file's figures; `uncertainty_percent` and `source` are the file's own."""
    parts = {
        "mac_j": times.macs * energy.mac_joules,
        "arm_j": times.arm_clocks * energy.arm_clock_joules,
        "dram_j": int(times.dram_bytes.sum()) * energy.dram_byte_joules,
        "idle_j": times.latency_s * energy.idle_watts,
    }
    return {
        "total_j": sum(parts.values()),
        **parts,
        "uncertainty_percent": energy.uncertainty_percent,
        "source": energy.source,
    }


def profile_schema() -> dict[str, Any]:
    """The JSON schema of what `profile` returns."""
    return read_schema("profile")
