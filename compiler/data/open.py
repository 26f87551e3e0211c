"""Data of any kind that is known, by the look of the file."""

from __future__ import annotations

from pathlib import Path

from .columns import ArrayColumn, Column, ColumnDataSet, check_columns
from .dataset import DataSet
from .files import open_file
from .idx import GZIP, MAGIC_BYTES, idx_column, is_idx
from .labels import LABEL_NAMES, checked_labels
from .numpy_files import NPY, ZIP, npy_column, npz_columns
from .prepared import check_arrays, prepared
from .problems import KINDS, damaged, wrong_labels
from .recipe import Recipe, parse_recipe
from .text_labels import TEXT_ENDINGS, read_numbers


def open_data(path: Path, *, labels: Path | None = None, preprocess: str | None = None) -> DataSet:
    """The data set in a file or folder: `.npz`, `.npy`, IDX or a folder of images (see docs/data.md).

    An archive holds samples under the inputs' names, and labels under one of `LABEL_NAMES` unless `labels` names a file
    of them; one array alone has the empty name. `preprocess` is the text of a `Recipe`, for every input. Labels and
    headers are checked here, samples as they are read. Raises UsageError, UnsafeInput and LimitExceeded.
    """
    recipe = Recipe() if preprocess is None else parse_recipe(preprocess)
    source = str(path)
    if path.is_dir():
        from .images import folder_labels, image_column, list_images

        listing = list_images(path)
        label_column = folder_labels(listing)
        columns = {"": image_column(listing, recipe)}
    else:
        check_arrays(recipe, source)
        held = _columns(path)
        label_column = _taken(held, source) if labels is None else None
        columns = {name: prepared(source, name, column, recipe) for name, column in held.items()}
    place = source
    if labels is not None:
        if label_column is not None:
            raise wrong_labels(source, f"labels in the folder and in {labels}", "labels in one place")
        label_column, place = _label_file(labels), str(labels)
    if label_column is not None:
        label_column = checked_labels(label_column, place)
    check_columns(source, columns, label_column)
    return ColumnDataSet(source, columns, label_column)


def _columns(path: Path) -> dict[str, Column]:
    """The arrays of a file, by name in an archive."""
    with open_file(path) as file:
        start = file.read(max(MAGIC_BYTES, len(NPY)))
    if start.startswith(ZIP):
        return npz_columns(path)
    if start.startswith(NPY):
        return {"": npy_column(path)}
    if start.startswith(GZIP) or is_idx(start[:MAGIC_BYTES]):
        return {"": idx_column(path)}
    raise damaged(path, f"it begins with {start.hex(' ') or 'nothing'}", KINDS)


def _taken(columns: dict[str, Column], source: str) -> Column | None:
    """The labels among arrays, which they leave."""
    found = [name for name in LABEL_NAMES if name in columns]
    if len(found) > 1:
        raise wrong_labels(source, f"labels under {' and '.join(found)}", "one array of labels")
    return columns.pop(found[0]) if found else None


def _label_file(path: Path) -> Column:
    """The labels of a file of their own."""
    if path.suffix.lower() in TEXT_ENDINGS:
        return ArrayColumn(read_numbers(path))
    columns = _columns(path)
    if len(columns) == 1:
        return next(iter(columns.values()))
    found = _taken(columns, str(path))
    if found is None:
        raise wrong_labels(str(path), f"arrays {', '.join(columns)[:80]}", f"one array, or {', '.join(LABEL_NAMES)}")
    return found
