"""The spiking dialect in plain numpy: one wave, every neuron at its due step, bias neurons on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...ir.core import Operation
from ...ir.dialects.spiking import DecodeOp, EncodeOp, PopulationOp, ProjectOp
from ...ir.dialects.spiking.ops import RAW_MAX
from .kernel import Array, Kernel
from .quant import exact_product
from .windows import window_columns

Operands = Sequence[Array]

WINDOW_ELEMENTS = 1 << 24
"""A projection unfolds as many waves at once as stay below this many elements."""


def encode(op: EncodeOp, operands: Operands) -> Array:
    (x,) = operands
    if op.bits == 1:
        return np.asarray(x >= op.threshold)
    steps = np.floor(x.astype(np.float64) * (1 << op.bits) + 0.5)
    levels = np.clip(np.nan_to_num(steps), 0, (1 << op.bits) - 1).astype(np.int64)
    worth = np.arange(op.bits - 1, -1, -1).reshape(1, 1, -1, *[1] * (x.ndim - 2))
    return ((levels[:, :, None] >> worth) & 1).astype(bool).reshape(op.out.shape)


def project(op: ProjectOp, operands: Operands) -> Array:
    """[2, N, ...]: what arrives at each excitatory and each inhibitory receptor."""
    (spikes,) = operands
    inputs = _inputs(op, spikes.reshape(len(spikes), -1))
    receptors = [np.maximum(sign * op.weight.astype(np.int64), 0) for sign in (1, -1)]
    arriving = np.stack([_arriving(op, inputs, weight).reshape(op.shape) for weight in receptors])
    if op.bias is not None:
        both = np.stack([np.maximum(sign * op.bias.astype(np.int64), 0) for sign in (1, -1)])
        arriving += both.reshape(2, 1, *op.shape[1:])
    return arriving


def _inputs(op: ProjectOp, neurons: Array) -> Array:
    """The connector's inputs [N, ...] out of the neurons [N, size]; input -1 never spikes."""
    if op.index is not None:
        neurons = np.pad(neurons, ((0, 0), (0, 1)))[:, op.index]
    return neurons.reshape(len(neurons), *op.inputs[1:])


def _arriving(op: ProjectOp, inputs: Array, weight: Array) -> Array:
    """Sums of weights that are not negative, i64, [N, neurons] in any shape."""
    flat = inputs.reshape(len(inputs), -1).astype(np.int64)
    match op.connector:
        case "all-to-all":
            return exact_product(flat, weight)
        case "one-to-one":
            return flat * weight
        case "from-list":
            assert op.pre is not None and op.post is not None
            total = np.zeros((op.targets, len(inputs)), np.int64)
            np.add.at(total, op.post, (flat[:, op.pre] * weight).T)
            return total.T
    channels = inputs.shape[1]
    if op.connector == "pool":
        kernel = np.broadcast_to(weight, (channels, 1, *op.kernel))
        return _convolve(op, inputs, kernel, channels)
    return _convolve(op, inputs, weight, op.groups)


def _convolve(op: ProjectOp, inputs: Array, weight: Array, groups: int) -> Array:
    batch, channels = inputs.shape[:2]
    _, filters, rows, columns = op.shape
    (sh, sw), (dh, dw), (top, left, *_) = op.strides, op.dilations, op.pads
    kernel = (weight.shape[2], weight.shape[3])
    reach = ((rows - 1) * sh + dh * (kernel[0] - 1) + 1, (columns - 1) * sw + dw * (kernel[1] - 1) + 1)
    after = [max(0, reach[axis] - before - inputs.shape[2 + axis]) for axis, before in enumerate((top, left))]
    padded = np.pad(inputs, ((0, 0), (0, 0), (top, after[0]), (left, after[1])))
    matrix = weight.reshape(groups, filters // groups, -1)
    result = np.empty((batch, groups, filters // groups, rows * columns), np.int64)
    at_once = max(1, WINDOW_ELEMENTS // (channels * kernel[0] * kernel[1] * rows * columns))
    for first in range(0, batch, at_once):
        waves = padded[first : first + at_once]
        unfolded = window_columns(waves, kernel, op.strides, op.dilations, (0, rows), columns)
        columns_of = unfolded.reshape(len(waves), groups, -1, rows * columns).astype(np.int64)
        result[first : first + at_once] = exact_product(matrix, columns_of)
    return result


def population(op: PopulationOp, operands: Operands) -> Array:
    exc, inh = np.add.reduce(list(operands))
    v = (np.minimum(exc >> op.shift_exc, RAW_MAX) << op.shift_exc).astype(np.int64)
    v -= np.minimum(inh >> op.shift_inh, RAW_MAX) << op.shift_inh
    if op.offset is not None:
        v += _by_neuron(op.offset, v)
    return np.asarray(v >= _by_neuron(op.threshold, v))


def _by_neuron(numbers: Array, like: Array) -> Array:
    return numbers.astype(np.int64).reshape(like.shape[1:] if numbers.ndim else ())


def decode(op: DecodeOp, operands: Operands) -> Array:
    return operands[0].astype(np.float32)


KERNELS: Mapping[type[Operation], Kernel] = {
    EncodeOp: encode,
    ProjectOp: project,
    PopulationOp: population,
    DecodeOp: decode,
}
