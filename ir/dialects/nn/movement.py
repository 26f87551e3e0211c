"""Operations that move elements without looking at them; they take any element type, quantised ones too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core import Operation, Value
from ...shapes import broadcast, normal_axis
from ...spec import FLOAT, INT, INTS, attribute, choice, operand, operands, result
from ...traits import Trait
from ...types import IntegerType, Type

Array = NDArray[Any]
_MOVES = frozenset({Trait.PURE, Trait.MOVEMENT})


class ReshapeOp(Operation):
    """The same elements in row-major order under another shape."""

    name: ClassVar[str] = "nn.reshape"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    shape: tuple[int, ...] = attribute(INTS)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        target = self.x.tensor.with_shape(self.shape)
        if target.size != self.x.tensor.size or any(size < 0 for size in self.shape):
            raise ValueError(f"{self.x.tensor.size} elements do not fill shape {list(self.shape)}")
        return (target,)

    def fold(self, operands: Sequence[Array]) -> Array:
        return operands[0].reshape(self.shape)


class TransposeOp(Operation):
    """Axis i of the result is axis permutation[i] of x."""

    name: ClassVar[str] = "nn.transpose"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    permutation: tuple[int, ...] = attribute(INTS)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if sorted(self.permutation) != list(range(self.x.tensor.rank)):
            raise ValueError(f"{list(self.permutation)} is no permutation of the axes of {self.x.type}")
        return (self.x.tensor.with_shape(tuple(self.x.shape[axis] for axis in self.permutation)),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return operands[0].transpose(self.permutation)


class ConcatOp(Operation):
    """The inputs one behind the other along an axis."""

    name: ClassVar[str] = "nn.concat"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    inputs: tuple[Value, ...] = operands()
    axis: int = attribute(INT)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if not self.inputs:
            raise ValueError("concat needs an input")
        first = self.inputs[0].tensor
        axis = normal_axis(self.axis, first.rank)
        total = 0
        for value in self.inputs:
            rest, first_rest = list(value.shape), list(first.shape)
            if len(rest) != len(first_rest) or value.element != first.element:
                raise ValueError(f"{value.type} does not go behind {first}")
            total += rest.pop(axis)
            first_rest.pop(axis)
            if rest != first_rest:
                raise ValueError(f"{value.type} does not go behind {first} along axis {axis}")
        return (first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :])),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return np.concatenate(operands, axis=self.axis)


class SliceOp(Operation):
    """Along each axis: `count` elements from `start`, `step` apart (step may be negative)."""

    name: ClassVar[str] = "nn.slice"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    starts: tuple[int, ...] = attribute(INTS)
    counts: tuple[int, ...] = attribute(INTS)
    steps: tuple[int, ...] = attribute(INTS)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        rank = self.x.tensor.rank
        if not len(self.starts) == len(self.counts) == len(self.steps) == rank:
            raise ValueError(f"starts, counts and steps must have {rank} entries each")
        for size, start, count, step in zip(self.x.shape, self.starts, self.counts, self.steps, strict=True):
            last = start + (count - 1) * step
            if count < 0 or step == 0 or (count and not (0 <= start < size and 0 <= last < size)):
                raise ValueError(f"{count} elements from {start} by {step} leave an axis of {size}")
        return (self.x.tensor.with_shape(self.counts),)

    def fold(self, operands: Sequence[Array]) -> Array:
        taken = operands[0]
        for axis, (start, count, step) in enumerate(zip(self.starts, self.counts, self.steps, strict=True)):
            taken = np.take(taken, start + step * np.arange(count), axis=axis)
        return taken


class PadOp(Operation):
    """`before` and `after` extra elements along each axis: a value, or repeats of the tensor's own elements.

    On a quantised tensor `value` is in real units, so that 0 pads with the zero point.
    """

    name: ClassVar[str] = "nn.pad"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    before: tuple[int, ...] = attribute(INTS)
    after: tuple[int, ...] = attribute(INTS)
    mode: str = attribute(choice("constant", "edge", "reflect", "wrap"), default="constant")
    value: float = attribute(FLOAT, default=0.0)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if not len(self.before) == len(self.after) == self.x.tensor.rank:
            raise ValueError(f"before and after must have {self.x.tensor.rank} entries each")
        if min((*self.before, *self.after), default=0) < 0:
            raise ValueError("negative padding is a slice")
        return (
            self.x.tensor.with_shape(
                tuple(b + n + a for b, n, a in zip(self.before, self.x.shape, self.after, strict=True))
            ),
        )

    def fold(self, operands: Sequence[Array]) -> Array:
        widths = list(zip(self.before, self.after, strict=True))
        if self.mode == "constant":
            return np.pad(operands[0], widths, constant_values=operands[0].dtype.type(self.value))
        return np.pad(operands[0], widths, mode=self.mode)  # type: ignore[call-overload]


class ExpandOp(Operation):
    """Broadcast to a shape, as numpy does in both directions."""

    name: ClassVar[str] = "nn.expand"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    shape: tuple[int, ...] = attribute(INTS)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.x.tensor.with_shape(broadcast(self.x.shape, self.shape)),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return np.broadcast_to(operands[0], broadcast(operands[0].shape, self.shape))


class GatherOp(Operation):
    """Elements of x at `indices` along an axis (ONNX Gather; negative indices count from the end)."""

    name: ClassVar[str] = "nn.gather"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    indices: Value = operand()
    axis: int = attribute(INT, default=0)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if not isinstance(self.indices.element, IntegerType):
            raise ValueError(f"expected integer indices, found {self.indices.element}")
        axis = normal_axis(self.axis, self.x.tensor.rank)
        shape = (*self.x.shape[:axis], *self.indices.shape, *self.x.shape[axis + 1 :])
        return (self.x.tensor.with_shape(shape),)

    def fold(self, operands: Sequence[Array]) -> Array:
        x, indices = operands
        size = x.shape[self.axis]
        if indices.size and not (-size <= indices.min() and indices.max() < size):
            raise ValueError(f"indices {indices.min()} .. {indices.max()} leave an axis of {size}")
        return np.take(x, indices, axis=self.axis)


class ResizeNearestOp(Operation):
    """Spatial nearest-neighbour resize: result[..., i, j] = x[..., rows[i], columns[j]]."""

    name: ClassVar[str] = "nn.resize_nearest"
    traits: ClassVar[frozenset[Trait]] = _MOVES
    x: Value = operand()
    rows: tuple[int, ...] = attribute(INTS)
    columns: tuple[int, ...] = attribute(INTS)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if self.x.tensor.rank < 2:
            raise ValueError(f"expected rows and columns, found {self.x.type}")
        height, width = self.x.shape[-2:]
        if not all(0 <= row < height for row in self.rows) or not all(0 <= column < width for column in self.columns):
            raise ValueError(f"rows or columns leave {self.x.type}")
        return (self.x.tensor.with_shape((*self.x.shape[:-2], len(self.rows), len(self.columns))),)

    def fold(self, operands: Sequence[Array]) -> Array:
        return operands[0][..., list(self.rows), :][..., list(self.columns)]


MOVEMENT_OPS: tuple[type[Operation], ...] = (
    *(ReshapeOp, TransposeOp, ConcatOp, SliceOp, PadOp, ExpandOp, GatherOp, ResizeNearestOp),
)
