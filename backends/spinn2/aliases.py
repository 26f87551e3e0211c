"""Values that need no memory of their own, as their bytes are a run of another value's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from attrs import frozen

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import FuncOp
from ...ir.dialects.quant import StorageCastOp
from ...ir.dialects.tile import BlockOp
from ...passes.tile.geometry import storage_dtype


@frozen
class Alias:
    """A value that is a run of another value's bytes, from byte `offset`."""

    base: Value
    offset: int


Family: TypeAlias = Mapping[Value, int]
"""A value with memory and all that share it: the byte where each starts."""


def resolve(aliases: Mapping[Value, Alias], value: Value) -> tuple[Value, int]:
    """The value that owns the memory of `value`, and the byte where `value` starts in it."""
    offset = 0
    while value in aliases:
        offset += aliases[value].offset
        value = aliases[value].base
    return value, offset


def is_in_place(op: Operation, aliases: Mapping[Value, Alias]) -> bool:
    """Whether the result of an operation is a run of its operand's bytes."""
    alias = aliases.get(op.results[0]) if op.results else None
    return alias is not None and alias.base is op.operands[0]


def families_of(aliases: Mapping[Value, Alias]) -> dict[Value, dict[Value, int]]:
    """The family of each value whose memory others share."""
    found: dict[Value, dict[Value, int]] = {}
    for value in aliases:
        base, offset = resolve(aliases, value)
        found.setdefault(base, {base: 0})[value] = offset
    return found


def find_aliases(main: FuncOp) -> dict[Value, Alias]:
    """Reshaped or cast values, slices without gaps, and inputs of a concat along the slowest axis."""
    aliases: dict[Value, Alias] = {}
    arguments = set(main.body.arguments)
    for op in main.body.ops:
        if isinstance(op, nn.ReshapeOp | StorageCastOp) and _is_data(op.operands[0]):
            aliases[op.results[0]] = Alias(op.operands[0], 0)
        elif isinstance(op, nn.SliceOp) and _is_data(op.x) and _is_run(op):
            pitch = [math.prod(op.x.shape[axis + 1 :]) for axis in range(op.x.tensor.rank)]
            start = sum(low * each for low, each in zip(op.starts, pitch, strict=True))
            aliases[op.out] = Alias(op.x, start * storage_dtype(op.x).itemsize)
    for op in reversed(list(main.body.ops)):
        if not isinstance(op, nn.ConcatOp) or math.prod(op.out.shape[: op.axis % op.out.tensor.rank]) != 1:
            continue
        offset = 0
        for value in op.inputs:
            root, inside = resolve(aliases, value)
            free = (
                root not in arguments and _made_here(root) and inside == 0 and root is not resolve(aliases, op.out)[0]
            )
            if free and op.inputs.count(value) == 1 and root.tensor.size == value.tensor.size:
                aliases[root] = Alias(op.out, offset)
            offset += value.tensor.size * storage_dtype(value).itemsize
    return aliases


def _is_run(op: nn.SliceOp) -> bool:
    """Whether a slice is a run of its input's bytes: a single element of slow axes, then a range, then whole axes."""
    forward = all(step == 1 or count == 1 for step, count in zip(op.steps, op.counts, strict=True))
    cut = [axis for axis, (count, size) in enumerate(zip(op.counts, op.x.shape, strict=True)) if count != size]
    return forward and math.prod(op.counts) > 0 and math.prod(op.counts[: max(cut, default=0)]) == 1


def _is_data(value: Value) -> bool:
    return value.owner is None or value.owner.name != "builtin.constant"


def _made_here(value: Value) -> bool:
    owner = value.owner
    return isinstance(owner, BlockOp) or (owner is not None and owner.name.startswith("nn."))
