"""The fixed-point dialect: integer operations with every number that decides a bit written out.

A tensor of `!quant.uniform<i8:f32, scale:zero>` holds integers q that stand for scale * (q - zero). Accumulators are
plain i32 tensors. `round_shift(v, s)` is (v + 2^(s-1)) >> s for s > 0 and v for s = 0, formed in 64 bit: ties go
towards plus infinity. `clamp` limits to [low, high]. The meaning of each operation is the equation in its docstring;
the reference interpreter computes it literally.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..constraints import FLOAT_TENSOR, INTEGER_TENSOR, element, ranked
from ..context import Dialect
from ..core import Operation, Value
from ..shapes import broadcast, normal_axis
from ..spec import BOOL, DENSE, INT, TYPE, attribute, ints, operand, result
from ..traits import Trait
from ..types import BY_NAME, F32, I32, ElementType, IntegerType, TensorType, Type
from .nn.compute import Windowed, conv_result_shape

Array = NDArray[Any]
_PURE = frozenset({Trait.PURE})

ACCUMULATOR_BITS = 32


@frozen
class UniformType(ElementType):
    """Integers of `storage` that stand for scale * (q - zero_point)."""

    storage: IntegerType
    scale: float
    zero_point: int

    def __attrs_post_init__(self) -> None:
        if not (0 < self.scale < float("inf")):
            raise ValueError(f"expected a positive, finite scale, found {self.scale!r}")
        if not self.storage.low <= self.zero_point <= self.storage.high:
            raise ValueError(f"zero point {self.zero_point} lies outside {self.storage}")

    def __str__(self) -> str:
        return f"!quant.uniform<{self.storage}:f32, {self.scale!r}:{self.zero_point}>"

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.storage.dtype


def _parse_uniform(body: str) -> ElementType:
    storage_text, _, rest = body.partition(":f32,")
    scale_text, _, zero_text = rest.strip().rpartition(":")
    storage = BY_NAME.get(storage_text.strip())
    if not isinstance(storage, IntegerType):
        raise ValueError(f"expected an integer storage type, found {storage_text!r}")
    return UniformType(storage, float(scale_text), int(zero_text))


UNIFORM_TENSOR = element(UniformType)


def uniform(value: Value) -> UniformType:
    """The quantised element type of a value; raises TypeError when it is not quantised."""
    if not isinstance(value.element, UniformType):
        raise TypeError(f"expected a quantised tensor, found {value.type}")
    return value.element


def _axis_params(op: Operation, x: Value, axis: int, scale: Array, zero_point: Array) -> None:
    if scale.shape != zero_point.shape or scale.ndim > 1:
        raise ValueError(f"scale {scale.shape} and zero point {zero_point.shape} must have one shape of rank 0 or 1")
    if scale.ndim and scale.shape[0] != x.shape[normal_axis(axis, x.tensor.rank)]:
        raise ValueError(f"{scale.shape[0]} scales do not fit axis {axis} of {x.type}")
    if not bool(np.all((scale > 0) & np.isfinite(scale))):
        raise ValueError(f"{op.name} needs positive, finite scales")


class QuantizeOp(Operation):
    """q = clamp(round_half_even(x / scale) + zero_point) to the limits of `to`.

    Scale and zero point are scalars, giving `!quant.uniform`, or one value per index of `axis`, giving plain integers.
    """

    name: ClassVar[str] = "quant.quantize"
    traits: ClassVar[frozenset[Trait]] = _PURE
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
    traits: ClassVar[frozenset[Trait]] = _PURE
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


class Limited(Operation):
    """What operations with a quantised result share: the result's element type and its limits."""

    traits: ClassVar[frozenset[Trait]] = _PURE
    to: Type = attribute(TYPE)
    low: int = attribute(INT)
    high: int = attribute(INT)

    @property
    def target(self) -> UniformType:
        """The element type of the result."""
        if not isinstance(self.to, UniformType):
            raise ValueError(f"expected a quantised type, found {self.to}")
        return self.to

    def check(self) -> None:
        storage = self.target.storage
        if not storage.low <= self.low <= self.high <= storage.high:
            raise ValueError(f"limits {self.low} .. {self.high} leave {storage}")


def _check_shift(*shifts: int) -> None:
    if not all(0 <= shift <= 62 for shift in shifts):
        raise ValueError(f"expected shifts of 0 to 62 bits, found {list(shifts)}")


class Conv2dOp(Windowed):
    """acc = sum((x - zero_x) * weight) + bias in i32; padding counts as x = zero_x.

    x is [N, C, H, W]; weight [O, C / groups, KH, KW] is a plain integer tensor, bias [O] is i32.
    """

    name: ClassVar[str] = "quant.conv2d"
    x: Value = operand(UNIFORM_TENSOR & ranked(4))
    weight: Value = operand(INTEGER_TENSOR & ranked(4))
    bias: Value | None = operand(INTEGER_TENSOR & ranked(1), default=None)
    groups: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        shape = conv_result_shape(self, self.x, self.weight, self.bias, self.groups)
        return (TensorType(shape, I32),)


class MatMulOp(Operation):
    """acc[.., n] = sum over k of (x[.., k] - zero_x) * weight[k, n] + bias[n] in i32."""

    name: ClassVar[str] = "quant.matmul"
    traits: ClassVar[frozenset[Trait]] = _PURE
    x: Value = operand(UNIFORM_TENSOR)
    weight: Value = operand(INTEGER_TENSOR & ranked(2))
    bias: Value | None = operand(INTEGER_TENSOR & ranked(1), default=None)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        inner, columns = self.weight.shape
        if self.x.tensor.rank < 1 or self.x.shape[-1] != inner:
            raise ValueError(f"inner sizes differ: {self.x.type} and {self.weight.type}")
        if self.bias is not None and self.bias.shape != (columns,):
            raise ValueError(f"expected a bias of shape ({columns},), found {self.bias.shape}")
        return (TensorType((*self.x.shape[:-1], columns), I32),)


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
        if (
            self.multiplier.ndim
            and self.multiplier.shape[0] != self.x.shape[normal_axis(self.axis, self.x.tensor.rank)]
        ):
            raise ValueError(f"{self.multiplier.shape[0]} multipliers do not fit axis {self.axis} of {self.x.type}")
        return (self.x.tensor.with_element(self.target),)

    def check(self) -> None:
        super().check()
        _check_shift(*(int(shift) for shift in (self.shift.min(), self.shift.max())))


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
        if self.scale.ndim and self.scale.shape[0] != self.x.shape[normal_axis(self.axis, self.x.tensor.rank)]:
            raise ValueError(f"{self.scale.shape[0]} scales do not fit axis {self.axis} of {self.x.type}")
        return (self.x.tensor.with_element(self.target),)


class AddFloatOp(Limited):
    """y = clamp(rint(f32(b * scales[1] + f32(a * scales[0] + offset)))), halves to even.

    a and b are the stored integers; `scales` and `offset` (f32) carry the ratios of scales and all zero points.
    Products and sums are formed in double precision before they are rounded to single: a fused multiply-add.
    """

    name: ClassVar[str] = "quant.add_float"
    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    scales: Array = attribute(DENSE)
    offset: Array = attribute(DENSE)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if (self.scales.shape, self.offset.shape) != ((2,), ()) or self.scales.dtype != np.float32:
            raise ValueError(f"expected two f32 scales and an offset, found {self.scales.shape}, {self.offset.shape}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.target),)


class AddOp(Limited):
    """y = clamp(round_shift((a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1], shift) + zero_y)."""

    name: ClassVar[str] = "quant.add"
    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    multipliers: tuple[int, ...] = attribute(ints(2))
    shift: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.target),)

    def check(self) -> None:
        super().check()
        _check_shift(self.shift)


class MulOp(Limited):
    """y = clamp(round_shift((a - zero_a) * (b - zero_b) * multiplier, shift) + zero_y)."""

    name: ClassVar[str] = "quant.mul"
    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    multiplier: int = attribute(INT)
    shift: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.target),)

    def check(self) -> None:
        super().check()
        _check_shift(self.shift)


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
        if self.table.ndim == 2 and self.table.shape[0] != self.x.shape[normal_axis(self.axis, self.x.tensor.rank)]:
            raise ValueError(f"{self.table.shape[0]} tables do not fit axis {self.axis} of {self.x.type}")
        return (self.x.tensor.with_element(self.target),)


class MaxPool2dOp(Windowed):
    """The greatest integer under a window; positions outside the input never win. The element type stays."""

    name: ClassVar[str] = "quant.max_pool2d"
    x: Value = operand(UNIFORM_TENSOR & ranked(4))
    kernel: tuple[int, ...] = attribute(ints(2, low=1))
    ceil: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        batch, channels, *size = self.x.shape
        rows, columns = self.window_shape(tuple(size), self.kernel, ceil=self.ceil)
        return (self.x.tensor.with_shape((batch, channels, rows, columns)),)


class AvgPool2dOp(Limited):
    """y = clamp(floor((2 * s * multiplier + n * 2^shift) / (n * 2^(shift + 1))) + zero_y).

    s is the sum of (x - zero_x) under the window, n the number of window positions inside the input, or `count` where
    that is above 0. `multiplier` / 2^shift is the ratio of the scales.
    """

    name: ClassVar[str] = "quant.avg_pool2d"
    x: Value = operand(UNIFORM_TENSOR & ranked(4))
    kernel: tuple[int, ...] = attribute(ints(2, low=1))
    strides: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    pads: tuple[int, ...] = attribute(ints(4, low=0), default=(0, 0, 0, 0))
    rows: int = attribute(INT)
    columns: int = attribute(INT)
    count: int = attribute(INT, default=0)
    multiplier: int = attribute(INT)
    shift: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (TensorType((*self.x.shape[:2], self.rows, self.columns), self.target),)

    def check(self) -> None:
        super().check()
        _check_shift(self.shift)


class SoftmaxOp(Limited):
    """y = clamp(floor((2 * e * scale + t) / (2 * t)) + zero_y) along `axis`.

    e = exponentials[max(x) - x] (i32, 256 entries), t = sum(e); `scale` is 1 / (scale of y), rounded.
    """

    name: ClassVar[str] = "quant.softmax"
    x: Value = operand(UNIFORM_TENSOR)
    exponentials: Array = attribute(DENSE)
    scale: int = attribute(INT)
    axis: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        normal_axis(self.axis, self.x.tensor.rank)
        if uniform(self.x).storage.width != 8 or self.exponentials.shape != (256,):
            raise ValueError(f"{self.exponentials.shape} exponentials do not fit {self.x.type}")
        return (self.x.tensor.with_element(self.target),)


class LrnOp(Limited):
    """y = clamp(round_shift((x - zero_x) * factors[min(q >> in_shift, 1023)], out_shift) + zero_y).

    q is the sum of (x - zero_x)^2 over `size` neighbouring channels c - (size - 1) // 2 .. c + size // 2.
    """

    name: ClassVar[str] = "quant.lrn"
    x: Value = operand(UNIFORM_TENSOR & ranked(4))
    size: int = attribute(INT)
    factors: Array = attribute(DENSE)
    in_shift: int = attribute(INT)
    out_shift: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if uniform(self.x).storage.width != 8 or self.factors.shape != (1024,):
            raise ValueError(f"{self.factors.shape} factors do not fit {self.x.type}")
        return (self.x.tensor.with_element(self.target),)

    def check(self) -> None:
        super().check()
        _check_shift(self.in_shift, self.out_shift)


class ExtremumOp(Operation):
    """y = max(a, b) or min(a, b) of two tensors of one quantised type."""

    name: ClassVar[str] = "quant.extremum"
    traits: ClassVar[frozenset[Trait]] = _PURE
    lhs: Value = operand(UNIFORM_TENSOR)
    rhs: Value = operand(UNIFORM_TENSOR)
    maximum: bool = attribute(BOOL)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.lhs.element != self.rhs.element:
            raise ValueError(f"element types differ: {self.lhs.element} and {self.rhs.element}")
        return (TensorType(broadcast(self.lhs.shape, self.rhs.shape), self.lhs.element),)


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


def round_shift(value: Array, shift: Array | int) -> Array:
    """(value + 2^(shift - 1)) >> shift, `value` where shift is 0; int64."""
    wide = np.asarray(value, dtype=np.int64)
    amount = np.asarray(shift, dtype=np.int64)
    half = np.where(amount > 0, np.int64(1) << np.maximum(amount - 1, 0), 0)
    return np.asarray((wide + half) >> amount)


def along_axis(values: Array, axis: int, rank: int) -> Array:
    """A rank 0 or 1 array shaped to broadcast along `axis` of a tensor of `rank`."""
    if values.ndim == 0:
        return values
    shape: Sequence[int] = [1] * rank
    return (
        values.reshape([*shape[:axis], -1, *shape[axis + 1 :]]) if axis >= 0 else along_axis(values, axis + rank, rank)
    )


QUANT = Dialect(
    "quant",
    (
        *(
            QuantizeOp,
            DequantizeOp,
            Conv2dOp,
            MatMulOp,
            RescaleOp,
            RescaleFloatOp,
            AddOp,
            AddFloatOp,
            MulOp,
            TableOp,
            MaxPool2dOp,
            AvgPool2dOp,
        ),
        *(SoftmaxOp, LrnOp, ExtremumOp, StorageCastOp),
    ),
    {"uniform": _parse_uniform},
)
