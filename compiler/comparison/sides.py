"""The two artefacts of a comparison: what each says of itself, counted and timed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from ...ir.attributes import StringAttr
from ..artefact import Artefact, read_artefact
from ..artefact_arrays import Json
from ..executable import Executable
from ..profile import profile as spinn2_profile
from ..spinn1.executable import SpikingExecutable
from ..spinn1.profile import profile as spinn1_profile
from ..spinn1.summary import summary as spinn1_summary
from ..summary import summary as spinn2_summary
from ..targets import Compiled, executable_of

OF_THE_FILE = frozenset({"format", "format_version", "members", "tables"})
"""Keys of the manifest that describe the container."""
LOWER, HIGHER = "lower", "higher"

Measured: TypeAlias = tuple[str, str, int | float | None, str]
"""Name, unit, value, and which is better: lower, higher, or empty."""


@frozen
class Side:
    """One of the two: the artefact, what is in it, the length of its file in bytes, its profile and its summary."""

    artefact: Artefact
    executable: Compiled
    size: int
    profile: Mapping[str, Any]
    summary: Mapping[str, Any]


def read_side(path: Path) -> Side:
    """An artefact to compare, timed; raises UsageError and UnsafeInput."""
    artefact = read_artefact(path)
    executable = executable_of(artefact)
    size = path.stat().st_size
    if isinstance(executable, Executable):
        return Side(artefact, executable, size, spinn2_profile(executable), spinn2_summary(executable))
    return Side(artefact, executable, size, spinn1_profile(executable), spinn1_summary(executable))


def facts_of(side: Side) -> dict[str, Json]:
    """What the manifest says of the build, and what goes in and out."""
    found: dict[str, Json] = {}
    for key, value in side.artefact.manifest.items():
        if key in ("options", "choices"):
            found |= {f"{key[:-1]} {name}": _plain(each) for name, each in value.items()}
        elif key == "notes":
            for note in value:
                said = ", ".join(str(note[word]) for word in ("node", "message", "found") if note.get(word))
                found[f"{note.get('severity', 'note')} {note.get('code', '')}: {said}"] = "present"
        elif key not in OF_THE_FILE:
            found[key] = _plain(value)
    machine = side.executable.machine_text
    found["machine"] = str(side.profile["machine"])
    found["machine_sha256"] = hashlib.sha256(machine.encode()).hexdigest()
    found["inputs"] = [str(port) for port in side.executable.inputs]
    found["outputs"] = [str(port) for port in side.executable.outputs]
    return found


def _plain(value: Any) -> Json:
    """Read-only views as what json takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def amounts_of(side: Side) -> list[Measured]:
    """The numbers of a whole build."""
    profile, summary = side.profile, side.summary
    shared: list[Measured] = [
        ("latency", "s", profile["latency_s"], LOWER),
        ("throughput", "samples/s", profile["throughput_per_s"], HIGHER),
        ("energy of a sample", "J", profile["energy_j"], LOWER),
        ("artefact", "B", side.size, LOWER),
    ]
    if isinstance(side.executable, Executable):
        return [
            *shared,
            ("processors used", "PEs", summary["processing_elements_used"], ""),
            ("clocks", "clocks", profile["total_clocks"], LOWER),
            ("DRAM taken", "B", summary["dram_bytes"], LOWER),
            ("SRAM high water", "B", summary["sram_high_water_bytes"], LOWER),
            ("constants", "B", summary["constant_bytes"], LOWER),
            ("DRAM traffic", "B", profile["bytes"]["dram"], LOWER),
            ("NoC traffic", "B", profile["bytes"]["noc"], LOWER),
            ("products of the network", "MACs", summary["macs"], ""),
            ("products scheduled", "MACs", summary["macs_scheduled"], LOWER),
            ("parameters", "numbers", summary["parameters"], ""),
            ("tasks", "tasks", summary["tasks"], ""),
            ("transfers", "transfers", summary["transfers"], ""),
            ("steps", "steps", summary["steps"], ""),
        ]
    routing = profile["routing_entries"]
    return [
        *shared,
        ("processors used", "cores", profile["cores"], ""),
        ("chips", "chips", profile["chips"], ""),
        ("tiles", "tiles", profile["tiles"], HIGHER),
        ("cores of a tile", "cores", profile["tile"]["cores"], LOWER),
        ("SDRAM of a tile", "B", profile["tile"]["sdram_bytes"], LOWER),
        ("DTCM high water", "B", summary["dtcm_high_water_bytes"], LOWER),
        ("neurons of a tile", "neurons", profile["tile"]["neurons"], ""),
        ("synapses of a tile", "synapses", profile["tile"]["synapses"], ""),
        ("time step", "s", profile["tick_s"], LOWER),
        ("steps through the network", "steps", profile["latency_steps"], LOWER),
        ("steps from sample to sample", "steps", profile["sample_interval_steps"], LOWER),
        ("routing entries", "entries", routing["total"], LOWER),
        ("fullest routing table", "entries", routing["most_of_a_chip"], LOWER),
        ("late spikes", "packets", profile["late_spikes"], LOWER),
        ("lost spikes", "packets", profile["lost_spikes"], LOWER),
        ("saturations", "sums", profile["saturations"], LOWER),
    ]


@frozen
class Layer:
    """A layer of a schedule, or a population of a tile."""

    onnx: tuple[str, ...]
    facts: Mapping[str, Json]
    amounts: Sequence[Measured]


def layers_of(side: Side) -> dict[tuple[str, int], Layer]:
    """The layers by name, and by number among those of one name."""
    seen: Counter[str] = Counter()
    found = {}
    if isinstance(side.executable, Executable):
        rows = [
            (row["name"], _schedule_layer(row, times))
            for row, times in zip(side.summary["layers"], side.profile["layers"], strict=True)
        ]
    else:
        nodes = _nodes_of_populations(side.executable)
        rows = [
            (row["name"], _population(row, times, nodes.get(row["name"], ())))
            for row, times in zip(side.summary["populations"], side.profile["populations"], strict=True)
        ]
    for name, layer in rows:
        found[name, seen[name]] = layer
        seen[name] += 1
    return found


def _schedule_layer(row: Mapping[str, Any], times: Mapping[str, Any]) -> Layer:
    return Layer(
        tuple(times["onnx"]),
        {"kind": row["kind"], "result": row["shape"], "largest piece": row["piece"], "pieces": row["pieces"]},
        [
            ("clocks", "clocks", times["clocks"], LOWER),
            ("processors used", "PEs", row["processing_elements"], ""),
            ("products scheduled", "MACs", row["macs_scheduled"], LOWER),
            ("bytes moved", "B", row["bytes_moved"], LOWER),
        ],
    )


def _population(row: Mapping[str, Any], times: Mapping[str, Any], nodes: tuple[str, ...]) -> Layer:
    facts = ("kind", "neurons", "bias_neurons", "neurons_per_core", "delay_slots", "shift_exc", "shift_inh")
    return Layer(
        nodes,
        {name.replace("_", " "): row[name] for name in facts},
        [
            ("time of a step", "s", times["step_s"], LOWER),
            ("processors used", "cores", row["cores"], ""),
            ("synapses", "synapses", times["synapses"], ""),
            ("spikes of a sample", "spikes", times["spikes_per_sample"], ""),
        ],
    )


def _nodes_of_populations(executable: SpikingExecutable) -> dict[str, tuple[str, ...]]:
    found = {}
    for op in executable.module.main.body.ops:
        label = op.attributes.get("label")
        if isinstance(label, StringAttr):
            found[label.value] = op.location.names
    return found
