"""Output keys: which class each output neuron votes for, and how spikes become a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Array = NDArray[Any]

NO_CLASS = -1
"""The class of a neuron that votes for none."""


def _classes(voters: object) -> NDArray[np.int64]:
    return np.asarray(voters, np.int64)


@frozen(eq=False)
class Key:
    """The class of each output neuron, int64 [outputs]; NO_CLASS for one that has no vote.

    Raises ValueError for classes beyond `classes`, or a class that no neuron votes for.
    """

    classes: int
    voters: NDArray[np.int64] = field(converter=_classes)

    def __attrs_post_init__(self) -> None:
        if self.voters.ndim != 1 or self.voters.min(initial=0) < NO_CLASS or self.voters.max(initial=0) >= self.classes:
            raise ValueError(f"a key of {self.classes} classes cannot hold {self.voters.tolist()}")
        if not self.counts.all():
            raise ValueError(f"no output votes for class {int(self.counts.argmin())}")

    @property
    def outputs(self) -> int:
        """How many neurons there are."""
        return len(self.voters)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Neurons that vote for each class, int64 [classes]."""
        return np.bincount(self.voters[self.voters != NO_CLASS], minlength=self.classes)

    def matrix(self) -> NDArray[np.float32]:
        """2K - 1 of the key K, f32 [outputs, classes]: 1 where a neuron votes for the class, else -1."""
        return np.where(self.voters[:, None] == np.arange(self.classes), 1, -1).astype(np.float32)

    def decode(self, spikes: Array) -> NDArray[np.int64]:
        """The class of each sample for spikes [N, outputs]: the greatest of (2x - 1)(2K - 1), the lowest on ties."""
        scores = (2 * spikes.astype(np.float32) - 1) @ self.matrix()
        return scores.argmax(axis=1).astype(np.int64)

    def __str__(self) -> str:
        least, most = int(self.counts.min()), int(self.counts.max())
        votes = str(least) if least == most else f"{least} to {most}"
        return f"{votes} of {self.outputs} outputs vote for each of {self.classes} classes"


def consecutive_key(outputs: int, classes: int) -> Key:
    """As many neurons for each class, one class behind the other; those that are left over have no vote.

    Raises ValueError when there are fewer outputs than classes.
    """
    votes = outputs // classes
    voters = np.full(outputs, NO_CLASS)
    voters[: votes * classes] = np.repeat(np.arange(classes), votes)
    return Key(classes, voters)


def random_key(outputs: int, classes: int, seed: int) -> Key:
    """As `consecutive_key`, in an order of the seed."""
    rng = np.random.default_rng(seed)
    return Key(classes, rng.permutation(consecutive_key(outputs, classes).voters))


def key_of_matrix(matrix: Array) -> Key | None:
    """The key of a matrix [outputs, classes] with one great and one small number; None for any other matrix."""
    low, high = matrix.min(initial=0), matrix.max(initial=0)
    votes = matrix == high
    if matrix.ndim != 2 or low == high or not (votes | (matrix == low)).all() or (votes.sum(axis=1) > 1).any():
        return None
    voters = np.where(votes.any(axis=1), votes.argmax(axis=1), NO_CLASS)
    return Key(matrix.shape[1], voters) if votes.any(axis=0).all() else None
