"""Fixed-point formats of weights, and how numbers are rounded to them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UsageError

Array = NDArray[Any]

ROUNDING: Mapping[str, Callable[[Array], Array]] = {"nearest": np.rint, "truncate": np.trunc, "floor": np.floor}
"""To the nearest integer (halves to even), towards zero, or down."""

CODE = "code16"
"""The 16 bit code of the toolchain: raw << shift, with one shift for each receptor of a population."""

WORD_FRACTION = 15
"""Bits behind the point of the neuron's words (s16.15)."""

LARGEST = (1 << 31) - 1

_FIXED = re.compile(r"q(\d{1,2})\.(\d{1,2})")


@frozen
class FixedFormat:
    """qM.F: numbers n * 2^-F from -2^(M-1) to 2^(M-1) - 2^-F; M bits before the point with the sign, F behind it."""

    integer_bits: int
    fraction_bits: int

    def __str__(self) -> str:
        return f"q{self.integer_bits}.{self.fraction_bits}"

    @property
    def low(self) -> int:
        """The least integer n."""
        return -(1 << (self.integer_bits - 1 + self.fraction_bits))

    @property
    def high(self) -> int:
        """The greatest integer n."""
        return -self.low - 1


def parse_format(text: str) -> FixedFormat | None:
    """The format that `text` names, None for `code16`; raises UsageError for anything else."""
    if text == CODE:
        return None
    match = _FIXED.fullmatch(text.lower())
    bits = (int(match[1]), int(match[2])) if match else (0, 0)
    if match is None or bits[0] < 1 or not 2 <= sum(bits) <= 24:
        raise UsageError(
            Diagnostic(
                "SNC0464",
                f"there is no weight format {text}",
                expected=f"{CODE}, or qM.F with M >= 1 bits before the point (sign included) and M + F <= 24",
                help="q4.8 has weights from -8 to 8 - 1/256 in steps of 1/256",
            )
        )
    return FixedFormat(*bits)


def on_grid(numbers: Array, fraction: int, rounding: str) -> Array:
    """numbers * 2^fraction as whole f64."""
    return ROUNDING[rounding](np.ldexp(numbers.astype(np.float64), fraction))


def threshold_on_grid(threshold: Array, fraction: int) -> Array:
    """The least integer n with n * 2^-fraction >= threshold: a sum on the grid reaches one when it reaches the other.

    i32; what lies beyond 32 bits is limited to them, where no sum is.
    """
    exact = np.ceil(np.ldexp(threshold.astype(np.float64), fraction))
    return np.clip(exact, -LARGEST, LARGEST).astype(np.int32)


def largest_power(room: float, size: float) -> int:
    """The greatest k with size * 2^k <= room; 0 for a size of 0."""
    if size <= 0:
        return 0
    power = math.floor(math.log2(room / size))
    while math.ldexp(size, power) > room:
        power -= 1
    while math.ldexp(size, power + 1) <= room:
        power += 1
    return power
