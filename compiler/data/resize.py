"""Images of another size, by pillow's bilinear filter over the area of a pixel, as torchvision's `Resize` has it."""

from __future__ import annotations

from types import ModuleType
from typing import ClassVar

import attrs
import numpy as np
from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from .dataset import Array
from .steps import CHANNEL_AXIS, Sample, StepError, image_axis, with_extents

MAX_SIDE = 1 << 13
"""Longest side of an image that is made, in pixels."""


@frozen
class Resize:
    """To `height` x `width`; without `width`, the shorter side to `height` and the longer in proportion."""

    word: ClassVar[str] = "resize"
    height: int
    width: int | None = None

    def after(self, sample: Sample) -> Sample:
        axis = image_axis(sample)
        channels = sample.shape[CHANNEL_AXIS[sample.layout]] if sample.layout in CHANNEL_AXIS else 1
        if sample.dtype != np.uint8 or channels not in (1, 3):
            raise StepError(f"samples {sample}", "uint8 images of 1 or 3 channels: put it before other steps")
        return attrs.evolve(sample, shape=with_extents(sample, *self._extents(*sample.shape[axis : axis + 2])))

    def _extents(self, rows: int | None, columns: int | None) -> tuple[int | None, int | None]:
        if self.width is not None:
            return self.height, self.width
        if rows is None or columns is None:
            return None, None
        longer = int(self.height * max(rows, columns) / min(rows, columns))
        if longer > MAX_SIDE:
            raise StepError(f"an image of {rows}x{columns}, to be {longer} pixels long", f"at most {MAX_SIDE} pixels")
        return (longer, self.height) if columns <= rows else (self.height, longer)

    def apply(self, batch: Array, sample: Sample) -> Array:
        image = pillow().Image
        last = sample.layout == "nchw"
        ordered = np.moveaxis(batch, 1, 3) if last else batch
        height, width = self._extents(*ordered.shape[1:3])
        single = ordered.ndim == 4 and ordered.shape[3] == 1
        resized = np.stack(
            [
                np.asarray(
                    image.fromarray(np.ascontiguousarray(each[..., 0] if single else each)).resize(
                        (width, height), image.Resampling.BILINEAR
                    )
                )
                for each in ordered
            ]
        )
        resized = resized[..., np.newaxis] if single else resized
        return np.moveaxis(resized, 3, 1) if last else resized


def pillow() -> ModuleType:
    """The package PIL with its module Image; raises UsageError where it is not installed."""
    try:
        import PIL.Image
    except ImportError:
        raise UsageError(
            Diagnostic("SNC0839", "images need the package pillow", help="pip install 'snc[images]'")
        ) from None
    return PIL
