"""The results of a sweep as a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from ..sweep.columns import OK, Row
from ..sweep.pareto import OBJECTIVES
from ..sweep.sweep import SweepResult
from .console import print_table, say
from .spiking_report import rate_text, seconds_text

MOST_ROWS = 30
"""Rows of the front that are shown; the table has all."""
NOT_LATE = "0, 0"


@frozen
class _Shown:
    """How the value of an objective is shown."""

    heading: str
    text: Callable[[Any, Row], str]


SHOWN: Mapping[str, _Shown] = {
    "accuracy": _Shown("accuracy", lambda value, row: _accuracy(value, row)),
    "latency": _Shown("latency", lambda value, _row: seconds_text(value)),
    "throughput": _Shown("throughput", lambda value, _row: f"{rate_text(value)} /s"),
    "energy": _Shown("energy of a sample", lambda value, _row: seconds_text(value, "J")),
    "cores": _Shown("cores or PEs", lambda value, _row: f"{value:,}"),
}


def print_sweep(result: SweepResult) -> None:
    """What was done, the Pareto front as a table, and where the whole table is."""
    print_counts(result)
    front = [result.rows[place] for place in result.front]
    if front:
        beside = " on ".join(["", ", ".join(result.objectives)])
        say()
        say(f"{len(front)} of {len(result.rows)} points are beaten by none{beside}:")
        say()
        print_front(front, result.varied, result.objectives)
    print_failures(result)
    say()
    say(f"table: {result.table}")


def print_counts(result: SweepResult) -> None:
    """How many points there are, were measured, and ended in which way."""
    ends = ", ".join(f"{count:,} {status}" for status, count in result.statuses.items())
    say(f"{len(result.rows):,} points: {ends}")
    again = f", {result.repeated:,} named twice" if result.repeated else ""
    say(f"measured now: {result.computed:,}; taken from earlier results: {result.taken:,}{again}")


def print_front(rows: Sequence[Row], varied: Sequence[str], objectives: Sequence[str]) -> None:
    """Rows with the columns that tell them apart, then the objectives with their units; of equal rows the first."""
    varied = [name for name in varied if any(row.get(name) not in (None, "") for row in rows)]
    alike: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(row.get(OBJECTIVES[name].column) for name in objectives), []).append(row)
    shown = list(alike.values())[:MOST_ROWS]
    late = any(_late(same[0]) != NOT_LATE for same in shown)
    several = any(len(same) > 1 for same in shown)
    headings = [
        *(name.replace("_", "-") for name in varied),
        *(SHOWN[name].heading for name in objectives),
        *["late, lost spikes"] * late,
        *["points alike"] * several,
    ]
    table = [
        [
            *(_cell(same[0].get(name)) for name in varied),
            *(_objective(same[0], name) for name in objectives),
            *[_late(same[0])] * late,
            *[str(len(same))] * several,
        ]
        for same in shown
    ]
    print_table(headings, table, right=range(len(varied), len(headings)))
    if len(alike) > MOST_ROWS:
        say(f"... and {len(alike) - MOST_ROWS} more")


def print_failures(result: SweepResult) -> None:
    """Why points have no place on the front, each reason once."""
    reasons: dict[tuple[Any, Any, Any], int] = {}
    for row in result.rows:
        if row["status"] != OK:
            reason = (row["status"], row["code"], row["message"])
            reasons[reason] = reasons.get(reason, 0) + 1
    if not reasons:
        return
    say()
    shown = sorted(reasons.items(), key=lambda each: -each[1])
    rows = [(f"{count:,}", status, code, message) for (status, code, message), count in shown]
    print_table(["points", "status", "code", "why"], rows[:MOST_ROWS], right=(0,))
    if len(shown) > MOST_ROWS:
        say(f"... and {len(shown) - MOST_ROWS} more reasons")


def _objective(row: Row, name: str) -> str:
    value = row.get(OBJECTIVES[name].column)
    return "-" if value is None else SHOWN[name].text(value, row)


def _accuracy(value: float, row: Row) -> str:
    return f"{value:.2%}" if row["metric"] == "top1" else f"{value:.4g} {row['metric']}"


def _late(row: Row) -> str:
    return ", ".join(str(row.get(name) or 0) for name in ("late_spikes", "lost_spikes"))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)
