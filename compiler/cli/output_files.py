"""Files that a verb writes: refused before the work when they cannot be written, whole or absent after it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UsageError
from ..whole_files import whole_file

Array = NDArray[Any]


def check_outputs(outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Raises UsageError with everything that is wrong: no folder, no permission, a file that is read as well."""
    problems = [problem for each in outputs if (problem := _problem(each, inputs)) is not None]
    places = [os.path.realpath(each) for each in outputs]
    problems += [
        _refusal(each, "the same file is named twice")
        for index, each in enumerate(outputs)
        if places[index] in places[:index]
    ]
    if problems:
        raise UsageError(problems)


def _problem(path: Path, inputs: Iterable[Path]) -> Diagnostic | None:
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        return _refusal(path, f"there is no folder {folder}", "make the folder first")
    if path.is_dir():
        return _refusal(path, "a folder", "name a file in it")
    if path.exists() and not path.is_file():
        return _refusal(path, "not a regular file")
    if not os.access(folder, os.W_OK | os.X_OK):
        return _refusal(path, f"no permission to write in {folder}")
    for each in inputs:
        with suppress(OSError):
            if path.samefile(each):
                return _refusal(path, "it is an input of this run", "choose another name")
    return None


def _refusal(path: Path, found: str, help: str = "") -> Diagnostic:
    return Diagnostic("SNC0701", "the output cannot be written", found=found, help=help, node=str(path))


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Makes the folder `path` where there is none; on any error one that was made is removed.

    Raises UsageError when it cannot be made.
    """
    if path.is_dir():
        yield
        return
    try:
        path.mkdir()
    except OSError as error:
        raise UsageError(_refusal(path, error.strerror or "", "name a folder in one that exists")) from None
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.rmdir()
        raise


def write_files(contents: Mapping[Path, bytes | memoryview]) -> None:
    """Writes all files, then puts them in place together; on any error or interrupt none is left half written."""
    with ExitStack() as stack:
        for path, content in contents.items():
            file = stack.enter_context(whole_file(path))
            file.write(content)
            # All of them are on the disk before the first takes its place.
            file.flush()
            os.fsync(file.fileno())


def array_content(arrays: Mapping[str, Array], path: Path) -> memoryview:
    """The bytes of a `.npz` file, or of a `.npy` file with the only array, as the path's ending says."""
    packed = io.BytesIO()
    if path.suffix == ".npz":
        # Not numpy.savez, which takes no array called "file".
        with zipfile.ZipFile(packed, "w") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    npy.write_array(file, array, allow_pickle=False)
    else:
        (array,) = arrays.values()
        npy.write_array(packed, array, allow_pickle=False)
    return packed.getbuffer()
