"""What was counted in some batches, such that the counts of all batches do not depend on how they were dealt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@frozen(eq=False)
class Partial:
    """Sums of some batches: for each name an array of f64 for each batch that has something to say.

    Whole numbers below 2^53 are exact; others are added up by `total` with one rounding, so that neither the order of
    batches nor how they are dealt to workers changes a bit.
    """

    parts: dict[str, list[Numbers]] = field(factory=dict)

    def add(self, name: str, numbers: object) -> None:
        """Adds the array of one batch."""
        self.parts.setdefault(name, []).append(np.asarray(numbers, np.float64))

    def add_all(self, numbers: Mapping[str, object]) -> None:
        """Adds several arrays of one batch."""
        for name, each in numbers.items():
            self.add(name, each)

    def total(self, name: str, shape: tuple[int, ...] = ()) -> Numbers:
        """The sum of all batches; zeros of `shape` where no batch has any."""
        parts = self.parts.get(name)
        if not parts:
            return np.zeros(shape)
        columns = np.stack([part.reshape(-1) for part in parts], axis=1)
        return np.array([math.fsum(column) for column in columns]).reshape(parts[0].shape)

    def greatest(self, name: str) -> float:
        """The greatest number of all batches; 0 where no batch has any."""
        return max((float(part.max()) for part in self.parts.get(name, ()) if part.size), default=0.0)

    def count(self, name: str) -> int:
        """A sum that is one whole number."""
        return int(self.total(name))


def merged(partials: Iterable[Partial]) -> Partial:
    """The sums of all batches of several."""
    found = Partial()
    for partial in partials:
        for name, parts in partial.parts.items():
            found.parts.setdefault(name, []).extend(parts)
    return found
