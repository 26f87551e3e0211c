"""What comes back from a worker."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UsageError
from .columns import CRASHED, Row, finding_cells
from .inputs import Job
from .measure import measure, start_of

ATTEMPTS = 2
"""How often a point may end its worker."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@frozen
class Answer:
    """The row of a job and the seconds that it took; or, without a row, why the sweep cannot go on."""

    key: str
    row: Row | None
    seconds: float = 0.0
    full: bool = False
    findings: Sequence[Diagnostic] = ()

    def row_or_raise(self) -> Row:
        """The row; raises LimitExceeded where something was full, UsageError for everything else that stops a sweep."""
        if self.row is None:
            raise (LimitExceeded if self.full else UsageError)(self.findings)
        return self.row


def answer(job: Job, scratch: Path) -> Answer:
    """The answer to a job; nothing is raised."""
    begin = time.perf_counter()
    try:
        row = measure(job, scratch)
    except SncError as error:
        return Answer(job.key, None, full=isinstance(error, LimitExceeded), findings=tuple(error.diagnostics))
    except OSError as error:
        return stopped(job, error)
    return Answer(job.key, row, time.perf_counter() - begin)


def stopped(job: Job, error: OSError) -> Answer:
    """The answer where the files of a worker are the trouble."""
    where = str(error.filename) if error.filename is not None else ""
    finding = Diagnostic("SNC0658", "a worker cannot use its files", found=error.strerror or "", node=where)
    return Answer(job.key, None, full=error.errno in _FULL, findings=(finding,))


def crashed(job: Job) -> Answer:
    """The answer where a job ended its workers."""
    finding = Diagnostic(
        "SNC0651",
        f"the process that worked on this point ended {ATTEMPTS} times",
        found="no answer",
        help="perhaps it needs more memory than there is; snc sweep --retry tries again",
    )
    return Answer(job.key, {**start_of(job), **finding_cells(CRASHED, [finding])})
