"""Projections for the terms of a layer: which connector, between which shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects import quant
from ...ir.dialects.spiking import ProjectOp
from .layers import LayerTerm
from .moves import Part

Array = NDArray[Any]


def bound_shape(term: LayerTerm) -> tuple[int, ...] | None:
    """The shape [N, O, R, Q] that a convolution gives its population; None where the connector takes any shape."""
    if isinstance(term.op, quant.MatMulOp) or _is_one_to_one(term):
        return None
    return term.op.results[0].shape


def project(term: LayerTerm, weight: Array, part: Part, shape: tuple[int, ...]) -> ProjectOp:
    """The projection from one part of the term's map; `weight` has the shape of the term's weights, i32.

    A convolution whose own shape is not `shape` is written as a list of synapses.
    """
    batch = shape[0]
    if isinstance(term.op, quant.MatMulOp):
        index = part.index.reshape(-1)
        rows = index >= 0
        return _make("all-to-all", weight[rows], index[rows], (batch, int(rows.sum())), part, shape)
    if _is_one_to_one(term):
        each = math.prod(part.index.shape) // len(weight)
        numbers = np.repeat(weight.reshape(-1), each)
        same = bool((numbers == numbers[0]).all())
        inputs = (batch, *part.index.shape)
        return _make("one-to-one", numbers[0].reshape(()) if same else numbers, part.index, inputs, part, shape)
    index = part.index
    assert isinstance(term.op, quant.Conv2dOp)
    op = term.op
    if op.groups == 1:
        channels = np.asarray((index >= 0).any(axis=(1, 2)))
        channels[0] |= not channels.any()
        index, weight = index[channels], weight[:, channels]
    window = {"strides": op.strides, "pads": op.pads, "dilations": op.dilations, "groups": op.groups}
    native = op.out.shape
    made = _make("conv2d", weight, index, (batch, *index.shape), part, native, **window)
    if native == shape:
        return made
    found = made.synapses()
    made._drop()
    return ProjectOp(
        spikes=part.spikes, connector="from-list", weight=found.weight, shape=shape, pre=found.pre, post=found.post
    )


def pool_projection(op: quant.MaxPool2dOp, weight: int, part: Part) -> ProjectOp:
    """Every element under a window, with one weight."""
    return _make(
        "pool",
        np.asarray(weight, np.int32),
        part.index,
        (op.out.shape[0], *part.index.shape),
        part,
        op.out.shape,
        kernel=op.kernel,
        strides=op.strides,
        pads=op.pads,
        dilations=op.dilations,
    )


def _make(
    connector: str,
    weight: Array,
    index: Array,
    inputs: tuple[int, ...],
    part: Part,
    shape: tuple[int, ...],
    **window: Any,
) -> ProjectOp:
    flat = np.ascontiguousarray(index.reshape(-1), np.int32)
    whole = Part(part.spikes, flat).is_whole
    return ProjectOp(
        spikes=part.spikes,
        connector=connector,
        weight=np.ascontiguousarray(weight, np.int32).reshape(weight.shape),
        shape=shape,
        input_shape=None if whole and inputs == part.spikes.shape else inputs,
        index=None if whole else flat,
        **window,
    )


def _is_one_to_one(term: LayerTerm) -> bool:
    """Whether a convolution only weighs each element."""
    op = term.op
    if not isinstance(op, quant.Conv2dOp):
        return False
    filters, per_group, *kernel = term.weight.shape
    channels = op.x.shape[1]
    same_size = op.out.shape == op.x.shape
    return per_group == 1 and op.groups == channels == filters and kernel == [1, 1] and same_size and not any(op.pads)
