"""Attributes: frozen values that operations carry, compared by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray


class Attribute:
    """Base of all attributes and types."""

    __slots__ = ()


@frozen
class IntAttr(Attribute):
    """A whole number, printed `3`."""

    value: int


@frozen
class FloatAttr(Attribute):
    """A 64 bit float, printed so that it reads back to the same bits: `0.5`, `1e-05`, `inf`, `nan`.

    Equal when the text is equal: a NaN equals any NaN, and 0.0 is not -0.0.
    """

    value: float = field(eq=repr)


@frozen
class BoolAttr(Attribute):
    """`true` or `false`."""

    value: bool


@frozen
class StringAttr(Attribute):
    """A string in JSON quoting."""

    value: str


@frozen
class SymbolAttr(Attribute):
    """A symbol, printed `@main`."""

    value: str


@frozen
class ArrayAttr(Attribute):
    """A list of attributes, printed `[1, 2]`."""

    items: tuple[Attribute, ...]


def _sorted_pairs(pairs: Iterable[tuple[str, Attribute]]) -> tuple[tuple[str, Attribute], ...]:
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


@frozen
class DictAttr(Attribute):
    """A dictionary of attributes, printed `{a = 1, b = 2}` with sorted keys."""

    items: tuple[tuple[str, Attribute], ...] = field(converter=_sorted_pairs)

    def get(self, key: str) -> Attribute | None:
        """The attribute under `key`, or None."""
        return dict(self.items).get(key)


class DenseAttr(Attribute):
    """An array: read-only, little endian, compared by dtype, shape and bytes.

    Small arrays print inline (`dense<[1, 2]> : tensor<2xi32>`), large ones as `dense_resource<name>` with the name made
    of the content hash; the arrays then live beside the text. Structured dtypes (tables) are allowed.
    """

    __slots__ = ("__dict__", "array")

    array: NDArray[Any]

    def __init__(self, array: NDArray[Any]) -> None:
        little = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
        contiguous = np.ascontiguousarray(little).reshape(array.shape)
        if contiguous.flags.writeable:
            contiguous = contiguous.view()
            contiguous.flags.writeable = False
        self.array = contiguous

    @cached_property
    def digest(self) -> str:
        """SHA-256 of dtype, shape and bytes, in hexadecimal."""
        sha = hashlib.sha256(f"{self.array.dtype.descr}{self.array.shape}".encode())
        sha.update(self.array.reshape(-1).view(np.uint8).data if self.array.size else b"")
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DenseAttr):
            return NotImplemented
        if self.array is other.array:
            return True
        same_kind = self.array.dtype == other.array.dtype and self.array.shape == other.array.shape
        return same_kind and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.dtype.str))

    def __repr__(self) -> str:
        return f"DenseAttr({self.array.dtype}, shape={self.array.shape})"
