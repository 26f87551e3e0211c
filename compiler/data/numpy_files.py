"""Columns of `.npy` and `.npz` files, read as a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from .columns import ArrayColumn, Column
from .files import file_bytes, open_file
from .npy_header import NpyHeader, check_size, read_header
from .problems import too_large
from .streams import MAX_HELD_BYTES, StreamColumn, check_kind, guarded
from .zip_directory import check_packing, open_archive

ZIP = b"PK"
NPY = b"\x93NUMPY"
MAX_ENTRIES = 1024
MAX_UNPACKED_BYTES = 1 << 40
"""Most bytes that all arrays of a file have together; only a batch of them is in memory."""

Opened = Callable[[], AbstractContextManager[IO[bytes]]]


def npy_column(path: Path) -> Column:
    """The array of a `.npy` file; raises UnsafeInput, UsageError, LimitExceeded."""
    opened = partial(open_file, path)
    with guarded(path), opened() as file:
        header, text = _header(file)
        check_size(header, file_bytes(file) - len(text))
    return _column(path, "", opened, header, text)


def npz_columns(path: Path) -> dict[str, Column]:
    """The arrays of a `.npz` file by name; raises UnsafeInput, UsageError, LimitExceeded."""
    columns: dict[str, Column] = {}
    with guarded(path), open_file(path) as file, open_archive(file, MAX_ENTRIES) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > MAX_UNPACKED_BYTES:
            raise too_large(str(path), f"{total} bytes unpacked", f"{MAX_UNPACKED_BYTES} bytes")
        for entry in entries:
            check_packing(entry)
            with guarded(path, entry.filename):
                with archive.open(entry) as member:
                    header, text = _header(member)
                check_size(header, entry.file_size - len(text))
                opened = partial(_open_member, path, entry.filename)
                name = entry.filename.removesuffix(".npy")
                columns[name] = _column(path, entry.filename, opened, header, text)
    return columns


@contextmanager
def _open_member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with open_file(path) as file, open_archive(file, MAX_ENTRIES) as archive:
        entry = archive.getinfo(name)
        check_packing(entry)
        with archive.open(entry) as member:
            yield member


def _header(file: IO[bytes]) -> tuple[NpyHeader, bytes]:
    """The header and its bytes."""
    header = read_header(file)
    length = file.tell()
    file.seek(0)
    return header, file.read(length)


def _column(path: Path, member: str, opened: Opened, header: NpyHeader, text: bytes) -> Column:
    where = f"{path} {member}".rstrip()
    check_kind(where, header.shape, header.dtype)
    if not header.fortran:
        return StreamColumn(path, member, opened, text, header.shape, header.dtype)
    if header.data_bytes > MAX_HELD_BYTES:
        raise too_large(
            where,
            f"{header.data_bytes} bytes with the samples interleaved (Fortran order)",
            f"{MAX_HELD_BYTES} bytes of such an array",
            "store numpy.ascontiguousarray(array)",
        )
    elements = math.prod(header.shape)
    flat = StreamColumn(path, member, opened, text, (elements,), header.dtype)
    (whole,) = flat.chunks(elements)
    return ArrayColumn(np.ascontiguousarray(whole.reshape(header.shape, order="F")))
