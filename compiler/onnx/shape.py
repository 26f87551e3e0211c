"""Operators about shapes; shapes are known, so their results are constants."""

from __future__ import annotations

import numpy as np

from ...ir.core import Value
from ...ir.folding import MAX_ELEMENTS
from .emit import integer_constant
from .node import Node
from .problems import malformed, unsupported


def shape(node: Node) -> Value:
    """Shape."""
    sizes = node.stored(0).shape
    if node.opset < 15:
        return integer_constant(node, sizes)
    end = node.attr_int("end", len(sizes))
    return integer_constant(node, sizes[slice(node.attr_int("start", 0), end)])


def size(node: Node) -> Value:
    """Size."""
    return node.literal(np.array(node.stored(0).tensor.size, dtype=np.int64))


def value_range(node: Node) -> Value:
    """Range of constants."""
    start, limit, delta = (node.constant(i, role) for i, role in enumerate(("start", "limit", "delta")))
    if delta.item() == 0 or not all(np.isfinite(array) for array in (start, limit, delta)):
        raise malformed("Range needs finite numbers and a step other than 0")
    count = max(0, int(np.ceil((limit.item() - start.item()) / delta.item())))
    if count > MAX_ELEMENTS:
        raise unsupported("the range is too long", found=str(count), expected=f"at most {MAX_ELEMENTS}")
    return node.literal((start.item() + np.arange(count) * delta.item()).astype(start.dtype))


def non_zero(node: Node) -> Value:
    """NonZero of a constant."""
    return node.literal(np.array(np.nonzero(node.constant(0, "X")), dtype=np.int64))
