"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from ...ir.diagnostics import Diagnostic


@frozen
class Stage:
    """The network after one stage of the compiler.

    `scores` are those of the network as it stands then, by the name of the metric; `loss` is what the stage took from
    the chief metric, in its own unit, negative for a gain; with mse, what the error grew by. `samples` is how many the
    scores were computed on, and `note` says why, where these are not all.
    """

    name: str
    title: str
    scores: Mapping[str, float]
    loss: float
    samples: int
    note: str = ""


@frozen
class LayerFinding:
    """A layer as the machine computes it, beside the layer as it was trained; None for what does not apply.

    `snr_db` is the power of the float layer's values over that of the differences, in decibels (None also where nothing
    differs). `saturated`, `flushed` and `ties` are shares from 0 to 1: of values at the end of their range that the
    float network has beyond it, of weights that became zero, of sums that meet the threshold exactly.
    `late_per_sample` and `lost_per_sample` count packets.
    """

    name: str
    onnx: tuple[str, ...]
    snr_db: float | None = None
    saturated: float | None = None
    flushed: float | None = None
    ties: float | None = None
    spikes_per_sample: float | None = None
    late_per_sample: float | None = None
    lost_per_sample: float | None = None


@frozen
class Worst:
    """The layer that lost most, by what stage, and what to try."""

    stage: str
    layer: str
    onnx: tuple[str, ...]
    reason: str
    remedy: str


@frozen
class Evaluation:
    """How good a compiled network is, and where what was lost went.

    `metric` is the chief of `scores`: top1, top5 or mse. The stages are in the order of the compiler; their losses add
    up to the score of the first less that of the last (of mse, the last less the first), which is the artefact's own.
    Without a reference network they start at the fixed point.
    """

    target: str
    machine: str
    source_sha256: str
    data: str
    data_sha256: str
    samples: int
    metric: str
    scores: Mapping[str, float]
    stages: tuple[Stage, ...]
    layers: tuple[LayerFinding, ...]
    worst: Worst | None
    notes: tuple[Diagnostic, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The evaluation as JSON of the published schema (`schemas/evaluation.schema.json`)."""
        found = attrs.asdict(self, filter=lambda attribute, _value: attribute.name != "notes", recurse=True)
        found["notes"] = [note.as_json() for note in self.notes]
        return found

    def __repr__(self) -> str:
        return (
            f"<snc evaluation for {self.target}: {self.metric} {self.scores[self.metric]:.6g}, {self.samples} samples>"
        )

    def _repr_html_(self) -> str:
        from ..notebook.views import evaluation_html

        return evaluation_html(self)
