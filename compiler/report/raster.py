"""Spikes: when the populations of a tile fire while samples pass it, and how many spike in each step of a sample."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .figures import decimal, number, share
from .heat import STEPS, Scale, Strip, levels, strip
from .intervals import ticks
from .names import nodes_of
from .spiking_measured import SpikingMeasured
from .timeline import Tick

MOST_ROWS = 64
"""Rows of a population; where it has more neurons, a row stands for several."""
MOST_COLUMNS = 600
"""Steps that are drawn."""
SMALLEST_BAND, LARGEST_BAND = 18, 132
"""Height of a population's band, in pixels."""
MOST_GROUPS = 64


@frozen
class Band:
    """A population: its spikes, one column a step; `height` is in pixels, `note` says what a row is."""

    layer: int
    name: str
    cells: Strip
    height: int
    note: str


@frozen
class Raster:
    """The spikes of one tile; `entries` are the steps at which a sample enters, in percent of the axis."""

    bands: tuple[Band, ...]
    ticks: tuple[Tick, ...]
    entries: tuple[float, ...]
    samples: int
    interval: int
    steps: int
    scale: Scale
    left_out: int


@frozen
class GroupBand:
    """A population by temporal group: rows are groups, columns steps of one sample."""

    layer: int
    name: str
    cells: Strip
    height: int
    note: str


@frozen
class SampleTimeline:
    """What one sample does in each step after it entered, on average of those that were followed."""

    bands: tuple[GroupBand, ...]
    ticks: tuple[Tick, ...]
    steps: int
    scale: Scale


def raster(found: SpikingMeasured) -> Raster:
    """The raster of the traced samples."""
    netlist, trace = found.netlist, found.trace[:MOST_COLUMNS]
    steps = max(len(trace), 1)
    bands = []
    for layer, (row, label) in enumerate(zip(netlist.populations, netlist.labels, strict=True)):
        first, count = int(row["first_neuron"]), int(row["neurons"])
        if not count:
            continue
        per_row = -(-count // MOST_ROWS)
        sums = _binned(trace[:, first : first + count], per_row)
        most = int(sums.max(initial=0))
        cells = levels(sums.astype(np.float64), most)
        bands.append(
            Band(
                layer=layer,
                name=nodes_of(label)[0],
                cells=strip(cells),
                height=int(np.clip(len(cells) * 2 + 4, SMALLEST_BAND, LARGEST_BAND)),
                note=f"{number(count)} neurons" + (f", {per_row} a row, {most} at once" if per_row > 1 else ""),
            )
        )
    samples = found.traced
    return Raster(
        bands=tuple(bands),
        ticks=step_axis(steps),
        entries=tuple(100 * at * netlist.interval / steps for at in range(samples) if at * netlist.interval < steps),
        samples=samples,
        interval=netlist.interval,
        steps=steps,
        scale=Scale("spikes of a row in a step, of those that its layer has at most", "0", "most"),
        left_out=max(0, len(found.trace) - MOST_COLUMNS),
    )


def _binned(spikes: NDArray[np.bool_], per_row: int) -> NDArray[np.int64]:
    """How many of `per_row` neurons spike, int64[rows, steps], at least one step."""
    steps, count = spikes.shape
    rows = -(-count // per_row)
    if not steps:
        return np.zeros((rows, 1), np.int64)
    return np.add.reduceat(spikes.astype(np.int64), np.arange(rows) * per_row, axis=1).T


def step_axis(steps: int) -> tuple[Tick, ...]:
    """The marks of an axis of steps."""
    marks = [mark for mark in ticks(float(steps)) if mark == int(mark) and mark < steps]
    return tuple(Tick(100 * mark / steps, f"{mark:.0f}") for mark in marks)


def sample_timeline(found: SpikingMeasured) -> SampleTimeline | None:
    """The steps of one sample; None where the network does not say when its neurons are due."""
    netlist = found.netlist
    if found.operations is None or not len(netlist.populations) or (found.due < 0).any():
        return None
    steps = int(found.due.max()) + 1
    if steps > MOST_COLUMNS or steps + (found.traced - 1) * netlist.interval > len(found.trace):
        return None
    counts = _spikes_when_due(found)
    bands = []
    for layer, (row, label) in enumerate(zip(netlist.populations, netlist.labels, strict=True)):
        own = slice(int(row["first_neuron"]), int(row["first_neuron"]) + int(row["neurons"]))
        due = found.due[own]
        if not len(due):
            continue
        groups = due - due.min()
        per_row = -(-(int(groups.max()) + 1) // MOST_GROUPS)
        key = (groups // per_row) * steps + due
        size = (int(groups.max()) // per_row + 1) * steps
        spiked, there = np.bincount(key, counts[own], size), np.bincount(key, minlength=size)
        shares = np.divide(spiked, there, out=np.zeros(size), where=there > 0).reshape(-1, steps)
        cells = np.where(there.reshape(-1, steps) > 0, np.maximum(np.ceil(shares * STEPS), 0), 0).astype(np.int64)
        number_of = int(groups.max()) + 1
        bands.append(
            GroupBand(
                layer=layer,
                name=nodes_of(label)[0],
                cells=strip(cells),
                height=int(np.clip(len(cells) * 3, SMALLEST_BAND, LARGEST_BAND)),
                note=f"{decimal(float(counts[own].sum()))} spikes ({share(float(counts[own].mean()))}), "
                f"{number_of} group{'s' if number_of > 1 else ''}",
            )
        )
    return SampleTimeline(tuple(bands), step_axis(steps), steps, Scale("of the neurons of a group spike", "0", "all"))


def _spikes_when_due(found: SpikingMeasured) -> NDArray[np.float64]:
    """For each neuron, in how many of the traced samples it spiked when it was due, over their number."""
    neuron = np.arange(len(found.due))
    counts = np.zeros(len(found.due))
    for sample in range(found.traced):
        counts += found.trace[found.due + sample * found.netlist.interval, neuron]
    return counts / max(found.traced, 1)
