"""Jobs on the workers of a running dask.distributed cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from ..cluster import SharedFiles, local_file, worker_folder
from ..cluster_tasks import dispatch
from ..data.open import open_data
from ..onnx.loading import load_model
from ..packed_samples import pack_samples
from ..spinn1.driver import NIR_SUFFIX
from ..targets import TARGETS
from .answers import Answer, answer, crashed, stopped
from .inputs import Job
from .local import ONE_THREAD

if TYPE_CHECKING:
    from distributed import Client

_ONE_AT_A_TIME = Lock()


@frozen
class _Part:
    """A file of a job: which field it fills, its content, its name's ending."""

    field: str
    digest: str
    suffix: str


def run_cluster(jobs: Sequence[Job], client: Client) -> Generator[Answer]:
    """The answers to all jobs, as they come; files are handed to the workers by content.

    A job whose worker dies is done once more, and is `crashed` when that ends a worker too. Raises UsageError when the
    scheduler or all workers are gone.
    """
    files = _Files(client)
    for job, found in dispatch(files.shared, jobs, files.submit):
        yield found or crashed(job)


@frozen(eq=False)
class _Files:
    """What workers need of this computer's files, read once and handed out by content."""

    client: Client
    shared: SharedFiles = attrs.field(init=False)
    _parts: dict[tuple[str, object], tuple[_Part, Any]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "shared", SharedFiles(self.client))

    def submit(self, job: Job, key: str) -> Any:
        """The future answer to a job."""
        named = [("model", job.model), ("machine", job.machine), ("calibrate", job.calibrate), ("samples", job.samples)]
        found = [self._part(name, source, job) for name, source in named if source is not None]
        parts = [each for each in found if each is not None]
        contents = [self.shared.future(part.digest) for part, _ in parts]
        # Only what is small travels with the job itself.
        small = attrs.evolve(job, samples=next((each for part, each in parts if part.field == "samples"), None))
        return self.client.submit(_work, small, [part for part, _ in parts], contents, key=key, pure=False)

    def _part(self, name: str, source: Any, job: Job) -> tuple[_Part, Any] | None:
        """The part of a job that a file fills; None for what every worker has."""
        if name == "machine" and source.path in TARGETS[job.point.target].machine_names():
            return None
        if (name, source) not in self._parts:
            suffix, content, filled = _read(name, source)
            self._parts[name, source] = (_Part(name, self.shared.add(content), suffix), filled)
        return self._parts[name, source]


def _read(name: str, source: Any) -> tuple[str, bytes, Any]:
    """The ending of the name, and the content, of a file of a job as it is sent; and the field, where that changes."""
    if name == "samples":
        labels = Path(source.labels) if source.labels else None
        data = open_data(Path(source.path), labels=labels, preprocess=source.preprocess or None)
        content, inputs = pack_samples(data)
        return ".samples", content, attrs.evolve(source, labels="", preprocess="", inputs=inputs)
    path = Path(source.path)
    if name == "model" and path.suffix.lower() != NIR_SUFFIX:
        # External data is inside then.
        return ".onnx", load_model(path).SerializeToString(deterministic=True), source
    return path.suffix.lower(), path.read_bytes(), source


def _work(job: Job, parts: Sequence[_Part], contents: Sequence[bytes]) -> Answer:
    """On a worker: the answer to a job, with the files that came with it."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        scratch = worker_folder()
        changed: dict[str, Any] = {}
        for part, content in zip(parts, contents, strict=True):
            source: Any = getattr(job, part.field)
            path = local_file(content, part.digest, part.suffix)
            changed[part.field] = attrs.evolve(source, path=str(path))
        job = attrs.evolve(job, **changed)
    except OSError as error:
        return stopped(job, error)
    # Workers of several threads do one point at a time, as local processes do.
    with _ONE_AT_A_TIME:
        return answer(job, scratch)
