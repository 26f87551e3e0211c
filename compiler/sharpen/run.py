"""Training as it stands between two epochs: what it does next, and how it is written down and taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import asdict, define, field
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ModuleOp
from .centre import centre
from .checkpoint import Checkpoint, of_another, unsound
from .epochs import Epoch, Watch
from .layers import weight_of
from .network import Network
from .problems import DIVERGED
from .samples import Samples, split
from .schedule import AdaptiveSharpener, ScheduledSharpener, Sharpener, Stretch, finish_stretches
from .settings import Settings
from .settle import settle
from .stepped import Stepped
from .training import Trainer, accuracy, tensors

Array = NDArray[Any]

LARGE = 5_000_000
"""Products of a sample from which on a network is large."""
LAYER_EPOCHS, FINISH_EPOCHS = (1.0, 0.5), (20, 4)
"""Epochs for each layer and for the finish of small and of large networks, where the user does not say."""
CENTRED_SAMPLES = 2000
"""Samples by which layers are moved to their steps."""
WORTH = 0.002
"""The share of held-out samples that a network may lose for thresholds that rounding does not reach."""


@define(eq=False)
class Run:
    """Training as it stands between two epochs."""

    stepped: Stepped
    network: Network
    trainer: Trainer
    training: Samples
    held_out: Samples
    settings: Settings
    sharpener: Sharpener
    finish: tuple[Stretch, ...]
    finished: int = 0
    loss: float | None = None
    epochs: list[Epoch] = field(factory=list)
    best_epoch: int = -1
    best_validation: float = -1.0
    best: dict[str, Array] = field(factory=dict)

    @classmethod
    def begin(cls, network: Stepped, samples: Samples, settings: Settings) -> Run:
        """A run before its first epoch."""
        layers = len(network.activations)
        held = min(max(1, round(len(samples) * settings.validation)), len(samples) - 2)
        rows, held_rows = split(len(samples), held, settings.seed)
        training, held_out = samples.take(rows), samples.take(held_rows)
        made = Network(network, soft=settings.activation)
        first = training.take(np.arange(min(len(training), CENTRED_SAMPLES)))
        centre(made, network, tensors(first))
        large = int(_products(network.module) >= LARGE)
        each = LAYER_EPOCHS[large] if settings.layer_epochs is None else settings.layer_epochs
        finish = FINISH_EPOCHS[large] if settings.finish_epochs is None else settings.finish_epochs
        sharpener: Sharpener
        if settings.sharpener == "scheduled":
            sharpener = ScheduledSharpener(layers, settings.soft_epochs, each)
        else:
            sharpener = AdaptiveSharpener(layers, settings.soft_epochs)
        return cls(
            stepped=network,
            network=made,
            trainer=Trainer(made, network.key, training, batch=settings.batch, rate=settings.rate, seed=settings.seed),
            training=training,
            held_out=held_out,
            settings=settings,
            sharpener=sharpener,
            finish=finish_stretches(layers, finish),
        )

    def train(self, checkpoint: Path | None, origin: Mapping[str, str], watch: Watch) -> None:
        """All epochs that are left; the network is then that of the best."""
        if checkpoint is not None and not self.epochs:
            self.save(checkpoint, origin)
        while True:
            after, stretch = self._next()
            if stretch is None:
                break
            self._epoch(stretch, watch)
            self.sharpener = after
            if checkpoint is not None:
                self.save(checkpoint, origin)
            watch.epoch(self.epochs[-1])
        if self.best:
            self.network.load(self.best)
            self._settle()

    def _settle(self) -> None:
        """Moves thresholds away from sums, unless the held-out samples speak against it."""
        settle(self.network, self.stepped, self._first_inputs())
        steps = (1.0,) * len(self.stepped.activations)
        validation = accuracy(self.network, self.stepped.key, self.held_out, steps)
        if validation < self.best_validation - WORTH:
            self.network.load(self.best)
        else:
            self.best_validation = validation

    def _first_inputs(self) -> list[torch.Tensor]:
        """Samples by which sums are looked at."""
        return tensors(self.training.take(np.arange(min(len(self.training), CENTRED_SAMPLES))))

    def _next(self) -> tuple[Sharpener, Stretch | None]:
        """The sharpener behind the next epoch, and that epoch; None at the end."""
        after, stretch = self.sharpener.next(self.loss)
        if stretch is None and self.finished < len(self.finish):
            stretch = self.finish[self.finished]
            if self.finished == 0:
                self.trainer.restart(self.settings.finish_rate)
            self.finished += 1
        return after, stretch

    def _epoch(self, stretch: Stretch, watch: Watch) -> None:
        number, start = len(self.epochs), time.monotonic()
        loss, right = self.trainer.run(stretch, number, lambda done, steps: watch.batch(stretch, done, steps))
        if not math.isfinite(loss):
            raise ModelError(
                Diagnostic(
                    DIVERGED,
                    "training has come to nothing: the loss is no number any more",
                    found=f"epoch {number + 1}",
                    help="try a smaller learning rate: --rate, --finish-rate",
                )
            )
        self.loss = loss
        validation = accuracy(self.network, self.stepped.key, self.held_out, stretch.end)
        seconds = time.monotonic() - start
        self.epochs.append(Epoch(number + 1, stretch.phase, loss, right, validation, stretch.end, seconds))
        steps_only = all(each == 1 for each in stretch.end)
        # The later of two equal epochs, which has seen the lower learning rate.
        if steps_only and validation >= self.best_validation:
            self.best, self.best_epoch, self.best_validation = self.network.arrays(), number + 1, validation

    def save(self, path: Path, origin: Mapping[str, str]) -> None:
        """Writes a checkpoint."""
        arrays = {f"now/{name}": array for name, array in self.network.arrays().items()}
        arrays |= {f"best/{name}": array for name, array in self.best.items()}
        arrays |= self.trainer.arrays()
        state = {
            "origin": dict(origin),
            "settings": self.settings.as_json(),
            "torch": torch.__version__,
            "sharpener": dict(self.sharpener.state),
            "finished": self.finished,
            "rate": self.trainer.rate,
            "loss": self.loss,
            "epochs": [asdict(each) for each in self.epochs],
            "best_epoch": self.best_epoch,
            "best_validation": self.best_validation,
        }
        Checkpoint(arrays, state).save(path)

    def restore(self, checkpoint: Checkpoint, origin: Mapping[str, str], path: Path) -> None:
        """Goes to where a checkpoint was written; raises UsageError for one of another training."""
        state, arrays = checkpoint.state, checkpoint.arrays
        for what in origin:
            found = str(state.get("origin", {}).get(what, "nothing"))
            if found != origin[what]:
                raise of_another(path, f"another {what}", f"SHA-256 {found[:16]}...", f"{origin[what][:16]}...")
        try:
            self.network.load({name: arrays[f"now/{name}"] for name in self.network.tensors})
            self.sharpener = self.sharpener.restored(state["sharpener"])
            self.finished = int(state["finished"])
            self.trainer.restart(float(state["rate"]))
            self.trainer.load(arrays)
            self.loss = None if state["loss"] is None else float(state["loss"])
            self.epochs = [_epoch_of(each) for each in state["epochs"]]
            self.best_epoch, self.best_validation = int(state["best_epoch"]), float(state["best_validation"])
            if self.best_epoch >= 0:
                self.best = {name: np.array(arrays[f"best/{name}"]) for name in self.network.tensors}
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise unsound(path, f"{type(error).__name__}: {error}") from None


def _epoch_of(row: Mapping[str, Any]) -> Epoch:
    return Epoch(**{**row, "sharpness": tuple(row["sharpness"])})


def _products(module: ModuleOp) -> int:
    """Products of weights and values that a sample takes."""
    products = 0
    for op in module.main.body.ops:
        weight = weight_of(op)
        if weight is not None:
            shape = op.result.shape
            products += weight.size * math.prod(shape[2:] if isinstance(op, nn.Conv2dOp) else shape[1:-1])
    return products


@contextmanager
def torch_settings(settings: Settings) -> Iterator[None]:
    """Deterministic torch with as many threads as asked for, while the block runs."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
