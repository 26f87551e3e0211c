"""What a user chooses for SpiNNaker1."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from ...passes.spiking.grid import CODE, parse_format
from ..artefact_arrays import Json

AUTO = "auto"
AIMS = ("throughput", "latency", "cores")
WHOLE_NUMBERS = {
    "groups": 4096,
    "neurons_per_core": 4096,
    "tiles": 1 << 20,
    "sample_interval": 1 << 16,
}
"""Options that are a whole number from 1 up to this, or AUTO."""
WORDS = {
    "rounding": ("nearest", "truncate", "floor"),
    "weight_scale": ("none", "layer"),
    "bias": ("chain", "offset", "threshold"),
    "binarize": ("refuse", "threshold"),
    "optimize": AIMS,
}
"""Options that are one of a few words."""
MOST_INPUT_BITS = 16
LARGEST_FACTOR = 1 << 20
SMALLEST_FACTOR = 0.001


@frozen
class SpikingOptions:
    """The options of a build for SpiNNaker1; a mistake in any of them raises UsageError.

    `weights` is `code16`, the toolchain's own 16 bit code, or a fixed-point format such as `q4.8`. Of `groups`,
    `neurons_per_core`, `tiles`, `time_scale_factor` and `sample_interval` (steps), those that are `auto` are chosen for
    what `optimize` names. `binarize` = threshold puts a step where a soft activation reaches one half. `monitors`
    overrides what the machine says of the toolchain's monitors. Inputs are 0 or 1, unless `input_threshold` (spikes
    are inputs of at least that) or more than one of `input_bits` is asked for.
    """

    weights: str = CODE
    rounding: str = "nearest"
    weight_scale: str = "none"
    bias: str = "chain"
    groups: int | str = AUTO
    neurons_per_core: int | str = AUTO
    tiles: int | str = AUTO
    time_scale_factor: float | str = AUTO
    sample_interval: int | str = AUTO
    optimize: str = "throughput"
    binarize: str = "refuse"
    monitors: bool | None = None
    input_threshold: float | None = None
    input_bits: int = 1

    def __attrs_post_init__(self) -> None:
        problems = [
            _wrong(name, getattr(self, name), f"{AUTO}, or a whole number from 1 to {most}")
            for name, most in WHOLE_NUMBERS.items()
            if getattr(self, name) != AUTO and not _is_whole(getattr(self, name), most)
        ]
        problems += [
            _wrong(name, getattr(self, name), f"one of {', '.join(words)}")
            for name, words in WORDS.items()
            if getattr(self, name) not in words
        ]
        factor = self.time_scale_factor
        if factor != AUTO and not _is_number(factor, SMALLEST_FACTOR, LARGEST_FACTOR):
            problems.append(
                _wrong("time_scale_factor", factor, f"{AUTO}, or a number from {SMALLEST_FACTOR} to {LARGEST_FACTOR}")
            )
        if not _is_whole(self.input_bits, MOST_INPUT_BITS):
            problems.append(_wrong("input_bits", self.input_bits, f"a whole number from 1 to {MOST_INPUT_BITS}"))
        if problems:
            raise UsageError(problems)
        parse_format(self.weights)

    def fixed(self, name: str) -> int | None:
        """The number that the user gave one of WHOLE_NUMBERS; None for auto."""
        value = getattr(self, name)
        return value if isinstance(value, int) else None

    @property
    def takes_numbers(self) -> bool:
        """Whether inputs are numbers that the host encodes, as the user asked."""
        return self.input_threshold is not None or self.input_bits > 1

    def as_json(self) -> dict[str, Json]:
        """The options by name, as `SpikingOptions(**options)` takes them."""
        return attrs.asdict(self)


def _is_whole(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _wrong(name: str, value: object, expected: str) -> Diagnostic:
    return Diagnostic("SNC0310", f"the option {name} cannot be that", found=repr(value), expected=expected)
