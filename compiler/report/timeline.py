"""When a schedule works: the whole net by lanes and by layers, and each layer by its phases."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Phase
from ...runtime.spinn2.loads import Resource
from .figures import Figure, modelled, seconds, share, size
from .heat import Levels, Strip, levels, strip
from .intervals import Floats, Integers, covered, lengths, merged, ticks
from .measured import Measured

BINS = 240
LAYER_BINS = 120
LANES = (
    (Resource.MAC, "MAC arrays"),
    (Resource.ARM, "ARM cores"),
    (Resource.SRAM, "SRAM ports"),
    (Resource.NOC, "NoC routers"),
)
HEIGHT = 100
"""Units of a lane: percent."""


MOVING = "time in which such a transfer is under way"
WORKING = "share of all PEs that work"


@frozen
class Tick:
    """A mark of the time axis, at a share of its length in percent."""

    at: float
    text: str


@frozen
class Lane:
    """What a class of resources, or one of them, does over time: an area in BINS x HEIGHT units."""

    name: str
    busy: Figure
    area: str
    title: str


@frozen
class Bar:
    """A layer on the time axis, in percent of its length: from its first to its last row, and of that the part in
    which it does more than fetch weights ahead."""

    layer: int
    start: float
    width: float
    work_start: float
    work_width: float
    title: str


@frozen
class NetTimeline:
    """The whole run; `elements` are the QPEs over time, one row each, from first to last."""

    ticks: tuple[Tick, ...]
    lanes: tuple[Lane, ...]
    elements: Strip
    bars: tuple[Bar, ...]
    bin_time: str


@frozen
class Row:
    """One phase of a layer over time."""

    name: str
    cells: Strip
    note: str


@frozen
class LayerTimeline:
    """The time from a layer's first work (weights that come ahead left out) to its end."""

    ticks: tuple[Tick, ...]
    rows: tuple[Row, ...]
    span: Figure


def axis(clocks: int, hertz: int) -> tuple[Tick, ...]:
    """The marks of an axis of this many clocks."""
    total = clocks / hertz
    return tuple(Tick(100 * at / total if total else 0.0, seconds(at)) for at in ticks(total))


def area(values: Floats) -> str:
    """The path of an area under steps of 0 .. 1, one unit each, HEIGHT units high."""
    heights = (HEIGHT * (1 - np.clip(values, 0, 1))).round().astype(int)
    change = np.flatnonzero(np.diff(heights, prepend=-1))
    ends = np.append(change[1:], len(heights))
    steps = "".join(f"V{heights[begin]}H{end}" for begin, end in zip(change.tolist(), ends.tolist(), strict=True))
    return f"M0 {HEIGHT}{steps}V{HEIGHT}z"


def net_timeline(found: Measured, most_bars: int) -> NetTimeline:
    """The timeline of a run; bars of the `most_bars` layers that take most."""
    hertz, total = found.times.hertz, found.total
    windows = work_windows(found)
    return NetTimeline(
        ticks=axis(total, hertz),
        lanes=_lanes(found),
        elements=strip(levels(_qpe_shares(found), 1.0)),
        bars=_bars(found, windows, most_bars),
        bin_time=seconds(total / BINS / hertz),
    )


def _shares(row: Integers, begin: Integers, end: Integers, rows: int, total: int) -> Floats:
    """Share of each bin of the run for which the intervals of a row last."""
    scale = np.float64(BINS / total)
    return covered(row, begin * scale, end * scale, rows, BINS)


def _lanes(found: Measured) -> tuple[Lane, ...]:
    lanes = []
    for kind, name in LANES:
        index, begin, end = found.occupancy.rows(kind)
        number = _count(found, kind)
        values = _shares(np.zeros(len(index), np.int64), begin, end, 1, found.total)[0] / max(number, 1)
        busy = modelled(share(found.times.busy[kind.name.lower()]))
        lanes.append(Lane(name, busy, area(values), f"{name}: on average {busy} of {number} work"))
    index, begin, end = found.occupancy.rows(Resource.DRAM)
    ports = len(found.machine.dram.ports)
    by_port = _shares(index, begin, end, ports, found.total)
    clocks = lengths(index, begin, end, ports) / found.total
    moved = found.times.dram_bytes.tolist()
    for port in range(ports):
        busy = modelled(share(float(clocks[port])))
        title = f"DRAM port {port}: works {busy} of the time, {size(moved[port])} moved"
        lanes.append(Lane(f"DRAM port {port}", busy, area(by_port[port]), title))
    return tuple(lanes)


def _count(found: Measured, kind: Resource) -> int:
    """How many resources of a class there are."""
    mesh = found.machine.mesh
    if kind is not Resource.NOC:
        return found.program.processing_elements
    lanes = 4 if found.machine.noc.router_limit == "lane" else 1
    return mesh.qpe_rows * mesh.qpe_columns * lanes


def _qpe_shares(found: Measured) -> Floats:
    """Share of each bin for which the PEs of each QPE work, on average."""
    each = found.machine.mesh.pes_per_qpe
    pe, begin, end = found.working
    return _shares(pe // each, begin, end, found.program.processing_elements // each, found.total) / each


def work_windows(found: Measured) -> tuple[Integers, Integers]:
    """Begin and end of each layer's rows, weights fetched ahead left out; (0, 0) for a layer without rows."""
    times, program = found.times, found.program
    begin = np.full(len(program.layers), np.iinfo(np.int64).max)
    moved = program.transfers["phase"] != Phase.WEIGHTS
    np.minimum.at(begin, program.transfers["layer"][moved].astype(np.int64), times.transfer_start[moved])
    np.minimum.at(begin, found.tasks.layer, times.task_start)
    end = np.maximum(times.layer_end, 0)
    return np.where(begin > end, np.maximum(times.layer_start, 0), begin), end


def _bars(found: Measured, windows: tuple[Integers, Integers], most: int) -> tuple[Bar, ...]:
    times, total = found.times, found.total
    taken = times.phase_clocks.sum(axis=1)
    shown = np.sort(np.argsort(-taken, kind="stable")[:most])
    bars = []
    for layer in shown[times.layer_end[shown] >= 0].tolist():
        start, end = int(times.layer_start[layer]), int(times.layer_end[layer])
        begin = int(windows[0][layer])
        bars.append(
            Bar(
                layer=layer,
                start=100 * start / total,
                width=100 * (end - start) / total,
                work_start=100 * begin / total,
                work_width=100 * (end - begin) / total,
                title=f"layer {layer}: works from {seconds(begin / times.hertz)} to {seconds(end / times.hertz)}, "
                f"its first transfer starts at {seconds(start / times.hertz)}",
            )
        )
    return tuple(bars)


def layer_timelines(found: Measured, chosen: Integers) -> list[LayerTimeline]:
    """The timeline of each of the chosen layers: transfers by phase, then MAC arrays and ARM cores."""
    begin, end = work_windows(found)
    view = _View(chosen, begin, np.maximum(end - begin, 1))
    moving = _moving(found, view)
    on_mac, on_arm = (_working(found, part, view) for part in (found.tasks.on_mac, ~found.tasks.on_mac))
    timelines = []
    for slot, layer in enumerate(chosen.tolist()):
        rows = [
            Row(f"{phase.name.lower()} moved", strip(moving[slot, phase][None]), MOVING)
            for phase in Phase
            if moving[slot, phase].any()
        ]
        rows += [
            Row(name, strip(cells[slot][None]), WORKING)
            for name, cells in (("MAC arrays", on_mac), ("ARM cores", on_arm))
            if cells[slot].any()
        ]
        clocks, hertz = int(view.span[layer]), found.times.hertz
        timelines.append(LayerTimeline(axis(clocks, hertz), tuple(rows), modelled(seconds(clocks / hertz))))
    return timelines


class _View:
    """The chosen layers, each on an axis of LAYER_BINS bins from its begin on."""

    def __init__(self, chosen: Integers, begin: Integers, span: Integers) -> None:
        self.begin, self.span, self.count = begin, span, len(chosen)
        self.slot = np.full(len(begin), -1)
        self.slot[chosen] = np.arange(len(chosen))

    def shares(self, layer: Integers, key: Integers, keys: int, start: Integers, stop: Integers) -> Floats:
        """float64[chosen, keys, LAYER_BINS]: how much of each bin the intervals of a layer and key cover."""
        known = self.slot[layer] >= 0
        layer, key, start, stop = (each[known] for each in (layer, key, start, stop))
        scale, origin = LAYER_BINS / self.span[layer], self.begin[layer]
        row = self.slot[layer] * keys + key
        cells = covered(row, (start - origin) * scale, (stop - origin) * scale, self.count * keys, LAYER_BINS)
        return cells.reshape(self.count, keys, LAYER_BINS)


def _moving(found: Measured, view: _View) -> Levels:
    """Steps int64[chosen, phases, LAYER_BINS]: for how long a transfer of a phase is under way."""
    rows, times = found.program.transfers, found.times
    key = rows["layer"].astype(np.int64) * len(Phase) + rows["phase"]
    key, start, stop = merged(key, times.transfer_start, times.transfer_end)
    return levels(view.shares(key // len(Phase), key % len(Phase), len(Phase), start, stop), 1.0)


def _working(found: Measured, part: np.ndarray, view: _View) -> Levels:
    """Steps int64[chosen, LAYER_BINS]: the share of all PEs whose tasks of this part run."""
    tasks = found.tasks
    layer = tasks.layer[part]
    shares = view.shares(layer, np.zeros(len(layer), np.int64), 1, tasks.start[part], tasks.end[part])
    return levels(shares[:, 0] / found.program.processing_elements, 1.0)
