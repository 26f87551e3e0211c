"""What the rules of lower-qdq share: where integer operations go, and the integers behind float values."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType
from ...ir.location import Location
from ...ir.rewriter import Rewriter
from .numerics import fixed_multiplier
from .quantize import per_channel

Array = NDArray[Any]
OpT = TypeVar("OpT", bound=Operation)


class Unfit(Exception):
    """The operation cannot be lowered; the message says why, `help` what to do about it."""

    def __init__(self, reason: str, *, help: str = "") -> None:
        super().__init__(reason)
        self.help = help


@frozen
class Lowering:
    """Where the integer operations go, what the result must be, and how lower-qdq was asked to rescale."""

    rewriter: Rewriter
    anchor: QuantizeOp
    target: UniformType
    low: int
    high: int
    location: Location
    rounding: str = "multiplier"

    def insert(self, op: OpT) -> OpT:
        """Inserts an operation that stands for the float one."""
        op.location = self.location
        return self.rewriter.insert_before(self.anchor, op)

    @property
    def limits(self) -> dict[str, Any]:
        """Type and limits of the result, as every operation that rounds takes them."""
        return {"to": self.target, "low": self.low, "high": self.high}

    def rescale(self, x: Value, scale: float, weights: Array | None = None, axis: int = 1) -> Value:
        """The rescale of `x`, whose unit is `scale` (times one of `weights` per index of `axis`), to the target.

        With float rounding the ratio is formed in f32, factor by factor, as onnxruntime forms it. Raises Unfit for a
        ratio that is no power of two where there are shifts alone.
        """
        factors = np.array(1.0) if weights is None else weights
        if factors.ndim and np.all(factors == factors.flat[0]):
            factors = factors.reshape(-1)[0]
        if self.rounding == "float":
            single = np.float32(scale) * np.asarray(factors, np.float32) / np.float32(self.target.scale)
            return self.insert(
                quant.RescaleFloatOp(x=x, scale=np.asarray(single, np.float32), axis=axis, **self.limits)
            ).out
        ratio = scale * np.asarray(factors, np.float64) / self.target.scale
        if self.rounding == "shift" and np.any(np.frexp(ratio)[0] != 0.5):
            raise Unfit(
                f"a ratio of {float(ratio.flat[0]):g} between scales, which is no power of two",
                help="build with --rescale multiplier, or give the model scales that are powers of two",
            )
        multiplier, shift = fixed_multiplier(ratio)
        return self.insert(quant.RescaleOp(x=x, multiplier=multiplier, shift=shift, axis=axis, **self.limits)).out

    def adapt(self, x: Value) -> Value:
        """`x` (quantised) in the type and limits of the result; `x` itself where nothing changes."""
        kind = quant.uniform(x)
        free = self.low == self.target.storage.low and self.high == self.target.storage.high
        if kind == self.target and free:
            return x
        return self.rescale(x, kind.scale)


def integers(value: Value) -> Value:
    """The quantised value behind a dequantize; raises Unfit when the value is not quantised."""
    owner = value.owner
    if not isinstance(owner, DequantizeOp):
        raise Unfit(f"its input {value.type} carries no scale")
    if not isinstance(owner.x.element, UniformType):
        raise Unfit(f"its input is {owner.x.type} with more than one scale")
    return owner.x


def single(value: Value) -> Value:
    """The quantised map behind `value`; raises Unfit when it holds more than one sample."""
    x = integers(value)
    if x.shape[0] != 1:
        raise Unfit(
            f"a batch of {x.shape[0]} samples in {value.type}",
            help="build for one sample (--shape NAME=1,...): a run takes any number of samples, one after the other",
        )
    return x


def pair(op: nn.Binary, lowering: Lowering) -> tuple[Value, Value]:
    """Both operands as integers, at least one of them in the shape of the result.

    The other may be one number or, for a result [1, C, H, W] or [1, C, L], of size 1 along some axes: tiles can follow
    that. What is broadcast otherwise is expanded first.
    """
    shape = op.out.shape
    followed = len(shape) in (3, 4) and shape[0] == 1

    def shaped(x: Value, *, whole: bool) -> Value:
        if x.shape == shape or (not whole and (followed or x.tensor.size == 1)):
            return x
        return lowering.insert(nn.ExpandOp(x=x, shape=shape)).out

    lhs, rhs = integers(op.lhs), integers(op.rhs)
    return shaped(lhs, whole=rhs.shape != shape), shaped(rhs, whole=False)


def constant_value(value: Value) -> Array | None:
    """The float constant behind a value, dequantized if need be."""
    owner = value.owner
    if isinstance(owner, ConstantOp):
        return owner.value
    if isinstance(owner, DequantizeOp):
        source = owner.x.owner
        if isinstance(source, quant.StorageCastOp):
            source = source.x.owner
        if isinstance(source, ConstantOp):
            scale = quant.along_axis(owner.scale.astype(np.float64), owner.axis, source.value.ndim)
            zero = quant.along_axis(owner.zero_point.astype(np.int64), owner.axis, source.value.ndim)
            return (source.value.astype(np.int64) - zero) * scale
    return None


def constant_side(op: Operation) -> int | None:
    """Which operand of a two-operand op is the activation, when the other is a constant per tensor or channel."""
    for index in (0, 1):
        other = op.operands[1 - index]
        if constant_value(other) is None or constant_value(op.operands[index]) is not None:
            continue
        if per_channel(other.tensor, op.results[0].tensor) and op.operands[index].shape == op.results[0].shape:
            return index
    return None


def limits_of(clamp: nn.ClampOp, target: UniformType) -> tuple[int, int]:
    """The limits of a float clamp in steps of the target, within its storage."""

    def steps(limit: float, otherwise: int) -> int:
        if not np.isfinite(limit):
            return otherwise
        step = float(np.rint(np.float32(limit) / np.float32(target.scale))) + target.zero_point
        return int(min(max(step, target.storage.low), target.storage.high))

    low = steps(clamp.low, target.storage.low)
    return low, max(steps(clamp.high, target.storage.high), low)
