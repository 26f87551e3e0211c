"""The samples that a network is trained on: read, checked against the network, and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, LimitExceeded
from ..data.dataset import DataSet
from ..executable import Port
from .problems import SAMPLES, wrong_labels, wrong_samples

Array = NDArray[Any]

READ_AT_ONCE = 4096
MAX_BYTES = 1 << 34
"""Most bytes of samples that are held in memory."""


@frozen(eq=False)
class Samples:
    """Inputs [N, ...] in the order of the network's, and classes int64 [N].

    Inputs are uint8 where they hold only 0 and 1, else f32.
    """

    inputs: tuple[Array, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Samples:
        """Some of the samples."""
        return Samples(tuple(each[rows] for each in self.inputs), self.labels[rows])


def read_samples(data: DataSet, ports: Sequence[Port], *, threshold: float | None) -> Samples:
    """All samples of a data set, as the network's inputs `ports` take them; classes must be there.

    With `threshold` numbers of at least this become 1, others 0. Raises UsageError for labels or inputs that do not
    fit, LimitExceeded for more than memory should hold.
    """
    _check_fields(data, ports)
    names = list(data.fields)
    parts: list[list[Array]] = [[] for _ in ports]
    labels: list[Array] = []
    total = 0
    for batch in data.batches(READ_AT_ONCE):
        for part, port in zip(parts, ports, strict=True):
            name = port.name if port.name in batch.inputs else names[0]
            part.append(_held(batch.inputs[name], threshold, data.source, port.name))
            total += part[-1].nbytes
        if total > MAX_BYTES:
            raise LimitExceeded(
                Diagnostic(
                    SAMPLES,
                    "the samples do not fit into memory",
                    expected=f"at most {MAX_BYTES} bytes",
                    node=data.source,
                )
            )
        assert batch.labels is not None
        labels.append(batch.labels)
    inputs = tuple(_joined(part) for part in parts)
    return Samples(inputs, np.concatenate(labels).astype(np.int64))


def _check_fields(data: DataSet, ports: Sequence[Port]) -> None:
    if data.labels is None or data.labels.shape != () or data.labels.dtype.kind != "i":
        found = "no labels" if data.labels is None else f"labels {list(data.labels.shape)}, {data.labels.dtype}"
        raise wrong_labels(
            data.source,
            "training needs the class of every sample",
            found,
            "whole numbers from 0 on, one for each sample",
            "store them as `labels` beside the samples, or give --labels",
        )
    fields = data.fields
    for port in ports:
        alone = len(ports) == 1 and len(fields) == 1
        field = fields.get(port.name) or (next(iter(fields.values())) if alone else None)
        if field is None:
            found = ", ".join(name or "one without a name" for name in fields)
            raise wrong_samples(data.source, f"there are no samples for input {port.name}", found)
        if tuple(field.shape) != tuple(port.shape[1:]):
            raise wrong_samples(
                data.source,
                f"samples do not have the shape of input {port.name}",
                f"samples {list(field.shape)}",
                f"{list(port.shape[1:])}",
                "reshape the array; nothing is reshaped silently",
            )


def _held(array: Array, threshold: float | None, source: str, name: str) -> Array:
    if threshold is not None:
        return (array >= threshold).astype(np.uint8)
    if array.dtype == np.bool_ or bool(((array == 0) | (array == 1)).all()):
        return array.astype(np.uint8)
    if array.dtype.kind != "f" or array.min() < 0 or array.max() > 1:
        raise wrong_samples(
            source,
            f"input {name} holds neither 0 and 1 nor shares between them",
            f"numbers from {array.min():g} to {array.max():g}",
            "0 and 1, or floats from 0 to 1",
            "say from which number on an input is a spike: --input-threshold 128 for bytes of an image",
        )
    return array.astype(np.float32)


def _joined(parts: Sequence[Array]) -> Array:
    # One part with numbers makes the whole one of numbers.
    kind = np.result_type(*(part.dtype for part in parts))
    return np.concatenate([part.astype(kind, copy=False) for part in parts])


def split(count: int, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those held out, both in ascending order, drawn by the seed."""
    drawn = np.random.default_rng([seed, 0]).permutation(count)
    return np.sort(drawn[held_out:]), np.sort(drawn[:held_out])
