"""Scales, zero points and fixed-point multipliers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.quant import UniformType
from ...ir.types import IntegerType

Array = NDArray[Any]

SLICE_ELEMENTS = 1 << 19
MULTIPLIER_BITS = 31
MAX_SHIFT = 62


@frozen
class Scheme:
    """How activations and weights become integers.

    `power_of_two` rounds every scale up to a power of two, so that a rescale is a shift alone.
    """

    activation: IntegerType
    weight: IntegerType
    power_of_two: bool = False

    def scale(self, value: float) -> float:
        """A scale of at least `value` that the scheme can hold, exactly representable in f32."""
        if self.power_of_two:
            return 2.0 ** math.ceil(math.log2(value))
        return float(np.float32(value))

    def activation_type(self, low: float, high: float) -> UniformType:
        """The quantised type for values in [low, high], widened to hold 0 so that padding is exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        kind = self.activation
        if high - low < 1e-30:
            return UniformType(kind, 1.0, 0)
        if self.power_of_two and low < 0 and kind.signed:
            return UniformType(kind, self.scale(max(low / kind.low, high / kind.high)), 0)
        scale = max(self.scale((high - low) / (kind.high - kind.low)), float(np.finfo(np.float32).tiny))
        zero = round(kind.low - low / scale)
        return UniformType(kind, scale, min(max(zero, kind.low), kind.high))


def fixed_multiplier(real: Array, *, bits: int = MULTIPLIER_BITS, max_shift: int = MAX_SHIFT) -> tuple[Array, Array]:
    """i32 multipliers and shifts with multiplier / 2^shift next to `real` (each non-negative and finite).

    Multipliers have `bits` significant bits where the shift range of 0 .. `max_shift` allows it. A power of two gives
    multiplier 1 when it is at most 1. Raises ValueError for a ratio too large for 32 bits.
    """
    real = np.asarray(real, dtype=np.float64)
    fraction, exponent = np.frexp(real)
    exact_power = (fraction == 0.5) & (exponent <= 1)
    shift = np.where(exact_power, 1 - exponent, bits - exponent)
    shift = np.clip(np.where(real == 0, 0, shift), 0, max_shift)
    multiplier = np.rint(np.ldexp(real, shift))
    overflow = multiplier >= 2.0**bits
    shift = np.where(overflow & (shift > 0), shift - 1, shift)
    multiplier = np.rint(np.ldexp(real, shift))
    if np.any(multiplier >= 2.0**bits):
        raise ValueError(f"a ratio of {float(real.max()):g} between scales does not fit a multiplier")
    return multiplier.astype(np.int32), shift.astype(np.int32)


def magnitudes(weight: Array, axes: tuple[int, ...]) -> Array:
    """Exact sums i64 of the magnitudes of integers along axes, without a wider copy of them all."""
    positive = np.maximum(weight, 0).sum(axis=axes, dtype=np.int64)
    return np.asarray(2 * positive - weight.sum(axis=axes, dtype=np.int64))


def slices(weight: Array, axis: int) -> Iterator[tuple[slice, ...]]:
    """Parts of an array along an axis, so small that what is computed of one stays in the processor's cache.

    They hold two indices or more where the array does, so that sums along the other axes are formed in the same order.
    """
    count = weight.shape[axis]
    parts = max(min(count // 2, weight.size // SLICE_ELEMENTS), 1)
    bounds = np.linspace(0, count, parts + 1, dtype=int).tolist()
    for low, high in pairwise(bounds):
        yield (slice(None),) * axis + (slice(low, high),)


def weight_scales(weight: Array, axis: int, scheme: Scheme, least: Array, largest_input: int) -> Array:
    """One f32 scale per index of `axis`, none below `least`, so that the greatest weight fills the integer range.

    Scales grow until sum(|w|) * largest_input stays below 2^30, so that no 32 bit accumulator can overflow.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peak, total = np.zeros((2, weight.shape[axis]))
    for some in slices(weight, axis) if weight.size else ():
        magnitude = np.abs(weight[some].astype(np.float64))
        peak[some[axis]], total[some[axis]] = magnitude.max(axis=others), magnitude.sum(axis=others)
    for_range = peak / scheme.weight.high
    for_sum = total * largest_input / 2.0**30
    scale = np.maximum(np.maximum(for_range, for_sum), least)
    scale = np.where(scale > 0, scale, 1.0)
    if scheme.power_of_two:
        scale = 2.0 ** np.ceil(np.log2(scale))
    return np.maximum(scale.astype(np.float32), np.finfo(np.float32).tiny)


def quantized_weight(weight: Array, axis: int, scale: Array, scheme: Scheme) -> Array:
    """The weights as integers of the scheme, by one scale per index of `axis`."""
    shaped = scale.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    steps = np.empty(weight.shape, scheme.weight.dtype)
    for some in slices(weight, 0):
        one = shaped[some] if axis == 0 else shaped
        steps[some] = np.clip(np.rint(weight[some] / one), -scheme.weight.high, scheme.weight.high)
    return steps
