"""A layer of a binary network: the terms that a quant.binarize adds, and what arrives there at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp
from .windows import correlate

Array = NDArray[Any]

TermOp = nn.Conv2dOp | nn.MatMulOp | quant.Conv2dOp | quant.MatMulOp
"""What weighs a map."""


@frozen(eq=False)
class LayerTerm:
    """One weighted map: the operation, and its constant weights."""

    op: TermOp
    weight: Array

    @property
    def map(self) -> Value:
        """The 0/1 map that is weighted."""
        return self.op.operands[0]

    def sums(self, weight: Array) -> Array:
        """The sums, flat, that arrive at each neuron when every element of the map spikes, for other weights; f64."""
        if isinstance(self.op, nn.MatMulOp | quant.MatMulOp):
            return np.asarray(weight.sum(axis=0, dtype=np.float64))
        op = self.op
        ones = np.ones(op.operands[0].shape[1:])
        shape = op.results[0].shape[1:]
        return correlate(ones, weight, shape, op.strides, op.pads, op.dilations, op.groups).reshape(-1)


def layer_terms(terms: Sequence[Value]) -> tuple[LayerTerm, ...]:
    """The operations behind the terms of a binarize; raises ValueError for one that weighs no map."""
    found = []
    for term in terms:
        op = term.owner
        while isinstance(op, nn.ReshapeOp):
            op = op.x.owner
        if not isinstance(op, TermOp) or not isinstance(op.operands[1].owner, ConstantOp):
            raise ValueError("a term of quant.binarize is a convolution or a product with constant weights")
        found.append(LayerTerm(op, op.operands[1].owner.value))
    return tuple(found)


def volleys(terms: Sequence[LayerTerm], weights: Sequence[Array], bias: Array) -> tuple[Array, Array]:
    """The most that the excitatory and the inhibitory receptor of each neuron can get in one step, flat, f64.

    The bias (flat) counts as one more synapse, so that the answer does not depend on how it is carried.
    """
    halves = []
    for sign in (1, -1):
        total = np.maximum(sign * bias.astype(np.float64), 0)
        for term, weight in zip(terms, weights, strict=True):
            total = total + term.sums(np.maximum(sign * weight, 0))
        halves.append(total)
    return halves[0], halves[1]


def flat_bias(bias: Array, shape: tuple[int, ...]) -> Array:
    """A bias or threshold as one entry for each neuron; `shape` is without the batch."""
    return np.broadcast_to(bias, shape).reshape(math.prod(shape))
