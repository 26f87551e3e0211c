"""Zip archives from anybody: the list of members is measured before zipfile reads it."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import IO

from .problems import MalformedError

MAX_DIRECTORY_BYTES = 1 << 20
"""Longest list of members; zipfile makes an object for each of its entries."""
ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    *(EOFError, ValueError, KeyError, OverflowError, OSError),
)
"""What zipfile raises for damaged, encrypted or exotic archives; OSError where it seeks to impossible places."""

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_LONG_END = struct.Struct("<4sQ2H2L4Q")
_LONG_LOCATOR = struct.Struct("<4sLQL")
_LONG_LOCATOR_SIGNATURE = b"PK\x06\x07"
_MAX_COMMENT = 1 << 16


def open_archive(file: IO[bytes], max_entries: int) -> zipfile.ZipFile:
    """The archive in a file.

    Raises MalformedError for one with too many members, or with two of one name; otherwise what zipfile raises.
    """
    size = _directory_bytes(file)
    if size > MAX_DIRECTORY_BYTES:
        raise MalformedError(f"a list of members of {size} bytes", f"at most {MAX_DIRECTORY_BYTES} bytes")
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    if len(names) > max_entries:
        raise MalformedError(f"{len(names)} arrays, more than {max_entries}")
    if len(set(names)) < len(names):
        raise MalformedError("two arrays of one name")
    return archive


def check_packing(entry: zipfile.ZipInfo) -> None:
    """Raises MalformedError unless the member is stored or deflated, as numpy writes it."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise MalformedError(f"{entry.filename} is packed in an unusual way", "numpy.savez or numpy.savez_compressed")


def _directory_bytes(file: IO[bytes]) -> int:
    """The largest size that the end of the file gives the directory, by the records where zipfile looks for them."""
    length = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, length - _MAX_COMMENT - _END.size - _LONG_LOCATOR.size - _LONG_END.size))
    tail = file.read(length - start)
    file.seek(0)
    at = len(tail) - _END.size
    if not (at >= 0 and tail.startswith(_END_SIGNATURE, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise MalformedError("an archive without an end")
    size = int(_END.unpack_from(tail, at)[5])
    locator = at - _LONG_LOCATOR.size
    record = locator - _LONG_END.size
    if record >= 0 and tail.startswith(_LONG_LOCATOR_SIGNATURE, locator):
        long_size = int(_LONG_END.unpack_from(tail, record)[8])
        return long_size if size == 0xFFFFFFFF else max(size, long_size)
    return size
