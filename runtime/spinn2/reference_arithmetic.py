"""The integer formulas of the kernels on int64 arrays, as the comments of Kernel state them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .groups import Integers

EXACT_FLOAT = 2.0**53
"""float64 holds every integer of at most this magnitude, and sums of such integers that stay within it exactly."""


def wrap32(values: Integers) -> Integers:
    """Two's complement of 32 bits, sign extended."""
    return values.astype(np.int32).astype(np.int64)


def clamp(values: Integers, low: int, high: int) -> Integers:
    """min(max(values, low), high)."""
    return np.minimum(np.maximum(values, low), high)


def limit_float(values: npt.NDArray[np.float32], zero: int, low: int, high: int) -> Integers:
    """clamp(values + zero, low, high) of floats without fraction; a NaN counts as low."""
    wide = values.astype(np.float64)
    wide = np.where(wide > low - zero, wide, low - zero)
    wide = np.where(wide < high - zero, wide, high - zero)
    return wide.astype(np.int64) + zero


def round_shift(values: Integers, shift: Integers) -> Integers:
    """(v + (1 << (s - 1))) >> s, or v where s is 0; s is taken modulo 64."""
    amount = shift & 63
    half = np.where(amount > 0, np.left_shift(np.int64(1), np.maximum(amount - 1, 0)), 0)
    return np.right_shift(values + half, amount)


def requantize(values: Integers, multiplier: Integers | int, shift: Integers) -> Integers:
    """round_shift(values * multiplier, shift)."""
    return round_shift(values * multiplier, shift)


def products(left: Integers, right: Integers) -> Integers:
    """Matrix products [rows, m, k] x [rows, k, n], exact modulo 2**64.

    In float64 where no partial sum can leave its exact range, because numpy multiplies int64 matrices slowly.
    """
    largest = float(np.abs(left).max(initial=0)) * float(np.abs(right).max(initial=0)) * left.shape[2]
    if largest <= EXACT_FLOAT:
        return np.asarray(np.matmul(left.astype(np.float64), right.astype(np.float64)).astype(np.int64))
    return np.asarray(np.matmul(left, right))


def lookup(table: Integers, index: Integers) -> Integers:
    """table[n, c, index[n, c, ...]]."""
    flat = index.reshape(*index.shape[:2], -1)
    return np.take_along_axis(table, flat, axis=2).reshape(index.shape)


def _floor_quotient(above: Integers, below: Integers) -> Integers:
    """floor(above / below); 0 where below is not positive."""
    return np.where(below > 0, above // np.maximum(below, 1), 0)


def average(total: Integers, count: Integers, multiplier: Integers, shift: Integers) -> Integers:
    """floor((2 * total * multiplier + (count << shift)) / (count << (shift + 1))); 0 if the divisor is not positive."""
    amount = shift & 63
    below = np.left_shift(count, (amount + 1) & 63)
    return _floor_quotient(2 * total * multiplier + np.left_shift(count, amount), below)


def softmax(values: Integers, table: Integers) -> Integers:
    """floor((2 * e * scale + sum) / (2 * sum)) over the last axis with e = table[max - values], scale = table[256].

    values: int64[n, C, H, W] of 8 bit integers, table: int64[n, 257].
    """
    distance = values.max(axis=-1, keepdims=True) - values
    e = np.take_along_axis(table, distance.reshape(len(values), -1), axis=1).reshape(values.shape)
    total = e.sum(axis=-1, keepdims=True)
    scale = table[:, 256][:, None, None, None]
    return _floor_quotient(2 * e * scale + total, 2 * np.broadcast_to(total, e.shape))


def normalise(values: Integers, size: int, table: Integers) -> Integers:
    """round_shift(values * table[2 + min(q >> table[0], 1023)], table[1]) with q the sum of squares of `size` channels.

    values: int64[n, C, H, W], table: int64[n, 1026].
    """
    channels = values.shape[1]
    sums = np.concatenate([np.zeros_like(values[:, :1]), np.cumsum(values * values, axis=1)], axis=1)
    middle = np.arange(channels)
    first = np.maximum(middle - (size - 1) // 2, 0)
    last = np.minimum(middle + size // 2, channels - 1)
    q = sums[:, last + 1] - sums[:, first]
    n = len(values)
    slot = np.clip(q >> (table[:, 0] & 63)[:, None, None, None], 0, 1023) + 2
    scale = np.take_along_axis(table, slot.reshape(n, -1), axis=1).reshape(values.shape)
    return round_shift(values * scale, table[:, 1][:, None, None, None])
