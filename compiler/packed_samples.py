"""Samples in one file of plain arrays, for workers that cannot see the file or folder that they are from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..ir.diagnostics import Diagnostic, LimitExceeded
from .artefact_arrays import MalformedError, pack_arrays, unpack_arrays
from .data.arrays import ArrayDataSet
from .data.dataset import Array, DataSet

LABELS = "labels"
MAX_PACKED_BYTES = 1 << 32
BATCH = 1024


def pack_samples(data: DataSet) -> tuple[bytes, tuple[str, ...]]:
    """All samples of a data set and its labels, and the names of the inputs; raises LimitExceeded."""
    names = tuple(data.fields)
    size = data.count * sum(
        field.dtype.itemsize * int(np.prod(field.shape, dtype=object)) for field in data.fields.values()
    )
    if size > MAX_PACKED_BYTES:
        raise LimitExceeded(
            Diagnostic(
                "SNC0654",
                "the data is too large to be sent to a cluster",
                node=data.source,
                found=f"{size} bytes",
                expected=f"at most {MAX_PACKED_BYTES} bytes",
                help="sweep on fewer samples, or with local processes (--jobs)",
            )
        )
    columns: dict[str, list[Array]] = {LABELS: [], **{f"input{index}": [] for index, _ in enumerate(names)}}
    for batch in data.batches(min(BATCH, data.count)):
        for index, name in enumerate(names):
            columns[f"input{index}"].append(batch.inputs[name])
        if batch.labels is not None:
            columns[LABELS].append(batch.labels)
    arrays = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    return b"".join(bytes(piece) for piece in pack_arrays(arrays)), names


def unpack_samples(content: memoryview, names: tuple[str, ...], source: str) -> DataSet:
    """The data set that `pack_samples` packed; raises MalformedError."""
    arrays = unpack_arrays(content)
    if len(arrays) != len(names) + (LABELS in arrays):
        raise MalformedError(f"{len(arrays)} arrays for inputs {names}")
    inputs = {name: arrays[f"input{index}"] for index, name in enumerate(names)}
    return ArrayDataSet(inputs, arrays.get(LABELS), source)


def open_packed(path: Path, names: tuple[str, ...]) -> DataSet:
    """The data set in a file of packed samples."""
    return unpack_samples(memoryview(path.read_bytes()), names, str(path))
