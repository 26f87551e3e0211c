"""A comparison as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..units import SHARE, amount_text
from .console import print_table, say
from .schedule_report import extents, short_name

if TYPE_CHECKING:
    from ..artefact_arrays import Json
    from ..comparison.compare import Amount, Comparison, Fact

MAX_ROWS = 30
"""Rows of each table; `--json` has all."""
MAX_CELL = 48


def print_comparison(found: Comparison) -> None:
    """Everything that changed, or a line that says that nothing did."""
    if not found.changed:
        say(f"nothing changed: {found.a} and {found.b} hold the same build")
        return
    say(f"from {found.a} ({found.targets[0]}) to {found.b} ({found.targets[1]})")
    if found.targets[0] != found.targets[1]:
        say("two targets: layers and arrays are not compared")
    _amounts("accuracy", found.scores)
    _amounts("number", found.amounts)
    _table(["build", "from", "to"], [_fact(fact) for fact in found.facts])
    _layers(found)
    _table(
        ["array", "of layer", "shape", "differ", "largest difference"],
        [
            (
                row.array,
                short_name(row.layer),
                extents(row.shape_b if row.shape_b is not None else row.shape_a),
                f"{row.differ:,} of {row.elements:,}" if row.differ is not None else _shape_change(row.change),
                "" if row.largest_difference is None else f"{row.largest_difference:,}",
            )
            for row in found.arrays
        ],
        right=(3, 4),
    )
    _table(
        ["setting", "of layer", "from", "to"],
        [
            (f"{row.operation} {row.setting}", short_name(row.layer), _cell(row.a), _cell(row.b))
            for row in found.settings
        ],
    )
    _table(
        ["file in the artefact", "from", "to"],
        [(row.name, _size(row.a_bytes), _size(row.b_bytes)) for row in found.members],
        right=(1, 2),
    )


def _fact(fact: Fact) -> tuple[str, str, str]:
    if fact.name.endswith("_sha256"):
        return fact.name, str(fact.a)[:16], str(fact.b)[:16]
    return fact.name, _cell(fact.a), _cell(fact.b)


def _shape_change(change: str) -> str:
    return "other shape or type" if change == "shape" else change


def _amounts(title: str, amounts: tuple[Amount, ...]) -> None:
    rows = [
        (each.name, amount_text(each.a, each.unit), amount_text(each.b, each.unit), change_text(each))
        for each in amounts
        if each.changed
    ]
    _table([title, "from", "to", "change"], rows, right=(1, 2, 3))


def _layers(found: Comparison) -> None:
    rows = []
    for layer in found.layers:
        changes = [f"{fact.name} {_cell(fact.a)} -> {_cell(fact.b)}" for fact in layer.facts]
        chief, *others = layer.amounts
        changes += [
            f"{each.name} {amount_text(each.b, each.unit)} ({change_text(each)})" for each in others if each.changed
        ]
        what = layer.change if layer.change != "changed" else "; ".join(changes)
        rows.append(
            (
                short_name(layer.name),
                amount_text(chief.a, chief.unit),
                amount_text(chief.b, chief.unit),
                change_text(chief) if chief.changed else "",
                what,
            )
        )
    if rows:
        name = found.layers[0].amounts[0].name
        _table(["layer", f"{name}: from", "to", "change", "and"], rows, right=(1, 2, 3))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    if not rows:
        return
    say()
    print_table(headings, rows[:MAX_ROWS], right=right)
    if len(rows) > MAX_ROWS:
        say(f"... and {len(rows) - MAX_ROWS} more, which --json lists")


def change_text(amount: Amount) -> str:
    """By how much a number changed: points for shares, else per cent."""
    if amount.unit == SHARE and amount.a is not None and amount.b is not None:
        return f"{100 * (amount.b - amount.a):+.2f} points"
    if amount.percent is None:
        return "new" if amount.a is None else "gone" if amount.b is None else "from 0"
    return f"{amount.percent:+.2f} %"


def _size(size: int | None) -> str:
    return "absent" if size is None else amount_text(size, "B")


def _cell(value: Json) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(map(str, value)) or "none"
    else:
        text = str(value)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}..."
