"""How good an executable is on labelled samples, as `snc eval` says it, without a look at stages and layers."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ..data.dataset import DataSet
from ..evaluation.evaluate import Prepared, prepare
from ..evaluation.partial import merged
from ..evaluation.policy import Policy
from ..targets import Compiled


@frozen
class Score:
    """The chief metric of an evaluation, and the number of samples."""

    metric: str
    value: float
    samples: int


def score(executable: Compiled, data: DataSet, *, metric: str, classes: int | None) -> Score:
    """The score of all samples, with what late and lost packets change; raises UsageError for data that does not fit.

    `metric` and `classes` are those of `snc eval`.
    """
    prepared = prepare(executable, data, metric=metric, classes=classes, stages=False)
    measurement = prepared.measurement
    sums = merged(measurement.measure(fed) for fed in prepared.feed)
    (artefact,) = measurement.finish(sums)
    found = artefact.scores[measurement.scorer.chief]
    if measurement.subject.congestion is not None:
        found += _change(prepared, data.count)
    return Score(measurement.scorer.chief, found, data.count)


def _change(prepared: Prepared, count: int) -> float:
    """What is won, or lost, where packets come too late: on as many samples as `snc eval` looks at for that."""
    subject, scorer = prepared.measurement.subject, prepared.measurement.scorer
    taken = Policy.of(subject, count, None).congested
    changes = []
    for fed in prepared.feed:
        some = taken.mask(fed.first, len(fed))
        if some.any() and fed.labels is not None:
            inputs, labels = [array[some] for array in fed.inputs], fed.labels[some]
            late, _ = subject.execute_congested(inputs)
            changes.append(scorer.worth(late, labels) - scorer.worth(subject.execute(inputs).outputs, labels))
    return float(np.concatenate(changes)[:, 0].mean())
