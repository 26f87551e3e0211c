"""An evaluation as a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..evaluation.record import Evaluation, LayerFinding, Stage
from ..evaluation.scores import MSE
from .console import print_facts, print_table, say
from .schedule_report import short_name

Column = tuple[str, Callable[[LayerFinding], str], Callable[[LayerFinding], float | None]]


def print_evaluation(title: str, reference: str | None, found: Evaluation) -> None:
    """Headline, stages, layers, and what to try."""
    share = found.metric != MSE
    score = found.scores[found.metric]
    others = ", ".join(f"{name} {_score(value, share)}" for name, value in found.scores.items() if name != found.metric)
    facts = [
        ("accuracy" if share else "error", f"{found.metric} {_score(score, share)}{f', {others}' if others else ''}"),
        ("samples", f"{found.samples:,} of {found.data}"),
        ("machine", f"{found.target}, {found.machine}"),
    ]
    if reference is not None and found.stages:
        first = found.stages[0]
        drop = sum(stage.loss for stage in found.stages)
        facts.append(("reference", f"{reference}: {found.metric} {_score(first.scores[found.metric], share)}"))
        facts.append(("lost" if drop >= 0 else "gained", _points(abs(drop), share) + (" points" if share else "")))
    print_facts(title, facts)
    if len(found.stages) > 1:
        say()
        _print_stages(found.stages, found.metric, share)
    if found.layers:
        say()
        _print_layers(found.layers)
    if found.worst is not None:
        say()
        worst = found.worst
        print_facts(f"worst: {worst.layer} at {worst.stage}", [("why", worst.reason), ("try", worst.remedy)])


def _print_stages(stages: Sequence[Stage], metric: str, share: bool) -> None:
    headings = ["stage", f"{metric} %" if share else metric, "lost", "samples", "how"]
    print_table(
        headings,
        [
            (
                stage.name,
                _number(stage.scores[metric], share),
                "" if number == 0 else _points(stage.loss, share),
                f"{stage.samples:,}",
                f"{stage.title}; {stage.note}" if stage.note else stage.title,
            )
            for number, stage in enumerate(stages)
        ],
        right=(1, 2, 3),
    )


def _print_layers(layers: Sequence[LayerFinding]) -> None:
    columns: list[tuple[str, Callable[[LayerFinding], float | None], Callable[[float], str]]] = [
        ("SNR dB", lambda layer: layer.snr_db, "{:.1f}".format),
        ("saturated", lambda layer: layer.saturated, _percent),
        ("flushed", lambda layer: layer.flushed, _percent),
        ("ties", lambda layer: layer.ties, _percent),
        ("spikes", lambda layer: layer.spikes_per_sample, "{:,.1f}".format),
        ("late", lambda layer: layer.late_per_sample, "{:.4g}".format),
        ("lost", lambda layer: layer.lost_per_sample, "{:.4g}".format),
    ]
    shown = [column for column in columns if any(column[1](layer) is not None for layer in layers)]
    print_table(
        ["layer", *(heading for heading, _, _ in shown)],
        [
            (
                short_name(layer.name),
                *("-" if (value := of(layer)) is None else text(value) for _, of, text in shown),
            )
            for layer in layers
        ],
        right=range(1, 1 + len(shown)),
    )


def _percent(value: float) -> str:
    """A share; what is not 0 never looks like it."""
    if value == 0:
        return "0"
    return f"{value:.2%}" if value >= 0.00005 else "<0.01%"


def _score(value: float, share: bool) -> str:
    return f"{value:.2%}" if share else f"{value:.6g}"


def _number(value: float, share: bool) -> str:
    return f"{value * 100:.2f}" if share else f"{value:.6g}"


def _points(value: float, share: bool) -> str:
    if value == 0:
        return "0"
    return f"{value * 100:+.2f}".replace("+", "") if share else f"{value:.4g}"
