"""Elementwise operations of the graph dialect; `fold` is their meaning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...constraints import FLOAT_TENSOR
from ...core import Operation, Value
from ...shapes import broadcast
from ...spec import FLOAT, TYPE, attribute, choice, operand, result
from ...traits import Trait
from ...types import I1, ElementType, TensorType, Type

Array = NDArray[Any]

_ERF = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """The error function, computed in 64 bit and rounded to the type of `x`."""
    return np.asarray(_ERF(x.astype(np.float64)), dtype=np.float64).astype(x.dtype)


class Unary(Operation):
    """An operation on one tensor, element by element, keeping its type."""

    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    x: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.type,)

    def apply(self, x: Array) -> Array:
        """The function; float inputs are computed in their own width."""
        raise NotImplementedError

    def fold(self, operands: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.apply(operands[0])).astype(operands[0].dtype, copy=False)


class AbsOp(Unary):
    """|x|"""

    name: ClassVar[str] = "nn.abs"

    def apply(self, x: Array) -> Array:
        return np.abs(x)


class NegOp(Unary):
    """-x"""

    name: ClassVar[str] = "nn.neg"

    def apply(self, x: Array) -> Array:
        return np.negative(x)


class CeilOp(Unary):
    """The least integer not below x."""

    name: ClassVar[str] = "nn.ceil"

    def apply(self, x: Array) -> Array:
        return np.ceil(x)


class FloorOp(Unary):
    """The greatest integer not above x."""

    name: ClassVar[str] = "nn.floor"

    def apply(self, x: Array) -> Array:
        return np.floor(x)


class RoundOp(Unary):
    """The nearest integer, halves to even."""

    name: ClassVar[str] = "nn.round"

    def apply(self, x: Array) -> Array:
        return np.round(x)


class SignOp(Unary):
    """-1, 0 or 1."""

    name: ClassVar[str] = "nn.sign"

    def apply(self, x: Array) -> Array:
        return np.sign(x)


class NotOp(Unary):
    """Logical not."""

    name: ClassVar[str] = "nn.not"

    def apply(self, x: Array) -> Array:
        return np.logical_not(x)


class ExpOp(Unary):
    """e^x"""

    name: ClassVar[str] = "nn.exp"

    def apply(self, x: Array) -> Array:
        return np.exp(x)


class LogOp(Unary):
    """ln x"""

    name: ClassVar[str] = "nn.log"

    def apply(self, x: Array) -> Array:
        return np.log(x)


class SqrtOp(Unary):
    """The square root."""

    name: ClassVar[str] = "nn.sqrt"

    def apply(self, x: Array) -> Array:
        return np.sqrt(x)


class ReciprocalOp(Unary):
    """1 / x"""

    name: ClassVar[str] = "nn.reciprocal"

    def apply(self, x: Array) -> Array:
        return np.reciprocal(x)


class ErfOp(Unary):
    """The error function."""

    name: ClassVar[str] = "nn.erf"

    def apply(self, x: Array) -> Array:
        return erf(x)


class SigmoidOp(Unary):
    """1 / (1 + e^-x)"""

    name: ClassVar[str] = "nn.sigmoid"

    def apply(self, x: Array) -> Array:
        return 1 / (1 + np.exp(-x))


class TanhOp(Unary):
    """The hyperbolic tangent."""

    name: ClassVar[str] = "nn.tanh"

    def apply(self, x: Array) -> Array:
        return np.tanh(x)


class SoftplusOp(Unary):
    """ln(1 + e^x)"""

    name: ClassVar[str] = "nn.softplus"

    def apply(self, x: Array) -> Array:
        return np.logaddexp(x, np.zeros((), x.dtype))


class SoftsignOp(Unary):
    """x / (1 + |x|)"""

    name: ClassVar[str] = "nn.softsign"

    def apply(self, x: Array) -> Array:
        return x / (1 + np.abs(x))


class MishOp(Unary):
    """x * tanh(ln(1 + e^x))"""

    name: ClassVar[str] = "nn.mish"

    def apply(self, x: Array) -> Array:
        return x * np.tanh(np.logaddexp(x, np.zeros((), x.dtype)))


class SiluOp(Unary):
    """x / (1 + e^-x)"""

    name: ClassVar[str] = "nn.silu"

    def apply(self, x: Array) -> Array:
        return x * (1 / (1 + np.exp(-x)))


class HardSwishOp(Unary):
    """x * max(0, min(1, x / 6 + 1 / 2))"""

    name: ClassVar[str] = "nn.hard_swish"

    def apply(self, x: Array) -> Array:
        return x * np.clip(x / 6 + 0.5, 0, 1)


class HardSigmoidOp(Unary):
    """max(0, min(1, alpha * x + beta))"""

    name: ClassVar[str] = "nn.hard_sigmoid"
    alpha: float = attribute(FLOAT, default=0.2)
    beta: float = attribute(FLOAT, default=0.5)

    def apply(self, x: Array) -> Array:
        return np.clip(self.alpha * x + self.beta, 0, 1)


class LeakyReluOp(Unary):
    """x for x >= 0, alpha * x below."""

    name: ClassVar[str] = "nn.leaky_relu"
    alpha: float = attribute(FLOAT, default=0.01)

    def apply(self, x: Array) -> Array:
        return np.where(x >= 0, x, self.alpha * x)


class EluOp(Unary):
    """x for x >= 0, alpha * (e^(x / scale) - 1) below; CELU has scale = alpha."""

    name: ClassVar[str] = "nn.elu"
    alpha: float = attribute(FLOAT, default=1.0)
    scale: float = attribute(FLOAT, default=1.0)

    def apply(self, x: Array) -> Array:
        return np.where(x >= 0, x, self.alpha * np.expm1(x / self.scale))


class SeluOp(Unary):
    """gamma * x for x >= 0, gamma * alpha * (e^x - 1) below."""

    name: ClassVar[str] = "nn.selu"
    alpha: float = attribute(FLOAT, default=1.6732632423543772)
    gamma: float = attribute(FLOAT, default=1.0507009873554805)

    def apply(self, x: Array) -> Array:
        return self.gamma * np.where(x >= 0, x, self.alpha * np.expm1(x))


class ThresholdedReluOp(Unary):
    """x for x > alpha, 0 otherwise."""

    name: ClassVar[str] = "nn.thresholded_relu"
    alpha: float = attribute(FLOAT, default=1.0)

    def apply(self, x: Array) -> Array:
        return np.where(x > self.alpha, x, 0)


class GeluOp(Unary):
    """x * (1 + erf(x / sqrt 2)) / 2, or its tanh approximation."""

    name: ClassVar[str] = "nn.gelu"
    approximate: str = attribute(choice("none", "tanh"), default="none")

    def apply(self, x: Array) -> Array:
        if self.approximate == "tanh":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))


class ClampOp(Unary):
    """x limited to [low, high]; ReLU is clamp with low = 0 and high = inf."""

    name: ClassVar[str] = "nn.clamp"
    low: float = attribute(FLOAT, default=-math.inf)
    high: float = attribute(FLOAT, default=math.inf)

    def check(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high):
            raise ValueError("the limits of clamp must be numbers")

    def apply(self, x: Array) -> Array:
        if x.dtype.kind in "iu":
            info = np.iinfo(x.dtype)
            low, high = max(self.low, info.min), min(self.high, info.max)
            return np.clip(x, int(max(min(low, info.max), info.min)), int(max(min(high, info.max), info.min)))
        return np.minimum(np.maximum(x, x.dtype.type(self.low)), x.dtype.type(self.high))


class CastOp(Unary):
    """Conversion to another element type: floats to integers towards zero, anything to i1 by != 0."""

    name: ClassVar[str] = "nn.cast"
    to: Type = attribute(TYPE)

    def infer(self) -> tuple[Type, ...]:
        if not isinstance(self.to, ElementType):
            raise ValueError(f"expected an element type, found {self.to}")
        return (self.x.tensor.with_element(self.to),)

    def fold(self, operands: Sequence[Array]) -> Array:
        if not isinstance(self.to, ElementType):
            raise TypeError(f"expected an element type, found {self.to}")
        with np.errstate(all="ignore"):
            return operands[0].astype(self.to.dtype)


class Binary(Operation):
    """An operation on two tensors of one element type, broadcast as in numpy."""

    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    lhs: Value = operand()
    rhs: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.lhs.element != self.rhs.element:
            raise ValueError(f"element types differ: {self.lhs.element} and {self.rhs.element}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.lhs.element),)

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        raise NotImplementedError

    def fold(self, operands: Sequence[Array]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.apply(operands[0], operands[1])).astype(operands[0].dtype, copy=False)


_COMMUTES = frozenset({Trait.PURE, Trait.COMMUTATIVE})


class AddOp(Binary):
    """a + b"""

    name: ClassVar[str] = "nn.add"
    traits: ClassVar[frozenset[Trait]] = _COMMUTES

    def apply(self, a: Array, b: Array) -> Array:
        return np.add(a, b)


class SubOp(Binary):
    """a - b"""

    name: ClassVar[str] = "nn.sub"

    def apply(self, a: Array, b: Array) -> Array:
        return np.subtract(a, b)


class MulOp(Binary):
    """a * b"""

    name: ClassVar[str] = "nn.mul"
    traits: ClassVar[frozenset[Trait]] = _COMMUTES

    def apply(self, a: Array, b: Array) -> Array:
        return np.multiply(a, b)


class DivOp(Binary):
    """a / b; integers are divided towards zero."""

    name: ClassVar[str] = "nn.div"

    def apply(self, a: Array, b: Array) -> Array:
        if a.dtype.kind in "iu":
            quotient = np.floor_divide(a, b)
            return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)
        return np.divide(a, b)


class PowOp(Operation):
    """a to the power of b, in the element type of a."""

    name: ClassVar[str] = "nn.pow"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    lhs: Value = operand()
    rhs: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.lhs.element),)

    def fold(self, operands: Sequence[Array]) -> Array:
        base, exponent = operands
        if base.dtype.kind in "iu" and exponent.dtype.kind == "i" and (exponent < 0).any():
            base = base.astype(np.float64)  # numpy refuses negative powers of integers
        with np.errstate(all="ignore"):
            return np.asarray(np.power(base, exponent)).astype(operands[0].dtype)


class MaximumOp(Binary):
    """The greater of both."""

    name: ClassVar[str] = "nn.maximum"
    traits: ClassVar[frozenset[Trait]] = _COMMUTES

    def apply(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)


class MinimumOp(Binary):
    """The lesser of both."""

    name: ClassVar[str] = "nn.minimum"
    traits: ClassVar[frozenset[Trait]] = _COMMUTES

    def apply(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)


class PReluOp(Operation):
    """x for x >= 0, slope * x below; the slope broadcasts to x."""

    name: ClassVar[str] = "nn.prelu"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    x: Value = operand(FLOAT_TENSOR)
    slope: Value = operand(FLOAT_TENSOR)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if broadcast(self.x.shape, self.slope.shape) != self.x.shape:
            raise ValueError(f"a slope of shape {self.slope.shape} does not broadcast to {self.x.shape}")
        return (self.x.type,)

    def fold(self, operands: Sequence[Array]) -> Array:
        x, slope = operands
        return np.where(x >= 0, x, slope * x).astype(x.dtype, copy=False)


class CompareOp(Operation):
    """Element by element comparison; gives i1."""

    name: ClassVar[str] = "nn.compare"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    lhs: Value = operand()
    rhs: Value = operand()
    predicate: str = attribute(choice("eq", "ne", "lt", "le", "gt", "ge"))
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.lhs.element != self.rhs.element:
            raise ValueError(f"element types differ: {self.lhs.element} and {self.rhs.element}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), I1),)

    def fold(self, operands: Sequence[Array]) -> Array:
        compare = {
            "eq": np.equal,
            "ne": np.not_equal,
            "lt": np.less,
            "le": np.less_equal,
            "gt": np.greater,
            "ge": np.greater_equal,
        }
        return np.asarray(compare[self.predicate](operands[0], operands[1]))


class LogicalOp(Operation):
    """and, or, xor of i1 tensors."""

    name: ClassVar[str] = "nn.logical"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    lhs: Value = operand()
    rhs: Value = operand()
    kind: str = attribute(choice("and", "or", "xor"))
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.lhs.element != I1 or self.rhs.element != I1:
            raise ValueError(f"expected i1, found {self.lhs.element} and {self.rhs.element}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), I1),)

    def fold(self, operands: Sequence[Array]) -> Array:
        combine = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
        return np.asarray(combine[self.kind](operands[0], operands[1]))


class SelectOp(Operation):
    """`on_true` where the condition holds, `on_false` elsewhere."""

    name: ClassVar[str] = "nn.select"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    condition: Value = operand()
    on_true: Value = operand()
    on_false: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.condition.element != I1:
            raise ValueError(f"expected a condition of i1, found {self.condition.element}")
        if self.on_true.element != self.on_false.element:
            raise ValueError(f"element types differ: {self.on_true.element} and {self.on_false.element}")
        shape = broadcast(self.condition.shape, self.on_true.shape, self.on_false.shape)
        return (TensorType(shape, self.on_true.element),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return np.where(operands[0], operands[1], operands[2])


UNARY_OPS: tuple[type[Unary], ...] = (
    *(AbsOp, NegOp, CeilOp, FloorOp, RoundOp, SignOp, NotOp, ExpOp, LogOp, SqrtOp, ReciprocalOp, ErfOp, SigmoidOp),
    *(TanhOp, SoftplusOp, SoftsignOp, MishOp, SiluOp, HardSwishOp, HardSigmoidOp, LeakyReluOp, EluOp, SeluOp),
    *(ThresholdedReluOp, GeluOp, ClampOp, CastOp),
)
BINARY_OPS: tuple[type[Binary], ...] = (AddOp, SubOp, MulOp, DivOp, MaximumOp, MinimumOp)
ELEMENTWISE_OPS: tuple[type[Operation], ...] = (
    *UNARY_OPS,
    *BINARY_OPS,
    *(PowOp, PReluOp, CompareOp, LogicalOp, SelectOp),
)
