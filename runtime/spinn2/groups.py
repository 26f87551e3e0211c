"""Grouping of table rows that can be handled as one array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)


def groups(*keys: npt.NDArray[np.integer]) -> Iterator[Integers]:
    """Row numbers of each set of rows that agree in all keys; sets are ordered by the keys, rows ascend."""
    count = len(keys[0])
    if not count:
        return
    order = np.lexsort([np.arange(count), *reversed(keys)])
    changed = np.zeros(count, bool)
    for key in keys:
        changed[1:] |= key[order][1:] != key[order][:-1]
    yield from np.split(order, np.flatnonzero(changed))


def byte_index(
    start: Integers, counts: tuple[int, ...], pitches: tuple[int, ...], size: int = 1
) -> npt.NDArray[np.int64]:
    """Byte addresses int64[len(start), *counts, size] of `size` adjacent bytes at nested pitches."""
    out = start
    for count, pitch in (*zip(counts, pitches, strict=True), (size, 1)):
        out = out[..., None] + np.arange(count, dtype=np.int64) * pitch
    return out


def _runs(array: npt.NDArray[np.generic], run: int) -> npt.NDArray[np.void]:
    """A view of a contiguous 1-d array whose item n is the `run` neighbours from n on."""
    form = np.dtype((np.void, run * array.itemsize))
    return np.ndarray((len(array) - run + 1,), form, array.data, strides=(array.itemsize,))


def gather_runs(array: npt.NDArray[T], starts: Integers, run: int) -> npt.NDArray[T]:
    """array[starts[...] + n] for n < run, as [*starts.shape, run]: one index for each run, not for each item."""
    found = np.ascontiguousarray(_runs(array, run)[starts])
    return found.reshape(-1).view(array.dtype).reshape(*starts.shape, run)


def scatter_runs(array: npt.NDArray[T], starts: Integers, values: npt.NDArray[T]) -> None:
    """array[starts[...] + n] = values[..., n]; of equal places the last one counts."""
    run = values.shape[-1]
    whole = np.ascontiguousarray(np.broadcast_to(values, (*starts.shape, run)))
    form = np.dtype((np.void, run * array.itemsize))
    _runs(array, run)[starts] = whole.reshape(-1).view(form).reshape(starts.shape)
