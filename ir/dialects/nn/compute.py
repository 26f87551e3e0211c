"""Convolution, matrix product, pooling and normalisation; feature maps are [N, C, H, W].

Their meaning is given by the reference interpreter.
"""

from __future__ import annotations

from typing import ClassVar

from ...constraints import FLOAT_TENSOR, ranked
from ...core import Operation, Value
from ...shapes import broadcast, window_size
from ...spec import BOOL, FLOAT, INT, attribute, ints, operand, result
from ...traits import Trait
from ...types import TensorType, Type

_PURE = frozenset({Trait.PURE})


class Windowed(Operation):
    """What convolutions and poolings share: a window that walks over rows and columns.

    `pads` is top, left, bottom, right.
    """

    traits: ClassVar[frozenset[Trait]] = _PURE
    strides: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    pads: tuple[int, ...] = attribute(ints(4, low=0), default=(0, 0, 0, 0))
    dilations: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))

    def window_shape(self, size: tuple[int, ...], kernel: tuple[int, ...], *, ceil: bool = False) -> tuple[int, int]:
        """Rows and columns of the result for an input of `size` (rows, columns)."""
        top, left, bottom, right = self.pads
        (sh, sw), (dh, dw) = self.strides, self.dilations
        return (
            window_size(size[0], kernel[0], sh, dh, top, bottom, ceil=ceil),
            window_size(size[1], kernel[1], sw, dw, left, right, ceil=ceil),
        )


def conv_result_shape(op: Windowed, x: Value, weight: Value, bias: Value | None, groups: int) -> tuple[int, ...]:
    """The shape of a convolution's result; raises ValueError when operands do not fit each other."""
    batch, channels, height, width = x.shape
    filters, per_group, *kernel = weight.shape
    if groups < 1 or channels != per_group * groups or filters % groups:
        raise ValueError(f"{filters} filters of {per_group} channels in {groups} groups do not fit {channels} channels")
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"expected a bias of shape ({filters},), found {bias.shape}")
    return (batch, filters, *op.window_shape((height, width), tuple(kernel)))


def pool_result_shape(op: Windowed, x: Value, kernel: tuple[int, ...], *, ceil: bool) -> tuple[int, ...]:
    """The shape of a pooling's result."""
    batch, channels, height, width = x.shape
    return (batch, channels, *op.window_shape((height, width), kernel, ceil=ceil))


class Conv2dOp(Windowed):
    """Cross-correlation of x [N, C, H, W] with weight [O, C / groups, KH, KW], plus bias [O]."""

    name: ClassVar[str] = "nn.conv2d"
    x: Value = operand(FLOAT_TENSOR & ranked(4))
    weight: Value = operand(FLOAT_TENSOR & ranked(4))
    bias: Value | None = operand(FLOAT_TENSOR & ranked(1), default=None)
    groups: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.tensor.with_shape(conv_result_shape(self, self.x, self.weight, self.bias, self.groups)),)


class ConvTranspose2dOp(Operation):
    """Transposed convolution of x [N, C, H, W] with weight [C, O / groups, KH, KW] (ONNX ConvTranspose).

    `pads` (top, left, bottom, right) is cut from the full result, `output_padding` is added at the end.
    """

    name: ClassVar[str] = "nn.conv_transpose2d"
    traits: ClassVar[frozenset[Trait]] = _PURE
    x: Value = operand(FLOAT_TENSOR & ranked(4))
    weight: Value = operand(FLOAT_TENSOR & ranked(4))
    bias: Value | None = operand(FLOAT_TENSOR & ranked(1), default=None)
    strides: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    pads: tuple[int, ...] = attribute(ints(4), default=(0, 0, 0, 0))
    dilations: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    output_padding: tuple[int, ...] = attribute(ints(2, low=0), default=(0, 0))
    groups: int = attribute(INT, default=1)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        batch, channels, *size = self.x.shape
        of_weight, per_group, *kernel = self.weight.shape
        if self.groups < 1 or channels != of_weight or channels % self.groups:
            raise ValueError(f"weights {self.weight.type} in {self.groups} groups do not fit {self.x.type}")
        filters = per_group * self.groups
        if self.bias is not None and self.bias.shape != (filters,):
            raise ValueError(f"expected a bias of shape ({filters},), found {self.bias.shape}")
        grown = [
            (size[i] - 1) * self.strides[i]
            + self.dilations[i] * (kernel[i] - 1)
            + 1
            + self.output_padding[i]
            - self.pads[i]
            - self.pads[i + 2]
            for i in (0, 1)
        ]
        if min(grown) < 1:
            raise ValueError(f"padding {list(self.pads)} leaves nothing of the result")
        return (self.x.tensor.with_shape((batch, filters, *grown)),)


class MatMulOp(Operation):
    """Matrix product as numpy's matmul."""

    name: ClassVar[str] = "nn.matmul"
    traits: ClassVar[frozenset[Trait]] = _PURE
    lhs: Value = operand()
    rhs: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        a, b = self.lhs.shape, self.rhs.shape
        if not a or not b or self.lhs.element != self.rhs.element:
            raise ValueError(f"no product of {self.lhs.type} and {self.rhs.type}")
        left = a if len(a) > 1 else (1, *a)
        right = b if len(b) > 1 else (*b, 1)
        if left[-1] != right[-2]:
            raise ValueError(f"inner sizes differ: {self.lhs.type} and {self.rhs.type}")
        shape = broadcast(left[:-2], right[:-2])
        rows = (left[-2],) if len(a) > 1 else ()
        columns = (right[-1],) if len(b) > 1 else ()
        return (TensorType((*shape, *rows, *columns), self.lhs.element),)


class BatchNormOp(Operation):
    """(x - mean) * scale / sqrt(variance + epsilon) + bias, by channel (axis 1)."""

    name: ClassVar[str] = "nn.batch_norm"
    traits: ClassVar[frozenset[Trait]] = _PURE
    x: Value = operand(FLOAT_TENSOR)
    scale: Value = operand(ranked(1))
    bias: Value = operand(ranked(1))
    mean: Value = operand(ranked(1))
    variance: Value = operand(ranked(1))
    epsilon: float = attribute(FLOAT, default=1e-5)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        channels = self.x.shape[1] if self.x.tensor.rank > 1 else 1
        for name, value in (
            ("scale", self.scale),
            ("bias", self.bias),
            ("mean", self.mean),
            ("variance", self.variance),
        ):
            if value.shape != (channels,):
                raise ValueError(f"expected {name} of shape ({channels},), found {value.shape}")
        return (self.x.type,)


class MaxPool2dOp(Windowed):
    """The greatest element under a window; padding never wins."""

    name: ClassVar[str] = "nn.max_pool2d"
    x: Value = operand(ranked(4))
    kernel: tuple[int, ...] = attribute(ints(2, low=1))
    ceil: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.tensor.with_shape(pool_result_shape(self, self.x, self.kernel, ceil=self.ceil)),)


class AvgPool2dOp(Windowed):
    """The mean under a window, over the elements inside the input, or with `count_pads` over padding as zeros too."""

    name: ClassVar[str] = "nn.avg_pool2d"
    x: Value = operand(FLOAT_TENSOR & ranked(4))
    kernel: tuple[int, ...] = attribute(ints(2, low=1))
    ceil: bool = attribute(BOOL, default=False)
    count_pads: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.tensor.with_shape(pool_result_shape(self, self.x, self.kernel, ceil=self.ceil)),)


class LrnOp(Operation):
    """x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta (ONNX LRN)."""

    name: ClassVar[str] = "nn.lrn"
    traits: ClassVar[frozenset[Trait]] = _PURE
    x: Value = operand(FLOAT_TENSOR)
    size: int = attribute(INT)
    alpha: float = attribute(FLOAT, default=1e-4)
    beta: float = attribute(FLOAT, default=0.75)
    bias: float = attribute(FLOAT, default=1.0)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.size < 1 or self.x.tensor.rank < 2:
            raise ValueError(f"no channels to normalise over {self.size} of in {self.x.type}")
        return (self.x.type,)


COMPUTE_OPS: tuple[type[Operation], ...] = (
    *(Conv2dOp, ConvTranspose2dOp, MatMulOp, BatchNormOp, MaxPool2dOp, AvgPool2dOp, LrnOp),
)
