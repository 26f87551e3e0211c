"""Which samples a stage is run on: always evenly spread over all, never the first ones."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@frozen
class Stride:
    """`taken` of `count` samples, evenly spread."""

    taken: int
    count: int

    @property
    def whole(self) -> bool:
        """Whether all samples are taken."""
        return self.taken >= self.count

    def mask(self, first: int, size: int) -> Mask:
        """Which of the samples from number `first` on are taken."""
        if self.whole:
            return np.ones(size, np.bool_)
        number = np.arange(first, first + size + 1, dtype=np.int64)
        steps = (2 * number * self.taken + self.count) // (2 * self.count)
        return np.asarray(np.diff(steps) > 0)


def spread(mask: Mask, most: int) -> Mask:
    """At most `most` of the marked samples, evenly spread over them."""
    places = np.flatnonzero(mask)
    found = np.zeros(len(mask), np.bool_)
    if len(places) and most:
        found[places[Stride(min(most, len(places)), len(places)).mask(0, len(places))]] = True
    return found


def affordable(work: int, budget: int, count: int, least: int) -> int:
    """How many of `count` samples of `work` each stay within `budget`, but at least `least`."""
    return min(count, max(least, budget // max(1, work)))
