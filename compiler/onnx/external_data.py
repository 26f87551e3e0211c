"""Tensors whose bytes stand in files beside the model.

The model names those files, so it must not be believed: only regular files with one name, reached from the model's
folder without a link, are opened, and only the bytes that the tensor's shape asks for are read. onnx's own loader is
never called.
"""

from __future__ import annotations

import os
import re
import stat
from types import TracebackType
from typing import Any

from attrs import define, field

from ...ir.diagnostics import Diagnostic
from .limits import MAX_FILE_BYTES, printable

_KEYS = frozenset({"location", "offset", "length", "checksum"})
_NUMBER = re.compile(r"[0-9]{1,18}")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_LOCATION = 1024


class ExternalDataError(Exception):
    """External data that is not read. `exit_code` is that of the SncError to raise: 1, 5 or 6."""

    def __init__(self, exit_code: int, message: str, found: str = "", expected: str = "", help: str = "") -> None:
        self.exit_code = exit_code
        self.diagnostic = Diagnostic("SNC0206", message, found=found, expected=expected, help=help)
        super().__init__(message)


@define
class ExternalFiles:
    """The files beside a model, opened once each; a context manager that closes them.

    `budget` is the number of bytes that may still be read.
    """

    folder: str
    budget: int
    _root: int | None = None
    _open: dict[str, int] = field(factory=dict)

    def __enter__(self) -> ExternalFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._open.values():
            os.close(handle)
        if self._root is not None:
            os.close(self._root)

    def read(self, tensor: Any, size: int) -> bytes:
        """The `size` bytes of a tensor with external data; raises ExternalDataError for every unsafe or wrong place."""
        pairs = [(each.key, each.value) for each in tensor.external_data]
        place = dict(pairs)
        if len(place) != len(pairs) or not place.keys() <= _KEYS or "location" not in place:
            found = ", ".join(printable(key) for key, _ in pairs[:10])
            raise ExternalDataError(5, "external data with other keys than location, offset and length", found)
        location = place["location"]
        shown = printable(location)
        offset = _number(place.get("offset", "0"), "offset")
        if "length" in place and (length := _number(place["length"], "length")) != size:
            expected = f"{size}, from shape and element type"
            raise ExternalDataError(5, f"external data in {shown} of a wrong length", f"{length} bytes", expected)
        if size > MAX_FILE_BYTES or size > self.budget:
            raise ExternalDataError(
                6, "too much external data", f"{size} bytes in {shown}", f"at most {min(self.budget, MAX_FILE_BYTES)}"
            )
        handle = self._handle(location)
        here = os.fstat(handle).st_size
        if offset + size > here:
            found = f"bytes {offset} to {offset + size} of {here}"
            raise ExternalDataError(5, f"external data beyond the end of {shown}", found)
        self.budget -= size
        return _read_exactly(handle, offset, size, shown)

    def _handle(self, location: str) -> int:
        if location not in self._open:
            self._open[location] = self._open_safely(_components(location), printable(location))
        return self._open[location]

    def _open_safely(self, components: list[str], shown: str) -> int:
        """Opens step by step from the model's folder, so that no step can be a link or be exchanged meanwhile."""
        try:
            if self._root is None:
                self._root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            folder = os.dup(self._root)
            try:
                for component in components[:-1]:
                    _refuse_link(component, folder, shown)
                    inner = os.open(
                        component, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
                    )
                    os.close(folder)
                    folder = inner
                _refuse_link(components[-1], folder, shown)
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                handle = os.open(components[-1], flags, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            help = "copy the file to where the model expects it, relative to the model's folder"
            raise ExternalDataError(1, f"the file {shown} with the tensor's data is missing", help=help) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ExternalDataError(5, f"the file {shown} with the tensor's data cannot be opened", reason) from None
        try:
            _check_status(os.fstat(handle), shown)
        except ExternalDataError:
            os.close(handle)
            raise
        return handle


def _components(location: str) -> list[str]:
    parts = [part for part in location.split("/") if part != "."]
    odd = "\\" in location or not location.isprintable() or len(location) > _LONGEST_LOCATION
    if odd or not all(parts) or not parts or ".." in parts or _DRIVE.match(location):
        expected = "a path below the model's folder, without .., drive or backslash"
        raise ExternalDataError(5, "external data at an unsafe place", printable(location), expected)
    return parts


def _refuse_link(component: str, folder: int, shown: str) -> None:
    """A clearer word than the one of O_NOFOLLOW, which holds in any case."""
    if stat.S_ISLNK(os.stat(component, dir_fd=folder, follow_symlinks=False).st_mode):
        help = "put the file itself beside the model"
        raise ExternalDataError(5, f"external data {shown} behind a link", printable(component), "no link", help)


def _check_status(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ExternalDataError(5, f"external data {shown} is no regular file", expected="a regular file")
    if status.st_nlink != 1:
        found, help = f"{status.st_nlink} names for one file", "put a copy of the file beside the model"
        raise ExternalDataError(5, f"external data {shown} is a hard link", found, "one name", help)


def _number(text: str, key: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ExternalDataError(5, f"external data with a wrong {key}", printable(text), "a whole number of at least 0")
    return int(text)


def _read_exactly(handle: int, offset: int, size: int, shown: str) -> bytes:
    pieces = []
    left = size
    while left:
        piece = os.pread(handle, min(left, 1 << 30), offset + size - left)
        if not piece:
            raise ExternalDataError(5, f"external data {shown} became shorter while it was read")
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
