"""Grouping of table rows that can be handled as one array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


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
