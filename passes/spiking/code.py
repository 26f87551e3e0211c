"""The 16 bit code of a population: weights as raw << shift, one shift for each receptor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects.spiking.ops import MAX_SHIFT, RAW_MAX
from .grid import LARGEST, WORD_FRACTION, largest_power

Array = NDArray[Any]

Volleys = Callable[[Sequence[Array], Array], tuple[Array, Array]]
"""The most that each neuron's receptors get, for weights and a bias."""


@frozen(eq=False)
class Coded:
    """Weights, bias and threshold in the words of the neuron, and how they come to be.

    `changed` weights are not what they were, by at most `error` (in units of the number before); `saturates` when some
    volley could overflow a receptor; `excess` is by how much the largest volley exceeds all words, 0 when it fits.
    """

    weights: tuple[Array, ...]
    bias: Array
    threshold: Array
    fraction: int
    shifts: tuple[int, int]
    changed: int = 0
    error: float = 0.0
    saturates: bool = False


def encode_population(
    weights: Sequence[Array], bias: Array, threshold: Array, fraction: int, volleys: Volleys, *, saturate: bool
) -> Coded | None:
    """The code of integer weights, bias and threshold in units of 2^-fraction; None when volleys exceed 32 bits.

    All are first multiplied by the power of two that makes 2^-15 the unit, as far as the words have room. A receptor
    gets the least shift in which no volley exceeds 65535. Where that shift cannot express all weights they are rounded;
    with `saturate` the largest shift that can express them is taken instead, and volleys may be cut off.
    """
    largest = max(float(side.max(initial=0)) for side in volleys(weights, bias))
    if largest > RAW_MAX << MAX_SHIFT:
        return None
    power = min(max(WORD_FRACTION - fraction, 0), largest_power(RAW_MAX << MAX_SHIFT, largest) if largest else 0)
    numbers = [number.astype(np.int64) << power for number in (*weights, bias)]
    scaled = [number.copy() for number in numbers]
    shifts, saturates = [], False
    for receptor, sign in enumerate((1, -1)):
        side = [np.maximum(sign * number, 0) for number in scaled]
        exact = _trailing_zeros(side)
        shift = safe = _safe_shift(receptor, side, volleys, sign)
        if saturate and exact < safe and max(int(number.max(initial=0)) for number in side) >> exact <= RAW_MAX:
            shift, saturates = exact, True
        shifts.append(shift)
        numbers = [
            np.where(sign * number > 0, sign * (_round(np.abs(number), shift) << shift), number) for number in numbers
        ]
    # What exceeds its receptor is a weight of the padding alone, which makes no synapse.
    limits = [RAW_MAX << shift for shift in shifts]
    moved = [np.abs(new - old) for new, old in zip(numbers, scaled, strict=True)]
    return Coded(
        tuple(np.clip(number, -limits[1], limits[0]).astype(np.int32) for number in numbers[:-1]),
        numbers[-1].astype(np.int32),
        np.clip(threshold.astype(np.int64) << power, -LARGEST, LARGEST).astype(np.int32),
        fraction + power,
        (shifts[0], shifts[1]),
        sum(int((part > 0).sum()) for part in moved),
        max(int(part.max(initial=0)) for part in moved) * 2.0 ** -(fraction + power),
        saturates,
    )


def _trailing_zeros(numbers: Sequence[Array]) -> int:
    """The largest shift, up to 15, of which all numbers are multiples."""
    bits = 0
    for number in numbers:
        bits |= int(np.bitwise_or.reduce(number, axis=None))
    return MAX_SHIFT if bits == 0 else min(MAX_SHIFT, (bits & -bits).bit_length() - 1)


def _safe_shift(receptor: int, numbers: Sequence[Array], volleys: Volleys, sign: int) -> int:
    """The least shift in which no volley of the rounded numbers, all of one sign, exceeds 65535."""
    shift = 0
    while True:
        raw = [sign * _round(number, shift) for number in numbers]
        most = float(volleys(raw[:-1], raw[-1])[receptor].max(initial=0))
        if most <= RAW_MAX:
            return shift
        shift += max(1, -largest_power(RAW_MAX, most))


def _round(numbers: Array, shift: int) -> Array:
    """numbers / 2^shift, to the nearest integer, halves to even."""
    return np.rint(np.ldexp(numbers.astype(np.float64), -shift)).astype(np.int64)
