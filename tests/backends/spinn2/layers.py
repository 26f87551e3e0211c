"""Single layers that are large beside a small machine: `large_layers` draws them as float networks."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import (
    AddOp,
    AvgPool2dOp,
    ClampOp,
    Conv2dOp,
    HardSwishOp,
    LrnOp,
    MatMulOp,
    MaximumOp,
    MaxPool2dOp,
    MulOp,
    PReluOp,
    ReshapeOp,
    SigmoidOp,
    SoftmaxOp,
    TransposeOp,
)
from snc.ir.location import Location
from snc.ir.types import F32, TensorType

KINDS = (
    "conv",
    "conv_tail",
    "grouped",
    "depthwise",
    "dense",
    "tokens",
    "pool",
    "two_maps",
    "gate",
    "table",
    "rows",
    "lrn",
)


class Layers:
    """Adds operations to a function of one input."""

    def __init__(self, draw: st.DrawFn, shape: tuple[int, ...]) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.body = Block([TensorType(shape, F32)], ["image"])
        self.builder = Builder(self.body)
        self.count = 0

    def add(self, op: Operation) -> Value:
        self.count += 1
        op.location = Location((f"/{op.name}_{self.count}",))
        return self.builder.insert(op).results[0]

    def weights(self, *shape: int, fan_in: int = 1) -> Value:
        values = self.rng.standard_normal(shape) / math.sqrt(fan_in)
        return self.add(ConstantOp(value=values.astype(np.float32)))

    def conv(self, x: Value, filters: int, groups: int, kernel: tuple[int, int]) -> Value:
        integer = lambda low, high: self.draw(st.integers(low, high))  # noqa: E731
        channels = x.shape[1] // groups
        pads = tuple(integer(0, kernel[axis] - 1) for axis in (0, 1, 0, 1))
        room = [x.shape[2 + axis] + pads[axis] + pads[axis + 2] for axis in (0, 1)]
        dilations = tuple(integer(1, 2 if 2 * (k - 1) < size else 1) for k, size in zip(kernel, room, strict=True))
        weight = self.weights(filters, channels, *kernel, fan_in=channels * math.prod(kernel))
        bias = self.weights(filters) if self.draw(st.booleans()) else None
        strides = (integer(1, 3), integer(1, 3))
        op = Conv2dOp(x=x, weight=weight, bias=bias, groups=groups, strides=strides, pads=pads, dilations=dilations)
        return self.add(op)

    def module(self, *results: Value) -> ModuleOp:
        self.builder.insert(ReturnOp(values=results))
        module = ModuleOp(body=Block())
        Builder(module.body).insert(FuncOp(sym_name="main", input_names=("image",), body=self.body))
        return module


@st.composite
def large_layers(draw: st.DrawFn) -> ModuleOp:
    """One layer of a drawn kind and what is fused behind it, of up to some thousand elements."""
    kind = draw(st.sampled_from(KINDS))
    integer = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    if kind in ("dense", "tokens", "rows"):
        return _matrix(draw, kind)
    groups = draw(st.sampled_from((1, 2, 3, 5))) if kind == "grouped" else 1
    channels = groups * integer(1, 40 // groups)
    size = (integer(4, 26), integer(4, 26)) if channels < 12 else (integer(4, 12), integer(4, 12))
    net = Layers(draw, (1, channels, *size))
    x: Value = net.body.arguments[0]
    kernel = (integer(1, min(5, size[0])), integer(1, min(5, size[1])))
    match kind:
        case "conv" | "grouped":
            y = net.conv(x, groups * integer(1, 40 // groups), groups, kernel)
        case "depthwise":
            y = net.conv(x, channels, channels, kernel)
        case "conv_tail":
            y = _tail(net, net.conv(x, integer(1, 40), 1, kernel))
        case "pool":
            pads = tuple(integer(0, kernel[axis] - 1) for axis in (0, 1, 0, 1))
            strides, ceil = (integer(1, 3), integer(1, 3)), draw(st.booleans())
            if draw(st.booleans()):
                y = net.add(MaxPool2dOp(x=x, kernel=kernel, pads=pads, strides=strides, ceil=ceil))
            else:
                y = net.add(AvgPool2dOp(x=x, kernel=kernel, pads=pads, strides=strides, ceil=ceil))
        case "two_maps":
            op = draw(st.sampled_from((AddOp, MulOp, MaximumOp)))
            y = net.add(op(lhs=net.add(HardSwishOp(x=x)), rhs=x))
        case "gate":
            pooled = net.add(AvgPool2dOp(x=x, kernel=size))
            y = net.add(MulOp(lhs=x, rhs=net.add(SigmoidOp(x=pooled))))
        case "lrn":
            y = net.add(LrnOp(x=x, size=integer(1, 5)))
        case _:
            y = net.add(PReluOp(x=x, slope=net.weights(channels, 1, 1)))
    return net.module(y)


def _tail(net: Layers, y: Value) -> Value:
    """What a block takes along behind a convolution."""
    draw = net.draw
    if draw(st.booleans()):
        other = net.conv(net.body.arguments[0], y.shape[1], 1, (1, 1))
        if other.shape == y.shape:
            y = net.add(AddOp(lhs=y, rhs=other))
    y = net.add(ClampOp(x=y, low=0.0, high=4.0) if draw(st.booleans()) else HardSwishOp(x=y))
    step = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    if all(size % each == 0 for size, each in zip(y.shape[2:], step, strict=True)):
        y = net.add(MaxPool2dOp(x=y, kernel=step, strides=step))
    return y


def _matrix(draw: st.DrawFn, kind: str) -> ModuleOp:
    tokens = 1 if kind == "dense" else draw(st.integers(1, 9))
    inner, columns = draw(st.integers(1, 700 if kind == "dense" else 60)), draw(st.integers(1, 70))
    net = Layers(draw, (1, tokens, inner) if kind != "dense" else (1, inner))
    x: Value = net.body.arguments[0]
    if kind == "rows":
        return net.module(net.add(SoftmaxOp(x=x, axis=draw(st.sampled_from((-1, 2))))))
    y = net.add(MatMulOp(lhs=x, rhs=net.weights(inner, columns, fan_in=inner)))
    if draw(st.booleans()):
        y = net.add(AddOp(lhs=y, rhs=net.weights(columns)))
    if draw(st.booleans()):
        y = net.add(ClampOp(x=y, low=0.0, high=math.inf))
    if kind == "tokens" and draw(st.booleans()):
        y = net.add(TransposeOp(x=y, permutation=(0, 2, 1)))
        y = net.add(ReshapeOp(x=y, shape=(1, columns * tokens)))
    return net.module(y)
