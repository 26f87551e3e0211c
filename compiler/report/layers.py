"""The layers of a schedule: a row for each, what it lost, and a closer look at those that take most."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Phase
from .figures import Figure, computed, modelled, number, seconds, share, size
from .heat import Scale, Strip, lattice, levels, strip
from .intervals import Integers
from .measured import Measured
from .names import nodes_of
from .timeline import LayerTimeline, layer_timelines

PHASES = (
    (Phase.WEIGHTS, "weights", "fetching weights and parameters"),
    (Phase.INPUTS, "inputs", "fetching tiles of the input"),
    (Phase.MIGRATION, "migration", "moving maps between elements"),
    (Phase.COMPUTE, "compute", "work of the MAC arrays"),
    (Phase.RESULTS, "results", "writing results back"),
    (Phase.POST, "post", "work of the ARM cores"),
    (Phase.LAYOUT, "layout", "data movement that the network asks for"),
)
"""Phases in the order of a layer's work, with their names and what they are."""


@frozen
class PhasePart:
    """A phase's part of a bar: its number among PHASES and its width in percent of the bar."""

    phase: int
    width: float
    title: str


@frozen
class LayerRow:
    """A layer: `bar` is its length in percent of the longest layer, `parts` fill it."""

    index: int
    nodes: tuple[str, ...]
    kind: str
    shape: str
    piece: str
    elements: str
    macs: str
    clocks: str
    time: str
    share: str
    bar: float
    parts: tuple[PhasePart, ...]
    detailed: bool


@frozen
class LayerDetail:
    """A closer look at a layer: which PEs work for it, in mesh order, with lines between the PEs, and when."""

    index: int
    nodes: tuple[str, ...]
    facts: tuple[tuple[str, Figure], ...]
    elements: Strip
    lattice: str
    scale: Scale
    timeline: LayerTimeline


@frozen
class PhaseRow:
    """A phase of the whole run; its number is that of its colour."""

    number: int
    name: str
    meaning: str
    clocks: str
    share: str
    width: float


def layer_rows(found: Measured, detailed: Integers) -> tuple[LayerRow, ...]:
    """A row for each layer; `detailed` are the numbers of those that have a closer look."""
    hertz = found.times.hertz
    clocks = found.times.phase_clocks.sum(axis=1)
    most = max(int(clocks.max(initial=0)), 1)
    looked_at = set(detailed.tolist())
    rows = []
    for index, (counted, timed) in enumerate(
        zip(found.summary["layers"], found.profile["layers"], strict=True),
    ):
        own = timed["clocks"]
        rows.append(
            LayerRow(
                index=index,
                nodes=nodes_of(counted["name"]),
                kind=counted["kind"],
                shape=_extents(counted["shape"]),
                piece=_extents(counted["piece"]),
                elements=number(counted["processing_elements"]),
                macs=number(counted["macs_scheduled"]),
                clocks=f"{own:,}",
                time=seconds(own / hertz),
                share=f"{100 * own / found.total:.1f}\xa0%",
                bar=100 * own / most,
                parts=_parts(timed["phases"], own),
                detailed=index in looked_at,
            )
        )
    return tuple(rows)


def _parts(phases: dict[str, int], whole: int) -> tuple[PhasePart, ...]:
    return tuple(
        PhasePart(place, 100 * phases[name] / whole, f"{name}: {phases[name]:,} clocks, {share(phases[name] / whole)}")
        for place, (_, name, _) in enumerate(PHASES)
        if phases[name] > 0
    )


def phase_rows(found: Measured) -> tuple[PhaseRow, ...]:
    """The phases of the whole run, and what the host takes around it; those that take nothing are left out."""
    phases = found.profile["phases"]
    parts = [(name, meaning, phases[name]) for _, name, meaning in PHASES]
    parts.append(("host", "starting and ending the run", phases["setup"] + phases["cleanup"]))
    return tuple(
        PhaseRow(
            number=place,
            name=name,
            meaning=meaning,
            clocks=f"{clocks:,}",
            share=share(clocks / found.total),
            width=100 * clocks / found.total,
        )
        for place, (name, meaning, clocks) in enumerate(parts)
        if clocks
    )


def details(found: Measured, chosen: Integers) -> tuple[LayerDetail, ...]:
    """A closer look at the chosen layers."""
    timelines = layer_timelines(found, chosen)
    moved = _moved(found)
    looks = []
    for layer, timeline in zip(chosen.tolist(), timelines, strict=True):
        own = found.layer_clocks[:, layer]
        top = int(own.max(initial=0))
        counted = found.summary["layers"][layer]
        by_phase = [(name, int(moved[layer, phase])) for phase, name, _ in PHASES]
        facts = [
            ("tasks", computed(number(counted["tasks"]))),
            ("transfers", computed(number(counted["transfers"]))),
            ("moved", computed(size(counted["bytes_moved"]))),
            *((f"{name} moved", computed(size(part))) for name, part in by_phase if part),
            ("under way for", timeline.span),
            ("busiest PE", modelled(f"{top:,} clocks")),
        ]
        elements = strip(_on_mesh(found, levels(own.astype(np.float64), top)))
        looks.append(
            LayerDetail(
                index=layer,
                nodes=nodes_of(counted["name"]),
                facts=tuple(facts),
                elements=elements,
                lattice=lattice(elements.columns, elements.rows, 1),
                scale=Scale("clocks that a PE works for this layer", "0", f"{top:,}"),
                timeline=timeline,
            )
        )
    return tuple(looks)


def _moved(found: Measured) -> Integers:
    """Bytes that transfers write, int64[layers, phases]."""
    rows, count = found.program.transfers, len(found.program.layers)
    moves = np.zeros((count, len(Phase)), np.int64)
    np.add.at(moves, (rows["layer"].astype(np.int64), rows["phase"]), found.transfer_bytes)
    return moves


def _on_mesh(found: Measured, step: Integers) -> Integers:
    """Values of the PEs where they lie on the mesh; holes are 0."""
    mesh = found.machine.mesh
    across = max(1, math.ceil(math.sqrt(mesh.pes_per_qpe)))
    down = -(-mesh.pes_per_qpe // across)
    cells = np.zeros((mesh.qpe_rows * down, mesh.qpe_columns * across), np.int64)
    place = np.array(found.machine.qpes, np.int64).reshape(-1, 2)
    pe = np.arange(len(step))
    qpe, own = place[pe // mesh.pes_per_qpe], pe % mesh.pes_per_qpe
    cells[qpe[:, 0] * down + own // across, qpe[:, 1] * across + own % across] = step
    return cells


def _extents(sizes: list[int] | None) -> str:
    return "x".join(map(str, sizes)) if sizes else "-"
