"""A local worker process: `python -m snc.compiler.sweep.worker DESCRIPTOR FOLDER`.

It says when it is ready, then answers jobs one after the other. It ends when the other end of its connection does,
however that came about, even in the middle of a job.
"""

from __future__ import annotations

import os
import shutil
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from .answers import answer
from .inputs import Job

READY = "ready"


def serve(connection: Connection, scratch: Path) -> None:
    """Answers jobs until the process is ended."""
    jobs: SimpleQueue[Job] = SimpleQueue()
    Thread(target=_receive, args=(connection, jobs, scratch), daemon=True).start()
    connection.send(READY)
    while True:
        connection.send(answer(jobs.get(), scratch))


def _receive(connection: Connection, jobs: SimpleQueue[Job], scratch: Path) -> None:
    """Takes jobs in as they come; without a sender this process has no reason to be."""
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), Path(sys.argv[2]))
