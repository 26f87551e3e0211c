"""Times as intervals: which parts of them overlap, and how much of each bin they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def merged(row: Integers, begin: Integers, end: Integers) -> tuple[Integers, Integers, Integers]:
    """(row, begin, end) of intervals that cover, row by row, the same times, but none of them twice."""
    if not len(row):
        return row, begin, end
    order = np.lexsort((begin, row))
    row, begin, end = row[order], begin[order], end[order]
    # Every row is lifted above the one before, so that a running maximum starts anew in each.
    lift = row * (int(end.max()) - min(int(begin.min()), 0) + 1)
    reached = np.maximum.accumulate(end + lift) - lift
    before = np.concatenate([begin[:1], reached[:-1]])
    before = np.where(np.diff(row, prepend=row[:1] - 1) != 0, begin, before)
    begin = np.maximum(begin, before)
    kept = begin < end
    return row[kept], begin[kept], end[kept]


def lengths(row: Integers, begin: Integers, end: Integers, rows: int) -> Integers:
    """Added up lengths of the intervals of each row: int64[rows]."""
    found = np.zeros(rows, np.int64)
    np.add.at(found, row, end - begin)
    return found


def covered(row: Integers, begin: Floats, end: Floats, rows: int, bins: int) -> Floats:
    """How much of each bin the intervals of a row cover, float64[rows, bins]; times count bins, bin k is k .. k + 1.

    Parts outside 0 .. bins are left out; what overlaps counts as often as it occurs.
    """
    begin, end = np.clip(begin, 0, bins), np.clip(end, 0, bins)
    first = np.minimum(begin.astype(np.int64), bins - 1)
    last = np.minimum(end.astype(np.int64), bins - 1)
    within = first == last
    found = np.zeros((rows, bins))
    np.add.at(found, (row, first), np.where(within, end - begin, first + 1 - begin))
    np.add.at(found, (row[~within], last[~within]), (end - last)[~within])
    whole = np.zeros((rows, bins + 1))
    np.add.at(whole, (row[~within], first[~within] + 1), 1.0)
    np.add.at(whole, (row[~within], last[~within]), -1.0)
    return found + np.cumsum(whole, axis=1)[:, :-1]


def ticks(total: float, *, most: int = 6) -> list[float]:
    """Round numbers 0 .. total, at least two where total > 0 and at most `most` + 1 of them."""
    if total <= 0:
        return [0.0]
    step = 10.0 ** np.floor(np.log10(total / most))
    step = next(step * factor for factor in (1, 2, 5, 10) if total / (step * factor) <= most)
    return [float(index * step) for index in range(int(total / step + 1e-9) + 1)]
