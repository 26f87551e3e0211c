"""What a sweep may vary: the options of `snc build`, spelled as on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from attrs import frozen

from ...backends.spinn2.schedule import MAPPINGS
from ...ir.diagnostics import UsageError
from ...passes.spiking.grid import parse_format
from ..spinn1.options import (
    AIMS,
    AUTO,
    LARGEST_FACTOR,
    MOST_INPUT_BITS,
    SMALLEST_FACTOR,
    WHOLE_NUMBERS,
    WORDS,
    SpikingOptions,
)

Value: TypeAlias = str | int | float | bool | None


class WrongValueError(ValueError):
    """A value is not what its option takes; the text says what it takes."""


@frozen
class Option:
    """One option of `snc build` that a target has for itself.

    `name` is that of the command line without its dashes, `keyword` that of `snc.compile`. `read` gives the value as
    `snc.compile` takes it, from one of a TOML file; it raises WrongValueError. `default` is that of the command line.
    """

    name: str
    target: str
    keyword: str
    default: Value
    read: Callable[[object], Value]


def _word(*words: str) -> Callable[[object], Value]:
    def read(value: object) -> Value:
        if not isinstance(value, str) or value not in words:
            raise WrongValueError(" or ".join(f'"{word}"' for word in words))
        return value

    return read


def _whole(least: int, most: int, *others: int | str) -> Callable[[object], Value]:
    """A whole number of a range, or the word `auto` where `others` has it."""

    def read(value: object) -> Value:
        if type(value) is int and least <= value <= most:
            return value
        if isinstance(value, str) and value in others:
            return value
        either = "".join(f' or "{other}"' for other in others)
        raise WrongValueError(f"a whole number from {least} to {most}{either}")

    return read


def _bits(value: object) -> Value:
    if type(value) is not int or value not in (8, 16):
        raise WrongValueError("8 or 16")
    return value


def _factor(value: object) -> Value:
    if value == AUTO:
        return AUTO
    if isinstance(value, int | float) and type(value) is not bool and SMALLEST_FACTOR <= value <= LARGEST_FACTOR:
        return float(value)
    raise WrongValueError(f'a number from {SMALLEST_FACTOR} to {LARGEST_FACTOR} or "{AUTO}"')


def _number(value: object) -> Value:
    if isinstance(value, int | float) and type(value) is not bool and math.isfinite(value):
        return float(value)
    raise WrongValueError("a number")


def _flag(value: object) -> Value:
    if not isinstance(value, bool):
        raise WrongValueError("true or false")
    return value


def _format(value: object) -> Value:
    try:
        if isinstance(value, str):
            parse_format(value)
            return value.lower()
    except UsageError as error:
        raise WrongValueError(error.diagnostics[0].expected) from None
    raise WrongValueError('a weight format in quotes, such as "code16" or "q4.8"')


def _spinn2(name: str, default: Value, read: Callable[[object], Value], keyword: str = "") -> Option:
    return Option(name, "spinn2", keyword or name, default, read)


def _spinn1(keyword: str, read: Callable[[object], Value]) -> Option:
    default = getattr(SpikingOptions(), keyword)
    return Option(keyword.replace("_", "-"), "spinn1", keyword, default, read)


def _settled(keyword: str) -> Option:
    return _spinn1(keyword, _whole(1, WHOLE_NUMBERS[keyword], AUTO))


OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        _spinn2("mapping", "optimized", _word(*MAPPINGS)),
        _spinn2("level", 2, _whole(0, 3)),
        _spinn2("calibration", "min-max", _word("min-max", "percentile", "mse"), "calibration_method"),
        _spinn2("bits", 8, _bits),
        _spinn2("activations", "int", _word("int", "uint")),
        _spinn2("rescale", "multiplier", _word("multiplier", "shift")),
        _spinn1("weights", _format),
        _spinn1("rounding", _word(*WORDS["rounding"])),
        _spinn1("weight_scale", _word(*WORDS["weight_scale"])),
        _spinn1("bias", _word(*WORDS["bias"])),
        _settled("groups"),
        _settled("neurons_per_core"),
        _settled("tiles"),
        _spinn1("time_scale_factor", _factor),
        _settled("sample_interval"),
        _spinn1("optimize", _word(*AIMS)),
        _spinn1("binarize", _word(*WORDS["binarize"])),
        _spinn1("monitors", _flag),
        _spinn1("input_threshold", _number),
        _spinn1("input_bits", _whole(1, MOST_INPUT_BITS)),
    )
}
"""Every option by name, in the order of the table's columns; `level` is what the command line calls -O."""

PLACES = ("model", "target", "machine", "calibrate", "shape")
"""What every target has; those that are files are relative to the specification."""


def options_of(target: str) -> tuple[Option, ...]:
    """The options of one target."""
    return tuple(option for option in OPTIONS.values() if option.target == target)
