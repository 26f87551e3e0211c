"""Accuracy of an executable, and what each stage of the compiler took from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
from attrs import frozen

from ...ir.diagnostics import Diagnostic
from ..data.dataset import Array, DataSet
from ..executable import Executable, Port
from ..spinn1.executable import SpikingExecutable
from .feed import Feed
from .given import Given, data_set
from .measure import Measurement
from .partial import Partial, merged
from .policy import Policy
from .record import Evaluation, LayerFinding, Stage, Worst
from .reference import Reference, read_reference
from .schedule import ScheduleSubject
from .scores import AUTO, scorer_of
from .spiking import SpikingSubject
from .subject import Subject

Model = str | Path | onnx.ModelProto
Advance = Callable[[int, int], None]


@frozen(eq=False)
class Prepared:
    """An evaluation before its first batch.

    `measure` each batch of `feed`, in any order and anywhere, and `finish` the merged sums: the evaluation does not
    depend on how batches were dealt.
    """

    executable: Executable | SpikingExecutable
    data: DataSet
    measurement: Measurement
    notes: tuple[Diagnostic, ...]

    @property
    def feed(self) -> Feed:
        """The batches."""
        return self.measurement.subject.feed

    def finish(self, sums: Partial) -> Evaluation:
        """The evaluation, from the sums of all batches."""
        stages = self.measurement.finish(sums)
        subject = self.measurement.subject
        layers = subject.layers(sums) if self.measurement.stages else ()
        return Evaluation(
            target=self.executable.target,
            machine=self.executable.machine.name,
            source_sha256=self.executable.source_sha256,
            data=self.data.source,
            data_sha256=self.data.digest(),
            samples=sums.count("samples"),
            metric=self.measurement.scorer.chief,
            scores=dict(stages[-1].scores),
            stages=stages,
            layers=layers,
            worst=self._worst(stages, sums, subject, layers),
            notes=self.notes,
        )

    def _worst(
        self, stages: Sequence[Stage], sums: Partial, subject: Subject, layers: Sequence[LayerFinding]
    ) -> Worst | None:
        """The layer of the stage that lost most; None where nothing was lost."""
        for stage in sorted(stages, key=lambda each: -each.loss):
            if stage.loss <= 0:
                break
            worst = subject.worst(stage.name, sums, layers)
            if worst is not None:
                return worst
        return None


def prepare(
    executable: Executable | SpikingExecutable,
    data: DataSet,
    *,
    reference: Model | None = None,
    metric: str = AUTO,
    classes: int | None = None,
    key: Array | None = None,
    stages: bool = True,
    samples_per_stage: int | None = None,
) -> Prepared:
    """An evaluation whose batches are still to be measured; the arguments are those of `evaluate`."""
    ports = _outputs(executable)
    output = 0
    notes = [] if len(ports) == 1 else [_one_of_several(ports)]
    read: Reference | None = None
    if reference is not None:
        read = read_reference(
            reference,
            shapes=_shapes(executable),
            source_sha256=executable.source_sha256,
            inputs=executable.inputs,
            outputs=ports,
        )
    subject: Subject
    if isinstance(executable, Executable):
        spikes = False
        subject = ScheduleSubject(executable, data, read if stages else None, output)
    else:
        spikes = not executable.tail.computes
        subject = SpikingSubject(executable, data, read if stages else None, output)
    port = ports[output]
    size = 1
    for extent in port.shape[1:]:
        size *= extent
    scorer = scorer_of(
        data,
        size,
        metric=metric,
        classes=classes,
        key=key,
        spikes=spikes,
        is_class=size == 1 and not spikes and (port.dtype.kind in "iu" or not isinstance(executable, Executable)),
    )
    if scorer.note:
        notes.append(Diagnostic("SNC0854", scorer.note, node=port.name, severity="note"))
    policy = Policy.of(subject, data.count, samples_per_stage)
    measurement = Measurement(subject, scorer, policy, stages)
    return Prepared(executable, data, measurement, (*notes, *subject.notes))


def evaluate(
    executable: Executable | SpikingExecutable,
    data: Given,
    *,
    labels: str | Path | Array | None = None,
    preprocess: str | None = None,
    reference: Model | None = None,
    metric: str = AUTO,
    classes: int | None = None,
    key: Array | None = None,
    stages: bool = True,
    samples_per_stage: int | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Evaluation:
    """How good `executable` is on `data`, and, with the network it was built from, where the rest went.

    `data` is a data set, a file or folder (with `labels` in a file of their own, or in it, and `preprocess` as the text
    of a preprocessing), or an array [N, ...] for each input with an array of `labels`: classes, or floats.
    `reference` is that network, an ONNX model; without it the stages start at the fixed point. `metric` is auto (top1
    for labels that are classes, mse for numbers), top1, top5 or mse. `classes` and `key` say what output spikes mean:
    how many classes there are, or [outputs] class numbers, or [outputs, classes] weights. Without `stages` the artefact
    alone is run. `samples_per_stage` is the number of samples that the stages in the middle run on, by default chosen
    by the size of the network. `progress` is called with the samples done and all of them.

    Raises UsageError for data, labels or a reference that do not fit, and the errors of loading the reference.
    """
    prepared = prepare(
        executable,
        data_set(data, labels, preprocess),
        reference=reference,
        metric=metric,
        classes=classes,
        key=key,
        stages=stages,
        samples_per_stage=samples_per_stage,
    )
    found = []
    for fed, sums in prepared.measurement.measure_all(prepared.feed):
        found.append(sums)
        progress(fed.first + len(fed), prepared.data.count)
    return prepared.finish(merged(found))


def _outputs(executable: Executable | SpikingExecutable) -> Sequence[Port]:
    """The outputs of the model itself."""
    return executable.outputs if isinstance(executable, Executable) else executable.decoded_outputs


def _shapes(executable: Executable | SpikingExecutable) -> Mapping[str, Sequence[int]]:
    """The shapes of inputs that the build was given."""
    if isinstance(executable, SpikingExecutable):
        return executable.shapes
    given: Any = executable.options.get("shapes", {})
    return {str(name): [int(size) for size in shape] for name, shape in dict(given).items()}


def _one_of_several(ports: Sequence[Port]) -> Diagnostic:
    names = ", ".join(port.name for port in ports)
    return Diagnostic(
        "SNC0855", f"the network has several outputs ({names}): {ports[0].name} is scored", severity="note"
    )


def evaluation_schema() -> dict[str, Any]:
    """The JSON schema of `Evaluation.as_json`."""
    folder = resources.files((__package__ or "").rpartition(".")[0]) / "schemas"
    found: dict[str, Any] = json.loads((folder / "evaluation.schema.json").read_text(encoding="utf-8"))
    return found
