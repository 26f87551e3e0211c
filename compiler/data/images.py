"""Folders of images: one sub-folder a class, or all in one folder with their labels in a text file."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from ...ir.diagnostics import Diagnostic, SncError, UsageError
from .columns import ArrayColumn, Column
from .dataset import Array, Field
from .files import content_of
from .prepared import prepared
from .problems import cannot_open, damaged, too_large
from .recipe import COLORS, Recipe
from .resize import pillow
from .steps import Sample
from .text_labels import read_named_numbers, read_numbers

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP")
"""What pillow is asked to decode; it knows formats that run other programs."""
MODES = {"rgb": "RGB", "gray": "L"}
DECODED_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""What becomes 8 bits of gray or RGB without loss of range."""
LABEL_FILES = ("labels.csv", "labels.txt")
MAX_IMAGES = 1 << 22
MAX_CLASSES = 1 << 16
MAX_IMAGE_BYTES = 1 << 28
MAX_PIXELS = 1 << 26
"""Most pixels of an image, known before it is decoded."""


@frozen
class Listing:
    """Images in the order of the samples, by their names in the folder, and the class of each where folders say it."""

    folder: Path
    names: tuple[str, ...]
    classes: Array | None


@frozen(eq=False)
class ImageColumn:
    """Images [rows, columns, channels], decoded one after another and brought to one size by `sizing`."""

    listing: Listing
    color: str
    sizing: Recipe
    field: Field

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.listing.names)

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """The images; raises UnsafeInput for one that is damaged, UsageError for one of another size than the first."""
        for start in range(0, self.count, size):
            yield np.stack([self._image(name) for name in self.listing.names[start : start + size]])

    def _image(self, name: str) -> Array:
        path = self.listing.folder / name
        pixels = decoded(path, self.color)
        image = self.sizing.apply(pixels[np.newaxis], Sample(pixels.shape, pixels.dtype, "nhwc"), str(path))[0]
        if image.shape != self.field.shape:
            raise _layout(
                path,
                "the images have different sizes",
                f"{image.shape[0]}x{image.shape[1]}, the first has {self.field.shape[0]}x{self.field.shape[1]}",
                "images of one size",
                "bring them to one with --preprocess 'resize=256 crop=224'",
            )
        return image


def image_column(listing: Listing, recipe: Recipe) -> Column:
    """The images of a folder after a preprocessing; the size of the first stands for all, unless the steps make one."""
    color = recipe.color or "rgb"
    source = str(listing.folder)
    if recipe.fixes_size:
        sizing, rest = recipe.split(Sample((None, None, COLORS[color]), np.dtype(np.uint8), "nhwc"), source)
    else:
        sizing, rest = Recipe(), recipe
    first = decoded(listing.folder / listing.names[0], color)
    sample = sizing.after(Sample(first.shape, first.dtype, "nhwc"), str(listing.folder / listing.names[0]))
    field = Field(tuple(extent for extent in sample.shape if extent is not None), sample.dtype)
    return prepared(source, "", ImageColumn(listing, color, sizing, field), rest, sample.layout)


def decoded(path: Path, color: str) -> Array:
    """The pixels of an image, uint8 [rows, columns, 1 or 3]; transparency is left out, as is a rotation by EXIF."""
    image = pillow().Image
    content = io.BytesIO(content_of(path, MAX_IMAGE_BYTES))
    try:
        # pillow warns of large images, which are refused here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with image.open(content, formats=FORMATS) as opened:
                _check_image(opened, path)
                pixels = np.asarray(opened.convert(MODES[color]))
    except (SncError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise errors of many kinds for damaged files.
        raise _refused(error, path, image.DecompressionBombError) from None
    return pixels.reshape(*pixels.shape[:2], COLORS[color])


def _check_image(opened: Any, path: Path) -> None:
    """Raises for an image that is too large, or has values that 8 bits do not hold, before it is decoded."""
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise too_large(str(path), f"{height}x{width} pixels", f"{MAX_PIXELS} pixels")
    if opened.mode not in DECODED_MODES:
        raise _layout(path, "the image has pixels of an unusual kind", f"mode {opened.mode}", "8 bits a channel")


def _refused(error: Exception, path: Path, bomb: type[Exception]) -> SncError:
    if isinstance(error, bomb):
        return too_large(str(path), str(error)[:100], f"{MAX_PIXELS} pixels")
    found = next(iter(str(error).splitlines()), "") or type(error).__name__
    return damaged(path, found[:100], f"an image: {', '.join(FORMATS)}")


def list_images(folder: Path) -> Listing:
    """The images of a folder in the order of their names; hidden files are passed over.

    Raises UsageError for files that are no images, for folders within folders of classes, and where there is no image.
    """
    folders, images = _entries(folder)
    if not folders:
        if not images:
            raise _layout(folder, "the folder has no images", "no file", f"files that end in {', '.join(ENDINGS)}")
        return Listing(folder, tuple(images), None)
    if images:
        found = f"images ({images[0]}) beside folders ({folders[0]})"
        raise _layout(folder, "which class have the images?", found, "a folder for each class, or images alone")
    if len(folders) > MAX_CLASSES:
        raise too_large(str(folder), f"{len(folders)} classes", f"{MAX_CLASSES} classes")
    names: list[str] = []
    counts = []
    for each in folders:
        inner, members = _entries(folder / each)
        if inner or not members:
            found = f"a folder within it: {inner[0]}" if inner else "no image"
            raise _layout(folder / each, "this is no class", found, "images, one or more")
        names += [f"{each}/{member}" for member in members]
        counts.append(len(members))
        if len(names) > MAX_IMAGES:
            raise too_large(str(folder), f"over {MAX_IMAGES} images", f"{MAX_IMAGES} images")
    return Listing(folder, tuple(names), np.repeat(np.arange(len(folders)), counts))


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Folders and images, each sorted by name."""
    folders: list[str] = []
    images: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in LABEL_FILES:
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                else:
                    (images if entry.name.lower().endswith(ENDINGS) else others).append(entry.name)
                if len(folders) + len(images) + len(others) > MAX_IMAGES:
                    raise too_large(str(folder), f"over {MAX_IMAGES} files", f"{MAX_IMAGES} files")
    except OSError as error:
        raise cannot_open(folder, error.strerror or str(error)) from None
    if others:
        found = f"{min(others)}{f' and {len(others) - 1} more' if len(others) > 1 else ''}"
        raise _layout(folder, "files that are no images", found, f"files that end in {', '.join(ENDINGS)}")
    return sorted(folders), sorted(images)


def folder_labels(listing: Listing) -> Column | None:
    """The labels that the folder gives: its sub-folders, `labels.csv` or `labels.txt`; None where there are none."""
    files = [listing.folder / name for name in LABEL_FILES if os.path.lexists(listing.folder / name)]
    if listing.classes is not None:
        if files:
            raise _layout(listing.folder, "labels are given twice", f"{files[0].name} and folders", "one of them")
        return ArrayColumn(listing.classes)
    if len(files) > 1:
        raise _layout(listing.folder, "labels are given twice", " and ".join(LABEL_FILES), "one of them")
    if not files:
        return None
    (path,) = files
    named = path.suffix == ".csv"
    return ArrayColumn(read_named_numbers(path, listing.names) if named else read_numbers(path))


def _layout(path: Path, message: str, found: str, expected: str, help: str = "") -> UsageError:
    return UsageError(Diagnostic("SNC0838", message, found=found, expected=expected, help=help, node=str(path)))
