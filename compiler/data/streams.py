"""Columns whose elements stand one after another in a file, packed or not, behind a header."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from attrs import frozen

from .columns import INPUT_KINDS, MAX_BATCH_BYTES
from .dataset import Array, Field
from .files import read_up_to
from .problems import MalformedError, damaged, misfit, too_large
from .zip_directory import ZIP_ERRORS

MAX_HELD_BYTES = 1 << 28
"""Largest array that is read whole, where its order in the file is not that of the samples."""


@frozen(eq=False)
class StreamColumn:
    """An array [N, ...], its last axis the fastest.

    `opened` gives the stream from its beginning, where `header` must stand; `shape` and `stored` are what it says. A
    stream that is compressed or within an archive has the name `member`.
    """

    path: Path
    member: str
    opened: Callable[[], AbstractContextManager[IO[bytes]]]
    header: bytes
    shape: tuple[int, ...]
    stored: np.dtype[Any]

    @property
    def count(self) -> int:
        """The length of the first axis."""
        return self.shape[0]

    @property
    def field(self) -> Field:
        """Shape and type of a sample."""
        return Field(self.shape[1:], self.stored.newbyteorder("="))

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """All samples; raises UnsafeInput where the stream is damaged, or ends elsewhere than its header says."""
        row = math.prod(self.shape[1:]) * self.stored.itemsize
        rows = min(size, self.count)
        if rows * row > MAX_BATCH_BYTES:
            found = f"{rows} samples of {row} bytes"
            raise too_large(str(self.path), found, f"{MAX_BATCH_BYTES} bytes in a batch", "take smaller batches")
        with guarded(self.path, self.member), self.opened() as file:
            if file.read(len(self.header)) != self.header:
                raise MalformedError("another header than when it was opened", "a file that does not change")
            for first in range(0, self.count, rows):
                here = min(rows, self.count - first)
                data = read_up_to(file, here * row)
                if len(data) != here * row:
                    raise self._short(first * row + len(data))
                yield self._array(data, first, here)
            if file.read(1):
                raise MalformedError("more bytes than its header says", self._described())

    def _array(self, data: bytearray, first: int, count: int) -> Array:
        array = np.frombuffer(data, self.stored).reshape(count, *self.shape[1:])
        if self.stored.kind == "b" and bool((array.view(np.uint8) > 1).any()):
            raise MalformedError(f"a truth value that is neither 0 nor 1, in samples {first} to {first + count - 1}")
        return array.astype(self.field.dtype, copy=False)

    def _short(self, found: int) -> MalformedError:
        return MalformedError(f"the data ends at byte {len(self.header) + found}", self._described())

    def _described(self) -> str:
        total = len(self.header) + math.prod(self.shape) * self.stored.itemsize
        return f"{total} bytes: a header of {len(self.header)}, then shape {list(self.shape)} of {self.stored}"


@contextmanager
def guarded(path: Path, member: str = "") -> Iterator[None]:
    """Turns what zipfile, gzip and zlib raise for damaged files into UnsafeInput that names file and member."""
    try:
        yield
    except ZIP_ERRORS as error:
        found = str(error) or type(error).__name__
        expected = error.expected if isinstance(error, MalformedError) else ""
        raise damaged(path, f"{member}: {found}" if member else found, expected) from None


def check_kind(where: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises UsageError unless this is an array of samples, whose elements are numbers."""
    if not shape:
        raise misfit(where, "this is no array of samples", "a single number", "an array whose first axis is samples")
    if dtype.kind not in INPUT_KINDS or dtype.itemsize > 8:
        raise misfit(where, "these are no numbers", str(dtype), "bool, int or float of at most 64 bits")
    if not math.prod(shape):
        raise misfit(where, "there are no samples", f"shape {list(shape)}", "at least 1 sample of at least 1 number")
