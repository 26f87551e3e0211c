"""Convolutions, matrix products and means: weights on 0/1 maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp
from ...ir.shapes import normal_axes
from ...ir.spec import INT, INTS
from .forms import Form, NotBinary, Sum, Weighted, constant_along
from .reader import Reader, constant_weights, is_constant, map_of
from .windows import correlate

Array = NDArray[Any]


def conv2d(reader: Reader, op: nn.Conv2dOp) -> Form:
    """conv(shift + scale * map) = conv of other weights on the map, plus a constant for each output element."""
    weight, bias = constant_weights(op, op.weight), np.zeros(op.weight.shape[0])
    if op.bias is not None:
        bias = constant_weights(op, op.bias)
    form = reader.writer.as_sum(reader.forms[op.x])
    if _scales_channels(op) and not form.unweighted:
        # What fold-batch-norm leaves where no layer is left to fold into.
        return form.affine(weight[:, :, 0], bias[:, None, None])
    x = reader.unweighted(op, op.x)
    window = dict(op.attributes)
    shape = op.out.shape[1:]
    terms: dict[Any, Array] = {}
    for spikes, scale in x.terms.items():
        by_channel = constant_along(scale, (1, 2))
        if by_channel is None:
            raise NotBinary("a map is scaled differently from place to place")
        filters, per_group = weight.shape[:2]
        grouped = by_channel.reshape(op.groups, 1, per_group)
        factor = np.repeat(grouped, filters // op.groups, axis=1).reshape(filters, per_group, 1, 1)
        assert isinstance(spikes, Value)
        terms[Weighted(spikes, weight * factor, window, shape, op.location)] = np.ones(shape)
    shift = np.broadcast_to(bias[:, None, None], shape)
    if x.shift.any():
        shift = shift + correlate(x.shift, weight, shape, op.strides, op.pads, op.dilations, op.groups)
    return Sum(shape, terms, shift, shape)


def matmul(reader: Reader, op: nn.MatMulOp) -> Form:
    """A product with a constant matrix; leading axes become places of a 1 x 1 convolution."""
    if op.lhs not in reader.forms or not is_constant(op.rhs):
        raise NotBinary("a product is taken with a matrix that is no constant on the right")
    x, weight = reader.unweighted(op, op.lhs), constant_weights(op, op.rhs)
    if weight.ndim != 2 or op.lhs.tensor.rank < 2:
        raise NotBinary("a product is taken with more than one matrix", found=str(op.rhs.type))
    inner, outer = weight.shape
    if op.lhs.tensor.rank == 2:
        terms: dict[Any, Array] = {
            Weighted(map_of(spikes), weight * scale[:, None], None, (outer,), op.location): np.ones((outer,))
            for spikes, scale in x.terms.items()
        }
        return Sum((outer,), terms, x.shift @ weight, (outer,))
    places = math.prod(op.lhs.shape[1:-1])
    kernel = np.ascontiguousarray(weight.T)[:, :, None, None]
    window = nn.Conv2dOp.spec.defaults
    terms = {}
    for spikes, scale in x.terms.items():
        by_feature = constant_along(scale.reshape(places, inner), (0,))
        if by_feature is None:
            raise NotBinary("a map is scaled differently from place to place")
        column = _columns(reader, op, map_of(spikes), places, inner)
        weighted = Weighted(column, kernel * by_feature[:, None, None], window, (outer, places, 1), op.location)
        terms[weighted] = np.ones((outer, places, 1))
    shift = (x.shift @ weight).reshape(places, outer).T.reshape(outer, places, 1)
    return _from_columns(op, terms, shift, places, outer)


def _columns(reader: Reader, op: nn.MatMulOp, spikes: Value, places: int, inner: int) -> Value:
    """A map [N, .., K] as [N, K, places, 1]."""
    batch = spikes.shape[0]
    flat = reader.writer.insert(op, nn.ReshapeOp(x=spikes, shape=(batch, places, inner, 1)))
    return reader.writer.insert(op, nn.TransposeOp(x=flat, permutation=(0, 2, 1, 3)))


def _from_columns(op: nn.MatMulOp, terms: Mapping[Any, Array], shift: Array, places: int, outer: int) -> Sum:
    batch, *shape = op.out.shape
    inside = (outer, places, 1)
    # Moves are replayed on the map that the step will make; here they only need types.
    stand_in = ConstantOp(value=np.zeros((batch, *inside), np.float32)).out
    turned = nn.TransposeOp(x=stand_in, permutation=(0, 2, 1, 3))
    back = nn.ReshapeOp(x=turned.out, shape=(batch, *shape))
    order = np.arange(outer * places).reshape(outer, places).T.reshape(-1)
    return Sum(inside, terms, shift, tuple(shape), None, (turned, back), order)


def mean(reader: Reader, op: Operation) -> Form:
    """Means and sums over rows and columns: a depthwise convolution of equal weights."""
    if isinstance(op, nn.AvgPool2dOp):
        x = reader.unweighted(op, op.x)
        kernel, strides, pads = op.kernel, op.strides, op.pads
        counted = op.count_pads or not any(pads)
        if op.ceil or not counted:
            raise NotBinary("an average over windows of unequal size has no weights")
        weight, dilations = 1 / math.prod(kernel), op.dilations
        inside = op.out.shape[1:]
    else:
        assert isinstance(op, nn.ReduceOp)
        axes = normal_axes(op.axes, op.x.tensor.rank)
        if op.kind not in ("mean", "sum") or op.x.tensor.rank != 4 or not axes or min(axes) < 2:
            raise NotBinary(f"a {op.kind} over axes {list(op.axes)} has no spiking form")
        x = reader.unweighted(op, op.x)
        kernel = (op.x.shape[2] if 2 in axes else 1, op.x.shape[3] if 3 in axes else 1)
        strides, pads, dilations = (1, 1), (0, 0, 0, 0), (1, 1)
        weight = 1 / math.prod(kernel) if op.kind == "mean" else 1.0
        inside = (op.x.shape[1], op.x.shape[2] // kernel[0], op.x.shape[3] // kernel[1])
    channels = inside[0]
    ones = np.full((channels, 1, *kernel), weight)
    window = {
        **{name: INTS.encode(v) for name, v in (("strides", strides), ("pads", pads), ("dilations", dilations))},
        "groups": INT.encode(channels),
    }
    terms: dict[Any, Array] = {}
    for spikes, scale in x.terms.items():
        by_channel = constant_along(scale, (1, 2))
        if by_channel is None:
            raise NotBinary("a map is scaled differently from place to place")
        weighted = Weighted(map_of(spikes), ones * by_channel[:, None, None, None], window, inside, op.location)
        terms[weighted] = np.ones(inside)
    shift = correlate(x.shift, ones, inside, strides, pads, dilations, channels)
    shape = op.results[0].shape[1:]
    return Sum(shape, {t: c.reshape(shape) for t, c in terms.items()}, shift.reshape(shape), shape)


def _scales_channels(op: nn.Conv2dOp) -> bool:
    """Whether a convolution multiplies each channel by a number and adds one."""
    filters, per_group, *kernel = op.weight.shape
    unmoved = op.strides == (1, 1) and not any(op.pads)
    return kernel == [1, 1] and per_group == 1 and op.groups == filters and unmoved
