"""The numbers of a spiking network, counted in the tables of its netlist."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import asdict

from ...ir.dialects.spinn1_tables import PopulationKind
from ..artefact_arrays import Json
from ..executable import Port
from .executable import SpikingExecutable


def summary(executable: SpikingExecutable) -> dict[str, Any]:
    """Everything that is counted, as JSON: counts, bytes, names; units stand in the keys.

    Rows of populations and `tile_*` are those of one tile, all else of all tiles together. Neurons do not count sources
    and bias neurons.
    """
    netlist, machine = executable.netlist, executable.machine
    rows = population_rows(executable)
    tile_neurons = netlist.computing_neurons
    return {
        "target": executable.target,
        "machine": machine.name,
        "options": executable.options.as_json(),
        "choices": asdict(executable.choices),
        "activity": "data" if executable.activity_measured else "assumed",
        "inputs": [_port(port) for port in executable.inputs],
        "outputs": [_port(port) for port in executable.outputs],
        "decoded_outputs": [_port(port) for port in executable.decoded_outputs] if executable.tail.computes else [],
        "populations": rows,
        "neurons": tile_neurons * netlist.tiles,
        "tile_neurons": tile_neurons,
        "bias_neurons": int(netlist.populations["bias_neurons"].sum(dtype=np.int64)) * netlist.tiles,
        "tiles": netlist.tiles,
        "tile_cores": len(netlist.vertices),
        "cores": len(netlist.placements),
        "cores_available": machine.application_cores,
        "chips": len(np.unique(netlist.placements[["x", "y"]])),
        "chips_available": len(machine.chips),
        "tile_sdram_bytes": int(netlist.vertices["sdram_bytes"].sum(dtype=np.int64)),
        "dtcm_high_water_bytes": int(netlist.vertices["dtcm_bytes"].max(initial=0)),
        "dtcm_bytes": machine.core.dtcm_bytes,
        "tile_word_bytes": netlist.words.nbytes,
        "routing_entries": routing_entries(executable),
        "groups": executable.choices.groups,
        "sample_interval_steps": netlist.interval,
        "latency_steps": netlist.latency,
        "tick_s": netlist.tick_us / 10**6,
        "latency_s": netlist.latency * netlist.tick_us / 10**6,
        "throughput_per_s": netlist.tiles * 10**6 / (netlist.interval * netlist.tick_us),
    }


def population_rows(executable: SpikingExecutable) -> list[dict[str, Json]]:
    """A row for each population of a tile."""
    netlist = executable.netlist
    return [
        {
            "name": label,
            "kind": PopulationKind(int(row["kind"])).name.lower(),
            "neurons": int(row["neurons"]) - int(row["bias_neurons"]),
            "bias_neurons": int(row["bias_neurons"]),
            "cores": int(row["vertices"]),
            "neurons_per_core": int(row["neurons_per_core"]),
            "delay_slots": 1 << int(row["delay_bits"]),
            "shift_exc": int(row["shift_exc"]),
            "shift_inh": int(row["shift_inh"]),
        }
        for label, row in zip(netlist.labels, netlist.populations, strict=True)
    ]


def routing_entries(executable: SpikingExecutable) -> dict[str, int]:
    """Entries of all routing tables, of the fullest, and what a chip's table takes."""
    routes = executable.netlist.routes
    by_chip = np.unique(routes[["x", "y"]], return_counts=True)[1]
    limit = executable.machine.router.application_entries
    return {"total": len(routes), "most_of_a_chip": int(by_chip.max(initial=0)), "limit": limit}


def _port(port: Port) -> dict[str, Json]:
    return {"name": port.name, "shape": list(port.shape), "dtype": str(port.dtype)}
