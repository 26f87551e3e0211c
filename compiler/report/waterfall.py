"""What each stage of the compiler took from the accuracy: a bar from the score before it to the score after it."""

from __future__ import annotations

import math

from attrs import frozen

from ..evaluation.record import Evaluation, LayerFinding
from .figures import number
from .names import elided, nodes_of
from .scores import less_is_better, loss_text, score_text

Layers = tuple[tuple[str, tuple[str, ...]], ...]
"""Names and ONNX nodes of the layers of an executable, in order."""
TINY = 0.4
"""Percent of the axis that a bar takes at least, so that it is seen."""
COLUMNS = (
    (("snr_db", "SNR", " dB", 1.0, 1), ("saturated", "saturated", " %", 100.0, 2)),
    (("flushed", "weights flushed", " %", 100.0, 2), ("ties", "ties", " %", 100.0, 2)),
    (("late_per_sample", "late", "", 1.0, 2), ("lost_per_sample", "lost", "", 1.0, 2)),
)
"""What is known of layers, two findings in a column: field, title, unit, factor, decimals."""


@frozen
class StageBar:
    """A stage; start and width of its bar in percent of the axis. `change` is start, loss, gain or none."""

    title: str
    score: str
    loss: str
    samples: str
    note: str
    change: str
    start: float
    width: float


@frozen
class Waterfall:
    """All stages; the axis goes from `low` to `high`."""

    metric: str
    score: str
    data: str
    samples: str
    stages: tuple[StageBar, ...]
    low: str
    high: str
    better: str
    worst_stage: str
    worst_layer: tuple[str, ...]
    worst_index: int | None
    worst_reason: str
    worst_remedy: str
    has_worst: bool


@frozen
class Findings:
    """What was found of layers: titles of the columns, and cells by layer, of one or two lines each."""

    titles: tuple[str, ...]
    cells: dict[int, tuple[tuple[str, ...], ...]]


def waterfall(evaluation: Evaluation, layers: Layers) -> Waterfall:
    """The bars of an evaluation of an executable with these layers."""
    metric = evaluation.metric
    scores = [stage.scores[metric] for stage in evaluation.stages]
    low, high = _axis(scores)
    stages = []
    for place, (stage, score) in enumerate(zip(evaluation.stages, scores, strict=True)):
        before = scores[place - 1] if place else low
        begin, end = sorted((_at(before, low, high), _at(score, low, high)))
        stages.append(
            StageBar(
                title=elided(stage.title or stage.name),
                score=score_text(metric, score),
                loss=loss_text(metric, stage.loss) if place else "",
                samples=number(stage.samples),
                note=elided(stage.note),
                change=_change(stage.loss, metric) if place else "start",
                start=min(begin, 100 - TINY),
                width=max(end - begin, TINY),
            )
        )
    worst = evaluation.worst
    return Waterfall(
        metric=elided(metric, 60),
        score=score_text(metric, evaluation.scores.get(metric, scores[-1] if scores else math.nan)),
        data=elided(evaluation.data),
        samples=number(evaluation.samples),
        stages=tuple(stages),
        low=score_text(metric, low),
        high=score_text(metric, high),
        better="less is better" if less_is_better(metric) else "more is better",
        has_worst=worst is not None,
        worst_stage=elided(worst.stage) if worst else "",
        worst_layer=nodes_of(worst.layer) if worst else (),
        worst_index=place_of(worst.layer, worst.onnx, layers) if worst else None,
        worst_reason=elided(worst.reason) if worst else "",
        worst_remedy=elided(worst.remedy) if worst else "",
    )


def _change(loss: float, metric: str) -> str:
    """A loss is what the score fell by: good for a metric that counts errors."""
    if not loss:
        return "none"
    return "gain" if (loss < 0) != less_is_better(metric) else "loss"


def _axis(scores: list[float]) -> tuple[float, float]:
    """The ends of the axis: all scores with some room, so that small losses are seen."""
    if not scores:
        return 0.0, 1.0
    low, high = min(scores), max(scores)
    room = (high - low) * 0.35 or abs(high) * 0.05 or 1.0
    return (max(low - room, 0.0) if low >= 0 else low - room), high + (high - low) * 0.05


def _at(score: float, low: float, high: float) -> float:
    return 100 * (score - low) / (high - low) if high > low else 100.0


def layer_findings(evaluation: Evaluation, layers: Layers) -> Findings:
    """The findings for layers of an executable. Of several for one layer, the last counts: what leaves the layer."""
    known: dict[int, LayerFinding] = {}
    for finding in evaluation.layers:
        index = place_of(finding.name, finding.onnx, layers)
        if index is not None:
            known[index] = finding
    found = [
        [each for each in column if any(getattr(finding, each[0]) is not None for finding in known.values())]
        for column in COLUMNS
    ]
    shown = [column for column in found if column]
    return Findings(
        titles=tuple(", ".join(title for _, title, _, _, _ in column) for column in shown),
        cells={
            index: tuple(
                tuple(
                    _cell(getattr(finding, name), factor, decimals, unit) + (f" {title}" if line else "")
                    for line, (name, title, unit, factor, decimals) in enumerate(column)
                )
                for column in shown
            )
            for index, finding in known.items()
        },
    )


def place_of(name: str, nodes: tuple[str, ...], layers: Layers) -> int | None:
    """The layer of this name, or the one that all of these ONNX nodes are part of."""
    for index, (known, _) in enumerate(layers):
        if known == name:
            return index
    wanted = set(nodes)
    return next((index for index, (_, own) in enumerate(layers) if wanted and wanted <= set(own)), None)


def _cell(value: float | None, factor: float, decimals: int, unit: str) -> str:
    if value is None:
        return "-"
    amount, least = value * factor, 10.0**-decimals
    return (f"<{least:.{decimals}f}" if 0 < amount < least / 2 else f"{amount:,.{decimals}f}") + unit
