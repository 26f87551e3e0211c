"""The points of a sweep against each other: scatter plots with their fronts, and the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from attrs import frozen

from ..sweep.pareto import undominated
from .figures import decimal, quantity, rate, seconds
from .intervals import ticks
from .names import elided
from .scores import is_share, less_is_better, score_text
from .sweep_file import MEASURES, Sweep, SweepRow

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 46
SHOWN_ROWS = 500
LOG_FROM = 30.0
"""A range of this factor or more gets a logarithmic axis."""
TITLES = {
    "accuracy": "accuracy",
    "latency_s": "latency",
    "throughput_per_s": "throughput",
    "energy_j": "energy of a sample",
    "cores": "cores",
}
PAIRS = (("latency_s", "accuracy"), ("energy_j", "accuracy"), ("latency_s", "energy_j"))
COMPETING = ("accuracy", "latency_s", "energy_j", "cores")


@frozen
class AxisTick:
    """A mark of an axis."""

    at: float
    text: str


@frozen
class Point:
    """A point of a plot; `row` is its row in the table."""

    x: float
    y: float
    row: int
    front: bool
    title: str


@frozen
class Plot:
    """A scatter plot, in units; `front` is the path along the points that no other beats in these two."""

    x_title: str
    y_title: str
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    points: tuple[Point, ...]
    front: str


@frozen
class TableRow:
    """A row of the sweep's table; `front`: no other is better in one measure and as good in the others."""

    number: int
    status: str
    front: bool
    options: tuple[str, ...]
    cells: tuple[str, ...]
    message: str


@frozen
class Pareto:
    """What a page shows of a sweep."""

    plots: tuple[Plot, ...]
    options: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[TableRow, ...]
    left_out: int
    measured: int
    competing: tuple[str, ...]


def pareto(sweep: Sweep) -> Pareto:
    """The plots and the table of a sweep: rows of the front first, then all in their order."""
    rows = sweep.rows
    shown = [name for name in MEASURES if any(name in row.measures for row in rows)]
    competing = [name for name in COMPETING if name in shown]
    front = _front(rows, competing)
    order = sorted(range(len(rows)), key=lambda place: (place not in front, not rows[place].measures, place))
    metrics = {row.metric for row in rows if row.metric}
    metric = metrics.pop() if len(metrics) == 1 else ""
    titles = {**TITLES, "accuracy": metric or "accuracy"}
    plots = [_plot(rows, order[:SHOWN_ROWS], x, y, titles) for x, y in PAIRS if x in shown and y in shown]
    if "accuracy" in shown:
        plots = plots[:2]
    return Pareto(
        plots=tuple(plot for plot in plots if plot.points),
        options=tuple(elided(name, 60) for name in sweep.options),
        measures=tuple(titles[name] for name in shown),
        rows=tuple(
            TableRow(
                number=place,
                status=elided(rows[place].status, 60),
                front=place in front,
                options=tuple(elided(each, 120) for each in rows[place].options),
                cells=tuple(_measure(rows[place], name) for name in shown),
                message=elided(rows[place].message),
            )
            for place in order[:SHOWN_ROWS]
        ),
        left_out=max(0, len(rows) - SHOWN_ROWS),
        measured=sum(bool(row.measures) for row in rows),
        competing=tuple(titles[name] for name in competing),
    )


def _front(rows: Sequence[SweepRow], names: Sequence[str]) -> set[int]:
    """Rows that have all of these measures and that no other such row beats."""
    places = [place for place, row in enumerate(rows) if names and all(name in row.measures for name in names)]
    costs = np.array([[_cost(rows[place], name) for name in names] for place in places], np.float64)
    return {places[index] for index in undominated(costs.reshape(len(places), len(names)))}


def _cost(row: SweepRow, name: str) -> float:
    more = name == "throughput_per_s" or (name == "accuracy" and not less_is_better(row.metric))
    return -row.measures[name] if more else row.measures[name]


def _measure(row: SweepRow, name: str) -> str:
    if name not in row.measures:
        return "-"
    value = row.measures[name]
    return _words(row, name, value)


def _words(row: SweepRow, name: str, value: float) -> str:
    texts = {
        "accuracy": lambda: score_text(row.metric, value),
        "latency_s": lambda: seconds(value),
        "energy_j": lambda: quantity(value, "J"),
        "throughput_per_s": lambda: f"{rate(value)}\xa0/s",
    }
    return texts[name]() if name in texts else decimal(value)


def _plot(rows: Sequence[SweepRow], order: Sequence[int], x: str, y: str, titles: dict[str, str]) -> Plot:
    places = sorted(place for place in order if x in rows[place].measures and y in rows[place].measures)
    front = _front([rows[place] for place in places], (x, y))
    across = _Axis([rows[place].measures[x] for place in places], LEFT, WIDTH - RIGHT, share=False)
    metric = next((rows[place].metric for place in places), "")
    up = _Axis(
        [rows[place].measures[y] for place in places],
        HEIGHT - BOTTOM,
        TOP,
        share=y == "accuracy" and is_share(metric),
    )
    points = tuple(
        Point(
            x=across.at(rows[place].measures[x]),
            y=up.at(rows[place].measures[y]),
            row=place,
            front=index in front,
            title=_title(rows[place], place),
        )
        for index, place in enumerate(places)
    )
    line = sorted({(point.x, point.y) for point in points if point.front})
    path = "".join(f"{'M' if not number else 'L'}{px:.1f} {py:.1f}" for number, (px, py) in enumerate(line))
    x_ticks = tuple(AxisTick(across.at(value), _tick(x, value, share=False)) for value in across.ticks())
    y_ticks = tuple(AxisTick(up.at(value), _tick(y, value, share=up.share)) for value in up.ticks())
    return Plot(titles[x], titles[y], x_ticks, y_ticks, points, path)


def _tick(name: str, value: float, *, share: bool) -> str:
    if share:
        return f"{value * 100:.4g}\xa0%"
    units = {"latency_s": "s", "energy_j": "J"}
    return quantity(value, units[name]) if name in units else decimal(value)


def _title(row: SweepRow, place: int) -> str:
    words = [f"{TITLES[name]} {_words(row, name, value)}" for name, value in row.measures.items()]
    return f"row {place + 1}: {', '.join(words)}"


class _Axis:
    """Values on a line from `begin` to `end`, in proportion or by their logarithms."""

    def __init__(self, values: Sequence[float], begin: float, end: float, *, share: bool) -> None:
        self.begin, self.end, self.share = begin, end, share
        low, high = min(values, default=0.0), max(values, default=1.0)
        self.logarithmic = not share and low > 0 and high / low >= LOG_FROM
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        if self.logarithmic:
            self.low, self.high = low / 1.3, high * 1.3
        else:
            self.low, self.high = max(low - room, 0.0) if low >= 0 else low - room, high + room
            self.high = min(self.high, max(1.0, high)) if share else self.high

    def at(self, value: float) -> float:
        """Where a value lies."""
        if self.logarithmic:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1, 2, 5) if last - first <= 3 else (1,)
            marks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
            return [mark for mark in marks if self.low <= mark <= self.high]
        steps = ticks(self.high - self.low, most=4)
        step = steps[1] - steps[0] if len(steps) > 1 else self.high - self.low
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
