"""One point of a sweep: built, timed, evaluated; the same row wherever that happens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np

from ... import __version__
from ...ir.diagnostics import Diagnostic, SncError, UsageError
from ..data.array_files import read_arrays
from ..data.dataset import Array, DataSet
from ..data.open import open_data
from ..packed_samples import open_packed
from ..profile import profile
from ..spinn1.executable import SpikingExecutable
from ..targets import Compiled, compile
from .columns import DOES_NOT_FIT, FAILED, OK, REFUSED, UNSCORED, Row, finding_cells, point_cells
from .inputs import Job, Samples, Source, file_sha256
from .options import Value
from .scoring import score

DOES_NOT_FIT_CODE = 3
"""The exit code of DoesNotFit."""


def measure(job: Job, scratch: Path) -> Row:
    """The row of a job; `scratch` is a folder for files that are gone afterwards.

    A build that is refused, does not fit or meets a bug of snc is a row that says so. Raises UsageError for another
    version of snc and for files that are not what the job says, and whatever writing to `scratch` raises: those are
    faults of the place, not of the point.
    """
    if job.version != __version__:
        raise UsageError(
            Diagnostic(
                "SNC0649", "another version of snc", found=__version__, expected=f"{job.version} on every worker"
            )
        )
    calibration = _calibration(job.calibrate) if job.calibrate else None
    data = _samples(job.samples) if job.samples else None
    try:
        executable = compile(
            job.model.path,
            target=job.point.target,
            machine=job.machine.path,
            shapes=dict(job.point.shape),
            calibration=calibration,
            **dict(job.point.options),
        )
    except SncError as error:
        return {**start_of(job), **refusal_cells(error.exit_code, _named(job, error.diagnostics))}
    except MemoryError as error:
        return {**start_of(job), **_memory(error)}
    except Exception as error:
        return {**start_of(job), **_bug(error)}
    _check_sources(job, executable)
    return {**start_of(job), **_artefact(executable, scratch), **_finished(job, executable, data)}


def start_of(job: Job) -> dict[str, Value]:
    """The columns that are known before any work."""
    return {
        "key": job.key,
        **point_cells(job.point, job.data_name),
        "model_sha256": job.model.sha256,
        "machine_sha256": job.machine.sha256,
        "calibrate_sha256": job.calibrate.sha256 if job.calibrate else "",
        "data_sha256": job.samples.sha256 if job.samples else "",
        "snc_version": job.version,
    }


def refusal_cells(exit_code: int, findings: Iterable[Diagnostic]) -> dict[str, Value]:
    """The columns of a build that was refused."""
    return finding_cells(DOES_NOT_FIT if exit_code == DOES_NOT_FIT_CODE else REFUSED, findings)


def _named(job: Job, findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Findings with the names that the specification has for its files: a table does not say where they lie."""
    names = {job.model.path: job.point.model, job.machine.path: job.point.machine}
    if job.calibrate is not None:
        names[job.calibrate.path] = job.point.calibrate
    if job.samples is not None:
        names[job.samples.path] = job.data_name
    named = []
    for finding in findings:
        path = next((path for path in names if f"{finding.node} ".startswith(f"{path} ")), None)
        node = finding.node if path is None else names[path] + finding.node[len(path) :]
        named.append(attrs.evolve(finding, node=node))
    return named


def _memory(error: MemoryError) -> dict[str, Value]:
    return finding_cells(FAILED, [Diagnostic("SNC0791", "there is not enough memory", found=str(error))])


def _bug(error: Exception) -> dict[str, Value]:
    text = f"{type(error).__name__}: {error}"
    return finding_cells(FAILED, [Diagnostic("SNC0790", "internal error, a bug of snc", found=text)])


def _finished(job: Job, executable: Compiled, data: DataSet | None) -> dict[str, Value]:
    """What is measured of an executable."""
    try:
        cells = _numbers(executable)
        if job.samples is None or data is None:
            return {**cells, "status": OK}
        found = score(executable, data, metric=job.samples.metric, classes=job.samples.classes or None)
        return {
            **cells,
            "status": OK,
            "metric": found.metric,
            "accuracy": found.value,
            "samples": found.samples,
        }
    except SncError as error:
        return {**cells, **finding_cells(UNSCORED, _named(job, error.diagnostics))}
    except MemoryError as error:
        return _memory(error)
    except Exception as error:
        return _bug(error)


def _numbers(executable: Compiled) -> dict[str, Value]:
    if isinstance(executable, SpikingExecutable):
        spiking = executable.profile()
        chosen = attrs.asdict(executable.choices, filter=lambda attribute, _value: attribute.name != "reasons")
        names = ("cores", "chips", "boards", "late_spikes", "lost_spikes", "saturations")
        return {
            **{f"chosen_{name}": value for name, value in chosen.items()},
            **_times(spiking),
            **{name: spiking[name] for name in names},
        }
    used = len(np.unique(executable.program.tasks["pe"]))
    return {**_times(profile(executable)), "cores": used}


def _times(numbers: dict[str, Any]) -> dict[str, Value]:
    return {name: numbers[name] for name in ("latency_s", "throughput_per_s", "energy_j")}


def _artefact(executable: Compiled, scratch: Path) -> dict[str, Value]:
    """Size and digest of the file that `snc build` writes."""
    with TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder, "net.snc")
        executable.save(path)
        return {"artefact_bytes": path.stat().st_size, "artefact_sha256": file_sha256(path)}


def _check_sources(job: Job, executable: Compiled) -> None:
    """Raises UsageError when model or machine changed since the sweep began."""
    machine = hashlib.sha256(executable.machine_text.encode()).hexdigest()
    found = {job.model.path: executable.source_sha256, job.machine.path: machine}
    for source in (job.model, job.machine):
        if found[source.path] != source.sha256:
            raise _changed(source.path)


@lru_cache(maxsize=4)
def _calibration(source: Source) -> dict[str, Array]:
    arrays = read_arrays(Path(source.path))
    if file_sha256(Path(source.path)) != source.sha256:
        raise _changed(source.path)
    return arrays


@lru_cache(maxsize=1)
def _samples(samples: Samples) -> DataSet:
    path = Path(samples.path)
    if samples.inputs:
        data = open_packed(path, samples.inputs)
    else:
        labels = Path(samples.labels) if samples.labels else None
        data = open_data(path, labels=labels, preprocess=samples.preprocess or None)
    if data.digest() != samples.sha256:
        raise _changed(samples.path)
    return data


def _changed(path: str) -> UsageError:
    return UsageError(
        Diagnostic(
            "SNC0653",
            "a file changed while the sweep ran",
            node=path,
            help="start the sweep again: points of other content are measured anew",
        )
    )
