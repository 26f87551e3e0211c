"""Activation functions that exporters spell out, recognised as the one operation that they are.

Numbers such as 1 / 6 count as met within one part in a million, which covers their rounding to 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import frozen

from ...ir.core import Operation, Value
from ...ir.dialects.nn import (
    AbsOp,
    AddOp,
    ClampOp,
    DivOp,
    ErfOp,
    ExpOp,
    GeluOp,
    HardSigmoidOp,
    HardSwishOp,
    LogOp,
    MishOp,
    MulOp,
    PowOp,
    ReciprocalOp,
    SigmoidOp,
    SiluOp,
    SoftplusOp,
    SoftsignOp,
    TanhOp,
    Unary,
)
from ...ir.rewriter import RewritePattern, Rewriter
from .matching import is_float, only_user, scalar_of

MAX_FACTORS = 4
"""Longest product that an activation is spelled as."""


def close(a: float, b: float) -> bool:
    """Whether two numbers are one, but for the rounding to 32 bits."""
    return math.isclose(a, b, rel_tol=1e-6)


@frozen
class Product:
    """scalar * factors[0] * factors[1] * ..., computed by `ops`."""

    scalar: float
    factors: tuple[Value, ...]
    ops: tuple[Operation, ...]


def product_of(value: Value) -> Product:
    """`value` as a product through multiplications whose results nobody else uses; a sole factor when it is none."""
    scalar = 1.0
    factors: list[Value] = []
    ops: list[Operation] = []
    pending = [value]
    while pending:
        part = pending.pop()
        number = scalar_of(part)
        if number is not None:
            scalar *= number
        elif (
            isinstance(part.owner, MulOp) and (part is value or only_user(part) is not None) and len(ops) < MAX_FACTORS
        ):
            ops.append(part.owner)
            pending.extend((part.owner.rhs, part.owner.lhs))
        else:
            factors.append(part)
    return Product(scalar, tuple(factors), tuple(ops))


@frozen
class Linear:
    """slope * x + offset, computed by `ops`; `ops` is empty for x itself."""

    x: Value
    slope: float
    offset: float
    ops: tuple[Operation, ...]


def linear_of(value: Value) -> Linear:
    """`value` as a linear function by scalars of a value x, as far as nobody else uses the steps."""
    slope, offset = 1.0, 0.0
    ops: list[Operation] = []
    if isinstance(value.owner, AddOp) and only_user(value) is not None:
        number = scalar_of(value.owner.rhs)
        if number is not None:
            offset = number
            ops.append(value.owner)
            value = value.owner.lhs
    if isinstance(value.owner, MulOp) and only_user(value) is not None:
        number = scalar_of(value.owner.rhs)
        if number is not None:
            slope = number
            ops.append(value.owner)
            value = value.owner.lhs
    return Linear(value, slope, offset, tuple(ops))


def _plus_one(value: Value) -> Value | None:
    """y when `value` is y + 1."""
    if isinstance(value.owner, AddOp) and scalar_of(value.owner.rhs) == 1:
        return value.owner.lhs
    return None


class ClampToHardSigmoid(RewritePattern):
    """clamp(a * x + b, 0, 1) is a hard sigmoid."""

    def match_and_rewrite(self, op: ClampOp, rewriter: Rewriter) -> None:
        inner = linear_of(op.x)
        if is_float(op.x) and (op.low, op.high) == (0, 1) and inner.offset and inner.x.type == op.out.type:
            new = HardSigmoidOp(x=inner.x, alpha=inner.slope, beta=inner.offset)
            rewriter.replace_with(op, new, *reversed(inner.ops))


class ScaledClampToHardSigmoid(RewritePattern):
    """clamp(a * x + b, 0, h) / h is a hard sigmoid with slope a / h and offset b / h."""

    def match_and_rewrite(self, op: MulOp, rewriter: Rewriter) -> None:
        clamp, scale = op.lhs.owner, scalar_of(op.rhs)
        if not isinstance(clamp, ClampOp) or scale is None or not is_float(op.lhs) or only_user(op.lhs) is not op:
            return
        inner = linear_of(clamp.x)
        if clamp.low == 0 and close(clamp.high * scale, 1) and inner.offset and inner.x.type == op.out.type:
            new = HardSigmoidOp(x=inner.x, alpha=inner.slope * scale, beta=inner.offset * scale)
            rewriter.replace_with(op, new, *reversed(inner.ops), clamp)


class SpelledSigmoid(RewritePattern):
    """1 / (1 + e^(-x)) is the sigmoid."""

    def match_and_rewrite(self, op: ReciprocalOp, rewriter: Rewriter) -> None:
        power = _plus_one(op.x)
        if power is None or not isinstance(power.owner, ExpOp):
            return
        negated = product_of(power.owner.x)
        if negated.scalar == -1 and len(negated.factors) == 1 and negated.factors[0].type == op.out.type:
            rewriter.replace_with(op, SigmoidOp(x=negated.factors[0]))


class SpelledSoftplus(RewritePattern):
    """ln(1 + e^x) is the softplus."""

    def match_and_rewrite(self, op: LogOp, rewriter: Rewriter) -> None:
        power = _plus_one(op.x)
        if power is not None and isinstance(power.owner, ExpOp) and power.owner.x.type == op.out.type:
            rewriter.replace_with(op, SoftplusOp(x=power.owner.x))


class SpelledSoftsign(RewritePattern):
    """x / (1 + |x|) is the softsign."""

    def match_and_rewrite(self, op: DivOp, rewriter: Rewriter) -> None:
        size = _plus_one(op.rhs)
        if size is not None and isinstance(size.owner, AbsOp) and size.owner.x is op.lhs and op.lhs.type == op.out.type:
            rewriter.replace_with(op, SoftsignOp(x=op.lhs))


class GatedProduct(RewritePattern):
    """s * x * gate(x) is one of silu, hard swish, mish and gelu."""

    def match_and_rewrite(self, op: MulOp, rewriter: Rewriter) -> None:
        product = product_of(op.out)
        if not is_float(op.out) or len(product.factors) != 2:
            return
        first, second = product.factors
        for x, gate in ((first, second), (second, first)):
            new = _activation(x, gate, product.scalar)
            if new is not None and x.type == op.out.type:
                rewriter.replace_with(op, new, *_between(x, gate), *reversed(product.ops[1:]))
                return


def _between(x: Value, gate: Value) -> list[Operation]:
    """The operations from `x` to `gate` in order, along first operands."""
    found: list[Operation] = []
    value = gate
    while value is not x and value.owner is not None and value.owner.operands:
        found.insert(0, value.owner)
        value = value.owner.operands[0]
    return found


def _activation(x: Value, gate: Value, scalar: float) -> Unary | None:
    """The activation that scalar * x * gate is."""
    for matches, factor, make in _GATES:
        if close(scalar, factor) and matches(gate, x):
            return make(x)
    return None


def _is_sigmoid(gate: Value, x: Value) -> bool:
    return isinstance(gate.owner, SigmoidOp) and gate.owner.x is x


def _is_hard_sigmoid(gate: Value, x: Value) -> bool:
    op = gate.owner
    return isinstance(op, HardSigmoidOp) and op.x is x and close(op.alpha, 1 / 6) and close(op.beta, 0.5)


def _is_clamped_sum(gate: Value, x: Value) -> bool:
    op = gate.owner
    if not isinstance(op, ClampOp) or (op.low, op.high) != (0, 6):
        return False
    inner = linear_of(op.x)
    return inner.x is x and (inner.slope, inner.offset) == (1, 3)


def _is_tanh_of_softplus(gate: Value, x: Value) -> bool:
    op = gate.owner
    return isinstance(op, TanhOp) and isinstance(op.x.owner, SoftplusOp) and op.x.owner.x is x


def _is_erf_gate(gate: Value, x: Value) -> bool:
    inner = _plus_one(gate)
    if inner is None or not isinstance(inner.owner, ErfOp):
        return False
    argument = product_of(inner.owner.x)
    return argument.factors == (x,) and close(argument.scalar, math.sqrt(0.5))


def _is_tanh_gate(gate: Value, x: Value) -> bool:
    inner = _plus_one(gate)
    if inner is None or not isinstance(inner.owner, TanhOp):
        return False
    argument = product_of(inner.owner.x)
    if len(argument.factors) != 1 or not close(argument.scalar, math.sqrt(2 / math.pi)):
        return False
    total = argument.factors[0].owner
    if not isinstance(total, AddOp):
        return False
    cube = total.rhs if total.lhs is x else total.lhs
    return x in (total.lhs, total.rhs) and _is_cube(product_of(cube), x)


def _is_cube(term: Product, x: Value) -> bool:
    """Whether a term is 0.044715 * x^3."""
    if not close(term.scalar, 0.044715):
        return False
    if len(term.factors) == 1:
        power = term.factors[0].owner
        return isinstance(power, PowOp) and power.lhs is x and scalar_of(power.rhs) == 3
    return len(term.factors) == 3 and all(factor is x for factor in term.factors)


_GATES: tuple[tuple[Callable[[Value, Value], bool], float, Callable[[Value], Unary]], ...] = (
    (_is_sigmoid, 1.0, lambda x: SiluOp(x=x)),
    (_is_hard_sigmoid, 1.0, lambda x: HardSwishOp(x=x)),
    (_is_clamped_sum, 1 / 6, lambda x: HardSwishOp(x=x)),
    (_is_tanh_of_softplus, 1.0, lambda x: MishOp(x=x)),
    (_is_erf_gate, 0.5, lambda x: GeluOp(x=x)),
    (_is_tanh_gate, 0.5, lambda x: GeluOp(x=x, approximate="tanh")),
)

ACTIVATIONS: tuple[RewritePattern, ...] = (
    *(ClampToHardSigmoid(), ScaledClampToHardSigmoid(), SpelledSigmoid(), SpelledSoftplus(), SpelledSoftsign()),
    GatedProduct(),
)
