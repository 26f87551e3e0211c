"""The page of a network for SpiNNaker2."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve, frozen

from ..evaluation.record import Evaluation
from ..executable import Executable
from .figures import Fact, assumed, computed, modelled, number, quantity, rate, seconds, share, size
from .frame import Head, Section, notes_of, sources_of
from .grid import Grid, PortRow, port_rows, qpe_grid
from .layers import LayerDetail, LayerRow, PhaseRow, details, layer_rows, phase_rows
from .measured import Measured, Progress, measure
from .mesh import Mesh, link_map
from .names import elided
from .pareto import Pareto, pareto
from .scores import score_text
from .sweep_file import Sweep
from .timeline import NetTimeline, net_timeline
from .waterfall import Findings, Waterfall, layer_findings, waterfall

MOST_DETAILS = 150
"""Layers that get a closer look: those that take most."""
MOST_BARS = 400
CALIBRATIONS = {
    "data": "ranges measured on samples",
    "noise": "ranges measured on random noise: the accuracy of this build means little",
    "model": "the model's own",
}
MACHINE_PARTS = {
    "machine": "machine",
    "mac_array": "MAC arrays",
    "arm": "ARM cores",
    "arm_estimates": "ARM cores, operations that nobody timed",
    "noc": "network on chip",
    "dram": "DRAM",
    "floor_plan": "floor plan",
    "energy": "energy",
}


@frozen
class SchedulePage:
    """All that the template shows."""

    head: Head
    phases: tuple[PhaseRow, ...]
    layers: tuple[LayerRow, ...]
    findings: Findings
    grid: Grid | None
    ports: tuple[PortRow, ...]
    mesh: Mesh | None
    timeline: NetTimeline
    details: tuple[LayerDetail, ...]
    waterfall: Waterfall | None
    pareto: Pareto | None


def schedule_page(
    executable: Executable, title: str, evaluation: Evaluation | None, sweep: Sweep | None, progress: Progress
) -> SchedulePage:
    """Everything that is shown of an executable."""
    found = measure(executable, progress)
    progress("drawings")
    taken = found.times.phase_clocks.sum(axis=1)
    detailed = np.sort(np.argsort(-taken, kind="stable")[:MOST_DETAILS])
    named = tuple((name, tuple(name.split(" + "))) for name in found.program.layers)
    page = SchedulePage(
        head=_head(found, title, evaluation),
        phases=phase_rows(found),
        layers=layer_rows(found, detailed),
        findings=layer_findings(evaluation, named) if evaluation else Findings((), {}),
        grid=qpe_grid(found),
        ports=port_rows(found),
        mesh=link_map(found),
        timeline=net_timeline(found, MOST_BARS),
        details=details(found, detailed),
        waterfall=waterfall(evaluation, named) if evaluation else None,
        pareto=pareto(sweep) if sweep else None,
    )
    return evolve(page, head=evolve(page.head, sections=_sections(page)))


def _sections(page: SchedulePage) -> tuple[Section, ...]:
    shown = [Section("summary", "Summary")]
    shown += [Section("loss", "Accuracy")] if page.waterfall else []
    shown += [Section("layers", "Layers"), Section("machine", "Machine and traffic")]
    shown += [Section("time", "Time"), Section("closer", "Layer by layer")]
    shown += [Section("sweep", "Sweep")] if page.pareto else []
    return (*shown, Section("sources", "Sources"))


def _head(found: Measured, title: str, evaluation: Evaluation | None) -> Head:
    profile, counted = found.profile, found.summary
    throughput, bound = profile["throughput_per_s"], profile["roofline_share"] or 0.0
    energy, sram = profile["energy"], profile["sram"]
    keys = [
        Fact("latency", modelled(seconds(profile["latency_s"])), f"{profile['total_clocks']:,} clocks"),
        Fact("throughput", modelled(f"{rate(throughput or 0.0)}\xa0/s"), "one run after the other"),
        Fact("energy", assumed(quantity(energy["total_j"], "J")), f"a run, within {energy['uncertainty_percent']:g} %"),
        Fact("roofline", modelled(share(bound)), f"of the latency: {seconds(profile['roofline_s'])} are the least"),
        Fact("fullest SRAM", computed(share(sram["high_water_bytes"] / max(sram["bytes_per_pe"], 1))), _sram(sram)),
        Fact("PEs at work", computed(number(counted["processing_elements_used"])), _of_elements(counted)),
    ]
    if evaluation is not None:
        keys.insert(0, score_fact(evaluation))
    machine = found.machine.machine
    return Head(
        title=elided(title, 120),
        target=found.executable.target,
        machine=elided(machine.title),
        keys=tuple(keys),
        facts=_facts(found),
        reasons=(),
        notes=notes_of(found.executable.notes),
        sources=sources_of(found.machine, MACHINE_PARTS),
        sections=(),
    )


def score_fact(evaluation: Evaluation) -> Fact:
    """The score of an evaluation, as a key figure."""
    score = evaluation.scores.get(evaluation.metric)
    text = score_text(evaluation.metric, score) if score is not None else "-"
    return Fact(elided(evaluation.metric, 40), computed(text), f"on {evaluation.samples:,} samples")


def _sram(sram: dict[str, Any]) -> str:
    return f"{size(sram['high_water_bytes'])} of {size(sram['bytes_per_pe'])}"


def _of_elements(counted: dict[str, Any]) -> str:
    return f"of {counted['processing_elements']}"


def _facts(found: Measured) -> tuple[Fact, ...]:
    profile, counted, options = found.profile, found.summary, found.executable.options
    macs, scheduled = counted["macs"], counted["macs_scheduled"]
    again = f"{scheduled / macs - 1:+.1%} at the borders of pieces" if scheduled > macs > 0 else ""
    moved, energy = profile["bytes"], profile["energy"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in counted["layer_kinds"].items())
    parts = ", ".join(
        f"{name} {quantity(energy[key], 'J')}"
        for name, key in (("MACs", "mac_j"), ("ARM", "arm_j"), ("DRAM", "dram_j"), ("idle", "idle_j"))
    )
    return (
        Fact("machine", elided(found.machine.name), f"{profile['clock_hz'] / 1e6:g} MHz"),
        Fact("mapping", elided(str(profile["mapping"]))),
        Fact("precision", elided(f"{options.get('bits')} bit, rescale by {options.get('rescale')}")),
        Fact("calibration", CALIBRATIONS[counted["calibration"]]),
        *(Fact("input", port_text(port)) for port in counted["inputs"]),
        *(Fact("output", port_text(port)) for port in counted["outputs"]),
        Fact("layers", computed(number(len(counted["layers"]))), kinds),
        Fact("MACs", computed(number(macs)), again),
        Fact("parameters", computed(number(counted["parameters"])), f"weights {size(counted['weight_bytes'])}"),
        Fact("tasks", computed(number(counted["tasks"])), f"in {counted['steps']:,} steps"),
        Fact("transfers", computed(number(counted["transfers"])), f"{size(counted['bytes_moved'])} in all"),
        Fact("DRAM", computed(size(moved["dram"])), "read and written"),
        Fact("DRAM in use", computed(size(counted["dram_bytes"])), f"constants {size(counted['constant_bytes'])}"),
        Fact("between memories", computed(size(moved["noc"])), "over the network on chip"),
        Fact("energy", assumed(quantity(energy["total_j"], "J")), parts),
        Fact("model", f"sha256 {found.executable.source_sha256[:16]}"),
    )


def port_text(port: dict[str, Any]) -> str:
    """An input or output in words."""
    return elided(f"{port['name']} {port['dtype']} {port['shape']}")
