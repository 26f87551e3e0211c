"""Samples with their labels, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]


@frozen(eq=False)
class Batch:
    """Samples that follow each other.

    `inputs` are arrays [N, ...] by the name of the network's input, under the empty name where the files give none.
    `labels` are classes, int64 [N], or the numbers that the outputs should be, float [N, ...].
    """

    inputs: Mapping[str, Array]
    labels: Array | None


@frozen
class Field:
    """What one array of a data set holds: the shape of a sample, and the type of its elements."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class DataSet(Protocol):
    """Samples somewhere, of which a batch at a time is in memory."""

    @property
    def source(self) -> str:
        """Where they are from, as the user named it."""

    @property
    def count(self) -> int:
        """The number of samples, at least 1."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The inputs by name."""

    @property
    def labels(self) -> Field | None:
        """The labels: a scalar int64 field for classes, any float field for numbers, None without labels."""

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, `size` at a time; raises UnsafeInput where a file is damaged."""

    def digest(self) -> str:
        """SHA-256 of all samples and labels, as they come out of `batches`."""
