"""Writes forms as operations: one quant.binarize for each step, over convolutions and products of 0/1 maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.location import Location, fuse
from ...ir.rewriter import Rewriter
from ...ir.types import F32, I1
from .forms import Comparison, Form, NotBinary, Pool, Step, Sum, Weighted, constant_along
from .windows import covering_pads, window_counts

Array = NDArray[Any]


class Writer:
    """Inserts operations for forms; a 0/1 map is written once, before the operation that first compares its sum."""

    def __init__(self) -> None:
        self.rewriter = Rewriter()
        self._comparisons: list[Comparison] = []
        self._maps: dict[tuple[Comparison, bytes, bytes], Value] = {}

    def insert(self, anchor: Operation, op: Operation, location: Location | None = None) -> Value:
        """Inserts `op` before `anchor`, at `location` or that of the anchor."""
        op.location = anchor.location if location is None else location
        return self.rewriter.insert_before(anchor, op).result

    def constant(self, anchor: Operation, array: Array) -> Value:
        """A constant of f32; raises NotBinary when a number leaves its range."""
        with np.errstate(over="ignore"):
            rounded = array.astype(np.float32)
        if not np.isfinite(rounded).all():
            raise NotBinary("a weight is NaN, infinite or too large for 32 bits")
        return self.insert(anchor, ConstantOp(value=rounded))

    def as_sum(self, form: Form) -> Sum:
        """A step as its 0/1 map with two levels; a sum as it is."""
        if isinstance(form, Sum):
            return form
        return Sum.of_map(self.spikes(form), form.low, form.high)

    def spikes(self, step: Step) -> Value:
        """The 0/1 map of a step: 1 where it has the greater of its values; raises NotBinary when it has three."""
        tie_spikes = step.values[1] == step.high
        two_valued = tie_spikes | (step.values[1] == step.low)
        if not two_valued.all():
            place = np.unravel_index(int(np.argmin(two_valued)), step.shape)
            below, at, above = (f"{float(value[place]):g}" for value in step.values)
            raise NotBinary(
                "an activation has a third value exactly at its threshold",
                found=f"{below} below, {at} at and {above} above it",
                expected="one of two values, as of z >= threshold",
            )
        comparison = next((known for known in self._comparisons if known.equals(step.comparison)), None)
        if comparison is None:
            comparison = step.comparison
            self._comparisons.append(comparison)
        key = (comparison, tie_spikes.tobytes(), step.falling.tobytes())
        if key not in self._maps:
            self._maps[key] = self._binarize(comparison, tie_spikes, step.falling)
        return self._maps[key]

    def _binarize(self, comparison: Comparison, tie_spikes: Array, falling: Array) -> Value:
        """A falling step of z at c is a rising one of -z at -c; z > c is z >= the next number behind c."""
        anchor = comparison.op
        rising = comparison.sum.affine(np.where(falling, -1.0, 1.0), 0.0)
        threshold = np.where(falling, -comparison.threshold, comparison.threshold)
        threshold = rising.inward(np.where(tie_spikes, threshold, np.nextafter(threshold, np.inf)))
        if not rising.terms:
            raise NotBinary("the sum before a step does not depend on the input")
        terms = tuple(self._term(anchor, term, scale, rising.inside) for term, scale in rising.terms.items())
        bias, threshold = compressed(rising.shift), compressed(threshold)
        layers = [term.location for term in rising.terms if isinstance(term, Weighted)]
        binarize = BinarizeOp(terms=terms, bias=bias, threshold=threshold)
        spikes = self.insert(anchor, binarize, fuse([*layers, anchor.location]))
        if rising.pool is not None:
            spikes = self.pooled(anchor, spikes, rising.pool)
        for move in rising.moves:
            spikes = self.insert(anchor, type(move).create([spikes], move.attributes))
        return spikes

    def _term(self, anchor: Operation, term: Value | Weighted, scale: Array, shape: tuple[int, ...]) -> Value:
        """The f32 operation for scale * term."""
        if isinstance(term, Value):
            value, native = self._one_to_one(anchor, term, scale)
        else:
            value, native = self._weighted(anchor, term, scale.reshape(term.shape)), term.shape
        batch = value.shape[0]
        return value if native == shape else self.insert(anchor, nn.ReshapeOp(x=value, shape=(batch, *shape)))

    def _weighted(self, anchor: Operation, term: Weighted, scale: Array) -> Value:
        by_output = constant_along(scale, tuple(range(1, scale.ndim)))
        if by_output is None:
            raise NotBinary("a weighted sum is scaled differently from place to place")
        if term.window is None:
            rhs = self.constant(anchor, term.weight * by_output)
            return self.insert(anchor, nn.MatMulOp(lhs=term.map, rhs=rhs), term.location)
        weight = self.constant(anchor, term.weight * by_output[:, None, None, None])
        return self.insert(anchor, nn.Conv2dOp.create([term.map, weight], term.window), term.location)

    def _one_to_one(self, anchor: Operation, spikes: Value, scale: Array) -> tuple[Value, tuple[int, ...]]:
        """A map times a number for each channel or each element: a depthwise 1 x 1 convolution."""
        batch, *shape = spikes.shape
        by_channel = constant_along(scale, (1, 2)) if len(shape) == 3 else None
        if by_channel is None:
            by_channel, shape = scale.reshape(-1), [math.prod(shape), 1, 1]
            spikes = self.insert(anchor, nn.ReshapeOp(x=spikes, shape=(batch, *shape)))
        weight = self.constant(anchor, by_channel[:, None, None, None])
        return self.insert(anchor, nn.Conv2dOp(x=spikes, weight=weight, groups=len(by_channel))), tuple(shape)

    def pooled(self, anchor: Operation, spikes: Value, pool: Pool) -> Value:
        """OR of the spikes under each window; AND in the channels where the least element is taken."""
        op, channels = pool.op, len(pool.least)
        if not pool.least.any():
            return self.insert(anchor, nn.MaxPool2dOp.create([spikes], op.attributes))
        ones = self.constant(anchor, np.ones((channels, 1, *op.kernel)))
        pads = covering_pads(op)
        total = nn.Conv2dOp(
            x=spikes, weight=ones, strides=op.strides, pads=pads, dilations=op.dilations, groups=channels
        )
        threshold = np.where(pool.least[:, None, None], window_counts(op), 1.0)
        terms = (self.insert(anchor, total),)
        return self.insert(anchor, BinarizeOp(terms=terms, bias=np.zeros(()), threshold=compressed(threshold)))

    def levels(self, anchor: Operation, form: Sum, like: Value) -> Value:
        """The values of a map as the program had them, in the type of `like`."""
        value, scale = next(iter(form.terms.items()))
        assert isinstance(value, Value)
        if (scale != 1).any():
            value = self.insert(anchor, nn.MulOp(lhs=value, rhs=self.constant(anchor, compressed(scale))))
        if form.shift.any():
            value = self.insert(anchor, nn.AddOp(lhs=value, rhs=self.constant(anchor, compressed(form.shift))))
        if like.element == F32:
            return value
        if like.element == I1:
            zero = self.constant(anchor, np.zeros(()))
            return self.insert(anchor, nn.CompareOp(lhs=value, rhs=zero, predicate="ne"))
        return self.insert(anchor, nn.CastOp(x=value, to=like.element))


def compressed(array: Array) -> Array:
    """A scalar, or one entry for each channel, where that says the same."""
    if bool((array == array.reshape(-1)[0]).all()):
        return array.reshape(-1)[0].reshape(())
    by_channel = constant_along(array, (1, 2)) if array.ndim == 3 else None
    return array if by_channel is None else by_channel[:, None, None]
