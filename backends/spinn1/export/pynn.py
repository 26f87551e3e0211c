"""Export to PyNN: one script and its data, for pyNN.spiNNaker (a board or a virtual one) and pyNN.nest alike."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from ....ir.dialects.spinn1_tables import PopulationKind
from ....runtime.spinn1.netlist import Netlist
from .network import read_back

SCRIPT, DATA = "run_pynn.py", "network.npz"
WITHIN_SHIFT = 0.75
"""A largest expected sum of 0.75 * 2^shift makes the toolchain choose this shift, for every shift from 0 on."""


def export_pynn(netlist: Netlist) -> Mapping[str, bytes]:
    """File names and contents: the script, the same for every network, and the network as arrays.

    What is exported is read back from the words, so that weights, delays and thresholds are those that the cores get.
    """
    network = read_back(netlist)
    populations = netlist.populations
    shifts = np.stack([populations["shift_exc"], populations["shift_inh"]], axis=1).astype(np.float64)
    first = np.ones(len(network.pre), bool)
    if first.size:
        triple = np.stack([network.source, network.target, network.receptor])
        first[1:] = (triple[:, 1:] != triple[:, :-1]).any(axis=0)
    begin = np.flatnonzero(first)
    arrays: dict[str, Any] = {
        "timestep_ms": np.array(netlist.timestep_us / 1000),
        "time_scale_factor": np.array(netlist.time_scale_factor),
        "interval": np.array(netlist.interval),
        "latency": np.array(netlist.latency),
        "label": np.array(netlist.labels, np.str_),
        "is_source": populations["kind"] == PopulationKind.SOURCE,
        "neurons": populations["neurons"].astype(np.int64),
        "first_neuron": populations["first_neuron"].astype(np.int64),
        "neurons_per_core": populations["neurons_per_core"].astype(np.int64),
        "largest_sum": WITHIN_SHIFT * 2.0**shifts,
        "threshold": network.threshold,
        "offset": network.offset,
        "source_element": netlist.sources["element"].astype(np.int64),
        "source_due": netlist.sources["due"].astype(np.int64),
        "output_neuron": netlist.outputs["neuron"].astype(np.int64),
        "output_due": netlist.outputs["due"].astype(np.int64),
        "projection_source": network.source[begin],
        "projection_target": network.target[begin],
        "projection_receptor": network.receptor[begin],
        "projection_begin": np.append(begin, len(network.pre)),
        "pre": network.pre.astype(np.int32),
        "post": network.post.astype(np.int32),
        "weight": network.weight,
        "delay": network.delay.astype(np.int32),
    }
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays)
    script = (resources.files(__package__ or "") / "pynn_script.py").read_bytes()
    return {SCRIPT: script, DATA: data.getvalue()}
