"""Integer convolution, matrix product, pooling and normalisation."""

from __future__ import annotations

from typing import ClassVar

from ...constraints import INTEGER_TENSOR, ranked
from ...core import Operation, Value
from ...shapes import normal_axis
from ...spec import BOOL, DENSE, INT, attribute, ints, operand, result
from ...traits import Trait
from ...types import I32, TensorType, Type
from ..nn.compute import Windowed, conv_result_shape, pool_result_shape
from .types import PURE, UNIFORM_TENSOR, Array, Limited, check_shift, uniform


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
    traits: ClassVar[frozenset[Trait]] = PURE
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


class MaxPool2dOp(Windowed):
    """The greatest integer under a window; positions outside the input never win. The element type stays."""

    name: ClassVar[str] = "quant.max_pool2d"
    x: Value = operand(UNIFORM_TENSOR & ranked(4))
    kernel: tuple[int, ...] = attribute(ints(2, low=1))
    ceil: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.tensor.with_shape(pool_result_shape(self, self.x, self.kernel, ceil=self.ceil)),)


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
        check_shift(self.shift)


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
        check_shift(self.in_shift, self.out_shift)


COMPUTE_OPS: tuple[type[Operation], ...] = (Conv2dOp, MatMulOp, MaxPool2dOp, AvgPool2dOp, SoftmaxOp, LrnOp)
