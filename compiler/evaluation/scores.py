"""What outputs are worth: which class they mean, and how far they are from the labels."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UsageError
from ..data.dataset import Array, DataSet

TOP1, TOP5, MSE = "top1", "top5", "mse"
METRICS = (TOP1, TOP5, MSE)
AUTO = "auto"
FEW = 5
"""Classes that top5 looks at."""
MOST_CLASSES = 1 << 20


@frozen(eq=False)
class Scorer:
    """What the outputs of a sample are worth.

    `metrics` are those that are measured, the chief one first. Class scores are outputs times `key` [outputs, classes],
    the outputs themselves where there is no key; with `is_class` the one output is the class, as behind an argmax.
    `note` says what the outputs were taken for.
    """

    metrics: tuple[str, ...]
    key: Array | None = None
    note: str = ""
    is_class: bool = False

    @property
    def chief(self) -> str:
        """The metric that losses are counted in."""
        return self.metrics[0]

    @property
    def rises(self) -> bool:
        """Whether more is better."""
        return self.chief != MSE

    def worth(self, outputs: Array, labels: Array) -> NDArray[np.float64]:
        """[N, metrics]: 1 where the label is among the first, else 0; or the mean square error of each sample.

        Raises UsageError for labels that the outputs do not have.
        """
        flat = outputs.reshape(len(outputs), -1)
        if self.chief == MSE:
            return _square_errors(flat, labels)[:, None]
        rank = self._ranks(flat, labels)
        return np.stack([rank < (1 if metric == TOP1 else FEW) for metric in self.metrics], axis=1).astype(np.float64)

    def predictions(self, outputs: Array) -> Array:
        """What is compared from stage to stage: classes [N], or the outputs themselves [N, outputs]."""
        flat = outputs.reshape(len(outputs), -1)
        if self.chief == MSE:
            return flat
        return self._classes(flat) if self.is_class else self._votes(flat).argmax(axis=1)

    def _ranks(self, flat: Array, labels: Array) -> NDArray[np.int64]:
        """How many classes come before the label: those with more votes, and of those with as many the lower ones."""
        if self.is_class:
            return (self._classes(flat) != labels).astype(np.int64)
        votes = self._votes(flat)
        if int(labels.max()) >= votes.shape[1]:
            raise UsageError(wrong_class(int(labels.max()), votes.shape[1]))
        own = np.take_along_axis(votes, labels[:, None], axis=1)
        before = (votes > own) | ((votes == own) & (np.arange(votes.shape[1]) < labels[:, None]))
        return np.asarray(before.sum(axis=1), np.int64)

    def _votes(self, flat: Array) -> Array:
        return flat if self.key is None else flat.astype(np.float64) @ self.key

    @staticmethod
    def _classes(flat: Array) -> NDArray[np.int64]:
        return flat[:, 0].astype(np.int64)


def _square_errors(flat: Array, labels: Array) -> NDArray[np.float64]:
    wanted = labels.reshape(len(labels), -1).astype(np.float64)
    return np.asarray(np.mean((flat.astype(np.float64) - wanted) ** 2, axis=1))


def scorer_of(
    data: DataSet,
    outputs: int,
    *,
    metric: str,
    classes: int | None,
    key: Array | None,
    spikes: bool,
    is_class: bool,
) -> Scorer:
    """How outputs are scored that many numbers a sample has, spikes without a word on what they mean if `spikes`.

    `is_class` is for outputs that are one class number. Raises UsageError where labels, metric and outputs do not go
    together.
    """
    labels = data.labels
    if labels is None:
        raise UsageError(
            Diagnostic(
                "SNC0844",
                "the data has no labels",
                node=data.source,
                expected="a class for each sample, or the numbers that the outputs should be",
                help="give them: --labels FILE.npy, or an array `labels` in the .npz file",
            )
        )
    numbers = labels.dtype.kind == "f"
    chief = (MSE if numbers else TOP1) if metric == AUTO else metric
    if chief not in METRICS:
        raise UsageError(Diagnostic("SNC0845", f"there is no metric {metric}", expected=", ".join((AUTO, *METRICS))))
    if numbers != (chief == MSE):
        found = "labels that are numbers" if numbers else "labels that are classes"
        expected = MSE if numbers else f"{TOP1} or {TOP5}"
        raise UsageError(
            Diagnostic("SNC0845", f"{chief} does not go with these labels", found=found, expected=expected)
        )
    if chief == MSE:
        return _regression(data, outputs)
    if is_class:
        return Scorer((TOP1,), is_class=True)
    if key is not None:
        made = _key_matrix(np.asarray(key), outputs)
        return _ranked(chief, made.shape[1], made, "classes by the given key")
    if not spikes:
        if outputs == 1:
            raise UsageError(_one_output(data))
        return _ranked(chief, outputs, None, "")
    return _by_votes(data, outputs, chief, classes)


def _regression(data: DataSet, outputs: int) -> Scorer:
    assert data.labels is not None
    size = int(np.prod(data.labels.shape))
    if size != outputs:
        raise UsageError(
            Diagnostic(
                "SNC0846",
                "the labels have another shape than the outputs",
                node=data.source,
                found=f"{size} numbers a sample",
                expected=f"{outputs}",
            )
        )
    return Scorer((MSE,))


def _one_output(data: DataSet) -> Diagnostic:
    return Diagnostic(
        "SNC0847",
        "one output that is a number does not say which class it means",
        node=data.source,
        found="labels that are classes",
        expected="labels that are numbers, for mse, or a score for each class",
    )


def _ranked(chief: str, classes: int, key: Array | None, note: str) -> Scorer:
    offered = (TOP1, TOP5) if classes > FEW else (TOP1,)
    if chief not in offered:
        raise UsageError(
            Diagnostic("SNC0845", f"{chief} says nothing of {classes} classes", expected=f"more than {FEW} classes")
        )
    return Scorer((chief, *(each for each in offered if each != chief)), key, note)


def _by_votes(data: DataSet, outputs: int, chief: str, classes: int | None) -> Scorer:
    """Spikes that follow each other vote for one class."""
    count = classes if classes is not None else _greatest_label(data) + 1
    if count > outputs and classes is None:
        raise UsageError(wrong_class(count - 1, outputs))
    if count < 1 or outputs % count:
        told = "" if classes is not None else ", by the greatest label"
        raise UsageError(
            Diagnostic(
                "SNC0847",
                "it is not known which class the output spikes mean",
                node=data.source,
                found=f"{outputs} outputs, {count} classes{told}",
                expected="as many outputs for each class",
                help="say how many classes there are (--classes), or which each output votes for (--key FILE.npy)",
            )
        )
    each = outputs // count
    if each == 1:
        return _ranked(chief, count, None, "")
    key = np.kron(np.eye(count), np.ones((each, 1)))
    note = f"{each} output neurons that follow each other vote for a class; of equal votes the lowest class wins"
    return _ranked(chief, count, key, note)


def _greatest_label(data: DataSet) -> int:
    return max(int(batch.labels.max()) for batch in data.batches(1 << 10) if batch.labels is not None)


def _key_matrix(key: Array, outputs: int) -> Array:
    """[outputs, classes] from a matrix, or from the class of each output; raises UsageError."""
    problem = ""
    if key.dtype.kind not in "buif" or key.ndim not in (1, 2) or len(key) != outputs:
        problem = f"shape {list(key.shape)}, {key.dtype}"
    elif key.ndim == 2:
        if key.shape[1] and np.isfinite(key).all():
            return key.astype(np.float64)
        problem = f"shape {list(key.shape)}, or numbers that are not finite"
    elif key.dtype.kind not in "iu" or int(key.min()) < 0 or int(key.max()) >= MOST_CLASSES:
        problem = f"classes {key.min()} .. {key.max()}, {key.dtype}"
    if problem:
        raise UsageError(
            Diagnostic(
                "SNC0848",
                "the key does not fit the outputs",
                found=problem,
                expected=f"[{outputs}, classes] weights of each output for each class, or [{outputs}] class numbers",
            )
        )
    return np.eye(int(key.max()) + 1)[key]


def wrong_class(label: int, classes: int) -> Diagnostic:
    """The error of a label that is no class of the network."""
    return Diagnostic(
        "SNC0849",
        "a label is no class of the network",
        found=f"class {label}",
        expected=f"0 .. {classes - 1}",
        help="are these the labels of another data set, or classes counted from 1?",
    )


def check_labels(labels: Array, first: int) -> None:
    """Raises UsageError for a negative class."""
    if labels.dtype.kind in "iu" and int(labels.min()) < 0:
        place = int(labels.argmin())
        raise UsageError(
            Diagnostic(
                "SNC0849",
                "a label is negative",
                found=f"{int(labels[place])}, sample {first + place}",
                expected="a class from 0 on",
            )
        )
