"""Arrays of `.npy` and `.npz` files from anybody: nothing is unpickled, or allocated before its size is checked."""

from __future__ import annotations

import math
import mmap
import os
import stat
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UnsafeInput, UsageError
from .files import read_up_to
from .npy_header import check_size, read_header
from .problems import MalformedError
from .zip_directory import ZIP_ERRORS, check_packing, open_archive

Array = NDArray[Any]

MAX_FILE_BYTES = 1 << 33
MAX_UNPACKED_BYTES = 1 << 32
"""Most bytes that all arrays of a `.npz` file have together."""
MAX_ENTRIES = 1024
_ZIP = b"PK"


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a `.npz` file by name, or that of a `.npy` file under the empty name.

    A `.npy` file is mapped, not copied. Raises UsageError when there is no such file, UnsafeInput when it is damaged or
    holds Python objects, LimitExceeded when it is too large.
    """
    with _open(path) as file:
        try:
            start = file.read(len(_ZIP))
            file.seek(0)
            return _read_npz(file, path) if start == _ZIP else {"": _map_npy(file)}
        except MalformedError as error:
            raise _unsafe(path, str(error)) from None


def _open(path: Path) -> IO[bytes]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            Diagnostic("SNC0702", "the file of arrays cannot be opened", found=reason, node=str(path))
        ) from None
    status = os.fstat(handle)
    problem: SncError | None = None
    if not stat.S_ISREG(status.st_mode):
        problem = _unsafe(path, "no regular file")
    elif status.st_size > MAX_FILE_BYTES:
        problem = _too_large(path, status.st_size, MAX_FILE_BYTES)
    if problem is not None:
        os.close(handle)
        raise problem
    return os.fdopen(handle, "rb")


def _map_npy(file: IO[bytes]) -> Array:
    header = read_header(file)
    offset, size = file.tell(), os.fstat(file.fileno()).st_size
    check_size(header, size - offset)
    shape, fortran, dtype = header
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    flat = np.frombuffer(mapped, dtype, math.prod(shape), offset)
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_npz(file: IO[bytes], path: Path) -> dict[str, Array]:
    try:
        with open_archive(file, MAX_ENTRIES) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > MAX_UNPACKED_BYTES:
                raise _too_large(path, total, MAX_UNPACKED_BYTES)
            return {entry.filename.removesuffix(".npy"): _read_entry(archive, entry) for entry in entries}
    except ZIP_ERRORS as error:
        raise MalformedError(str(error) or type(error).__name__) from None


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    check_packing(entry)
    with archive.open(entry) as file:
        header = read_header(file)
        size = entry.file_size - file.tell()
        check_size(header, size)
        data = read_up_to(file, size)
        # One more read makes zipfile compare the checksum.
        if len(data) != size or file.read(1):
            raise MalformedError(f"{entry.filename} ends too early or too late")
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _unsafe(path: Path, found: str) -> UnsafeInput:
    return UnsafeInput(
        Diagnostic(
            "SNC0703",
            "not a sound file of arrays",
            found=found,
            expected="numbers, as numpy.save or numpy.savez write them",
            node=str(path),
        )
    )


def _too_large(path: Path, size: int, limit: int) -> LimitExceeded:
    found, expected = f"{size} bytes", f"at most {limit} bytes"
    return LimitExceeded(
        Diagnostic("SNC0704", "the file of arrays is too large", found=found, expected=expected, node=str(path))
    )
