"""The populations of a spiking network: a row for each."""

from __future__ import annotations

from attrs import frozen

from .board import colour
from .figures import decimal, number, seconds, share
from .names import nodes_of
from .spiking_measured import SpikingMeasured


@frozen
class PopulationRow:
    """A population of a tile; `width` is its share of all core clocks in percent of the largest share."""

    index: int
    nodes: tuple[str, ...]
    kind: str
    colour: int
    shape: str
    neurons: str
    synapses: str
    cores: str
    per_core: str
    spikes: str
    packets: str
    clocks: str
    share: str
    width: float
    step: str
    busy: str
    lost: str


def population_rows(found: SpikingMeasured) -> tuple[PopulationRow, ...]:
    """A row for each population of a tile, in order."""
    total = float(found.core_clocks.sum()) or 1.0
    most = float(found.core_clocks.max(initial=0.0)) or 1.0
    names = population_names(found)
    rows = []
    for index, row in enumerate(found.profile["populations"]):
        clocks = float(found.core_clocks[index])
        operation = found.operations[index] if found.operations is not None else None
        rows.append(
            PopulationRow(
                index=index,
                nodes=nodes_of(names[index]),
                kind="source" if row["kind"] == "source" else "neurons",
                colour=colour(index),
                shape="x".join(map(str, operation.out.shape[1:])) if operation is not None else "-",
                neurons=f"{row['neurons']:,}{' + 1' if row['bias_neurons'] else ''}",
                synapses=number(row["synapses"]),
                cores=number(row["cores"]),
                per_core=number(row["neurons_per_core"]),
                spikes=decimal(row["spikes_per_sample"]),
                packets=decimal(row["packets_per_sample"]),
                clocks=f"{clocks:,.0f}",
                share=share(clocks / total),
                width=100 * clocks / most,
                step=seconds(row["step_s"]),
                busy=share(row["busy"]),
                lost=_lost(row["late_spikes"], row["lost_spikes"], row["saturations"]),
            )
        )
    return tuple(rows)


def population_names(found: SpikingMeasured) -> tuple[str, ...]:
    """The ONNX nodes of each population, joined as a layer's name; its label where they are not known."""
    if found.operations is None:
        return found.netlist.labels
    pairs = zip(found.operations, found.netlist.labels, strict=True)
    return tuple(str(op.location) if op.location.names else label for op, label in pairs)


def _lost(late: int, lost: int, saturated: int) -> str:
    parts = [f"{count:,} {word}" for count, word in ((late, "late"), (lost, "lost"), (saturated, "clamped")) if count]
    return ", ".join(parts) or "none"
