"""HTML of notebooks: tables of text, with no script, no colour of its own, and nothing but text from a model.

All that these functions are given is text to show, except for parts, which they have made themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...ir.html import escaped

MAX_CELL = 200
"""Longest text of a cell."""
MAX_ROWS = 60
_TABLE = "border-collapse: collapse; color: inherit; background: none"
_CELL = "padding: 0.1em 0.8em 0.1em 0; color: inherit; background: none; vertical-align: top; text-align: "
_SIDES = {True: "right; white-space: nowrap", False: "left"}


def shown(value: object, most: int = MAX_CELL) -> str:
    """Any text as the text of an HTML element: escaped, control characters visible, at most `most` characters."""
    text = str(value)
    return escaped(text if len(text) <= most else f"{text[:most]}...")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> str:
    """A table; columns whose index is in `right` hold numbers. Rows beyond MAX_ROWS are counted."""
    held = list(rows)
    lines = [_row("th", headings, right)] if headings else []
    lines += [_row("td", row, right) for row in held[:MAX_ROWS]]
    if len(held) > MAX_ROWS:
        lines.append(_row("td", [f"... and {len(held) - MAX_ROWS:,} more"], ()))
    return f'<table style="{_TABLE}">{"".join(lines)}</table>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    return table((), pairs)


def titled(title: str, *parts: str) -> str:
    """Parts under a title."""
    return f'<div style="color: inherit; background: none"><b>{shown(title)}</b>{"".join(parts)}</div>'


def folded(title: str, part: str) -> str:
    """A part that is shown when one asks for it."""
    return f"<details><summary>{shown(title)}</summary>{part}</details>"


def _row(tag: str, cells: Sequence[object], right: Collection[int]) -> str:
    sides = (_SIDES[index in right] for index in range(len(cells)))
    inner = (f'<{tag} style="{_CELL}{side}">{shown(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(inner)}</tr>"
