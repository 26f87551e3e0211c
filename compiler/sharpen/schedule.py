"""When which layer is sharpened: a fixed schedule, or one that follows the training loss.

Sharpness goes from 0 (the soft activation) to 1 (a step), first layers first. One epoch of training has a sharpness
of every layer at its start and at its end, and goes straight from one to the other. Severa, Vineyard, Dellana, Verzi,
Aimone: Training deep neural networks for binary communication with the Whetstone method (Nature Machine Intelligence,
2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import Factory, evolve, field, frozen

SOFT, SHARPEN, FINISH = "soft", "sharpen", "finish"
HALF_STRIDES = 0.75
"""From this sharpness on an adaptive sharpener goes half as fast: there the activation changes most."""


@frozen
class Stretch:
    """One epoch: its phase, and the sharpness of each layer at its start and its end.

    `rate_from` and `rate_to` are shares of the learning rate; it, too, goes straight from one to the other. `share` is
    how much of the samples the epoch sees.
    """

    phase: str
    start: tuple[float, ...]
    end: tuple[float, ...]
    rate_from: float = 1.0
    rate_to: float = 1.0
    share: float = 1.0

    def sharpness(self, share: float) -> tuple[float, ...]:
        """The sharpness of each layer when `share` of the epoch (0 to 1) is over."""
        return tuple(
            end if share >= 1 else start + (end - start) * share
            for start, end in zip(self.start, self.end, strict=True)
        )

    def rate(self, share: float) -> float:
        """The share of the learning rate at `share` of the epoch."""
        return self.rate_from + (self.rate_to - self.rate_from) * share


class Sharpener(Protocol):
    """Says what the next epoch is; all that it must remember is `state`, so that training can be resumed."""

    @property
    def state(self) -> Mapping[str, Any]:
        """What `restored` needs, as JSON."""

    def restored(self, state: Mapping[str, Any]) -> Sharpener:
        """The sharpener as it was when it had this state."""

    def next(self, loss: float | None) -> tuple[Sharpener, Stretch | None]:
        """What to do after an epoch of the mean training loss `loss` (None before the first); None at the end."""


@frozen
class ScheduledSharpener:
    """Soft epochs, then `each` epochs, or a share of one, for every layer from the first until all are steps."""

    layers: int
    soft: int
    each: float
    done: int = 0

    @property
    def state(self) -> Mapping[str, Any]:
        return {"done": self.done}

    def restored(self, state: Mapping[str, Any]) -> ScheduledSharpener:
        return evolve(self, done=int(state["done"]))

    def next(self, loss: float | None) -> tuple[ScheduledSharpener, Stretch | None]:
        after = evolve(self, done=self.done + 1)
        if self.done < self.soft:
            return after, Stretch(SOFT, (0.0,) * self.layers, (0.0,) * self.layers)
        number, per_layer = self.done - self.soft, math.ceil(self.each)
        if number >= self.layers * per_layer:
            return self, None
        start, end = self._at(number, per_layer), self._at(number + 1, per_layer)
        return after, Stretch(SHARPEN, start, end, share=self.each / per_layer)

    def _at(self, number: int, per_layer: int) -> tuple[float, ...]:
        """The sharpness of each layer before the epoch of this number."""
        return tuple(min(1.0, max(0.0, number / per_layer - layer)) for layer in range(self.layers))


@frozen
class AdaptiveSharpener:
    """Sharpens while the training loss allows it.

    After `soft` epochs it waits as long as an epoch brings the loss down by more than the share `fall`. Then each epoch
    sharpens the first layer that is no step by `stride`, from 0.75 on by half of it; after an epoch that drove the loss
    up by more than the share `rise` it waits. Never more than `patience` epochs in a row, so that training ends.
    """

    layers: int
    soft: int
    stride: float = 0.5
    fall: float = 0.15
    rise: float = 0.15
    patience: int = 3
    done: int = 0
    waited: int = 0
    previous: float | None = None
    sharpness: tuple[float, ...] = field(default=Factory(lambda self: (0.0,) * self.layers, takes_self=True))

    @property
    def state(self) -> Mapping[str, Any]:
        return {
            "done": self.done,
            "waited": self.waited,
            "previous": self.previous,
            "sharpness": list(self.sharpness),
        }

    def restored(self, state: Mapping[str, Any]) -> AdaptiveSharpener:
        previous = state["previous"]
        return evolve(
            self,
            done=int(state["done"]),
            waited=int(state["waited"]),
            previous=None if previous is None else float(previous),
            sharpness=tuple(float(each) for each in state["sharpness"]),
        )

    def next(self, loss: float | None) -> tuple[AdaptiveSharpener, Stretch | None]:
        now = self.sharpness
        if all(each == 1 for each in now):
            return self, None
        after = evolve(self, done=self.done + 1, previous=loss)
        phase = SHARPEN if any(now) else SOFT
        if self.done < self.soft:
            return after, Stretch(phase, now, now)
        if self._waits(loss):
            return evolve(after, waited=self.waited + 1), Stretch(phase, now, now)
        layer = next(index for index, each in enumerate(now) if each < 1)
        stride = self.stride if now[layer] < HALF_STRIDES else self.stride / 2
        end = (*now[:layer], min(1.0, now[layer] + stride), *now[layer + 1 :])
        return evolve(after, waited=0, sharpness=end), Stretch(SHARPEN, now, end)

    def _waits(self, loss: float | None) -> bool:
        """Whether the loss still falls well before sharpening has begun, or was driven up by it."""
        if not loss or not self.previous or self.waited >= self.patience:
            return False
        change = loss / self.previous - 1
        return change > self.rise if any(self.sharpness) else change < -self.fall


def finish_stretches(layers: int, epochs: int) -> tuple[Stretch, ...]:
    """Epochs with steps in every layer, whose learning rate falls to 0."""
    steps = (1.0,) * layers
    return tuple(
        Stretch(FINISH, steps, steps, 1 - number / epochs, 1 - (number + 1) / epochs) for number in range(epochs)
    )
