"""What is told of training while it goes on."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from .schedule import Stretch


@frozen
class Epoch:
    """What an epoch did: mean training loss, shares of samples that were right, and the sharpness it ended with.

    `accuracy` is over the batches as they were trained on, `validation` over the samples held out.
    """

    number: int
    phase: str
    loss: float
    accuracy: float
    validation: float
    sharpness: tuple[float, ...]
    seconds: float


def _ignore_epoch(epoch: Epoch) -> None:
    pass


def _ignore_batch(stretch: Stretch, done: int, steps: int) -> None:
    pass


@frozen(eq=False)
class Watch:
    """Who is told: `epoch` after each, `batch` after each batch how many are done and how many there are."""

    epoch: Callable[[Epoch], None] = _ignore_epoch
    batch: Callable[[Stretch, int, int], None] = _ignore_batch
