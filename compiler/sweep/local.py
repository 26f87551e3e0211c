"""Jobs on processes of this computer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define

from ...ir.diagnostics import Diagnostic, LimitExceeded
from .answers import ATTEMPTS, Answer, crashed
from .inputs import Job

ONE_THREAD = ("SNC_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What is 1 for each worker unless the user says otherwise: processes share the work, not threads."""
PACKAGE = (__package__ or "").partition(".")[0]


@define(eq=False)
class _Worker:
    """A process and the job that it has; `attempt` counts the processes that had it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False
    job: Job | None = None
    attempt: int = 0

    @classmethod
    def start(cls, scratch: str) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", f"{__package__}.worker", str(theirs.fileno()), scratch]
            # A group of its own: Ctrl-C is for the sweep, which ends its workers itself.
            process = subprocess.Popen(
                command,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )
        return cls(process, Connection(ours.detach()))

    def give(self, job: Job, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        with suppress(OSError):  # its end is seen when it is waited for
            self.connection.send(job)

    def receive(self) -> Answer | str | None:
        """The next message; None when the process has ended."""
        try:
            message: Answer | str = self.connection.recv()
            return message
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


def run_local(jobs: Sequence[Job], workers: int) -> Generator[Answer]:
    """The answers to all jobs, as they come, from so many processes.

    A job whose process ends without an answer is given to another one, and is `crashed` when that ends too. The
    processes end with the iterator. Raises LimitExceeded when a process cannot be started.
    """
    waiting = deque((job, 1) for job in jobs)
    with TemporaryDirectory(prefix="snc-sweep-") as scratch, ExitStack() as stack:
        running: dict[Connection, _Worker] = {}
        stack.callback(_end, running)
        while waiting or any(worker.job for worker in running.values()):
            idle = sum(worker.job is None for worker in running.values())
            for _ in range(min(workers - len(running), len(waiting) - idle)):
                worker = _Worker.start(scratch)
                running[worker.connection] = worker
            for connection in wait(list(running)):
                worker = running[connection]  # type: ignore[index]
                message = worker.receive()
                if message is not None:
                    worker.ready, worker.job = True, None
                    if waiting:
                        worker.give(*waiting.popleft())
                    if isinstance(message, Answer):
                        yield message
                    continue
                del running[worker.connection]
                worker.end()
                if not worker.ready:
                    raise _cannot_start(worker.process.returncode)
                if worker.job is not None and worker.attempt < ATTEMPTS:
                    waiting.appendleft((worker.job, worker.attempt + 1))
                elif worker.job is not None:
                    yield crashed(worker.job)


def _end(running: Mapping[Connection, _Worker]) -> None:
    for worker in running.values():
        worker.end()


def _environment() -> dict[str, str]:
    """That of this process, with one thread for each worker, and the place where this package was found."""
    package = Path(sys.modules[PACKAGE].__file__ or "").parent
    paths = [str(package.parent), os.environ.get("PYTHONPATH", "")]
    return {**dict.fromkeys(ONE_THREAD, "1"), **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _cannot_start(code: int | None) -> LimitExceeded:
    return LimitExceeded(
        Diagnostic(
            "SNC0655",
            "a worker process ended before it began",
            found=f"exit code {code}",
            help="its own words stand above; fewer processes need less memory: --jobs 1",
        )
    )
