"""Reads what `snc eval --json` printed: an evaluation, of which nothing is taken on trust."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ...ir.diagnostics import Diagnostic, UnsafeInput, UsageError
from ..evaluation.record import Evaluation, LayerFinding, Stage, Worst

MAX_BYTES = 64 << 20
DOCUMENT_KEY = "evaluation"
LAYER_NUMBERS = (
    "snr_db",
    "saturated",
    "flushed",
    "ties",
    "spikes_per_sample",
    "late_per_sample",
    "lost_per_sample",
)


def read_evaluation(path: str | Path) -> Evaluation:
    """The evaluation in a JSON file: the document of `snc eval --json`, or the evaluation alone.

    Raises UsageError when there is no such file, UnsafeInput when it holds none.
    """
    content = limited_bytes(path, MAX_BYTES, "an evaluation")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        _unsafe(path, str(error)[:100], "the JSON that `snc eval --json` prints")
    if isinstance(document, dict) and isinstance(document.get(DOCUMENT_KEY), dict):
        document = document[DOCUMENT_KEY]
    try:
        return _evaluation(document)
    except (KeyError, TypeError, ValueError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else str(error)[:200]
        _unsafe(path, what, "an evaluation as `snc eval --json` prints it")


def limited_bytes(path: str | Path, most: int, what: str) -> bytes:
    """The content of a file; UsageError where it cannot be read, UnsafeInput where it is longer than `most`."""
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise UsageError(
            Diagnostic("SNC0660", f"{what} cannot be read", found=error.strerror or "", node=str(path))
        ) from None
    if len(content) > most:
        raise UnsafeInput(
            Diagnostic("SNC0661", f"too long for {what}", expected=f"at most {most} bytes", node=str(path))
        )
    return content


def _unsafe(path: str | Path, found: str, expected: str) -> NoReturn:
    raise UnsafeInput(
        Diagnostic("SNC0661", "this is no evaluation", found=found, expected=expected, node=str(path))
    ) from None


def _evaluation(document: Any) -> Evaluation:
    fields = _mapping(document)
    worst = fields.get("worst")
    found = Evaluation(
        target=_text(fields["target"]),
        machine=_text(fields["machine"]),
        source_sha256=_text(fields["source_sha256"]),
        data=_text(fields["data"]),
        data_sha256=_text(fields["data_sha256"]),
        samples=_whole(fields["samples"]),
        metric=_text(fields["metric"]),
        scores=_scores(fields["scores"]),
        stages=tuple(_stage(each) for each in _list(fields["stages"])),
        layers=tuple(_layer(each) for each in _list(fields["layers"])),
        worst=None if worst is None else _worst(_mapping(worst)),
    )
    missing = [stage.name for stage in found.stages if found.metric not in stage.scores]
    if missing:
        raise ValueError(f"stage {missing[0]} has no score of {found.metric}")
    return found


def _stage(document: Any) -> Stage:
    fields = _mapping(document)
    return Stage(
        name=_text(fields["name"]),
        title=_text(fields["title"]),
        scores=_scores(fields["scores"]),
        loss=_number(fields["loss"]),
        samples=_whole(fields["samples"]),
        note=_text(fields.get("note", "")),
    )


def _layer(document: Any) -> LayerFinding:
    fields = _mapping(document)
    numbers = {name: None if fields.get(name) is None else _number(fields[name]) for name in LAYER_NUMBERS}
    return LayerFinding(name=_text(fields["name"]), onnx=_texts(fields["onnx"]), **numbers)


def _worst(fields: dict[str, Any]) -> Worst:
    words = {name: _text(fields[name]) for name in ("stage", "layer", "reason", "remedy")}
    return Worst(onnx=_texts(fields["onnx"]), **words)


def _scores(document: Any) -> dict[str, float]:
    return {_text(name): _number(value) for name, value in _mapping(document).items()}


def _texts(document: Any) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(document))


def _mapping(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"expected an object, found {_short(document)}")
    return document


def _list(document: Any) -> list[Any]:
    if not isinstance(document, list):
        raise ValueError(f"expected a list, found {_short(document)}")
    return document


def _text(document: Any) -> str:
    if not isinstance(document, str):
        raise ValueError(f"expected a text, found {_short(document)}")
    return document


def _whole(document: Any) -> int:
    if isinstance(document, bool) or not isinstance(document, int) or not 0 <= document < 1 << 53:
        raise ValueError(f"expected a whole number, found {_short(document)}")
    return document


def _number(document: Any) -> float:
    """A finite number."""
    plain = isinstance(document, int | float) and not isinstance(document, bool)
    if not plain or not math.isfinite(document):
        raise ValueError(f"expected a number, found {_short(document)}")
    return float(document)


def _short(document: Any) -> str:
    return repr(document)[:60]
