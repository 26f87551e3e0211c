"""Constants, and operators that pass a value on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...ir.core import Value
from ...ir.folding import MAX_ELEMENTS
from ...ir.types import I1
from .node import Array, Node
from .problems import malformed, unsupported


def constant(node: Node) -> Value:
    """Constant."""
    names = sorted(attribute.name for attribute in node.proto.attribute)
    if len(names) != 1:
        raise malformed("Constant holds one value", found=", ".join(names) or "none")
    array: Array | None
    match names[0]:
        case "value":
            array = node.attr_tensor("value")
        case "value_float":
            array = np.array(node.attr_float("value_float"), np.float32)
        case "value_int":
            array = np.array(node.attr_int("value_int"), np.int64)
        case "value_floats":
            array = np.array(node.attr_floats("value_floats"), np.float32)
        case "value_ints":
            array = np.array(node.attr_ints("value_ints"), np.int64)
        case _:
            array = None
    if array is None:
        raise unsupported(f"a constant given as {names[0]} is not taken")
    return node.literal(array)


def constant_of_shape(node: Node) -> Value:
    """ConstantOfShape."""
    shape = node.integers(0, "shape")
    value = node.attr_tensor("value")
    filling = np.zeros(1, np.float32) if value is None else value
    if filling.size != 1 or any(size < 0 for size in shape):
        raise malformed("ConstantOfShape takes one value and sizes from 0 on", found=f"{filling.shape}, {list(shape)}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise unsupported(
            "the constant is too large", found=f"{math.prod(shape)} elements", expected=f"at most {MAX_ELEMENTS}"
        )
    return node.literal(np.full(shape, filling.reshape(()), dtype=filling.dtype))


def identity(node: Node) -> Value:
    """Identity."""
    return node.stored(0)


def dropout(node: Node) -> Sequence[Value | None]:
    """Dropout in inference: the input, and from opset 12 on a mask that keeps everything."""
    if node.opset < 12:
        node.refuse_outputs(1, "is a mask, which inference leaves undefined in this opset")
    if node.opset >= 12 and node.optional_stored(2) is not None and node.constant(2, "training_mode").any():
        raise unsupported("training mode is not taken", remedy="export the model for inference")
    x = node.stored(0)
    mask = None
    if node.wants(1):
        mask = node.literal(np.ones(x.shape, dtype=I1.dtype))
    return x, mask
