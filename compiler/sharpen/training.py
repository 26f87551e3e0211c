"""The training loop: epochs over shuffled batches, one stretch of sharpness each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from .keys import Key
from .network import Mode, Network, layout_of
from .samples import Samples
from .schedule import Stretch

Array = NDArray[Any]
EVALUATED_AT_ONCE = 500
LOGITS = 10.0
"""How far apart the logits of a class are with all of its votes and with none."""

_REMEMBERED = ("step", "exp_avg", "exp_avg_sq")
"""What Adam knows of each parameter."""


class Trainer:
    """A network, its optimiser and its data."""

    def __init__(self, network: Network, key: Key, samples: Samples, *, batch: int, rate: float, seed: int) -> None:
        self.network = network
        self._key = torch.from_numpy(key.matrix())
        self._gain = LOGITS / (2 * float(key.counts.mean()) * 2)
        self._samples = samples
        self._batch = min(batch, len(samples))
        self._seed = seed
        self.restart(rate)

    def restart(self, rate: float) -> None:
        """A new optimiser, which remembers nothing."""
        self.rate = rate
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)

    def arrays(self) -> dict[str, Array]:
        """What the optimiser remembers, by name."""
        found = {}
        for name, tensor in zip(self.network.trained, self.network.parameters(), strict=True):
            for word, value in self._optimizer.state.get(tensor, {}).items():
                found[f"adam/{name}/{word}"] = value.numpy().copy()
        return found

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Gives a new optimiser what `arrays` found; raises KeyError or ValueError when it does not fit."""
        for name, tensor in zip(self.network.trained, self.network.parameters(), strict=True):
            if f"adam/{name}/step" not in arrays:
                continue
            state = self._optimizer.state[tensor]
            for word in _REMEMBERED:
                array = np.array(arrays[f"adam/{name}/{word}"])
                if array.shape != (() if word == "step" else tuple(tensor.shape)):
                    raise ValueError(f"{word} of {name} has shape {list(array.shape)}")
                value = torch.from_numpy(array)
                state[word] = value if word == "step" else value.contiguous(memory_format=layout_of(tensor))

    def run(self, stretch: Stretch, number: int, advance: Callable[[int, int], None]) -> tuple[float, float]:
        """One epoch; mean loss and accuracy over its batches."""
        steps = max(1, round(len(self._samples) // self._batch * stretch.share))
        order = np.random.default_rng([self._seed, 2, number]).permutation(len(self._samples))
        total = hits = 0.0
        for index in range(steps):
            rows = order[index * self._batch : (index + 1) * self._batch]
            mode = Mode(stretch.sharpness(index / steps), training=True)
            for group in self._optimizer.param_groups:
                group["lr"] = self.rate * stretch.rate((index + 0.5) / steps)
            loss, right = self._step(rows, mode)
            total, hits = total + loss, hits + right
            advance(index + 1, steps)
        return total / steps, hits / (steps * self._batch)

    def _step(self, rows: NDArray[np.int64], mode: Mode) -> tuple[float, float]:
        batch = self._samples.take(rows)
        labels = torch.from_numpy(batch.labels)
        logits = scores(self.network(tensors(batch), mode), self._key) * self._gain
        loss = functional.cross_entropy(logits, labels)
        self._optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()
            self._optimizer.step()
        return loss.item(), float((logits.argmax(dim=1) == labels).sum())


def scores(values: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(2x - 1)(2K - 1) for outputs [N, outputs] and a key matrix 2K - 1."""
    return (2 * values - 1) @ key


def tensors(samples: Samples) -> list[torch.Tensor]:
    """The inputs as f32 tensors, maps with their channels last in memory."""
    return [_channels_last(torch.from_numpy(each).float()) for each in samples.inputs]


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    if x.dim() != 4:
        return x
    _, channels, height, width = x.shape
    laid = x.contiguous(memory_format=torch.channels_last)
    # Of one channel, torch takes any strides for both layouts, and then the slower one for all that follows.
    return laid.as_strided(x.shape, (channels * height * width, 1, width * channels, channels))


def accuracy(network: Network, key: Key, samples: Samples, sharpness: Sequence[float]) -> float:
    """The share of samples whose class is right."""
    matrix, mode = torch.from_numpy(key.matrix()), Mode(tuple(sharpness))
    right = 0
    with torch.no_grad():
        for start in range(0, len(samples), EVALUATED_AT_ONCE):
            part = samples.take(np.arange(start, min(start + EVALUATED_AT_ONCE, len(samples))))
            found = scores(network(tensors(part), mode), matrix).argmax(dim=1)
            right += int((found == torch.from_numpy(part.labels)).sum())
    return right / len(samples)
