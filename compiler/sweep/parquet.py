"""The table as Parquet, by pyarrow."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...ir.diagnostics import Diagnostic, UsageError
from ..whole_files import whole_file
from .columns import COLUMNS, Kind, Row


def pyarrow() -> Any:
    """The library; raises UsageError where it is not installed."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UsageError(
            Diagnostic("SNC0650", "Parquet needs pyarrow, which is not installed", help="pip install 'snc[parquet]'")
        ) from None


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows with the types of their columns; raises UsageError without pyarrow, and OSError."""
    arrow = pyarrow()
    kinds: dict[Kind, Any] = {
        "text": arrow.string(),
        "whole": arrow.int64(),
        "number": arrow.float64(),
        "flag": arrow.bool_(),
    }
    arrays = [arrow.array([row.get(column.name) for row in rows], kinds[column.kind]) for column in COLUMNS]
    table = arrow.table(arrays, names=[column.name for column in COLUMNS])
    with whole_file(path) as file:
        arrow.parquet.write_table(table, file)
