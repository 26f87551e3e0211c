"""Integer operations element by element."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...core import Operation, Value
from ...shapes import broadcast
from ...spec import BOOL, DENSE, INT, attribute, ints, operand, result
from ...traits import Trait
from ...types import TensorType, Type
from .types import PURE, UNIFORM_TENSOR, Array, Limited, check_per_axis, check_shift, uniform


class LimitedPair(Limited):
    """An operation on two quantised tensors, broadcast as in numpy."""

    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.target),)


class AddFloatOp(LimitedPair):
    """y = clamp(rint(f32(b * scales[1] + f32(a * scales[0] + offset)))), halves to even.

    a and b are the stored integers; `scales` and `offset` (f32) carry the ratios of scales and all zero points.
    Products and sums are formed in double precision before they are rounded to single: a fused multiply-add.
    """

    name: ClassVar[str] = "quant.add_float"
    scales: Array = attribute(DENSE)
    offset: Array = attribute(DENSE)

    def check(self) -> None:
        super().check()
        if (self.scales.shape, self.offset.shape) != ((2,), ()) or self.scales.dtype != np.float32:
            raise ValueError(f"expected two f32 scales and an offset, found {self.scales.shape}, {self.offset.shape}")


class AddOp(LimitedPair):
    """y = clamp(round_shift((a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1], shift) + zero_y)."""

    name: ClassVar[str] = "quant.add"
    multipliers: tuple[int, ...] = attribute(ints(2))
    shift: int = attribute(INT)

    def check(self) -> None:
        super().check()
        check_shift(self.shift)


class MulOp(LimitedPair):
    """y = clamp(round_shift((a - zero_a) * (b - zero_b) * multiplier, shift) + zero_y)."""

    name: ClassVar[str] = "quant.mul"
    multiplier: int = attribute(INT)
    shift: int = attribute(INT)

    def check(self) -> None:
        super().check()
        check_shift(self.shift)


class TableOp(Limited):
    """y = table[x - lowest value of x's storage]; x has 8 bits, the table 256 entries, or 256 per index of `axis`."""

    name: ClassVar[str] = "quant.table"
    x: Value = operand(UNIFORM_TENSOR)
    table: Array = attribute(DENSE)
    axis: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if uniform(self.x).storage.width != 8 or self.table.shape[-1:] != (256,) or self.table.ndim > 2:
            raise ValueError(f"a table of shape {self.table.shape} does not fit {self.x.type}")
        if self.table.ndim == 2:
            check_per_axis(self.x, self.axis, "tables", self.table)
        return (self.x.tensor.with_element(self.target),)


class ExtremumOp(Operation):
    """y = max(a, b) or min(a, b) of two tensors of one quantised type."""

    name: ClassVar[str] = "quant.extremum"
    traits: ClassVar[frozenset[Trait]] = PURE
    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    maximum: bool = attribute(BOOL)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.lhs.element != self.rhs.element:
            raise ValueError(f"element types differ: {self.lhs.element} and {self.rhs.element}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.lhs.element),)


POINTWISE_OPS: tuple[type[Operation], ...] = (AddOp, AddFloatOp, MulOp, TableOp, ExtremumOp)
