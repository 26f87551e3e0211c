"""One spelling for what exporters write in several: constants on the right, no sub, div or neg by constants, clamps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.dialects.nn import (
    AddOp,
    Binary,
    ClampOp,
    CompareOp,
    DivOp,
    LeakyReluOp,
    MaximumOp,
    MinimumOp,
    MulOp,
    NegOp,
    PowOp,
    PReluOp,
    ReciprocalOp,
    SelectOp,
    SubOp,
)
from ...ir.rewriter import RewritePattern, Rewriter
from ...ir.traits import Trait
from .matching import constant_of, insert_constant, is_float, only_user, scalar_like, scalar_of, with_constant

Array = NDArray[Any]


class ConstantOnTheRight(RewritePattern):
    """f(c, x) is f(x, c) where the operands may change places."""

    def match_and_rewrite(self, op: Binary, rewriter: Rewriter) -> None:
        lhs, rhs = op.lhs, op.rhs
        if Trait.COMMUTATIVE in op.traits and constant_of(lhs) is not None and constant_of(rhs) is None:
            rewriter.set_operand(op, 0, rhs)
            rewriter.set_operand(op, 1, lhs)


class SubToAdd(RewritePattern):
    """x - c = x + (-c), and c - x = x * (-1) + c."""

    def match_and_rewrite(self, op: SubOp, rewriter: Rewriter) -> None:
        left, right = constant_of(op.lhs), constant_of(op.rhs)
        if not is_float(op.lhs) or (left is None) == (right is None):
            return
        if right is not None:
            rewriter.replace_with(op, AddOp(lhs=op.lhs, rhs=insert_constant(op, -right, rewriter)))
            return
        minus_one = insert_constant(op, scalar_like(op.rhs, -1), rewriter)
        negated = rewriter.insert_before(op, MulOp(lhs=op.rhs, rhs=minus_one, location=op.location))
        rewriter.replace_with(op, AddOp(lhs=negated.out, rhs=op.lhs))


class NegToMul(RewritePattern):
    """-x = x * (-1)."""

    def match_and_rewrite(self, op: NegOp, rewriter: Rewriter) -> None:
        if is_float(op.x):
            minus_one = insert_constant(op, scalar_like(op.x, -1), rewriter)
            rewriter.replace_with(op, MulOp(lhs=op.x, rhs=minus_one))


class DivToMul(RewritePattern):
    """x / c = x * (1 / c) up to one rounding of 1 / c, and 1 / x is a reciprocal."""

    def match_and_rewrite(self, op: DivOp, rewriter: Rewriter) -> None:
        divisor = constant_of(op.rhs)
        if not is_float(op.lhs):
            return
        if divisor is None:
            if scalar_of(op.lhs) == 1 and op.rhs.shape == op.out.shape:
                rewriter.replace_with(op, ReciprocalOp(x=op.rhs))
            return
        factor = _in_normal_range(op.lhs, 1, divisor, np.divide)
        if factor is not None and constant_of(op.lhs) is None:
            rewriter.replace_with(op, MulOp(lhs=op.lhs, rhs=insert_constant(op, factor, rewriter)))


class SquareToMul(RewritePattern):
    """x ^ 2 = x * x."""

    def match_and_rewrite(self, op: PowOp, rewriter: Rewriter) -> None:
        if is_float(op.lhs) and scalar_of(op.rhs) == 2 and op.lhs.shape == op.out.shape:
            rewriter.replace_with(op, MulOp(lhs=op.lhs, rhs=op.lhs))


class ExtremumToClamp(RewritePattern):
    """max(x, c) and min(x, c) with one number c are clamps."""

    def match_and_rewrite(self, op: Binary, rewriter: Rewriter) -> None:
        if not isinstance(op, MaximumOp | MinimumOp):
            return
        operands = with_constant(op)
        number = None if operands is None else scalar_of(operands[1])
        if operands is None or number is None:
            return
        x = operands[0]
        rewriter.replace_with(op, ClampOp(x=x, low=number) if isinstance(op, MaximumOp) else ClampOp(x=x, high=number))


class ClampOfClamp(RewritePattern):
    """clamp(clamp(x)) is one clamp; clamp with low > high is the constant high."""

    def match_and_rewrite(self, op: ClampOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, ClampOp):
            low = min(max(inner.low, op.low), op.high)
            high = min(max(inner.high, op.low), op.high)
            rewriter.replace_with(op, ClampOp(x=inner.x, low=low, high=high), inner)
        elif op.low == -math.inf and op.high == math.inf:
            rewriter.replace(op, op.x)


class UniformSlope(RewritePattern):
    """A PReLU with one slope is a leaky ReLU."""

    def match_and_rewrite(self, op: PReluOp, rewriter: Rewriter) -> None:
        slope = scalar_of(op.slope)
        if slope is not None:
            rewriter.replace_with(op, LeakyReluOp(x=op.x, alpha=slope))


class MaximumToLeaky(RewritePattern):
    """max(x, a * x) with 0 <= a <= 1 is a leaky ReLU."""

    def match_and_rewrite(self, op: MaximumOp, rewriter: Rewriter) -> None:
        for x, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
            slope = _slope(x, other)
            if slope is not None and 0 <= slope <= 1 and is_float(x):
                rewriter.replace_with(op, LeakyReluOp(x=x, alpha=slope), *_owners(other))
                return


class SelectToLeaky(RewritePattern):
    """x where x > 0, a * x elsewhere, is a leaky ReLU; with 0 elsewhere it is a ReLU."""

    def match_and_rewrite(self, op: SelectOp, rewriter: Rewriter) -> None:
        test = op.condition.owner
        if not isinstance(test, CompareOp) or scalar_of(test.rhs) != 0 or not is_float(test.lhs):
            return
        x = test.lhs
        if test.predicate in ("gt", "ge"):
            above, below = op.on_true, op.on_false
        elif test.predicate in ("lt", "le"):
            above, below = op.on_false, op.on_true
        else:
            return
        if above is not x or op.out.type != x.type:
            return
        slope = _slope(x, below)
        if slope is not None:
            rewriter.replace_with(op, LeakyReluOp(x=x, alpha=slope), test, *_owners(below))
        elif scalar_of(below) == 0:
            rewriter.replace_with(op, ClampOp(x=x, low=0.0), test)


def _slope(x: Value, other: Value) -> float | None:
    """The number a when `other` is a * x of the same shape."""
    if not isinstance(other.owner, MulOp) or other.shape != x.shape:
        return None
    operands = with_constant(other.owner)
    return scalar_of(operands[1]) if operands is not None and operands[0] is x else None


def _owners(value: Value) -> tuple[MulOp, ...]:
    return (value.owner,) if isinstance(value.owner, MulOp) else ()


class MulOfMul(RewritePattern):
    """(x * a) * b = x * (a * b), up to rounding, when a * b is no larger than a or b."""

    def match_and_rewrite(self, op: MulOp, rewriter: Rewriter) -> None:
        inner = op.lhs.owner
        outer_factor = constant_of(op.rhs)
        if not isinstance(inner, MulOp) or only_user(op.lhs) is not op or not is_float(op.lhs):
            return
        inner_factor = constant_of(inner.rhs)
        if outer_factor is None or inner_factor is None or constant_of(inner.lhs) is not None:
            return
        size = np.broadcast(inner_factor, outer_factor).size
        if size > max(inner_factor.size, outer_factor.size):
            return
        factor = _in_normal_range(op.lhs, inner_factor, outer_factor, np.multiply)
        if factor is not None:
            rewriter.replace_with(op, MulOp(lhs=inner.lhs, rhs=insert_constant(op, factor, rewriter)), inner)


def _in_normal_range(like: Value, a: Array | int, b: Array, function: np.ufunc) -> Array | None:
    """function(a, b) in 64 bit, rounded to the type of `like`; None when rounding would lose more than the last bit."""
    dtype = like.element.dtype
    with np.errstate(all="ignore"):
        exact = function(a, b, dtype=np.float64)
        rounded = np.asarray(exact).astype(dtype)
        limits = np.finfo(dtype)
        normal = np.isfinite(rounded) & ((np.abs(exact) >= limits.tiny) | (exact == 0))
    return rounded if normal.all() else None


SPELLINGS: tuple[RewritePattern, ...] = (
    *(ConstantOnTheRight(), SubToAdd(), NegToMul(), DivToMul(), SquareToMul(), ExtremumToClamp(), ClampOfClamp()),
    *(UniformSlope(), MaximumToLeaky(), SelectToLeaky()),
)
