"""Files that are there whole or not at all: a neighbour is written first, then takes the place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write to; it becomes `path` when the block ends well, and is removed on any error or interrupt.

    A link is followed. Raises OSError, which names `path`, where the place cannot be written or has no room.
    """
    target = os.path.realpath(path)
    neighbour = os.path.join(os.path.dirname(target), f".snc-{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(neighbour)
        if isinstance(error, OSError) and error.filename in (None, neighbour):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
