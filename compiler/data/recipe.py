"""The text of a preprocessing: words, most with a value, that are applied from left to right."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from .dataset import Array
from .resize import MAX_SIDE, Resize
from .steps import Convert, Crop, Given, Layout, Mean, Reshape, Sample, Scale, Std, Step, StepError, Threshold

MAX_TEXT = 1000
MAX_AXES = 8
PRESETS: Mapping[str, str] = {
    "imagenet": "resize=256 crop=224 scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 layout=nchw",
    "mnist": "scale=1/255 mean=0.1307 std=0.3081",
}
"""Words that stand for others: the usual preprocessing of networks trained with PyTorch on these data."""
COLORS = {"rgb": 3, "gray": 1}
LAYOUTS = ("nchw", "nhwc")
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64")
_NUMBER = re.compile(r"[+-]?(\d{1,20}(\.\d{0,30})?|\.\d{1,30})(e[+-]?\d{1,2})?", re.ASCII)


class _WrongValueError(ValueError):
    """A value that a word does not take; the text is what it takes."""


@frozen
class Recipe:
    """A preprocessing: how images are decoded (`color`, empty where it is not said), and the steps."""

    steps: tuple[Step, ...] = ()
    color: str = ""

    @property
    def fixes_size(self) -> bool:
        """Whether images of any sizes have one size in the end."""
        return any(isinstance(step, Crop) or (isinstance(step, Resize) and step.width) for step in self.steps)

    def after(self, sample: Sample, where: str) -> Sample:
        """What is known of the samples of `where` in the end; raises UsageError for a step that does not fit them."""
        for step in self.steps:
            with _explained(step, where):
                sample = step.after(sample)
        return sample

    def apply(self, batch: Array, sample: Sample, where: str) -> Array:
        """The samples [N, ...] of `where` after all steps; raises UsageError."""
        for step in self.steps:
            # Infinite values are found, and told with their sample, by whoever reads.
            with _explained(step, where), np.errstate(over="ignore", invalid="ignore"):
                batch = step.apply(batch, sample)
                sample = step.after(sample)
        return batch

    def split(self, sample: Sample, where: str) -> tuple[Recipe, Recipe]:
        """The steps that bring images of different sizes to one, and those after them."""
        for index, step in enumerate(self.steps):
            if None not in sample.shape:
                return Recipe(self.steps[:index]), Recipe(self.steps[index:])
            with _explained(step, where):
                sample = step.after(sample)
        return Recipe(self.steps), Recipe()


@contextmanager
def _explained(step: Step, where: str) -> Iterator[None]:
    try:
        yield
    except StepError as error:
        message = f"the step {step.word} does not fit the samples"
        raise UsageError(
            Diagnostic("SNC0837", message, found=str(error), expected=error.expected, node=where)
        ) from None


def parse_recipe(text: str) -> Recipe:
    """The preprocessing that a text means; raises UsageError with every word that is none, and why."""
    words = text[: MAX_TEXT + 1].split()
    if not words or len(text) > MAX_TEXT:
        found = f"{len(text)} characters" if words else "no word"
        raise UsageError(_wrong(text[:40], found, f"one of {', '.join(WORDS)} or more"))
    color, steps, problems = "", list[Step](), []
    for index, word in enumerate(_expanded(words)):
        name, equals, value = word.partition("=")
        try:
            if name == "color":
                color = _color(value, index)
            elif name in _PARSERS:
                steps.append(_PARSERS[name](value))
            elif name not in _SINGLE:
                close = difflib.get_close_matches(name, WORDS, n=3)
                hint = f"did you mean {' or '.join(close)}?" if close else ""
                problems.append(_wrong(word, "no such word", f"one of {', '.join(WORDS)}", hint))
            elif equals:
                raise _WrongValueError("no value")
            else:
                steps.append(Reshape(()))
        except _WrongValueError as error:
            problems.append(_wrong(word, f"the value {value!r}" if equals else "no value", str(error)))
    if problems:
        raise UsageError(problems)
    return Recipe(tuple(steps), color)


def _expanded(words: Sequence[str]) -> list[str]:
    return [each for word in words for each in PRESETS.get(word, word).split()]


def _wrong(word: str, found: str, expected: str, help: str = "") -> Diagnostic:
    return Diagnostic(
        "SNC0836", "the preprocessing cannot be read", found=found, expected=expected, help=help, node=word[:80]
    )


def _number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    # In this range, no number becomes 0 or infinite in float32.
    if value != 0 and not 1e-30 < abs(value) < 1e30:
        raise _WrongValueError("a number, such as 127 or 0.5")
    return value


def _color(text: str, index: int) -> str:
    if index:
        raise _WrongValueError("to be the first word: it says how images are decoded")
    return _one_of(text, tuple(COLORS))


def _scale(text: str) -> Scale:
    top, slash, bottom = text.partition("/")
    try:
        scale = Scale(_number(top), _number(bottom) if slash else 1.0)
    except _WrongValueError:
        raise _WrongValueError("a number or a fraction, such as 0.5 or 1/255") from None
    if 0 in (scale.numerator, scale.denominator):
        raise _WrongValueError("a number or a fraction without 0")
    return scale


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(_number(each) for each in text.split(","))
    except _WrongValueError:
        raise _WrongValueError("a number, or one for each channel: 0.485,0.456,0.406") from None


def _deviations(text: str) -> tuple[float, ...]:
    values = _numbers(text)
    if min(values) <= 0:
        raise _WrongValueError("numbers above 0")
    return values


def _extents(text: str, expected: str, largest: int) -> tuple[int, ...]:
    parts = text.split("x")
    whole = all(part.isascii() and part.isdecimal() and len(part) <= 10 for part in parts)
    if not whole or len(parts) > MAX_AXES or not all(1 <= int(part) <= largest for part in parts):
        raise _WrongValueError(expected)
    return tuple(int(part) for part in parts)


def _crop(text: str) -> Crop:
    expected = f"a side or height and width in pixels, at most {MAX_SIDE}: 224 or 224x320"
    height, *more = _extents(text, expected, MAX_SIDE)
    if len(more) > 1:
        raise _WrongValueError(expected)
    return Crop(height, more[0] if more else height)


def _resize(text: str) -> Resize:
    expected = f"the shorter side or height and width in pixels, at most {MAX_SIDE}: 256 or 224x224"
    height, *more = _extents(text, expected, MAX_SIDE)
    if len(more) > 1:
        raise _WrongValueError(expected)
    return Resize(height, *more)


def _one_of(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise _WrongValueError(f"one of {', '.join(known)}")
    return text


_PARSERS: Mapping[str, Callable[[str], Step]] = {
    "resize": _resize,
    "crop": _crop,
    "scale": _scale,
    "mean": lambda text: Mean(_numbers(text)),
    "std": lambda text: Std(_deviations(text)),
    "threshold": lambda text: Threshold(_number(text)),
    "dtype": lambda text: Convert(np.dtype(_one_of(text, DTYPES))),
    "given": lambda text: Given(_one_of(text, LAYOUTS)),
    "layout": lambda text: Layout(_one_of(text, LAYOUTS)),
    "reshape": lambda text: Reshape(_extents(text, "the extents of a sample, such as 1x28x28", 1 << 31)),
}
_SINGLE = ("flatten", *PRESETS)
WORDS = ("color", *_PARSERS, *_SINGLE)
"""All words."""
