"""The steps of a preprocessing, each a word of its text: what they make of samples, and of what is known of samples.

Arrays are [N, ...]. A step keeps the order of samples and treats each alike. Arithmetic is in float32, in float64 where
the samples are.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
from attrs import frozen

from .dataset import Array

CHANNEL_AXIS = {"nhwc": 2, "nchw": 0}
"""The axis of channels within a sample."""
ROW_AXIS = {"nhwc": 0, "nchw": 1, "nhw": 0}
"""The axis of rows within a sample; columns follow."""


class StepError(ValueError):
    """A step that does not fit the samples; the text says what they are, `expected` what they should be."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.expected = expected


@frozen
class Sample:
    """What is known of a sample: extents (None for those that differ), type, and which axes are what.

    `layout` is nhwc, nchw, nhw, or empty where the axes have no such meaning.
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    layout: str = ""

    def __str__(self) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"[{extents}] {self.dtype}{f' {self.layout}' if self.layout else ''}"


class Step(Protocol):
    """One step."""

    word: ClassVar[str]

    def after(self, sample: Sample) -> Sample:
        """What is known of samples after the step; raises StepError where it does not fit them."""

    def apply(self, batch: Array, sample: Sample) -> Array:
        """The samples [N, ...] after the step; `sample` describes those before it."""


@frozen
class Scale:
    """Multiplies by numerator / denominator, the division last."""

    word: ClassVar[str] = "scale"
    numerator: float
    denominator: float = 1.0

    def after(self, sample: Sample) -> Sample:
        return _as_float(sample)

    def apply(self, batch: Array, sample: Sample) -> Array:
        values = batch.astype(_float_type(sample), copy=False)
        kind = values.dtype.type
        if self.numerator != 1:
            values = values * kind(self.numerator)
        return values / kind(self.denominator) if self.denominator != 1 else values


@frozen
class Mean:
    """Subtracts a number, or one for each channel."""

    word: ClassVar[str] = "mean"
    values: tuple[float, ...]

    def after(self, sample: Sample) -> Sample:
        _check_channels(sample, self.values)
        return _as_float(sample)

    def apply(self, batch: Array, sample: Sample) -> Array:
        return batch.astype(_float_type(sample), copy=False) - _by_channel(sample, self.values)


@frozen
class Std:
    """Divides by a number, or by one for each channel."""

    word: ClassVar[str] = "std"
    values: tuple[float, ...]

    def after(self, sample: Sample) -> Sample:
        _check_channels(sample, self.values)
        return _as_float(sample)

    def apply(self, batch: Array, sample: Sample) -> Array:
        return batch.astype(_float_type(sample), copy=False) / _by_channel(sample, self.values)


@frozen
class Threshold:
    """1 where the value is above, else 0; uint8."""

    word: ClassVar[str] = "threshold"
    value: float

    def after(self, sample: Sample) -> Sample:
        return attrs.evolve(sample, dtype=np.dtype(np.uint8))

    def apply(self, batch: Array, sample: Sample) -> Array:
        return (batch > self.value).astype(np.uint8)


@frozen
class Convert:
    """Another type: floats round to the nearest; what a whole-number type cannot hold exactly is refused."""

    word: ClassVar[str] = "dtype"
    dtype: np.dtype[Any]

    def after(self, sample: Sample) -> Sample:
        return attrs.evolve(sample, dtype=self.dtype)

    def apply(self, batch: Array, sample: Sample) -> Array:
        if self.dtype.kind in "biu":
            low, high = (0, 1) if self.dtype.kind == "b" else (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
            # A float type may not hold `high`, but then it holds `high + 1`, a power of two.
            inside = (batch >= low) & (batch < float(high) + 1 if batch.dtype.kind == "f" else batch <= high)
            wrong = ~(inside & (batch == np.rint(batch)) if batch.dtype.kind == "f" else inside)
            if wrong.any():
                first = batch.reshape(-1)[int(wrong.reshape(-1).argmax())]
                raise StepError(f"the value {first}", f"whole numbers from {low} to {high}")
        return batch.astype(self.dtype, copy=False)


@frozen
class Reshape:
    """Another shape for each sample, of as many numbers; empty for one axis (`flatten`)."""

    word: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def after(self, sample: Sample) -> Sample:
        size = math.prod(_known(sample))
        if self.shape and math.prod(self.shape) != size:
            raise StepError(f"samples {sample}, {size} numbers", f"{math.prod(self.shape)} numbers a sample")
        return Sample(self.shape or (size,), sample.dtype)

    def apply(self, batch: Array, sample: Sample) -> Array:
        return batch.reshape(len(batch), *_known(self.after(sample)))


@frozen
class Given:
    """Says which axes are what, and changes nothing."""

    word: ClassVar[str] = "given"
    layout: str

    def after(self, sample: Sample) -> Sample:
        if sample.layout not in ("", self.layout):
            raise StepError(f"samples {sample}", f"samples that are not {sample.layout} already")
        if len(sample.shape) != len(self.layout) - 1:
            raise StepError(f"samples {sample}", f"samples of {len(self.layout) - 1} axes")
        return attrs.evolve(sample, layout=self.layout)

    def apply(self, batch: Array, sample: Sample) -> Array:
        return batch


@frozen
class Layout:
    """Moves the channels, to the front (nchw) or to the end (nhwc)."""

    word: ClassVar[str] = "layout"
    layout: str

    def after(self, sample: Sample) -> Sample:
        other = "nhwc" if self.layout == "nchw" else "nchw"
        if len(sample.shape) != 3 or sample.layout not in ("", other):
            raise StepError(f"samples {sample}", f"samples of 3 axes, {other}")
        first, second, third = sample.shape
        moved = (third, first, second) if self.layout == "nchw" else (second, third, first)
        return Sample(moved, sample.dtype, self.layout)

    def apply(self, batch: Array, sample: Sample) -> Array:
        source, target = (3, 1) if self.layout == "nchw" else (1, 3)
        return np.moveaxis(batch, source, target)


@frozen
class Crop:
    """The middle `height` x `width` of an image; an odd pixel too many is cut as torchvision cuts it."""

    word: ClassVar[str] = "crop"
    height: int
    width: int

    def after(self, sample: Sample) -> Sample:
        axis = image_axis(sample)
        for have, want in zip(sample.shape[axis : axis + 2], (self.height, self.width), strict=True):
            if have is not None and have < want:
                raise StepError(f"images {sample}", f"at least {self.height}x{self.width}, which resize can make")
        return attrs.evolve(sample, shape=with_extents(sample, self.height, self.width))

    def apply(self, batch: Array, sample: Sample) -> Array:
        axis = image_axis(sample)
        rows, columns = _known(sample)[axis : axis + 2]
        top, left = round((rows - self.height) / 2.0), round((columns - self.width) / 2.0)
        cut = (slice(top, top + self.height), slice(left, left + self.width))
        return batch[(slice(None),) * (axis + 1) + cut]


def image_axis(sample: Sample) -> int:
    """The axis of rows within a sample; raises StepError where it is not known."""
    if sample.layout in ROW_AXIS:
        return ROW_AXIS[sample.layout]
    if len(sample.shape) == 2:
        return 0
    raise StepError(f"samples {sample}", "images: say given=nhwc or given=nchw before it")


def with_extents(sample: Sample, height: int | None, width: int | None) -> tuple[int | None, ...]:
    """The shape of a sample whose image has another size."""
    axis = image_axis(sample)
    return (*sample.shape[:axis], height, width, *sample.shape[axis + 2 :])


def _known(sample: Sample) -> tuple[int, ...]:
    extents = tuple(extent for extent in sample.shape if extent is not None)
    if len(extents) != len(sample.shape):
        raise StepError(f"images of different sizes, {sample}", "one size, which resize=HxW or crop can make")
    return extents


def _as_float(sample: Sample) -> Sample:
    return attrs.evolve(sample, dtype=_float_type(sample))


def _float_type(sample: Sample) -> np.dtype[Any]:
    return np.dtype(np.float64 if sample.dtype == np.float64 else np.float32)


def _check_channels(sample: Sample, values: tuple[float, ...]) -> None:
    if len(values) == 1:
        return
    if sample.layout not in CHANNEL_AXIS:
        raise StepError(f"samples {sample}", "images: say given=nhwc or given=nchw before it")
    channels = sample.shape[CHANNEL_AXIS[sample.layout]]
    if channels != len(values):
        raise StepError(f"{len(values)} numbers for samples {sample}", f"1 number, or {channels}")


def _by_channel(sample: Sample, values: tuple[float, ...]) -> Array:
    """The values in a shape that broadcasts over samples."""
    array = np.array(values, _float_type(sample))
    if len(values) == 1:
        return array.reshape(())
    after = len(sample.shape) - 1 - CHANNEL_AXIS[sample.layout]
    return array.reshape(-1, *(1,) * after)
