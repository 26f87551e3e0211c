"""Questions that the graph passes ask about values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.nn import Binary
from ...ir.rewriter import RewritePattern, Rewriter
from ...ir.traits import Trait
from ...ir.types import FloatType

Array = NDArray[Any]


class EraseDead(RewritePattern):
    """Removes a pure operation whose results nobody uses."""

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        if Trait.PURE in op.traits and not any(result.uses for result in op.results):
            rewriter.erase(op)


def constant_of(value: Value) -> Array | None:
    """The array of a constant; None for any other value."""
    return value.owner.value if isinstance(value.owner, ConstantOp) else None


def scalar_of(value: Value) -> float | None:
    """The one number that fills a constant; None for any other value, for NaN, and for integers beyond 2^53."""
    array = constant_of(value)
    if array is None or not array.size:
        return None
    first = array.reshape(-1)[0]
    if not (array == first).all() or (array.dtype.kind in "iu" and abs(int(first)) > 1 << 53):
        return None
    return float(first)


def only_user(value: Value) -> Operation | None:
    """The operation that uses `value` when it is used exactly once."""
    return value.uses[0][0] if len(value.uses) == 1 else None


def is_float(value: Value) -> bool:
    """Whether the elements are floats."""
    return isinstance(value.element, FloatType)


def with_constant(op: Binary) -> tuple[Value, Value] | None:
    """(other operand, constant operand) of a binary operation with one constant operand that does not widen the other.

    The constant may stand on either side; None when both or neither are constant.
    """
    for x, c in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        if isinstance(c.owner, ConstantOp) and not isinstance(x.owner, ConstantOp):
            return (x, c) if x.shape == op.out.shape else None
    return None


def insert_constant(anchor: Operation, array: Array, rewriter: Rewriter, *, like: Value | None = None) -> Value:
    """A new constant right before `anchor`, of its location and with the name hint of the value that it stands for."""
    value = rewriter.insert_before(anchor, ConstantOp(value=array, location=anchor.location)).out
    if like is not None:
        value.hint = like.hint
    return value


def scalar_like(value: Value, number: float) -> Array:
    """A rank-0 array of the element type of `value`."""
    return np.asarray(number, dtype=value.element.dtype)
