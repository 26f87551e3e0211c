"""What a spiking network takes of a machine, and how long it runs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn1_tables import PopulationKind
from ...runtime.spinn1.timer import PopulationRow, Timing
from ..profile_record import Profile
from ..schema_files import read_schema
from .executable import SpikingExecutable
from .summary import routing_entries

Array = NDArray[Any]

MICRO = 10**6


def profile(
    executable: SpikingExecutable, inputs: Sequence[Array] | None = None, timing: Timing | None = None
) -> Profile:
    """Sizes, times, energy, and what goes wrong, as JSON of the published schema (`profile_schema`).

    Units stand in the keys. Counts are those of all tiles; rows of populations, and `tile`, are those of one. Late and
    lost spikes (packets at a core) and saturations are counted in a run of `inputs` [N, ...], without them of the
    samples that the build was judged by. `timing` is the executable's for them, if it is at hand.
    """
    netlist, machine = executable.netlist, executable.machine
    spikes = executable.activity if inputs is None else executable.elements(inputs)
    timing = executable.timing(inputs) if timing is None else timing
    run = executable.executor().run(spikes)
    neurons, bias = netlist.computing_neurons, sum(row.bias_neurons for row in timing.rows)
    synapses = sum(row.synapses for row in timing.rows)
    tiles = netlist.tiles
    found = {
        "target": executable.target,
        "machine": machine.name,
        "neurons": neurons * tiles,
        "bias_neurons": bias * tiles,
        "synapses": synapses * tiles,
        "cores": timing.cores,
        "cores_available": machine.application_cores,
        "chips": timing.chips,
        "boards": timing.boards,
        "tiles": tiles,
        "tile": {
            "neurons": neurons,
            "bias_neurons": bias,
            "synapses": synapses,
            "cores": len(netlist.vertices),
            "sdram_bytes": int(netlist.vertices["sdram_bytes"].sum(dtype=np.int64)),
        },
        "groups": executable.choices.groups,
        "timestep_s": netlist.timestep_us / MICRO,
        "time_scale_factor": netlist.time_scale_factor,
        "tick_s": netlist.tick_us / MICRO,
        "sample_interval_steps": netlist.interval,
        "latency_steps": netlist.latency,
        "latency_s": timing.latency_s,
        "throughput_per_s": timing.throughput_per_s,
        "energy_j": timing.energy_j,
        "energy": {"uncertainty_percent": machine.energy.uncertainty_percent, "source": machine.energy.source},
        "samples": timing.samples,
        "samples_from": "input" if inputs is not None else "build" if executable.activity_measured else "assumed",
        "late_spikes": timing.late,
        "lost_spikes": timing.lost,
        "saturations": int(run.saturations.sum()),
        "smallest_tick_s": timing.smallest_tick_us / MICRO,
        "smallest_time_scale_factor": timing.smallest_time_scale_factor,
        "limited_by": timing.limit,
        "load": {"link": timing.link_load, "router": timing.router_load, "sdram": timing.sdram_load},
        "routing_entries": routing_entries(executable),
        "populations": [
            _row(row, kind, saturations, per_core)
            for row, kind, saturations, per_core in zip(
                timing.rows,
                netlist.populations["kind"].tolist(),
                run.saturations.tolist(),
                netlist.populations["neurons_per_core"].tolist(),
                strict=True,
            )
        ],
    }
    return Profile(found)


def _row(row: PopulationRow, kind: int, saturations: int, per_core: int) -> dict[str, Any]:
    """One population of a tile; spikes and packets are those of one sample, on average."""
    return {
        "name": row.label,
        "kind": PopulationKind(kind).name.lower(),
        "neurons": row.neurons - row.bias_neurons,
        "bias_neurons": row.bias_neurons,
        "synapses": row.synapses,
        "cores": row.cores,
        "neurons_per_core": per_core,
        "spikes_per_sample": row.spikes,
        "packets_per_sample": row.packets,
        "late_spikes": row.late,
        "lost_spikes": row.lost,
        "saturations": saturations,
        "step_s": row.step_us / MICRO,
        "busy": row.busy,
    }


def profile_schema() -> dict[str, Any]:
    """The JSON schema of what `profile` returns."""
    return read_schema("profile.spinn1")
