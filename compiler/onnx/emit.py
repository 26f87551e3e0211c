"""Small groups of operations that several importer functions build."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...ir.core import Value
from ...ir.dialects.nn import CastOp, ReduceOp, ReshapeOp, SliceOp, TransposeOp
from ...ir.types import F32, ElementType, FloatType
from .node import Node


def reshape(node: Node, x: Value, shape: Sequence[int]) -> Value:
    """`x` under another shape; `x` itself when it has that shape."""
    return x if x.shape == tuple(shape) else node.add(ReshapeOp(x=x, shape=tuple(shape)))


def transpose(node: Node, x: Value, permutation: Sequence[int]) -> Value:
    """`x` with its axes permuted; `x` itself when they stay in place."""
    if tuple(permutation) == tuple(range(x.tensor.rank)):
        return x
    return node.add(TransposeOp(x=x, permutation=tuple(permutation)))


def cast(node: Node, x: Value, to: ElementType) -> Value:
    """`x` with elements of another type; `x` itself when it has them."""
    return x if x.element == to else node.add(CastOp(x=x, to=to))


def at_least_f32(node: Node, x: Value) -> Value:
    """`x`, with half precision widened to f32."""
    return cast(node, x, F32) if isinstance(x.element, FloatType) and x.element.width < 32 else x


def reduce(node: Node, x: Value, kind: str, axes: Sequence[int]) -> Value:
    """A reduction that keeps the reduced axes with size 1."""
    return node.add(ReduceOp(x=x, kind=kind, axes=tuple(axes), keep_dims=True))


def take(node: Node, x: Value, axis: int, start: int, count: int, step: int = 1) -> Value:
    """`count` elements of `x` along one axis."""
    starts, counts, steps = [0] * x.tensor.rank, list(x.shape), [1] * x.tensor.rank
    starts[axis], counts[axis], steps[axis] = start, count, step
    if tuple(counts) == x.shape and start == 0 and step == 1:
        return x
    return node.add(SliceOp(x=x, starts=tuple(starts), counts=tuple(counts), steps=tuple(steps)))


def flattened(shape: Sequence[int], axis: int) -> tuple[int, int]:
    """The shape of a matrix whose rows are the axes before `axis`."""
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def integer_constant(node: Node, numbers: Sequence[int]) -> Value:
    """A constant list of i64, as shapes are."""
    return node.literal(np.array(numbers, dtype=np.int64))
