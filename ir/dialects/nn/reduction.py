"""Reductions and the operations built on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...constraints import FLOAT_TENSOR
from ...core import Operation, Value
from ...shapes import normal_axes, normal_axis
from ...spec import BOOL, INT, INTS, attribute, choice, operand, result
from ...traits import Trait
from ...types import I64, Type

Array = NDArray[Any]


class ReduceOp(Operation):
    """Sum, mean, product, maximum, minimum or norm over axes."""

    name: ClassVar[str] = "nn.reduce"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    x: Value = operand()
    kind: str = attribute(choice("sum", "mean", "prod", "max", "min", "l1", "l2", "sum_square", "log_sum_exp"))
    axes: tuple[int, ...] = attribute(INTS)
    keep_dims: bool = attribute(BOOL, default=True)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        axes = normal_axes(self.axes, self.x.tensor.rank)
        kept = ((1 if axis in axes else size) for axis, size in enumerate(self.x.shape))
        dropped = (size for axis, size in enumerate(self.x.shape) if axis not in axes)
        return (self.x.tensor.with_shape(tuple(kept if self.keep_dims else dropped)),)

    def fold(self, operands: Sequence[Array]) -> Array:
        (x,) = operands
        axes, keep = normal_axes(self.axes, x.ndim), self.keep_dims
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        with np.errstate(all="ignore"):
            match self.kind:
                case "sum":
                    value = wide.sum(axes, keepdims=keep)
                case "mean":
                    value = wide.mean(axes, keepdims=keep)
                case "prod":
                    value = wide.prod(axes, keepdims=keep)
                case "max":
                    value = x.max(axes, keepdims=keep, initial=_lowest(x.dtype))
                case "min":
                    value = x.min(axes, keepdims=keep, initial=_highest(x.dtype))
                case "l1":
                    value = np.abs(wide).sum(axes, keepdims=keep)
                case "l2":
                    value = np.sqrt(np.square(wide).sum(axes, keepdims=keep))
                case "sum_square":
                    value = np.square(wide).sum(axes, keepdims=keep)
                case _:
                    wide = x.astype(np.float64)
                    top = wide.max(axes, keepdims=True, initial=-np.inf)
                    top = np.where(np.isfinite(top), top, 0)
                    value = np.log(np.exp(wide - top).sum(axes, keepdims=True)) + top
                    value = value if keep else value.squeeze(axes)
            return np.asarray(value).astype(x.dtype, copy=False)


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return True
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


class ArgReduceOp(Operation):
    """Index of the greatest or least element along an axis, as i64."""

    name: ClassVar[str] = "nn.arg_reduce"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    x: Value = operand()
    kind: str = attribute(choice("max", "min"))
    axis: int = attribute(INT)
    keep_dims: bool = attribute(BOOL, default=True)
    last_index: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        axis = normal_axis(self.axis, self.x.tensor.rank)
        if not self.x.shape[axis]:
            raise ValueError(f"axis {axis} of {self.x.type} has no elements to choose from")
        middle = (1,) if self.keep_dims else ()
        shape = (*self.x.shape[:axis], *middle, *self.x.shape[axis + 1 :])
        return (self.x.tensor.with_shape(shape).with_element(I64),)

    def fold(self, operands: Sequence[Array]) -> Array:
        (x,) = operands
        pick = np.argmax if self.kind == "max" else np.argmin
        if self.last_index:
            index = x.shape[self.axis] - 1 - pick(np.flip(x, self.axis), axis=self.axis, keepdims=self.keep_dims)
        else:
            index = pick(x, axis=self.axis, keepdims=self.keep_dims)
        return np.asarray(index, dtype=np.int64)


class SoftmaxOp(Operation):
    """e^x / sum(e^x) along an axis, or its logarithm."""

    name: ClassVar[str] = "nn.softmax"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    x: Value = operand(FLOAT_TENSOR)
    axis: int = attribute(INT)
    log: bool = attribute(BOOL, default=False)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        normal_axis(self.axis, self.x.tensor.rank)
        return (self.x.type,)

    def fold(self, operands: Sequence[Array]) -> Array:
        (x,) = operands
        shifted = x - x.max(axis=self.axis, keepdims=True, initial=-np.inf)
        total = np.exp(shifted).sum(axis=self.axis, keepdims=True)
        return (shifted - np.log(total) if self.log else np.exp(shifted) / total).astype(x.dtype, copy=False)


REDUCTION_OPS: tuple[type[Operation], ...] = (ReduceOp, ArgReduceOp, SoftmaxOp)
