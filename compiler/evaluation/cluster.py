"""An evaluation on the workers of a running dask.distributed cluster: batches are dealt, their sums come back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from attrs import frozen

from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UsageError
from ..cluster import SharedFiles, connected, local_file
from ..cluster_tasks import dispatch
from ..data.dataset import Array, DataSet
from ..onnx.loading import load_model
from ..packed_samples import open_packed, pack_samples
from ..targets import load
from .evaluate import Prepared, prepare
from .partial import Partial, merged
from .record import Evaluation
from .scores import AUTO

Advance = Callable[[int, int], None]
_ONE_AT_A_TIME = Lock()


@frozen
class _Question:
    """What workers are asked: contents by digest, and the options of `evaluate`, arrays as nested tuples."""

    artefact: str
    samples: str
    reference: str
    inputs: tuple[str, ...]
    metric: str
    classes: int | None
    key: tuple[Any, ...] | None
    stages: bool
    samples_per_stage: int | None


@frozen
class _Sums:
    """What a worker counted in one batch; or, where that is None, why it did not."""

    sums: Partial | None
    findings: Sequence[Diagnostic] = ()


def evaluate_on_cluster(
    artefact: Path,
    data: DataSet,
    *,
    scheduler: str,
    reference: Path | None = None,
    metric: str = AUTO,
    classes: int | None = None,
    key: Array | None = None,
    stages: bool = True,
    samples_per_stage: int | None = None,
    progress: Advance = lambda _done, _total: None,
) -> Evaluation:
    """The evaluation that `evaluate` makes of the artefact in a file, bit for bit, by the workers of a cluster.

    `scheduler` is the address of a running scheduler, tcp://HOST:PORT; artefact, samples and reference are sent to its
    workers by content, and a worker that dies costs its batches a second attempt. All else, and what is raised, is as
    for `evaluate`; UsageError too for a cluster that cannot be reached or goes away.
    """
    options: dict[str, Any] = {
        "metric": metric,
        "classes": classes,
        "stages": stages,
        "samples_per_stage": samples_per_stage,
    }
    prepared = prepare(load(artefact), data, reference=reference, key=key, **options)
    batches = -(-data.count // prepared.feed.batch)
    with connected(scheduler) as client:
        files = SharedFiles(client)
        packed, inputs = pack_samples(data)
        trained = load_model(reference).SerializeToString(deterministic=True) if reference else b""
        question = _Question(
            artefact=files.add(artefact.read_bytes()),
            samples=files.add(packed),
            reference=files.add(trained),
            inputs=inputs,
            key=None if key is None else _tuples(key.tolist()),
            **options,
        )

        def submit(batch: int, name: str) -> Any:
            contents = [files.future(each) for each in (question.artefact, question.samples, question.reference)]
            return client.submit(_measure, question, batch, contents, key=name, pure=False)

        found: list[Partial] = []
        for batch, answer in dispatch(files, range(batches), submit):
            found.append(_sums(batch, answer))
            progress(min(len(found) * prepared.feed.batch, data.count), data.count)
    return prepared.finish(merged(found))


def _sums(batch: int, answer: _Sums | None) -> Partial:
    if answer is None:
        raise LimitExceeded(
            Diagnostic(
                "SNC0657",
                f"batch {batch} ended the workers that had it",
                help="perhaps it needs more memory than they have",
            )
        )
    if answer.sums is None:
        raise UsageError(answer.findings)
    return answer.sums


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _measure(question: _Question, batch: int, contents: Sequence[bytes]) -> _Sums:
    """On a worker: the sums of one batch."""
    # Workers of several threads do one batch at a time: the artefact runs on threads of its own.
    with _ONE_AT_A_TIME:
        try:
            digests = (question.artefact, question.samples, question.reference)
            suffixes = (".snc", ".samples", ".onnx")
            paths = [local_file(*each) for each in zip(contents, digests, suffixes, strict=True)]
            prepared = _prepared(question, *paths)
            first = batch * prepared.feed.batch
            (samples,) = itertools.islice(prepared.data.batches(prepared.feed.batch), batch, batch + 1)
            return _Sums(prepared.measurement.measure(prepared.feed.read(samples, first)))
        except SncError as error:
            return _Sums(None, tuple(error.diagnostics))


@lru_cache(maxsize=1)
def _prepared(question: _Question, artefact: Path, samples: Path, reference: Path) -> Prepared:
    return prepare(
        load(artefact),
        open_packed(samples, question.inputs),
        reference=reference if reference.stat().st_size else None,
        metric=question.metric,
        classes=question.classes,
        key=None if question.key is None else np.asarray(question.key),
        stages=question.stages,
        samples_per_stage=question.samples_per_stage,
    )
