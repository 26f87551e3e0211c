"""Between floats and integers, and between scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ...constraints import FLOAT_TENSOR, INTEGER_TENSOR
from ...core import Operation, Value
from ...spec import DENSE, INT, TYPE, attribute, operand, result
from ...traits import Trait
from ...types import F32, IntegerType, Type
from .types import PURE, UNIFORM_TENSOR, Array, Limited, UniformType, check_per_axis, check_shift


def _axis_params(op: Operation, x: Value, axis: int, scale: Array, zero_point: Array) -> None:
    if scale.shape != zero_point.shape or scale.ndim > 1:
        raise ValueError(f"scale {scale.shape} and zero point {zero_point.shape} must have one shape of rank 0 or 1")
    check_per_axis(x, axis, "scales", scale)
    if not bool(np.all((scale > 0) & np.isfinite(scale))):
        raise ValueError(f"{op.name} needs positive, finite scales")


class QuantizeOp(Operation):
    """q = clamp(round_half_even(x / scale) + zero_point) to the limits of `to`.

    Scale and zero point are scalars, giving `!quant.uniform`, or one value per index of `axis`, giving plain integers.
    """

    name: ClassVar[str] = "quant.quantize"
    traits: ClassVar[frozenset[Trait]] = PURE
    x: Value = operand(FLOAT_TENSOR)
    scale: Array = attribute(DENSE)
    zero_point: Array = attribute(DENSE)
    axis: int = attribute(INT, default=1)
    to: Type = attribute(TYPE)
    out: Value = result()

    @property
    def storage(self) -> IntegerType:
        """The integer type of the result."""
        if not isinstance(self.to, IntegerType):
            raise ValueError(f"expected an integer type, found {self.to}")
        return self.to

    def infer(self) -> tuple[Type, ...]:
        _axis_params(self, self.x, self.axis, self.scale, self.zero_point)
        if self.scale.ndim:
            return (self.x.tensor.with_element(self.storage),)
        return (self.x.tensor.with_element(UniformType(self.storage, float(self.scale), int(self.zero_point))),)


class DequantizeOp(Operation):
    """x = scale * (q - zero_point), in f32."""

    name: ClassVar[str] = "quant.dequantize"
    traits: ClassVar[frozenset[Trait]] = PURE
    x: Value = operand(INTEGER_TENSOR | UNIFORM_TENSOR)
    scale: Array = attribute(DENSE)
    zero_point: Array = attribute(DENSE)
    axis: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        _axis_params(self, self.x, self.axis, self.scale, self.zero_point)
        kind = self.x.element
        if isinstance(kind, UniformType) and (float(self.scale), int(self.zero_point)) != (kind.scale, kind.zero_point):
            raise ValueError(f"scale {self.scale}, zero point {self.zero_point} contradict {kind}")
        return (self.x.tensor.with_element(F32),)


class StorageCastOp(Operation):
    """The same integers, plain on one side and quantised on the other (as MLIR's quant.scast)."""

    name: ClassVar[str] = "quant.storage_cast"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE, Trait.MOVEMENT})
    x: Value = operand(INTEGER_TENSOR | UNIFORM_TENSOR)
    to: Type = attribute(TYPE)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if not isinstance(self.to, UniformType | IntegerType) or self.to.dtype != self.x.element.dtype:
            raise ValueError(f"{self.x.element} is not stored as {self.to}")
        return (self.x.tensor.with_element(self.to),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return operands[0]


class RescaleOp(Limited):
    """y = clamp(round_shift((x - zero_x) * multiplier, shift) + zero_y); zero_x = 0 for an accumulator.

    `multiplier` and `shift` are i32 scalars or one value per index of `axis`.
    """

    name: ClassVar[str] = "quant.rescale"
    x: Value = operand(INTEGER_TENSOR | UNIFORM_TENSOR)
    multiplier: Array = attribute(DENSE)
    shift: Array = attribute(DENSE)
    axis: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.multiplier.shape != self.shift.shape or self.multiplier.ndim > 1:
            raise ValueError(f"multiplier {self.multiplier.shape} and shift {self.shift.shape} must have one shape")
        check_per_axis(self.x, self.axis, "multipliers", self.multiplier)
        return (self.x.tensor.with_element(self.target),)

    def check(self) -> None:
        super().check()
        check_shift(*(int(shift) for shift in (self.shift.min(), self.shift.max())))


class RescaleFloatOp(Limited):
    """y = clamp(rint(f32(x - zero_x) * scale) + zero_y), in IEEE single precision, halves to even.

    `scale` is an f32 scalar or one value per index of `axis`. This is what onnxruntime computes; the ARM core has a
    floating point unit for it.
    """

    name: ClassVar[str] = "quant.rescale_float"
    x: Value = operand(INTEGER_TENSOR | UNIFORM_TENSOR)
    scale: Array = attribute(DENSE)
    axis: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.scale.ndim > 1 or self.scale.dtype != np.float32:
            raise ValueError(f"expected f32 scales of rank 0 or 1, found {self.scale.dtype} {self.scale.shape}")
        check_per_axis(self.x, self.axis, "scales", self.scale)
        return (self.x.tensor.with_element(self.target),)


CONVERSION_OPS: tuple[type[Operation], ...] = (QuantizeOp, DequantizeOp, StorageCastOp, RescaleOp, RescaleFloatOp)
