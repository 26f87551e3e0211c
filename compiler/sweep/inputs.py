"""The files of a sweep, by content: what a point's key is made of, and what a worker needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from ... import __version__
from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UsageError
from ..artefact_arrays import Json, json_bytes
from ..data.array_files import read_arrays
from ..data.open import open_data
from ..onnx.loading import load_model
from ..spinn1.driver import NIR_SUFFIX, model_digest
from ..targets import TARGETS
from .points import Point
from .spec import Spec, machine_place


@frozen
class Source:
    """A file, and the SHA-256 of what is in it; of a model, of the whole of it, external data included."""

    path: str
    sha256: str


@frozen
class Samples:
    """Labelled samples: a file or folder, as `snc eval` takes it, and the SHA-256 of all samples and labels.

    `metric` and `classes` are those of `snc eval`, 0 for a number of classes that it finds itself. `inputs` are the
    names of the inputs where the file holds what was read before (see `packed_samples.py`), else empty.
    """

    path: str
    labels: str
    preprocess: str
    sha256: str
    metric: str
    classes: int
    inputs: tuple[str, ...] = ()


@frozen
class Job:
    """One point with all that a worker needs to measure it; `key` names its content."""

    key: str
    point: Point
    data_name: str
    model: Source
    machine: Source
    calibrate: Source | None
    samples: Samples | None
    version: str = __version__


@frozen
class Refusal:
    """A model that cannot be read."""

    exit_code: int
    findings: Sequence[Diagnostic]


@frozen
class Inputs:
    """What the files of a specification hold, by their names in it; `refused` are models that cannot be read."""

    models: Mapping[str, Source]
    refused: Mapping[str, Refusal]
    machines: Mapping[str, Source]
    calibrations: Mapping[str, Source]
    samples: Samples | None


def read_inputs(spec: Spec) -> Inputs:
    """Reads every file of a specification once.

    Raises UsageError and UnsafeInput for files that are missing or wrong; a model that is refused is kept as such.
    """
    models: dict[str, Source] = {}
    refused: dict[str, Refusal] = {}
    for name in dict.fromkeys(point.model for point in spec.points):
        path = spec.path(name)
        try:
            models[name] = Source(str(path), _model_sha256(path))
        except UsageError:
            raise
        except SncError as error:
            models[name] = Source(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
            # A table does not say where files lie.
            findings = [attrs.evolve(each, node=each.node.replace(str(path), name)) for each in error.diagnostics]
            refused[name] = Refusal(error.exit_code, findings)
    machines = {}
    for name, target in dict.fromkeys((point.machine, point.target) for point in spec.points):
        place = machine_place(name, spec.folder)
        text = TARGETS[target].machine_text(place)
        TARGETS[target].parse_machine(text, name)
        machines[name] = Source(place, hashlib.sha256(text.encode()).hexdigest())
    calibrations = {}
    for name in dict.fromkeys(point.calibrate for point in spec.points if point.calibrate):
        path = spec.path(name)
        read_arrays(path)
        calibrations[name] = Source(str(path), file_sha256(path))
    return Inputs(models, refused, machines, calibrations, _samples(spec))


def _model_sha256(path: Path) -> str:
    """The digest that an executable has of its source."""
    if path.suffix.lower() == NIR_SUFFIX:
        return file_sha256(path)
    digest = model_digest(load_model(path))
    if not digest:
        raise LimitExceeded(
            Diagnostic("SNC0654", "the model is too large for a sweep", expected="less than 2 GiB", node=str(path))
        )
    return digest


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; raises UsageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            Diagnostic("SNC0653", "a file of the sweep cannot be read", found=error.strerror or "", node=str(path))
        ) from None


def _samples(spec: Spec) -> Samples | None:
    if not spec.data:
        return None
    path, labels = spec.path(spec.data), spec.path(spec.labels) if spec.labels else None
    data = open_data(path, labels=labels, preprocess=spec.preprocess or None)
    if data.labels is None:
        raise UsageError(
            Diagnostic(
                "SNC0656",
                "accuracy cannot be measured without labels",
                node=str(path),
                found=f"samples of {', '.join(name or 'the input' for name in data.fields)}",
                help='add labels = "FILE", or leave data out to sweep without accuracy',
            )
        )
    return Samples(str(path), str(labels) if labels else "", spec.preprocess, data.digest(), spec.metric, spec.classes)


def job_of(point: Point, inputs: Inputs, data_name: str) -> Job:
    """The job of one point; equal content gives equal keys, wherever the files lie and whatever they are called."""
    model, machine = inputs.models[point.model], inputs.machines[point.machine]
    calibrate = inputs.calibrations.get(point.calibrate)
    samples = inputs.samples
    content: dict[str, Json] = {
        "snc": __version__,
        "model": model.sha256,
        "target": point.target,
        "machine": machine.sha256,
        "calibrate": calibrate.sha256 if calibrate else "",
        "shape": {name: list(sizes) for name, sizes in point.shape},
        "options": dict(point.options),
        "data": samples.sha256 if samples else "",
        "metric": samples.metric if samples else "",
        "classes": samples.classes if samples else 0,
    }
    key = hashlib.sha256(json_bytes(content)).hexdigest()
    return Job(key, point, data_name, model, machine, calibrate, samples)
