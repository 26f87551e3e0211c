"""Builtin types: integers, floats, tensors, functions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from .attributes import Attribute


class Type(Attribute):
    """Base of all types; a type is an attribute too."""

    __slots__ = ()


class ElementType(Type):
    """A type that a tensor may hold; `dtype` is the numpy dtype of its storage."""

    __slots__ = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        raise NotImplementedError


@frozen
class IntegerType(ElementType):
    """`i8`, `ui8`, `i32`, `i64`; `i1` is a truth value (stored as numpy bool)."""

    width: int
    signed: bool = True

    WIDTHS: ClassVar[tuple[int, ...]] = (1, 8, 16, 32, 64)

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}i{self.width}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool) if self.width == 1 else np.dtype(f"<{'i' if self.signed else 'u'}{self.width // 8}")

    @property
    def low(self) -> int:
        """The least value."""
        return -(1 << (self.width - 1)) if self.signed and self.width > 1 else 0

    @property
    def high(self) -> int:
        """The greatest value."""
        return (1 << (self.width - (1 if self.signed and self.width > 1 else 0))) - 1


@frozen
class FloatType(ElementType):
    """`f16`, `f32`, `f64`."""

    width: int

    WIDTHS: ClassVar[tuple[int, ...]] = (16, 32, 64)

    def __str__(self) -> str:
        return f"f{self.width}"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"<f{self.width // 8}")


@frozen
class TensorType(Type):
    """A tensor of fixed shape: `tensor<1x3x224x224xf32>`, `tensor<f32>` for a scalar."""

    shape: tuple[int, ...]
    element: ElementType

    def __str__(self) -> str:
        return f"tensor<{''.join(f'{size}x' for size in self.shape)}{self.element}>"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def with_element(self, element: ElementType) -> TensorType:
        """The same shape over another element type."""
        return TensorType(self.shape, element)

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """The same element type in another shape."""
        return TensorType(shape, self.element)


@frozen
class FunctionType(Type):
    """`(tensor<..>) -> tensor<..>`."""

    inputs: tuple[Type, ...]
    results: tuple[Type, ...]

    def __str__(self) -> str:
        results = ", ".join(map(str, self.results))
        return f"({', '.join(map(str, self.inputs))}) -> {results if len(self.results) == 1 else f'({results})'}"


I1, I8, U8 = IntegerType(1), IntegerType(8), IntegerType(8, signed=False)
I16, U16, I32, I64 = IntegerType(16), IntegerType(16, signed=False), IntegerType(32), IntegerType(64)
F16, F32, F64 = FloatType(16), FloatType(32), FloatType(64)

_BUILTIN: tuple[ElementType, ...] = (
    *(IntegerType(width) for width in IntegerType.WIDTHS),
    *(IntegerType(width, signed=False) for width in IntegerType.WIDTHS[1:]),
    *(FloatType(width) for width in FloatType.WIDTHS),
)
_BY_DTYPE = {element.dtype: element for element in _BUILTIN}
BY_NAME: dict[str, ElementType] = {str(element): element for element in _BUILTIN}
"""The builtin element types by their text."""


def element_of(dtype: np.dtype[Any]) -> ElementType:
    """The element type stored as `dtype`; raises KeyError for a dtype that has none."""
    return _BY_DTYPE[dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype]


def tensor_of(array: np.ndarray[Any, Any]) -> TensorType:
    """The type of an array."""
    return TensorType(tuple(array.shape), element_of(array.dtype))
