"""The quantised element type, and what operations with quantised results share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...constraints import element
from ...core import Operation, Value
from ...shapes import normal_axis
from ...spec import INT, TYPE, attribute
from ...traits import Trait
from ...types import BY_NAME, ElementType, IntegerType, Type

Array = NDArray[Any]
PURE = frozenset({Trait.PURE})


@frozen
class UniformType(ElementType):
    """Integers of `storage` that stand for scale * (q - zero_point)."""

    storage: IntegerType
    scale: float
    zero_point: int

    def __attrs_post_init__(self) -> None:
        if not (0 < self.scale < float("inf")):
            raise ValueError(f"expected a positive, finite scale, found {self.scale!r}")
        if not self.storage.low <= self.zero_point <= self.storage.high:
            raise ValueError(f"zero point {self.zero_point} lies outside {self.storage}")

    def __str__(self) -> str:
        return f"!quant.uniform<{self.storage}:f32, {self.scale!r}:{self.zero_point}>"

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.storage.dtype


def parse_uniform(body: str) -> ElementType:
    """The type in `i8:f32, 0.05:0`; raises ValueError for anything else."""
    storage_text, _, rest = body.partition(":f32,")
    scale_text, _, zero_text = rest.strip().rpartition(":")
    storage = BY_NAME.get(storage_text.strip())
    if not isinstance(storage, IntegerType):
        raise ValueError(f"expected an integer storage type, found {storage_text!r}")
    return UniformType(storage, float(scale_text), int(zero_text))


UNIFORM_TENSOR = element(UniformType)


def uniform(value: Value) -> UniformType:
    """The quantised element type of a value; raises TypeError when it is not quantised."""
    if not isinstance(value.element, UniformType):
        raise TypeError(f"expected a quantised tensor, found {value.type}")
    return value.element


def check_per_axis(x: Value, axis: int, word: str, values: Array) -> None:
    """Raises ValueError unless `values` is a scalar or has one entry (or row) per index of `axis`."""
    if values.ndim and values.shape[0] != x.shape[normal_axis(axis, x.tensor.rank)]:
        raise ValueError(f"{values.shape[0]} {word} do not fit axis {axis} of {x.type}")


def check_shift(*shifts: int) -> None:
    """Raises ValueError unless a 64 bit value can be shifted by each."""
    if not all(0 <= shift <= 62 for shift in shifts):
        raise ValueError(f"expected shifts of 0 to 62 bits, found {list(shifts)}")


class Limited(Operation):
    """What operations with a quantised result share: the result's element type and its limits."""

    traits: ClassVar[frozenset[Trait]] = PURE
    to: Type = attribute(TYPE)
    low: int = attribute(INT)
    high: int = attribute(INT)

    @property
    def target(self) -> UniformType:
        """The element type of the result."""
        if not isinstance(self.to, UniformType):
            raise ValueError(f"expected a quantised type, found {self.to}")
        return self.to

    def check(self) -> None:
        storage = self.target.storage
        if not storage.low <= self.low <= self.high <= storage.high:
            raise ValueError(f"limits {self.low} .. {self.high} leave {storage}")


def round_shift(value: Array, shift: Array | int) -> Array:
    """(value + 2^(shift - 1)) >> shift, `value` where shift is 0; int64."""
    wide = np.asarray(value, dtype=np.int64)
    amount = np.asarray(shift, dtype=np.int64)
    half = np.where(amount > 0, np.int64(1) << np.maximum(amount - 1, 0), 0)
    return np.asarray((wide + half) >> amount)


def along_axis(values: Array, axis: int, rank: int) -> Array:
    """A rank 0 or 1 array shaped to broadcast along `axis` of a tensor of `rank`."""
    if values.ndim == 0:
        return values
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)
