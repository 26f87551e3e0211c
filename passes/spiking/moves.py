"""Operations that move elements, applied to arrays and to populations: a moved map needs no neurons of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp

Array = NDArray[Any]


def moved_array(op: Operation, array: Array, pad: float | None) -> Array:
    """An array without a batch, moved as `op` moves; constant padding is `pad`, or repeats the edge when that is None.

    Not for nn.concat.
    """
    match op:
        case nn.ReshapeOp():
            return array.reshape(op.shape[1:])
        case nn.PadOp() if op.mode == "constant":
            widths = list(zip(op.before[1:], op.after[1:], strict=True))
            return np.pad(array, widths, mode="edge") if pad is None else np.pad(array, widths, constant_values=pad)
        case nn.SliceOp():
            for axis, (start, count, step) in enumerate(zip(op.starts[1:], op.counts[1:], op.steps[1:], strict=True)):
                array = np.take(array, start + step * np.arange(count), axis=axis)
            return array
    constants = [value.owner.value for value in op.operands[1:] if isinstance(value.owner, ConstantOp)]
    moved = op.fold([array[None], *constants])
    if moved is None:
        raise ValueError(f"{op.name} moves no elements")
    return moved[0]


@frozen(eq=False)
class Part:
    """Elements of a map that come from one population: element i is neuron index[i], or another part's where it is -1.

    `index` is i32 in the shape of the map, without the batch.
    """

    spikes: Value
    index: Array

    @classmethod
    def whole(cls, spikes: Value) -> Part:
        """A population as it is."""
        shape = spikes.shape[1:]
        return cls(spikes, np.arange(math.prod(shape), dtype=np.int32).reshape(shape))

    @property
    def is_whole(self) -> bool:
        """Whether element i is neuron i, for all neurons."""
        size = math.prod(self.spikes.shape[1:])
        return self.index.size == size and bool((self.index.reshape(-1) == np.arange(size)).all())


def moved_parts(op: Operation, parts: Mapping[Value, tuple[Part, ...]]) -> tuple[Part, ...]:
    """The parts of the result of an operation that moves elements."""
    if isinstance(op, nn.ConcatOp):
        return _concatenated(op, parts)
    return tuple(Part(part.spikes, moved_array(op, part.index, -1)) for part in parts[op.operands[0]])


def _concatenated(op: nn.ConcatOp, parts: Mapping[Value, tuple[Part, ...]]) -> tuple[Part, ...]:
    axis = op.axis % op.out.tensor.rank - 1
    found: dict[Value, Array] = {}
    start = 0
    for value in op.inputs:
        stop = start + value.shape[axis + 1]
        place = tuple(slice(start, stop) if i == axis else slice(None) for i in range(value.tensor.rank - 1))
        for part in parts[value]:
            whole = found.setdefault(part.spikes, np.full(op.out.shape[1:], -1, np.int32))
            whole[place] = part.index
        start = stop
    return tuple(Part(spikes, index) for spikes, index in found.items())
