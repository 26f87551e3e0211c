"""A sweep from its specification to its table."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from .answers import Answer
from .columns import COLUMNS, EMPTY, PASSING, STATUSES, Row, point_cells
from .inputs import Inputs, Job, job_of, read_inputs
from .local import run_local
from .measure import refusal_cells, start_of
from .pareto import OBJECTIVES, front
from .parquet import pyarrow, write_parquet
from .spec import Spec, read_spec
from .table import Folder, cannot_write, locked, open_log, open_rows, write_table


class Advance(Protocol):
    """Called with the points that are done and all there are."""

    def __call__(self, done: int, total: int, /) -> None: ...


@frozen
class SweepResult:
    """What a sweep found.

    `rows` are in the order of the specification, each with all columns of the table; `front` are the places of those on
    the Pareto front of `objectives`, the ones of the specification that were measured. `taken` points were in the
    results already, `computed` were measured now; `repeated` were named more than once.
    """

    folder: Path
    table: Path
    rows: tuple[Row, ...]
    front: tuple[int, ...]
    objectives: tuple[str, ...]
    varied: tuple[str, ...]
    taken: int
    computed: int
    repeated: int
    notes: tuple[Diagnostic, ...] = ()

    @property
    def statuses(self) -> dict[str, int]:
        """How many points ended in each way, those that occur."""
        ends = [row["status"] for row in self.rows]
        return {status: ends.count(status) for status in STATUSES if status in ends}

    def as_json(self) -> dict[str, Any]:
        """The result as JSON: counts, the front with all columns, where the table is."""
        return {
            "table": str(self.table),
            "points": len(self.rows),
            "computed": self.computed,
            "taken_from_table": self.taken,
            "repeated": self.repeated,
            "statuses": self.statuses,
            "objectives": [OBJECTIVES[name].column for name in self.objectives],
            "varied": list(self.varied),
            "front": [dict(self.rows[place]) for place in self.front],
        }


def sweep(
    spec: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    parquet: bool = False,
    retry: bool = False,
    advance: Advance = lambda _done, _total: None,
) -> SweepResult:
    """Builds and measures every point of a specification, and finds those that no other point beats.

    `spec` is a TOML file, or the same as a mapping. Results go to the folder `out` (default: the name of the file with
    .results, in the current folder), row by row; points that it has already, of the same content, are not measured
    again, but for those that failed or crashed where `retry` says so. Points run in `jobs` processes (default: one for
    each processor), or on the dask.distributed cluster of `scheduler`, tcp://HOST:PORT. With `parquet` the table is
    written as Parquet too.

    A point that is refused or does not fit is a row with that status. Raises UsageError for mistakes in the
    specification, files that are missing, results that another sweep writes, and a scheduler that cannot be reached;
    LimitExceeded when the disk is full. Whatever ends it, no row that was measured is lost.
    """
    _check_call(jobs, scheduler)
    if parquet:
        pyarrow()
    read = read_spec(spec)
    folder = Path(out) if out is not None else Path(f"{Path(read.name).stem.replace(' ', '-')}.results")
    with locked(folder) as place:
        inputs = read_inputs(read)
        todo = [job_of(point, inputs, read.data) for point in read.points]
        with open_rows(place.rows) as (file, known, notes):
            kept = {key: row for key, row in known.items() if not (retry and row["status"] in PASSING)}
            found = {job.key: kept[job.key] for job in todo if job.key in kept}
            missing = list({job.key: job for job in todo if job.key not in found}.values())
            taken, total = len(found), len(found) + len(missing)
            advance(taken, total)
            with ExitStack() as stack:
                log = stack.enter_context(open_log(place.log))
                answers = stack.enter_context(closing(_answers(missing, inputs, jobs, scheduler)))
                for each in answers:
                    row = each.row_or_raise()
                    file.append(row)
                    found[each.key] = row
                    log.write(key=each.key, status=str(row["status"]), seconds=round(each.seconds, 6))
                    advance(len(found), total)
        # Rows of another sweep may have other names for the same content.
        rows = tuple(_named(found[job.key], job) for job in todo)
        write_table(place.table, rows)
        if parquet:
            _write_parquet(place, rows)
    objectives = _measured(read, rows)
    return SweepResult(
        folder=folder,
        table=place.table,
        rows=rows,
        front=tuple(front(rows, objectives)),
        objectives=objectives,
        varied=_varied(rows),
        taken=taken,
        computed=len(missing),
        repeated=read.repeated,
        notes=tuple(notes),
    )


def _check_call(jobs: int | None, scheduler: str | None) -> None:
    if jobs is not None and scheduler is not None:
        raise UsageError(
            Diagnostic(
                "SNC0659",
                "local processes and a cluster exclude each other",
                found=f"--jobs {jobs} and --scheduler {scheduler}",
                expected="one of them",
            )
        )
    if jobs is not None and jobs < 1:
        raise UsageError(Diagnostic("SNC0659", "a sweep needs a process", found=f"{jobs}", expected="1 or more"))


def _answers(jobs: Sequence[Job], inputs: Inputs, processes: int | None, scheduler: str | None) -> Generator[Answer]:
    """The answers to all jobs; those of models that cannot be read are known at once."""
    for job in jobs:
        refusal = inputs.refused.get(job.point.model)
        if refusal is not None:
            yield Answer(job.key, {**start_of(job), **refusal_cells(refusal.exit_code, refusal.findings)})
    others = [job for job in jobs if job.point.model not in inputs.refused]
    if not others:
        return
    if scheduler is None:
        yield from run_local(others, processes or processors())
        return
    from ..cluster import connected
    from .cluster import run_cluster

    with connected(scheduler) as client:
        yield from run_cluster(others, client)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _named(row: Row, job: Job) -> Row:
    """A row with the names that the specification has for its files, and every column."""
    return {**EMPTY, **row, **point_cells(job.point, job.data_name)}


def _write_parquet(place: Folder, rows: Sequence[Row]) -> None:
    try:
        write_parquet(place.parquet, rows)
    except OSError as error:
        raise cannot_write(place.parquet, error) from None


def _measured(spec: Spec, rows: Sequence[Row]) -> tuple[str, ...]:
    """The objectives of a specification of which some row has a value."""
    return tuple(name for name in spec.objectives if any(row.get(OBJECTIVES[name].column) is not None for row in rows))


def _varied(rows: Sequence[Row]) -> tuple[str, ...]:
    """Columns that tell points apart: those of the point that have more than one value for one target."""
    names = [column.name for column in COLUMNS]
    own = names[names.index("key") + 1 : names.index("status")]
    targets = {row["target"] for row in rows}
    several = {
        name
        for target in targets
        for name in own
        if len({row.get(name) for row in rows if row["target"] == target}) > 1
    }
    return tuple(name for name in own if name in several or (name == "target" and len(targets) > 1))
