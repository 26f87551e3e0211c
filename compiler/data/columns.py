"""Columns, each one array of a data set that is read from its first sample to its last, and what they make together."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Protocol

import numpy as np
from attrs import frozen

from .dataset import Array, Batch, Field
from .problems import misfit, not_finite, too_large

MAX_BATCH_BYTES = 1 << 31
"""Most bytes of one input that a batch holds."""
DIGESTED_BYTES = 1 << 22
"""About how much `digest` has in memory."""
INPUT_KINDS = "biuf"


class Column(Protocol):
    """One array [N, ...] somewhere."""

    @property
    def count(self) -> int:
        """N."""

    @property
    def field(self) -> Field:
        """What a sample is; the type has the byte order of this computer."""

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """All samples in order, `size` at a time, the last chunk with what is left."""


@frozen(eq=False)
class ArrayColumn:
    """An array in memory."""

    array: Array

    @property
    def count(self) -> int:
        """The length of the first axis."""
        return len(self.array)

    @property
    def field(self) -> Field:
        """Shape and type of a sample."""
        return Field(self.array.shape[1:], self.array.dtype.newbyteorder("="))

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """Views, where the bytes are in this computer's order."""
        for start in range(0, self.count, size):
            yield self.array[start : start + size].astype(self.field.dtype, copy=False)


@frozen(eq=False)
class ColumnDataSet:
    """A data set of columns of one length, as `checked` makes it."""

    source: str
    columns: Mapping[str, Column]
    label_column: Column | None

    @property
    def count(self) -> int:
        """The number of samples."""
        return next(iter(self.columns.values())).count

    @property
    def fields(self) -> Mapping[str, Field]:
        """The inputs by name."""
        return {name: column.field for name, column in self.columns.items()}

    @property
    def labels(self) -> Field | None:
        """What a label is."""
        return None if self.label_column is None else self.label_column.field

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, `size` at a time.

        Raises UnsafeInput where a file is damaged, UsageError for NaN and infinite values, LimitExceeded for batches
        over 2 GiB, ValueError for a size below 1.
        """
        if size < 1:
            raise ValueError(f"batches of {size} samples")
        size = min(size, self.count)
        for name, field in self.fields.items():
            if size * sample_bytes(field) > MAX_BATCH_BYTES:
                found = f"{size} samples of {sample_bytes(field)} bytes"
                where = f"{self.source} {name}".rstrip()
                raise too_large(where, found, f"{MAX_BATCH_BYTES} bytes in a batch", "take smaller batches")
        return self._batches(size)

    def _batches(self, size: int) -> Iterator[Batch]:
        with ExitStack() as stack:
            readers = {name: stack.enter_context(closing(column.chunks(size))) for name, column in self.columns.items()}
            classes = None
            if self.label_column is not None:
                classes = stack.enter_context(closing(self.label_column.chunks(size)))
            for start in range(0, self.count, size):
                inputs = {name: next(reader) for name, reader in readers.items()}
                for name, array in inputs.items():
                    check_finite(array, self.source, name, start)
                yield Batch(inputs, None if classes is None else next(classes))
            # Files are held against their checksums when they are read to the end.
            for reader in (*readers.values(), *(() if classes is None else (classes,))):
                next(reader, None)

    def digest(self) -> str:
        """SHA-256 of all samples and labels, the same for the same content in any kind of file.

        The name of an input counts where there are several.
        """
        fields = dict(self.fields)
        largest = max(sample_bytes(field) for field in fields.values())
        parts = {name: _started(field, self.count) for name, field in fields.items()}
        label_part = None if self.labels is None else _started(self.labels, self.count)
        for batch in self.batches(max(1, DIGESTED_BYTES // max(1, largest))):
            for name, array in batch.inputs.items():
                parts[name].update(_bytes(array))
            if label_part is not None and batch.labels is not None:
                label_part.update(_bytes(batch.labels))
        whole = hashlib.sha256(b"snc data 1\0")
        for name in sorted(parts):
            named = name.encode("utf-8", "surrogatepass") if len(parts) > 1 else b""
            whole.update(len(named).to_bytes(8, "little") + named + parts[name].digest())
        whole.update(b"" if label_part is None else label_part.digest())
        return whole.hexdigest()

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}{list(field.shape)} {field.dtype}" for name, field in self.fields.items())
        return f"<snc data {self.source}: {self.count} samples, {inputs}{', labels' * (self.labels is not None)}>"


def check_columns(source: str, columns: Mapping[str, Column], label_column: Column | None) -> None:
    """Raises UsageError unless there are inputs, of numbers, of one length that the labels share."""
    if not columns:
        raise misfit(source, "there are no inputs", "no array but labels", "an array of samples for each input")
    for name, column in columns.items():
        if column.field.dtype.kind not in INPUT_KINDS:
            raise misfit(_place(source, name), "these are no numbers", str(column.field.dtype), "bool, int or float")
    counts = {name: column.count for name, column in columns.items()}
    if label_column is not None:
        counts["the labels"] = label_column.count
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name or 'the input'}: {count}" for name, count in counts.items())
        raise misfit(source, "the arrays have different numbers of samples", found, "one number")
    if not min(counts.values()):
        raise misfit(source, "there are no samples", "arrays of length 0", "at least 1 sample")


def check_finite(array: Array, source: str, name: str, start: int) -> None:
    """Raises UsageError, which names the sample, for NaN and infinite values."""
    if array.dtype.kind == "f":
        good = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not good.all():
            raise not_finite(source, name, start + int(good.argmin()))


def sample_bytes(field: Field) -> int:
    """Bytes of one sample."""
    size = field.dtype.itemsize
    for extent in field.shape:
        size *= extent
    return size


def _place(source: str, name: str) -> str:
    return f"{source} {name}".rstrip()


def _started(field: Field, count: int) -> hashlib._Hash:
    """A hash that has seen what the bytes mean."""
    kind = field.dtype.newbyteorder("<").str
    return hashlib.sha256(f"{kind} {count} {list(field.shape)}\0".encode())


def _bytes(array: Array) -> memoryview:
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8).data
