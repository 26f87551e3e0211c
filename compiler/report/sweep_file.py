"""Reads the table of `snc sweep`: CSV by its header, with whatever columns more it has."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from ...ir.diagnostics import Diagnostic, UnsafeInput
from .evaluation_file import limited_bytes

MAX_BYTES = 64 << 20
MAX_ROWS = 10_000
STATUS = "status"
OK = ("ok", "unscored")
MEASURES = ("accuracy", "latency_s", "throughput_per_s", "energy_j", "cores")
RESULTS = frozenset(
    (
        *(STATUS, "key", "code", "message", "metric", "samples", "chips", "boards", "snc_version"),
        *("late_spikes", "lost_spikes", "saturations", "artefact_bytes"),
        *MEASURES,
    )
)
"""Columns that say what was found; all others say what was asked for."""
CHOICES = "chosen_"
DIGESTS = "_sha256"


@frozen
class SweepRow:
    """A point: the options in which the points of the sweep differ, and what was measured where that went well."""

    status: str
    options: tuple[str, ...]
    metric: str
    measures: Mapping[str, float]
    message: str


@frozen
class Sweep:
    """A table: the names of the options in which its points differ, and its rows in their order."""

    options: tuple[str, ...]
    rows: tuple[SweepRow, ...]


def read_sweep(path: str | Path) -> Sweep:
    """The sweep in a CSV file; raises UsageError when there is no such file, UnsafeInput when it holds none."""
    content = limited_bytes(path, MAX_BYTES, "a table of a sweep")
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unsafe(path, str(error)[:100], "CSV in UTF-8") from None
    if not table or STATUS not in table[0]:
        raise _unsafe(path, "no header", f"a header with a column {STATUS!r}")
    header, *lines = table
    if len(set(header)) != len(header):
        raise _unsafe(path, "two columns of one name", "a header of different names")
    if len(lines) > MAX_ROWS:
        raise _unsafe(path, f"{len(lines)} rows", f"at most {MAX_ROWS}")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise _unsafe(path, f"row {number} of {len(line)} cells", f"{len(header)} cells, as in the header")
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    options = _options(header, rows)
    return Sweep(options, tuple(_row(path, number, row, options) for number, row in enumerate(rows, start=2)))


def _options(header: list[str], rows: list[dict[str, str]]) -> tuple[str, ...]:
    """Columns of options that do not say the same in every row."""
    asked = [name for name in header if name not in RESULTS and not name.endswith(DIGESTS)]
    return tuple(name for name in asked if len({row[name] for row in rows}) > 1 and not name.startswith(CHOICES))


def _row(path: str | Path, number: int, row: dict[str, str], options: tuple[str, ...]) -> SweepRow:
    measures = {}
    for name in MEASURES:
        text = row.get(name, "").strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            raise _unsafe(path, f"{name} {text[:40]!r} in row {number}", "a number") from None
        if math.isfinite(value):
            measures[name] = value
    return SweepRow(
        status=row[STATUS],
        options=tuple(row[name] for name in options),
        metric=row.get("metric", ""),
        measures=measures if row[STATUS] in OK else {},
        message=row.get("message", ""),
    )


def _unsafe(path: str | Path, found: str, expected: str) -> UnsafeInput:
    return UnsafeInput(
        Diagnostic("SNC0662", "this is no table of a sweep", found=found, expected=expected, node=str(path))
    )
