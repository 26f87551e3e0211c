"""Random networks of binary activations, as exporters write them; `strategies.step_modules` draws them.

Weights, thresholds and scales are multiples of small powers of two, so that every sum is exact in 32 bits whatever its
order, and ties are common.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import (
    AddOp,
    ArgReduceOp,
    AvgPool2dOp,
    BatchNormOp,
    CastOp,
    ClampOp,
    CompareOp,
    ConcatOp,
    Conv2dOp,
    DivOp,
    LogicalOp,
    MatMulOp,
    MaxPool2dOp,
    MulOp,
    NegOp,
    NotOp,
    PadOp,
    ReshapeOp,
    RoundOp,
    SelectOp,
    SignOp,
    SliceOp,
    SoftmaxOp,
    SubOp,
    TransposeOp,
)
from snc.ir.location import Location
from snc.ir.types import F32, TensorType

Array = NDArray[Any]

MAX_CHANNELS = 5
MAX_SIZE = 6


class StepNet:
    """Adds layers behind `self.x`, which is a map of two levels (0 and 1 at first, which the input has too)."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        spatial = self._bool()
        shape = (
            (1, self._int(1, 3), self._int(2, MAX_SIZE), self._int(2, MAX_SIZE)) if spatial else (1, self._int(2, 9))
        )
        self._body = Block([TensorType(shape, F32)], ["image"])
        self._build = Builder(self._body)
        self._count = 0
        self.x: Value = self._body.arguments[0]

    def layer(self) -> None:
        """Adds a drawn layer that ends in a step."""
        if self.x.tensor.rank == 2:
            self.x = self._step(self._dense(self.x))
            return
        kinds = ("conv", "nhwc", "pooled", "pool", "residual", "concat", "mean", "grouped", "moved")
        match self._draw(st.sampled_from(kinds)):
            case "conv":
                self.x = self._step(self._norm(self._conv(self.x)))
            case "grouped":
                groups = self.x.shape[1]
                self.x = self._step(self._conv(self.x, filters=groups * self._int(1, 2), groups=groups))
            case "nhwc":
                inner = self._transpose(self._conv(self.x), 0, 2, 3, 1)
                scaled = self._add(MulOp(lhs=inner, rhs=self._dyadic(inner.shape[-1])))
                shifted = self._add(AddOp(lhs=scaled, rhs=self._dyadic(inner.shape[-1])))
                self.x = self._transpose(self._step(shifted), 0, 3, 1, 2)
            case "pooled":
                pooled = self._norm(self._max_pool(self._conv(self.x)))
                self.x = self._step(pooled)
            case "pool":
                self.x = self._max_pool(self.x)
            case "residual":
                inner = self._conv(self.x, filters=self.x.shape[1], same=True)
                self.x = self._step(self._add(AddOp(lhs=inner, rhs=self.x)))
            case "concat":
                branch = self._step(self._conv(self.x, same=True, filters=self._int(1, 2)))
                keep = self.x if self.x.shape[1] <= MAX_CHANNELS else branch
                self.x = self._add(ConcatOp(inputs=(branch, keep), axis=1))
            case "mean":
                kernel = tuple(
                    self._draw(st.sampled_from([k for k in (1, 2, 4) if k <= size])) for size in self.x.shape[2:]
                )
                self.x = self._step(self._add(AvgPool2dOp(x=self.x, kernel=kernel, strides=(self._int(1, 2),) * 2)))
            case _:
                self.x = self._moved(self.x)

    def head(self) -> None:
        """Adds, or not, a dense layer, and what a host does behind it."""
        if self.x.tensor.rank == 4 and self._bool():
            batch = self.x.shape[0]
            if self._bool():
                self.x = self._transpose(self.x, 0, 2, 3, 1)
            self.x = self._add(ReshapeOp(x=self.x, shape=(batch, math.prod(self.x.shape))))
        if self.x.tensor.rank == 2:
            self.x = self._step(self._dense(self.x))
            if self._bool():
                self._votes()
        else:
            self.x = self._step(self._conv(self.x))

    def module(self) -> ModuleOp:
        """The network so far; its one output is `self.x`."""
        self._build.insert(ReturnOp(values=(self.x,)))
        module = ModuleOp(body=Block())
        main = FuncOp(sym_name="main", input_names=("image",), output_names=("spikes",), body=self._body)
        Builder(module.body).insert(main)
        return module

    # Pieces

    def _votes(self) -> None:
        """softmax((2 x - 1) (2 K - 1)^T), or the class alone."""
        features, classes = self.x.shape[1], self._int(1, 3)
        key = self._constant(np.where(self._rng.random((features, classes)) < 0.5, -1, 1).astype(np.float32))
        doubled = self._add(MulOp(lhs=self.x, rhs=self._constant(np.float32(2))))
        signs = self._add(SubOp(lhs=doubled, rhs=self._constant(np.float32(1))))
        self.x = self._add(MatMulOp(lhs=signs, rhs=key))
        if self._bool():
            self.x = self._add(SoftmaxOp(x=self.x, axis=1))
        else:
            self.x = self._add(ArgReduceOp(x=self.x, kind="max", axis=1, keep_dims=True))

    def _step(self, z: Value) -> Value:
        """A step of z in a drawn spelling, at one threshold or one for each channel."""
        return self._draw(st.sampled_from((self._compared, self._selected, self._signed, self._rounded, self._ste)))(z)

    def _threshold(self, z: Value) -> Value:
        if self._bool():
            return self._constant(np.float32(self._rng.integers(-4, 5) / 4))
        return self._dyadic(*((z.shape[1], 1, 1) if z.tensor.rank == 4 else (z.shape[-1],)))

    def _compare(self, z: Value) -> Value:
        predicate = self._draw(st.sampled_from(("ge", "gt", "le", "lt")))
        c = self._threshold(z)
        if z.tensor.rank == 4 and c.shape and c.shape != (z.shape[1], 1, 1):
            c = self._constant(np.float32(0.5))
        pair = (z, c) if self._bool() else (c, z)
        return self._add(CompareOp(lhs=pair[0], rhs=pair[1], predicate=predicate))

    def _compared(self, z: Value) -> Value:
        truth = self._compare(z)
        if self._bool():
            truth = self._add(NotOp(x=truth))
        return self._add(CastOp(x=truth, to=F32))

    def _selected(self, z: Value) -> Value:
        """Two levels, such as -1 and 1."""
        low, high = (self._constant(np.float32(level / 2)) for level in self._rng.choice(np.arange(-3, 4), 2, False))
        return self._add(SelectOp(condition=self._compare(z), on_true=low, on_false=high))

    def _signed(self, z: Value) -> Value:
        """heaviside(z - c, 1) as it is exported: one select for below, one for at."""
        shifted = self._add(SubOp(lhs=z, rhs=self._threshold(z)))
        zero, one = self._constant(np.float32(0)), self._constant(np.float32(1))
        below = self._add(CompareOp(lhs=shifted, rhs=zero, predicate="lt"))
        above = self._add(SelectOp(condition=below, on_true=zero, on_false=one))
        at = self._add(CompareOp(lhs=shifted, rhs=zero, predicate="eq"))
        return self._add(SelectOp(condition=at, on_true=one if self._bool() else zero, on_false=above))

    def _rounded(self, z: Value) -> Value:
        return self._add(RoundOp(x=self._add(ClampOp(x=z, low=0.0, high=1.0))))

    def _ste(self, z: Value) -> Value:
        """z + (step(z) - z), as a straight-through estimator leaves it; and the halves of a sign."""
        step = self._compared(z)
        if self._bool():
            return self._add(AddOp(lhs=z, rhs=self._add(SubOp(lhs=step, rhs=z))))
        sign = self._add(SignOp(x=self._add(SubOp(lhs=step, rhs=self._constant(np.float32(0.5))))))
        return self._add(DivOp(lhs=self._add(NegOp(x=sign)), rhs=self._constant(np.float32(2))))

    def _dense(self, x: Value) -> Value:
        weight = self._dyadic(x.shape[1], self._int(1, 7))
        product = self._add(MatMulOp(lhs=x, rhs=weight))
        return self._add(AddOp(lhs=product, rhs=self._dyadic(product.shape[1]))) if self._bool() else product

    def _conv(self, x: Value, *, filters: int | None = None, groups: int = 1, same: bool = False) -> Value:
        filters = self._int(1, MAX_CHANNELS) if filters is None else filters
        if same:
            kernel, pads, strides, dilations = (3, 3), (1, 1, 1, 1), (1, 1), (1, 1)
        else:
            pads = tuple(self._int(0, 2) for _ in range(4))
            room = [x.shape[2 + i] + pads[i] + pads[i + 2] for i in (0, 1)]
            kernel = (self._int(1, min(3, room[0])), self._int(1, min(3, room[1])))
            dilations = tuple(
                self._int(1, 2 if 2 * (k - 1) < size else 1) for k, size in zip(kernel, room, strict=True)
            )
            strides = (self._int(1, 2), self._int(1, 2))
        weight = self._dyadic(filters, x.shape[1] // groups, *kernel)
        bias = self._dyadic(filters) if self._bool() else None
        op = Conv2dOp(x=x, weight=weight, bias=bias, groups=groups, strides=strides, pads=pads, dilations=dilations)
        return self._add(op)

    def _norm(self, x: Value) -> Value:
        """Batch normalisation, or not; its factors are powers of two of either sign."""
        if self._bool():
            return x
        channels = x.shape[1]
        scale = self._constant(self._rng.choice([-1, -0.5, 0.5, 1], channels).astype(np.float32))
        bias, mean = self._dyadic(channels), self._dyadic(channels)
        variance = self._constant(self._rng.choice([0.25, 1, 4], channels).astype(np.float32))
        return self._add(BatchNormOp(x=x, scale=scale, bias=bias, mean=mean, variance=variance, epsilon=0.0))

    def _max_pool(self, x: Value) -> Value:
        kernel = (self._int(1, min(3, x.shape[2])), self._int(1, min(3, x.shape[3])))
        pads = tuple(self._int(0, size - 1) for size in (*kernel, *kernel))
        op = MaxPool2dOp(x=x, kernel=kernel, pads=pads, strides=(self._int(1, 2), self._int(1, 2)), ceil=self._bool())
        return self._add(op)

    def _moved(self, x: Value) -> Value:
        match self._draw(st.sampled_from(("pad", "slice", "turn", "merge"))):
            case "pad":
                value = self._draw(st.sampled_from((0.0, 1.0)))
                return self._add(PadOp(x=x, before=(0, 0, 1, 0), after=(0, 0, 0, 1), value=value))
            case "slice":
                counts = tuple(self._int(1, size) for size in x.shape[1:])
                starts = tuple(self._int(0, size - n) for size, n in zip(x.shape[1:], counts, strict=True))
                return self._add(SliceOp(x=x, starts=(0, *starts), counts=(1, *counts), steps=(1, 1, 1, 1)))
            case "turn":
                return self._transpose(x, 0, 1, 3, 2)
            case _:
                return self._logical(x)

    def _logical(self, x: Value) -> Value:
        """and, or of two steps."""
        sides = [self._compare(self._conv(x, filters=x.shape[1], same=True)) for _ in range(2)]
        kind = self._draw(st.sampled_from(("and", "or")))
        return self._add(CastOp(x=self._add(LogicalOp(lhs=sides[0], rhs=sides[1], kind=kind)), to=F32))

    def _transpose(self, x: Value, *axes: int) -> Value:
        return self._add(TransposeOp(x=x, permutation=axes))

    def _int(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, max(low, high)))

    def _bool(self) -> bool:
        return self._draw(st.booleans())

    def _dyadic(self, *shape: int) -> Value:
        """Multiples of 1/4 from -1 to 1, zeros among them."""
        return self._constant((self._rng.integers(-4, 5, shape) / 4).astype(np.float32))

    def _constant(self, array: Any) -> Value:
        return self._add(ConstantOp(value=np.asarray(array)))

    def _add(self, op: Operation) -> Value:
        self._count += 1
        op.location = Location((f"/{op.name.partition('.')[2]}_{self._count}",))
        return self._build.insert(op).result
