"""Columns of IDX files, the form of MNIST: magic number, extents, elements, all big-endian; or the same in gzip."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from .columns import Column
from .files import file_bytes, open_file
from .npy_header import MAX_ELEMENTS
from .problems import MalformedError
from .streams import StreamColumn, check_kind, guarded

GZIP = b"\x1f\x8b"
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Third byte of the magic number to the type of the elements; the fourth is the number of axes."""
MAGIC_BYTES = 4
MAX_AXES = 8


def is_idx(start: bytes) -> bool:
    """Whether a file that begins so is an IDX file."""
    return len(start) >= MAGIC_BYTES and start[:2] == b"\0\0" and start[2] in TYPES and 1 <= start[3] <= MAX_AXES


def idx_column(path: Path) -> Column:
    """The array of an IDX file, which may be compressed; raises UnsafeInput, UsageError, LimitExceeded."""
    with open_file(path) as raw:
        packed = raw.read(len(GZIP)) == GZIP
        length = file_bytes(raw)
    opened = partial(_open, path, packed=packed)
    member = "in gzip" if packed else ""
    with guarded(path, member), opened() as file:
        header, shape, dtype = _header(file)
        data = math.prod(shape) * dtype.itemsize
        if not packed and length != len(header) + data:
            expected = f"{len(header) + data} bytes: a header of {len(header)}, then shape {list(shape)} of {dtype}"
            raise MalformedError(f"a file of {length} bytes", expected)
    check_kind(str(path), shape, dtype)
    return StreamColumn(path, member, opened, header, shape, dtype)


@contextmanager
def _open(path: Path, *, packed: bool) -> Iterator[IO[bytes]]:
    with open_file(path) as raw:
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            yield file  # type: ignore[misc]


def _header(file: IO[bytes]) -> tuple[bytes, tuple[int, ...], np.dtype[Any]]:
    magic = file.read(MAGIC_BYTES)
    if not is_idx(magic):
        raise MalformedError(f"it begins with {magic.hex(' ') or 'nothing'}", "an IDX file: 00 00, type, axes")
    axes = magic[3]
    extents = file.read(4 * axes)
    if len(extents) != 4 * axes:
        raise MalformedError(f"the header ends at byte {MAGIC_BYTES + len(extents)}", f"{axes} extents of 4 bytes")
    shape = struct.unpack(f">{axes}I", extents)
    if math.prod(max(extent, 1) for extent in shape) > MAX_ELEMENTS:
        raise MalformedError(f"the impossible shape {list(shape)}")
    return magic + extents, shape, np.dtype(TYPES[magic[2]])
