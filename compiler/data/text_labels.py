"""Labels in text files: one number a line, or a file's name and its number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dataset import Array
from .files import content_of
from .problems import damaged, wrong_labels

MAX_TEXT_BYTES = 1 << 27
TEXT_ENDINGS = (".txt", ".csv")
_CLASS = re.compile(r"\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)


def read_numbers(path: Path) -> Array:
    """One number a line, int64 [N] where all are classes, else float64 [N]; raises UnsafeInput, UsageError."""
    return _numbers(path, _lines(path))


def read_named_numbers(path: Path, names: Sequence[str]) -> Array:
    """The numbers of `names` in their order, from lines `name,number`, the first of which may be `file,label`.

    Raises UsageError unless each name has one line, and each line a name of these.
    """
    lines = _lines(path)
    if lines and lines[0].replace(" ", "").lower() == "file,label":
        lines = lines[1:]
    found: dict[str, str] = {}
    for line in lines:
        name, comma, number = (part.strip() for part in line.rpartition(","))
        if not comma or name in found:
            what = f"the line {line[:60]!r}" if not comma else f"two lines for {name[:60]}"
            raise wrong_labels(str(path), what, "a line file,label for each image")
        found[name] = number
    missing, extra = [name for name in names if name not in found], found.keys() - set(names)
    if missing or extra:
        first = f"no label for {missing[0]}" if missing else f"a label for {min(extra)[:60]}, which is no image"
        others = len(missing) + len(extra) - 1
        more = f", and {others} more such names" if others else ""
        raise wrong_labels(str(path), first + more, "a line file,label for each image")
    return _numbers(path, [found[name] for name in names])


def _lines(path: Path) -> list[str]:
    try:
        return content_of(path, MAX_TEXT_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise damaged(path, f"byte {error.start} is no UTF-8", "a text, UTF-8") from None


def _numbers(path: Path, texts: Sequence[str]) -> Array:
    stripped = [text.strip() for text in texts]
    if all(_CLASS.fullmatch(text) for text in stripped):
        return np.array([int(text) for text in stripped], np.int64)
    for index, text in enumerate(stripped):
        if not _NUMBER.fullmatch(text):
            raise wrong_labels(str(path), f"{text[:60]!r} for sample {index}", "a class or a number for each sample")
    return np.array([float(text) for text in stripped], np.float64)
