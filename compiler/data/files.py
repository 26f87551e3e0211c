"""Files from anybody: opened without waiting, regular, and no longer than is allowed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from .problems import cannot_open, damaged, too_large

MAX_FILE_BYTES = 1 << 40


def open_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> IO[bytes]:
    """The file, for reading; raises UsageError, UnsafeInput (a pipe, a device, a folder), LimitExceeded."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise cannot_open(path, reason) from None
    file = os.fdopen(handle, "rb") if stat.S_ISREG(os.fstat(handle).st_mode) else None
    if file is None:
        os.close(handle)
        raise damaged(path, "no regular file")
    length = file_bytes(file)
    if length > max_bytes:
        file.close()
        raise too_large(str(path), f"{length} bytes", f"{max_bytes} bytes")
    return file


def content_of(path: Path, max_bytes: int) -> bytearray:
    """All bytes of a file; raises as `open_file` does."""
    with open_file(path, max_bytes) as file:
        return read_up_to(file, max_bytes)


def file_bytes(file: IO[bytes]) -> int:
    """The length of an open file."""
    return os.fstat(file.fileno()).st_size


def read_up_to(file: IO[bytes], size: int) -> bytearray:
    """The next `size` bytes, or what there is; memory grows with what is found, not with what was announced."""
    data = bytearray()
    while len(data) < size:
        piece = file.read(min(size - len(data), 1 << 20))
        if not piece:
            break
        data += piece
    return data
