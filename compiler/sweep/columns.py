"""The columns of a sweep's table, and how their values stand in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import frozen

from ...ir.diagnostics import Diagnostic
from .options import OPTIONS, Value
from .points import Point

Row: TypeAlias = Mapping[str, Value]
"""A point and what was measured of it, by column."""
Kind = Literal["text", "whole", "number", "flag"]

MAX_MESSAGE = 300

OK = "ok"
UNSCORED = "unscored"
REFUSED = "refused"
DOES_NOT_FIT = "does-not-fit"
FAILED = "failed"
CRASHED = "crashed"
STATUSES = (OK, UNSCORED, REFUSED, DOES_NOT_FIT, FAILED, CRASHED)
"""How a point ended: measured; measured but for its accuracy; refused; too large for the machine; a bug of snc or too
little memory; the end of the process that worked on it."""
PASSING = (FAILED, CRASHED)
"""What need not happen again."""


@frozen
class Column:
    """A column; a value of it is of the Python type that `kind` says, or None for none."""

    name: str
    kind: Kind


_KINDS: Mapping[str, Kind] = {"monitors": "flag", "input_threshold": "number"}
"""Kinds of options that have no value by default."""


def _option_kind(keyword: str, default: Value) -> Kind:
    return _KINDS.get(keyword, "whole" if isinstance(default, int) else "text")


COLUMNS: tuple[Column, ...] = (
    Column("key", "text"),
    Column("model", "text"),
    Column("target", "text"),
    Column("machine", "text"),
    Column("calibrate", "text"),
    Column("shape", "text"),
    Column("data", "text"),
    *(Column(option.keyword, _option_kind(option.keyword, option.default)) for option in OPTIONS.values()),
    Column("status", "text"),
    Column("code", "text"),
    Column("message", "text"),
    Column("chosen_groups", "whole"),
    Column("chosen_neurons_per_core", "whole"),
    Column("chosen_tiles", "whole"),
    Column("chosen_time_scale_factor", "number"),
    Column("chosen_sample_interval", "whole"),
    Column("metric", "text"),
    Column("accuracy", "number"),
    Column("samples", "whole"),
    Column("latency_s", "number"),
    Column("throughput_per_s", "number"),
    Column("energy_j", "number"),
    Column("cores", "whole"),
    Column("chips", "whole"),
    Column("boards", "whole"),
    Column("late_spikes", "whole"),
    Column("lost_spikes", "whole"),
    Column("saturations", "whole"),
    Column("artefact_bytes", "whole"),
    Column("artefact_sha256", "text"),
    Column("model_sha256", "text"),
    Column("machine_sha256", "text"),
    Column("calibrate_sha256", "text"),
    Column("data_sha256", "text"),
    Column("snc_version", "text"),
)
"""Every column, in order: the point, how it ended, what was chosen and measured, of which content."""

EMPTY: Row = {column.name: "" if column.kind == "text" else None for column in COLUMNS}
"""A row without anything."""
HEADER = ",".join(column.name for column in COLUMNS) + "\n"


def point_cells(point: Point, data: str) -> dict[str, Value]:
    """The columns that a point fills by itself."""
    texts = {column.name for column in COLUMNS if column.kind == "text"}
    options = {key: str(value) if key in texts else value for key, value in point.options}
    shape = " ".join(f"{name}={','.join(map(str, sizes))}" for name, sizes in point.shape)
    return {
        "model": point.model,
        "target": point.target,
        "machine": point.machine,
        "calibrate": point.calibrate,
        "shape": shape,
        "data": data,
        **options,
    }


def finding_cells(status: str, findings: Iterable[Diagnostic]) -> dict[str, Value]:
    """The columns of a point that did not come to its end: the first finding in one line, and how many more."""
    first, *others = findings
    parts = [f"{first.node}: " * bool(first.node) + first.message]
    parts += [f"found {first.found}"] if first.found else []
    parts += [f"expected {first.expected}"] if first.expected else []
    text = " ".join("; ".join(parts).split())
    text = text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
    more = f" (and {len(others)} more)" if others else ""
    return {"status": status, "code": first.code, "message": text + more}


def line_of(row: Row) -> str:
    """The row as one line of CSV; floats as Python writes them, which reads back exactly."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_cell(row.get(column.name)) for column in COLUMNS])
    return out.getvalue()


def row_of(line: str) -> dict[str, Value]:
    """The row of one line; raises ValueError for a line that `line_of` does not write."""
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    row = {column.name: _value(cell, column.kind) for column, cell in zip(COLUMNS, cells, strict=True)}
    if row["status"] not in STATUSES or line_of(row) != line:
        raise ValueError("a line of another form")
    return row


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    # A line of the file is a row, whatever a name holds.
    return "" if value is None else " ".join(str(value).splitlines()) if isinstance(value, str) else str(value)


def _value(cell: str, kind: Kind) -> Value:
    if kind == "text":
        return cell
    if not cell:
        return None
    readers: Mapping[Kind, Any] = {"whole": int, "number": float, "flag": {"true": True, "false": False}.__getitem__}
    try:
        return readers[kind](cell)
    except KeyError:
        raise ValueError(f"{cell!r} is neither true nor false") from None
