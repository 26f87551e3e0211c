"""Synapses as flat arrays, from the few numbers that a connector stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]

CONNECTORS = ("all-to-all", "one-to-one", "conv2d", "pool", "from-list")
"""How neurons are joined (PyNN's words).

all-to-all: weight [inputs, neurons]. one-to-one: weight [neurons] or a scalar. conv2d: weight [O, C / groups, KH, KW]
over inputs [C, H, W]. pool: one scalar weight for every input under a window, channel by channel. from-list: weight
[synapses] with pre and post of that length.
"""


@frozen(eq=False)
class Synapses:
    """Synapse k joins neuron pre[k] to neuron post[k] with weight[k]; i32 arrays of one length, in no special order.

    No weight is 0. Two synapses may join the same two neurons; their weights add.
    """

    pre: Array
    post: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.weight)

    @classmethod
    def of(cls, pre: Array, post: Array, weight: Array) -> Synapses:
        """Arrays of any shape that broadcast to each other; zero weights are left out."""
        pre, post, weight = np.broadcast_arrays(pre, post, weight)
        kept = weight != 0
        return cls(pre[kept].astype(np.int32), post[kept].astype(np.int32), weight[kept].astype(np.int32))


def merge_synapses(parts: Sequence[Synapses]) -> Synapses:
    """Several lists as one."""
    empty = np.empty(0, np.int32)
    return Synapses(
        np.concatenate([empty, *(part.pre for part in parts)]),
        np.concatenate([empty, *(part.post for part in parts)]),
        np.concatenate([empty, *(part.weight for part in parts)]),
    )


def conv2d_synapses(
    inputs: tuple[int, int, int],
    outputs: tuple[int, int, int],
    weight: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Synapses:
    """Synapses of a cross-correlation; `inputs` and `outputs` are channels, rows, columns.

    Output (o, r, q) reads input (c, r * sh + k * dh - top, q * sw + l * dw - left) with weight[o, c, k, l], where that
    position exists.
    """
    channels, height, width = inputs
    filters, rows, columns = outputs
    out_row, tap_row, in_row = _taps(rows, weight.shape[2], height, strides[0], dilations[0], pads[0])
    out_col, tap_col, in_col = _taps(columns, weight.shape[3], width, strides[1], dilations[1], pads[1])
    per_group = channels // groups
    filter_ = np.arange(filters)[:, None, None, None]
    channel = filter_ // (filters // groups) * per_group + np.arange(per_group)[None, :, None, None]
    pre = (channel * height + in_row[:, None]) * width + in_col
    post = (filter_ * rows + out_row[:, None]) * columns + out_col
    return Synapses.of(pre.astype(np.int32), post.astype(np.int32), weight[:, :, tap_row[:, None], tap_col])


def _taps(count: int, kernel: int, size: int, stride: int, dilation: int, before: int) -> tuple[Array, Array, Array]:
    """Every (output position, tap, input position) along one axis that lies inside the input."""
    output, tap = np.indices((count, kernel)).reshape(2, -1)
    position = output * stride + tap * dilation - before
    inside = (position >= 0) & (position < size)
    return output[inside], tap[inside], position[inside]


def connector_synapses(
    connector: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    weight: Array,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    pre: Array | None,
    post: Array | None,
) -> Synapses:
    """Synapses of any connector; `inputs` and `outputs` are shapes without the batch."""
    match connector:
        case "all-to-all":
            return Synapses.of(np.arange(weight.shape[0])[:, None], np.arange(weight.shape[1]), weight)
        case "one-to-one":
            same = np.arange(math.prod(outputs))
            return Synapses.of(same, same, weight)
        case "from-list":
            assert pre is not None and post is not None
            return Synapses.of(pre, post, weight)
    (channels, height, width), (filters, rows, columns) = inputs, outputs
    if connector == "pool":
        weight, groups = np.broadcast_to(weight, (channels, 1, kernel[0], kernel[1])), channels
    shapes = (channels, height, width), (filters, rows, columns)
    return conv2d_synapses(*shapes, weight, strides, pads, dilations, groups)


def receptor_sums(synapses: Synapses, neurons: int) -> tuple[Array, Array]:
    """The most that each neuron's excitatory and inhibitory receptor can get in one step, i64 [neurons] each.

    That is the sum of all positive weights, and of the magnitudes of all negative ones: the volley in which every
    source spikes. Sums are exact below 2^53.
    """
    positive = synapses.weight > 0
    halves = []
    for chosen in (positive, ~positive):
        weights = np.abs(synapses.weight[chosen].astype(np.float64))
        halves.append(np.bincount(synapses.post[chosen], weights, neurons).astype(np.int64))
    return halves[0], halves[1]
