"""Samples in whatever form a caller has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...ir.diagnostics import Diagnostic, UsageError
from ..data.arrays import ArrayDataSet
from ..data.dataset import Array, DataSet
from ..data.open import open_data

Given: TypeAlias = "DataSet | str | Path | Array | Mapping[str, Array]"
"""A data set, a file or folder, or arrays [N, ...]: one, or several by the names of the network's inputs."""


def data_set(given: Given, labels: str | Path | Array | None, preprocess: str | None) -> DataSet:
    """The data set that is meant; labels of files and folders are in them, or in a file of their own.

    Raises the errors of reading, and UsageError for labels or a preprocessing that the samples cannot have.
    """
    if isinstance(given, str | Path):
        if labels is not None and not isinstance(labels, str | Path):
            raise _misfit("labels as an array for samples in a file", "the path of a file of labels")
        return open_data(Path(given), labels=None if labels is None else Path(labels), preprocess=preprocess)
    if preprocess is not None:
        raise _misfit("a preprocessing for samples in memory", "samples as the network takes them")
    if isinstance(given, np.ndarray | Mapping):
        if isinstance(labels, str | Path):
            raise _misfit("labels in a file for samples in memory", "an array of labels")
        return ArrayDataSet({"": given} if isinstance(given, np.ndarray) else given, labels)
    if labels is not None:
        raise _misfit("labels beside a data set", "a data set with its labels")
    return given


def _misfit(found: str, expected: str) -> UsageError:
    return UsageError(Diagnostic("SNC0858", "samples and labels do not go together", found=found, expected=expected))
