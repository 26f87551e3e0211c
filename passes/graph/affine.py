"""Operations that scale and shift each channel by constants, as numbers."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects.nn import AddOp, BatchNormOp, DivOp, MulOp, NegOp, SubOp
from .matching import constant_of, is_float

Vector = NDArray[np.float64]


@frozen(eq=False)
class Affine:
    """y = scale * x + shift along `axis` of x, computed in 64 bit; scale and shift have one entry per channel.

    `uniform` is True when all channels are scaled and shifted alike by scalar constants.
    """

    x: Value
    scale: Vector
    shift: Vector
    uniform: bool

    def after(self, first: Affine) -> Affine:
        """`first`, then this one."""
        return Affine(
            first.x,
            first.scale * self.scale,
            first.shift * self.scale + self.shift,
            first.uniform and self.uniform,
        )


def read_affine(op: Operation, axis: int) -> Affine | None:
    """What `op` does to each index of `axis` of its one input that is no constant, if that is all that it does.

    `axis` may count from the end. None for another operation, for constants that vary along other axes or widen the
    input, and where a number is not finite.
    """
    with np.errstate(all="ignore"):
        found = _read(op, axis)
    if found is None or not (np.isfinite(found.scale).all() and np.isfinite(found.shift).all()):
        return None
    return found


def _read(op: Operation, axis: int) -> Affine | None:
    match op:
        case BatchNormOp() if _index(axis, op.x) == 1:
            return _batch_norm(op)
        case NegOp() if is_float(op.x) and _index(axis, op.x) is not None:
            channels = op.x.shape[axis]
            return Affine(op.x, np.full(channels, -1.0), np.zeros(channels), uniform=True)
        case AddOp() | SubOp() | MulOp() | DivOp() if is_float(op.lhs):
            return _binary(op, axis)
    return None


def _index(axis: int, x: Value) -> int | None:
    """`axis` counted from the front; None when `x` has no such axis."""
    rank = x.tensor.rank
    return axis % rank if -rank <= axis < rank else None


def _batch_norm(op: BatchNormOp) -> Affine | None:
    arrays = [constant_of(value) for value in (op.scale, op.bias, op.mean, op.variance)]
    known = [array.astype(np.float64) for array in arrays if array is not None]
    if len(known) != 4:
        return None
    scale, bias, mean, variance = known
    factor = scale / np.sqrt(variance + op.epsilon)
    return Affine(op.x, factor, bias - mean * factor, uniform=False)


def _binary(op: AddOp | SubOp | MulOp | DivOp, axis: int) -> Affine | None:
    right = constant_of(op.rhs)
    x, constant = (op.lhs, right) if right is not None else (op.rhs, constant_of(op.lhs))
    index = _index(axis, x)
    if constant is None or constant_of(x) is not None or x.shape != op.out.shape or index is None:
        return None
    if constant.size == 1:
        values = np.broadcast_to(constant.reshape(1).astype(np.float64), (x.shape[index],))
    else:
        padded = constant.reshape((1,) * (x.tensor.rank - constant.ndim) + constant.shape)
        if any(size != 1 for position, size in enumerate(padded.shape) if position != index):
            return None
        values = padded.reshape(-1).astype(np.float64)
    one, zero = np.ones_like(values), np.zeros_like(values)
    uniform = constant.size == 1
    match op:
        case AddOp():
            return Affine(x, one, values, uniform)
        case SubOp():
            return Affine(x, one, -values, uniform) if right is not None else Affine(x, -one, values, uniform)
        case MulOp():
            return Affine(x, values, zero, uniform)
        case DivOp():
            return Affine(x, 1 / values, zero, uniform) if right is not None else None
