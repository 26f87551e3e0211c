"""Random convolutional networks that can be quantised; `strategies.nn_modules` draws them."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import (
    AddOp,
    AvgPool2dOp,
    BatchNormOp,
    ClampOp,
    ConcatOp,
    Conv2dOp,
    EluOp,
    HardSigmoidOp,
    HardSwishOp,
    LeakyReluOp,
    MatMulOp,
    MaxPool2dOp,
    ReduceOp,
    ReshapeOp,
    SigmoidOp,
    SoftmaxOp,
    TanhOp,
)
from snc.ir.location import Location
from snc.ir.types import F32, TensorType

OpT = TypeVar("OpT", bound=Operation)

MAX_CHANNELS = 8
MAX_SIZE = 9
LAYERS = ("conv", "depthwise", "grouped", "batch_norm", "activation", "pool", "residual", "concat")
RELUS = ((0.0, math.inf), (0.0, 6.0), (-1.0, 1.0))
TABLES: tuple[type[Operation], ...] = (*(LeakyReluOp, SigmoidOp, TanhOp, HardSwishOp, HardSigmoidOp, EluOp),)
"""Activations that an integer network looks up."""


class Net:
    """Adds one layer after the other behind `self.x`."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        shape = (1, self._int(1, MAX_CHANNELS // 2), self._int(3, MAX_SIZE), self._int(3, MAX_SIZE))
        self._body = Block([TensorType(shape, F32)], ["image"])
        self._build = Builder(self._body)
        self._count = 0
        self.x: Value = self._body.arguments[0]

    def layer(self) -> None:
        """Adds a layer of a drawn kind."""
        match self._draw(st.sampled_from(LAYERS)):
            case "conv":
                self.x = self._behind(self._conv(self.x, filters=self._int(1, MAX_CHANNELS), groups=1))
            case "depthwise":
                channels = self.x.shape[1]
                filters = channels * self._int(1, MAX_CHANNELS // channels)
                self.x = self._behind(self._conv(self.x, filters=filters, groups=channels))
            case "grouped":
                groups = self._draw(st.sampled_from([n for n in (1, 2, 3, 4) if self.x.shape[1] % n == 0]))
                filters = groups * self._int(1, MAX_CHANNELS // groups)
                self.x = self._behind(self._conv(self.x, filters=filters, groups=groups))
            case "batch_norm":
                self.x = self._batch_norm(self.x)
            case "activation":
                self.x = self._activation(self.x)
            case "pool":
                self.x = self._pool(self.x)
            case "residual":
                branch = self._same_conv(self.x, self.x.shape[1])
                if self._bool():
                    branch = self._activation(branch)
                self.x = self._add(AddOp(lhs=branch, rhs=self.x)).out
            case _:
                self.x = self._concat(self.x)

    def head(self) -> None:
        """Adds, or not, global pooling, a fully connected layer and softmax."""
        batch, _, height, width = self.x.shape
        match self._draw(st.sampled_from(("none", "reduce", "pool", "flatten"))):
            case "none":
                return
            case "reduce":
                self.x = self._add(ReduceOp(x=self.x, kind="mean", axes=(2, 3), keep_dims=self._bool())).out
            case "pool":
                self.x = self._add(AvgPool2dOp(x=self.x, kernel=(height, width))).out
        features = math.prod(self.x.shape)
        if len(self.x.shape) == 4:
            self.x = self._add(ReshapeOp(x=self.x, shape=(batch, features))).out
        if self._bool():
            classes = self._int(1, MAX_CHANNELS)
            weight = self._constant(self._normal((features, classes), 1 / math.sqrt(features)))
            self.x = self._add(MatMulOp(lhs=self.x, rhs=weight)).out
            if self._bool():
                self.x = self._add(AddOp(lhs=self.x, rhs=self._constant(self._normal((classes,), 0.1)))).out
        if self._bool():
            self.x = self._add(SoftmaxOp(x=self.x, axis=self._draw(st.sampled_from((1, -1))))).out

    def module(self) -> ModuleOp:
        """The network so far as a module; its one output is `self.x`."""
        self._build.insert(ReturnOp(values=(self.x,)))
        module = ModuleOp(body=Block())
        main = FuncOp(sym_name="main", input_names=("image",), output_names=("scores",), body=self._body)
        Builder(module.body).insert(main)
        return module

    def _int(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, max(low, high)))

    def _bool(self) -> bool:
        return self._draw(st.booleans())

    def _normal(self, shape: tuple[int, ...], scale: float) -> NDArray[Any]:
        return (self._rng.standard_normal(shape) * scale).astype(np.float32)

    def _add(self, op: OpT) -> OpT:
        self._count += 1
        op.location = Location((f"/{op.name.removeprefix('nn.')}_{self._count}",))
        return self._build.insert(op)

    def _constant(self, array: NDArray[Any]) -> Value:
        return self._add(ConstantOp(value=array)).out

    def _conv(self, x: Value, *, filters: int, groups: int) -> Value:
        pads = tuple(self._int(0, 1) for _ in range(4))
        room = [x.shape[2 + axis] + pads[axis] + pads[axis + 2] for axis in (0, 1)]
        kernel = tuple(self._int(1, min(3, size)) for size in room)
        dilations = tuple(self._int(1, 2 if 2 * (k - 1) < size else 1) for k, size in zip(kernel, room, strict=True))
        per_group = x.shape[1] // groups
        scale = 1 / math.sqrt(per_group * math.prod(kernel))
        weight = self._constant(self._normal((filters, per_group, *kernel), scale))
        bias = self._constant(self._normal((filters,), 0.1)) if self._bool() else None
        strides = (self._int(1, 2), self._int(1, 2))
        op = Conv2dOp(x=x, weight=weight, bias=bias, groups=groups, strides=strides, pads=pads, dilations=dilations)
        return self._add(op).out

    def _same_conv(self, x: Value, filters: int) -> Value:
        """A convolution that keeps rows and columns."""
        edge = self._int(0, 1)
        kernel = 2 * edge + 1
        scale = 1 / math.sqrt(x.shape[1] * kernel * kernel)
        weight = self._constant(self._normal((filters, x.shape[1], kernel, kernel), scale))
        bias = self._constant(self._normal((filters,), 0.1))
        return self._add(Conv2dOp(x=x, weight=weight, bias=bias, pads=(edge,) * 4)).out

    def _behind(self, x: Value) -> Value:
        """What exporters leave behind a convolution: maybe batch normalisation, maybe an activation."""
        if self._bool():
            x = self._batch_norm(x)
        return self._activation(x) if self._bool() else x

    def _batch_norm(self, x: Value) -> Value:
        channels = x.shape[1]
        scale = self._constant(self._rng.uniform(0.5, 1.5, channels).astype(np.float32))
        bias, mean = self._constant(self._normal((channels,), 0.2)), self._constant(self._normal((channels,), 0.2))
        variance = self._constant(self._rng.uniform(0.5, 2, channels).astype(np.float32))
        return self._add(BatchNormOp(x=x, scale=scale, bias=bias, mean=mean, variance=variance)).out

    def _activation(self, x: Value) -> Value:
        if self._bool():
            low, high = self._draw(st.sampled_from(RELUS))
            return self._add(ClampOp(x=x, low=low, high=high)).out
        op_class = self._draw(st.sampled_from(TABLES))
        return self._add(op_class.create([x], {})).results[0]

    def _pool(self, x: Value) -> Value:
        """A pooling; padding is narrower than the window, so that every window meets the input."""
        kernel = tuple(self._int(1, min(3, size)) for size in x.shape[2:])
        pads = tuple(self._int(0, size - 1) for size in (*kernel, *kernel))
        strides, ceil = (self._int(1, 2), self._int(1, 2)), self._bool()
        if self._bool():
            return self._add(MaxPool2dOp(x=x, kernel=kernel, pads=pads, strides=strides, ceil=ceil)).out
        count_pads = self._bool()
        op = AvgPool2dOp(x=x, kernel=kernel, pads=pads, strides=strides, ceil=ceil, count_pads=count_pads)
        return self._add(op).out

    def _concat(self, x: Value) -> Value:
        room = MAX_CHANNELS - x.shape[1]
        first = self._same_conv(x, self._int(1, max(1, room // 2)))
        second = x if room > 0 and self._bool() else self._same_conv(x, self._int(1, max(1, room // 2)))
        return self._add(ConcatOp(inputs=(first, second), axis=self._draw(st.sampled_from((1, -3))))).out
