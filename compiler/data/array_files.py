"""Arrays of `.npy` and `.npz` files from anybody: nothing is unpickled, or allocated before its size is checked."""

from __future__ import annotations

import io
import math
import mmap
import os
import stat
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UnsafeInput, UsageError

Array = NDArray[Any]

MAX_FILE_BYTES = 1 << 33
MAX_UNPACKED_BYTES = 1 << 32
"""Most bytes that all arrays of a `.npz` file have together."""
MAX_ENTRIES = 1024
MAX_HEADER_BYTES = 10_000
MAX_AXES = 32
_ZIP = b"PK"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    *(EOFError, ValueError, KeyError, OverflowError, OSError),
)
"""What zipfile raises for damaged, encrypted or exotic archives; OSError where it seeks to impossible places."""


class _MalformedError(ValueError):
    """The file is not what it should be; the text says what was found."""


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
        except _MalformedError as error:
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
    shape, fortran, dtype = _header(file)
    offset, size = file.tell(), os.fstat(file.fileno()).st_size
    _check_size(shape, dtype, size - offset)
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    flat = np.frombuffer(mapped, dtype, math.prod(shape), offset)
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_npz(file: IO[bytes], path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise _MalformedError(f"{len(entries)} arrays, more than {MAX_ENTRIES}")
            total = sum(entry.file_size for entry in entries)
            if total > MAX_UNPACKED_BYTES:
                raise _too_large(path, total, MAX_UNPACKED_BYTES)
            return {entry.filename.removesuffix(".npy"): _read_entry(archive, entry) for entry in entries}
    except _ZIP_ERRORS as error:
        raise _MalformedError(str(error) or type(error).__name__) from None


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _MalformedError(f"{entry.filename} is packed in an unusual way")
    with archive.open(entry) as file:
        shape, fortran, dtype = _header(file)
        size = entry.file_size - file.tell()
        _check_size(shape, dtype, size)
        data = file.read(size)
        # One more read makes zipfile compare the checksum.
        if len(data) != size or file.read(1):
            raise _MalformedError(f"{entry.filename} ends too early or too late")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype; the file then stands at the data."""
    magic = file.read(npy.MAGIC_LEN)
    version = (magic[-2], magic[-1]) if len(magic) == npy.MAGIC_LEN and magic.startswith(npy.MAGIC_PREFIX) else (0, 0)
    if version not in _LENGTH_BYTES:
        raise _MalformedError("no .npy header")
    count = file.read(_LENGTH_BYTES[version])
    length = int.from_bytes(count, "little")
    if length > MAX_HEADER_BYTES:
        raise _MalformedError(f"a header of {length} bytes")
    text = io.BytesIO(count + file.read(length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(text)
    except Exception as error:
        # numpy hands the text to Python's own tokenizer and parser, which fail in many ways.
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise _MalformedError(f"a header that cannot be read: {first[:100]}") from None
    return shape, bool(fortran), dtype


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    if dtype.hasobject:
        raise _MalformedError("Python objects, which would have to be unpickled")
    if dtype.itemsize == 0 or len(shape) > MAX_AXES:
        raise _MalformedError(f"elements of {dtype} in {len(shape)} axes")
    if any(extent < 0 for extent in shape) or math.prod(shape) * dtype.itemsize != size:
        raise _MalformedError(f"{size} bytes of data for shape {list(shape)} of {dtype}")


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
