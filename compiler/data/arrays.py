"""Samples that are in memory already."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .columns import ArrayColumn, ColumnDataSet, check_columns
from .dataset import Array
from .labels import checked_labels
from .problems import misfit


class ArrayDataSet(ColumnDataSet):
    """Arrays [N, ...] by the name of the input, and labels [N, ...] or None.

    Arrays of one input may stand under the empty name. Raises UsageError when lengths differ or labels are neither
    classes nor numbers.
    """

    def __init__(self, inputs: Mapping[str, Array], labels: Array | None = None, source: str = "arrays") -> None:
        columns = {name: array_column(array, source, name) for name, array in inputs.items()}
        label_column = None if labels is None else checked_labels(array_column(labels, source, "labels"), source)
        check_columns(source, columns, label_column)
        super().__init__(source, columns, label_column)


def array_column(array: Array, source: str, name: str = "") -> ArrayColumn:
    """The column of an array; raises UsageError for a single number."""
    held = np.asarray(array)
    if held.ndim == 0:
        where = f"{source} {name}".rstrip()
        raise misfit(where, "this is no array of samples", "a single number", "an array whose first axis is samples")
    return ArrayColumn(held)
