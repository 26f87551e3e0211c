"""Labels: classes, or the numbers that outputs should be."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from attrs import frozen

from .columns import Column, sample_bytes
from .dataset import Array, Field
from .problems import wrong_labels

LABEL_NAMES = ("labels", "label", "y", "targets")
"""What an array of labels may be called beside those of inputs."""
CLASSES = np.dtype(np.int64)
CHECKED_BYTES = 1 << 22
EXPECTED = "classes, whole numbers from 0 on of shape [N], or floats, one or more for each sample"


@frozen(eq=False)
class ClassColumn:
    """Whole numbers [N] or [N, 1] of any type as int64 [N]."""

    column: Column

    @property
    def count(self) -> int:
        """The number of labels."""
        return self.column.count

    @property
    def field(self) -> Field:
        """A class."""
        return Field((), CLASSES)

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """The classes, `size` at a time."""
        for chunk in self.column.chunks(size):
            yield chunk.reshape(-1).astype(CLASSES)


def checked_labels(column: Column, source: str) -> Column:
    """Labels as a data set gives them, read through once.

    Raises UsageError for negative or huge classes, NaN and infinite numbers, and for floats that look like classes
    (whole numbers only, or one-hot rows): whether these are meant is for the user to say.
    """
    field = column.field
    if field.dtype.kind in "biu" and field.shape in ((), (1,)):
        _check_classes(column, source)
        return ClassColumn(column)
    if field.dtype.kind != "f":
        found = f"shape {[column.count, *field.shape]}, {field.dtype}"
        help = "for one-hot rows, store labels.argmax(axis=1)" if field.dtype.kind in "biu" else ""
        raise wrong_labels(source, found, EXPECTED, help)
    _check_numbers(column, source)
    return column


def _check_classes(column: Column, source: str) -> None:
    for start, chunk in _numbered(column):
        wrong = (chunk < 0) | (chunk > np.iinfo(CLASSES).max)
        if wrong.any():
            at = int(wrong.reshape(-1).argmax())
            raise wrong_labels(source, f"class {chunk.reshape(-1)[at]} of sample {start + at}", EXPECTED)


def _check_numbers(column: Column, source: str) -> None:
    shape = column.field.shape
    whole, one_hot = shape == (), len(shape) == 1 and shape[0] > 1
    for start, chunk in _numbered(column):
        rows = chunk.reshape(len(chunk), -1)
        good = np.isfinite(rows).all(axis=1)
        if not good.all():
            raise wrong_labels(source, f"NaN or infinite in sample {start + int(good.argmin())}", "finite numbers")
        whole = whole and bool((rows == np.rint(rows)).all())
        one_hot = one_hot and bool((((rows == 0) | (rows == 1)).all(axis=1) & (rows.sum(axis=1) == 1)).all())
    kind = f"{column.field.dtype} of shape {[column.count, *shape]}"
    if whole:
        help = "store classes as int64, numbers of a regression in shape [N, 1]"
        raise wrong_labels(source, f"whole numbers as {kind}", EXPECTED, help)
    if one_hot:
        raise wrong_labels(source, f"one-hot rows as {kind}", EXPECTED, "store labels.argmax(axis=1)")


def _numbered(column: Column) -> Iterator[tuple[int, Array]]:
    """Chunks with the number of their first sample."""
    start = 0
    for chunk in column.chunks(max(1, CHECKED_BYTES // max(1, sample_bytes(column.field)))):
        yield start, chunk
        start += len(chunk)
