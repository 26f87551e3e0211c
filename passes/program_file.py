"""A module on disk: `name.snir` holds the text, `name.npz` beside it the arrays that the text only names."""

from __future__ import annotations

import io
import math
import os
import tempfile
import tokenize
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..ir.diagnostics import Diagnostic, LimitExceeded, UnsafeInput, UsageError
from ..ir.dialects.builtin import ModuleOp
from ..ir.parser import parse_module
from ..ir.printer import print_module, resources

MAX_TEXT_BYTES = 1 << 28
"""Largest text that is read."""
MAX_ARRAY_BYTES = 1 << 33
"""Largest file of arrays that is read."""


def save_program(path: Path, module: ModuleOp, *, first_line: str = "") -> None:
    """Writes `module` to `path` and its arrays beside it; each file is there whole or not at all."""
    head = f"{first_line}\n" if first_line else ""
    arrays = resources(module)
    if arrays:
        packed = io.BytesIO()
        np.savez(packed, **arrays)  # type: ignore[arg-type]
        _write(arrays_path(path), packed.getbuffer())
    _write(path, (head + print_module(module)).encode())


def load_program(path: Path) -> ModuleOp:
    """The module in a file that `save_program` wrote.

    Raises UsageError when the file cannot be read, ParseError for text that is no module, UnsafeInput for arrays that
    are corrupt and LimitExceeded for files beyond the limits.
    """
    try:
        text = _read_text(path)
        beside = arrays_path(path)
        arrays = _read_arrays(beside) if beside.exists() else {}
    except OSError as error:
        raise UsageError(
            Diagnostic("SNC0391", f"the file cannot be read: {error.strerror or error}", node=str(path))
        ) from None
    return parse_module(text, arrays, name=str(path))


def arrays_path(path: Path) -> Path:
    """Where the arrays of the program at `path` lie."""
    return path.with_suffix(".npz")


def _write(path: Path, content: bytes | memoryview) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read_text(path: Path) -> str:
    _check_size(path, MAX_TEXT_BYTES)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UnsafeInput(Diagnostic("SNC0392", "the file is not UTF-8 text", node=str(path))) from None


def _check_size(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if size > limit:
        raise LimitExceeded(
            Diagnostic("SNC0393", "the file is too large", f"{size} bytes", f"at most {limit}", node=str(path))
        )


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an uncompressed npz; nothing is allocated beyond the size of the file."""
    _check_size(path, MAX_ARRAY_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.filename.removesuffix(".npy"): _read_array(archive, entry) for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, OSError, tokenize.TokenError) as error:
        raise UnsafeInput(Diagnostic("SNC0394", f"the file of arrays is corrupt: {error}", node=str(path))) from None


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"{entry.filename} is compressed")
    with archive.open(entry) as file:
        shape, dtype = _header(file)
        if dtype.itemsize * math.prod(shape) != entry.file_size - file.tell():
            raise ValueError(f"the header of {entry.filename} does not fit its data")
    with archive.open(entry) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"unknown array format {version}")
    return shape, dtype
