"""Two evaluations of `snc eval --json` beside each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from ...ir.diagnostics import Diagnostic, UnsafeInput, UsageError
from ..data.files import content_of
from ..units import SHARE
from .compare import Amount
from .sides import HIGHER, LOWER, Side

MAX_BYTES = 1 << 26
MAX_TEXT = 200
ERRORS = ("mse",)
"""Scores that are better when they are lower; all others are shares from 0 to 1."""
ERROR = "squared error"


@frozen
class Scores:
    """What a comparison needs of an evaluation: `stages` are losses of the chief metric by the stage's name."""

    source_sha256: str
    target: str
    data_sha256: str
    samples: int
    metric: str
    scores: Mapping[str, float]
    stages: Mapping[str, float]


def read_scores(path: Path, side: Side) -> Scores:
    """The scores in the document that `snc eval --json` prints, or in the evaluation within it.

    Raises UsageError where they are of another network than the artefact, UnsafeInput for any other file.
    """
    text = content_of(path, MAX_BYTES)
    try:
        document = json.loads(text)
        found = _scores(document.get("evaluation", document))
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise UnsafeInput(
            Diagnostic(
                "SNC0673",
                "this is no evaluation",
                node=str(path),
                found=f"{type(error).__name__}: {error}"[:MAX_TEXT],
                expected="what `snc eval --json` prints",
            )
        ) from None
    expected = (side.executable.target, side.executable.source_sha256)
    if (found.target, found.source_sha256) != expected:
        raise UsageError(
            Diagnostic(
                "SNC0674",
                "the evaluation is of another network than the artefact",
                node=str(path),
                found=f"{found.target}, model {found.source_sha256[:16]}",
                expected=f"{expected[0]}, model {expected[1][:16]}",
                help="give the evaluations in the order of the artefacts",
            )
        )
    return found


def compared_scores(a: Scores, b: Scores) -> tuple[list[Amount], list[Diagnostic]]:
    """The scores that both have, the chief metric first, and a warning where they are of other samples."""
    notes = []
    if (a.data_sha256, a.samples) != (b.data_sha256, b.samples):
        notes.append(
            Diagnostic(
                "SNC0675",
                "the evaluations are of different samples",
                found=f"{a.samples} and {b.samples} samples, SHA-256 {a.data_sha256[:16]} and {b.data_sha256[:16]}",
                help="evaluate both artefacts on the same data",
                severity="warning",
            )
        )
    names = sorted(a.scores.keys() & b.scores.keys(), key=lambda name: (name != a.metric, name))
    found = [Amount(name, _unit(name), a.scores[name], b.scores[name], _better(name)) for name in names]
    if a.metric == b.metric:
        found += [
            Amount(f"loss by {stage}", _unit(a.metric), loss, b.stages[stage], LOWER)
            for stage, loss in a.stages.items()
            if stage in b.stages
        ]
    return found, notes


def _better(metric: str) -> str:
    return LOWER if metric in ERRORS else HIGHER


def _unit(metric: str) -> str:
    return ERROR if metric in ERRORS else SHARE


def _scores(found: Mapping[str, Any]) -> Scores:
    return Scores(
        source_sha256=_text(found["source_sha256"]),
        target=_text(found["target"]),
        data_sha256=_text(found["data_sha256"]),
        samples=int(_number(found["samples"])),
        metric=_text(found["metric"]),
        scores={_text(name): _number(score) for name, score in found["scores"].items()},
        stages={_text(stage["name"]): _number(stage["loss"]) for stage in found["stages"]},
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"expected a text, found {str(value)[:MAX_TEXT]}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, found {str(value)[:MAX_TEXT]}")
    return float(value)
