"""Poolings and moves: which element stands where."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.shapes import normal_axis
from ...ir.spec import FLOAT
from .forms import Form, NotBinary, Pool, Step, Sum, constant_along
from .moves import moved_array
from .reader import Reader, map_of
from .windows import window_counts

Array = NDArray[Any]


def max_pool(reader: Reader, op: nn.MaxPool2dOp) -> Form:
    """The maximum of a 0/1 map is OR (AND where a spike means less); that of a sum waits for its step."""
    if not window_counts(op).all():
        raise NotBinary("a window of a max pooling lies beside the map")
    form = reader.forms[op.x]
    if isinstance(form, Step):
        form = reader.writer.as_sum(form)
    if form.map is None:
        if not form.plain:
            raise NotBinary("a max pooling stands behind another pooling, or behind moves, before the step")
        shape = op.out.shape[1:]
        return evolve(form, shape=shape, pool=Pool(op, np.zeros(shape[0], bool)))
    spikes = form.map
    low, scale = constant_along(form.shift, (1, 2)), constant_along(form.terms[spikes], (1, 2))
    if low is None or scale is None:
        raise NotBinary("a max pooling compares levels that differ from place to place")
    pooled = reader.writer.pooled(op, spikes, Pool(op, scale < 0))
    return Sum.of_map(pooled, low[:, None, None], (low + scale)[:, None, None])


def movement(reader: Reader, op: Operation) -> Form:
    """Maps are moved at once; a transpose of a weighted sum waits for its step, and a reshape of one is nothing."""
    if isinstance(op, nn.ExpandOp) or op.operands[0] not in reader.forms:
        raise NotBinary(f"{op.name} has no spiking form")
    form = reader.writer.as_sum(reader.forms[op.operands[0]])
    batch = op.operands[0].shape[0]
    if op.result.tensor.rank < 2 or op.result.shape[0] != batch or not _keeps_batch(op):
        raise NotBinary("the batch is moved")
    if form.unweighted:
        # Where a map is padded it never spikes, so that its scale there does not matter.
        moved: dict[Any, Array] = {
            reader.writer.insert(op, _copy(op, map_of(term))): moved_array(op, scale, None)
            for term, scale in form.terms.items()
        }
        shift = moved_array(op, form.shift, op.value if isinstance(op, nn.PadOp) else 0)
        return Sum(shift.shape, moved, shift, shift.shape)
    if isinstance(op, nn.ReshapeOp) and form.plain:
        shape = op.shape[1:]
        reshaped = {term: scale.reshape(shape) for term, scale in form.terms.items()}
        return Sum(shape, reshaped, form.shift.reshape(shape), shape)
    if not isinstance(op, nn.ReshapeOp | nn.TransposeOp):
        raise NotBinary(f"{op.name} stands between a weighted sum and its step")
    shape = op.result.shape[1:]
    inner = np.arange(math.prod(shape)) if form.order is None else form.order
    order = moved_array(op, inner.reshape(form.shape), 0).reshape(-1).astype(np.int64)
    before_moves = form.inside if form.pool is None else form.pool.shape
    if shape == before_moves and bool((order == np.arange(order.size)).all()):
        return evolve(form, shape=shape, moves=(), order=None)
    return evolve(form, shape=shape, moves=(*form.moves, op), order=order)


def concat(reader: Reader, op: nn.ConcatOp) -> Form:
    """Maps one behind the other: each is padded to the whole, and they are added."""
    axis = normal_axis(op.axis, op.out.tensor.rank)
    if axis == 0:
        raise NotBinary("the batch is moved")
    sums = [reader.writer.as_sum(reader.form(value)) for value in op.inputs]
    if not all(form.unweighted for form in sums):
        raise NotBinary("nn.concat stands between a weighted sum and its step")
    shift = np.concatenate([form.shift for form in sums], axis=axis - 1)
    if all(form.map is not None for form in sums):
        maps = [map_of(form.map) for form in sums]
        whole = reader.writer.insert(op, nn.ConcatOp(inputs=tuple(maps), axis=axis))
        scale = np.concatenate([form.terms[spikes] for form, spikes in zip(sums, maps, strict=True)], axis=axis - 1)
        return Sum(shift.shape, {whole: scale}, shift, shift.shape)
    total = Sum(shift.shape, {}, shift, shift.shape)
    start = 0
    for form, value in zip(sums, op.inputs, strict=True):
        size = value.shape[axis]
        before = tuple(start if i == axis else 0 for i in range(value.tensor.rank))
        after = tuple(op.out.shape[axis] - start - size if i == axis else 0 for i in range(value.tensor.rank))
        start += size
        widths = list(zip(before[1:], after[1:], strict=True))
        terms: dict[Any, Array] = {
            reader.writer.insert(op, nn.PadOp(x=map_of(spikes), before=before, after=after)): np.pad(
                scale, widths, mode="edge"
            )
            for spikes, scale in form.terms.items()
        }
        total = total.plus(Sum(shift.shape, terms, np.zeros(shift.shape), shift.shape))
    return total


def _copy(op: Operation, x: Value) -> Operation:
    """The same move on a 0/1 map: what it pads with is no spike."""
    attributes = dict(op.attributes)
    if isinstance(op, nn.PadOp) and op.mode == "constant":
        attributes["value"] = FLOAT.encode(0.0)
    return type(op).create([x, *op.operands[1:]], attributes)


def _keeps_batch(op: Operation) -> bool:
    match op:
        case nn.TransposeOp():
            return op.permutation[0] == 0
        case nn.SliceOp():
            return (op.starts[0], op.steps[0]) == (0, 1)
        case nn.PadOp():
            return op.before[0] == op.after[0] == 0
        case nn.GatherOp():
            return normal_axis(op.axis, op.x.tensor.rank) != 0
    return True
