"""The header of a `.npy` file from anybody: shape, order and type, and nothing unpickled."""

from __future__ import annotations

import io
import math
import warnings
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from .problems import MalformedError

MAX_HEADER_BYTES = 10_000
MAX_AXES = 32
MAX_ELEMENTS = 1 << 48
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}


class NpyHeader(NamedTuple):
    """What the header says; `fortran` means that the first axis is the fastest."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def data_bytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"shape {list(self.shape)} of {self.dtype}"


def read_header(file: IO[bytes]) -> NpyHeader:
    """The header at the file's place, which is then that of the data; raises MalformedError."""
    magic = file.read(npy.MAGIC_LEN)
    version = (magic[-2], magic[-1]) if len(magic) == npy.MAGIC_LEN and magic.startswith(npy.MAGIC_PREFIX) else (0, 0)
    if version not in _LENGTH_BYTES:
        raise MalformedError("no .npy header")
    count = file.read(_LENGTH_BYTES[version])
    length = int.from_bytes(count, "little")
    if length > MAX_HEADER_BYTES:
        raise MalformedError(f"a header of {length} bytes")
    text = io.BytesIO(count + file.read(length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(text)
    except Exception as error:
        # numpy hands the text to Python's own tokenizer and parser, which fail in many ways.
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise MalformedError(f"a header that cannot be read: {first[:100]}") from None
    return NpyHeader(shape, bool(fortran), dtype)


def check_size(header: NpyHeader, size: int) -> None:
    """Raises MalformedError unless `size` bytes hold the elements of the header, and these are no Python objects."""
    shape, _, dtype = header
    if dtype.hasobject:
        raise MalformedError("Python objects, which would have to be unpickled")
    if dtype.itemsize == 0 or len(shape) > MAX_AXES:
        raise MalformedError(f"elements of {dtype} in {len(shape)} axes")
    if any(extent < 0 for extent in shape) or math.prod(max(extent, 1) for extent in shape) > MAX_ELEMENTS:
        # An extent of 0 must not hide others that no array can have.
        raise MalformedError(f"the impossible {header}")
    if header.data_bytes != size:
        raise MalformedError(f"{size} bytes of data for {header}")
