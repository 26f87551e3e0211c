"""Arrays in the text: which of them print inline, how, and how they read back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attributes import ArrayAttr, Attribute, BoolAttr, DenseAttr, FloatAttr, IntAttr
from .types import ElementType, FloatType, IntegerType, TensorType, tensor_of

Array = NDArray[Any]

MAX_INLINE = 16
"""Most elements of an array that prints as a list."""
MAX_SPLAT_BYTES = 1 << 20
"""Largest array that is written as one repeated value."""


def inline_text(array: Array) -> str | None:
    """What stands between the brackets of `dense<...>`; None for an array that lives beside the text.

    Inline are arrays of one repeated value and those of at most MAX_INLINE elements; never tables, and no array that
    holds a NaN, whose bits decimal text does not tell.
    """
    if array.dtype.names is not None:
        return None
    splat = array.size > 0 and array.nbytes <= MAX_SPLAT_BYTES and _is_uniform(array)
    if not splat and array.size > MAX_INLINE:
        return None
    if array.dtype.kind == "f" and bool(np.isnan(array).any()):
        return None
    if splat:
        return _scalar_text(array.reshape(-1)[0])
    return _list_text(array) if array.size else "[]"


def type_text(array: Array) -> str:
    """The type behind the colon: `tensor<..>`, or `table<..>` for a structured dtype, which the array itself keeps."""
    if array.dtype.names is not None:
        return f"table<{'x'.join(map(str, array.shape))}>"
    return str(tensor_of(array))


def resource_name(attribute: DenseAttr) -> str:
    """The name of an array beside the text: the first 128 bits of its content hash."""
    return f"sha256_{attribute.digest[:32]}"


def read_inline(value: Attribute, tensor: TensorType) -> Array:
    """The array that `dense<value> : tensor` stands for; raises ValueError when they do not fit."""
    size, dtype = tensor.size, tensor.element.dtype
    if isinstance(value, ArrayAttr) and (value.items or size):
        leaves = _leaves(value, tensor.shape)
    elif isinstance(value, ArrayAttr):
        leaves = []
    elif size * dtype.itemsize > MAX_SPLAT_BYTES:
        raise ValueError(f"one value is repeated over at most {MAX_SPLAT_BYTES} bytes, found {tensor}")
    else:
        leaves = [value] * min(size, 1)
    numbers = [_number(leaf, tensor.element) for leaf in leaves]
    with np.errstate(over="ignore"):
        flat = np.array(numbers, dtype=dtype)
    if dtype.kind == "f" and not np.array_equal(np.isfinite(flat), np.isfinite(np.array(numbers, np.float64))):
        raise ValueError(f"a value lies outside {tensor.element}")
    return np.full(tensor.shape, flat[0]) if len(flat) == 1 else flat.reshape(tensor.shape)


def _is_uniform(array: Array) -> bool:
    raw = array.reshape(-1, 1).view(np.uint8)
    return bool((raw[0] == raw[-1]).all() and (raw == raw[0]).all())


def _list_text(array: Array) -> str:
    texts = map(_scalar_text, array) if array.ndim == 1 else map(_list_text, array)
    return f"[{', '.join(texts)}]"


def _scalar_text(value: np.generic) -> str:
    """The shortest decimal that reads back to the same bits by way of a 64 bit float."""
    if isinstance(value, np.bool_):
        return "true" if value else "false"
    if not isinstance(value, np.floating):
        return str(int(value.item()))
    short = str(value)
    return short if type(value)(float(short)) == value else repr(float(value))


def _leaves(value: Attribute, shape: tuple[int, ...]) -> list[Attribute]:
    if not shape:
        return [value]
    if not isinstance(value, ArrayAttr) or len(value.items) != shape[0]:
        raise ValueError(f"expected nested lists of shape {list(shape)}")
    return [leaf for item in value.items for leaf in _leaves(item, shape[1:])]


def _number(leaf: Attribute, element: ElementType) -> bool | int | float:
    if isinstance(element, FloatType) and isinstance(leaf, FloatAttr | IntAttr):
        return float(leaf.value)
    if isinstance(element, IntegerType):
        if element.width == 1 and isinstance(leaf, BoolAttr):
            return leaf.value
        if element.width > 1 and isinstance(leaf, IntAttr) and element.low <= leaf.value <= element.high:
            return leaf.value
    raise ValueError(f"expected values of {element}, found {getattr(leaf, 'value', 'a list')!r}")
