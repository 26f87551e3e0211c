"""The artefact: what a compilation leaves behind, one `.snc` file.

Members are texts, arrays (`weights.safetensors`), tables (`tables/<name>.bin`) and `manifest.json`, which holds the
size and SHA-256 of each other member and what the caller says about the build. The same content gives the same bytes.
The reader treats the file as hostile: nothing in it is run, unpacked or allocated before it is checked.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from attrs import frozen

from .. import __version__
from ..ir.diagnostics import Diagnostic, LimitExceeded, SncError, UnsafeInput, UsageError
from ..runtime.mapped_pages import release
from .artefact_arrays import (
    Array,
    Json,
    MalformedError,
    describe_dtype,
    json_bytes,
    pack_arrays,
    pack_table,
    read_json,
    unpack_arrays,
    unpack_table,
)
from .artefact_zip import MAX_BYTES, Buffer, container, open_container
from .whole_files import whole_file

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
TABLES = "tables/"
MAX_MANIFEST_BYTES = 16 << 20
_OWN_KEYS = frozenset({"format", "format_version", "snc_version", "members", "tables"})

T = TypeVar("T")


@frozen
class Artefact:
    """An artefact in memory: read-only views of the mapped file, valid as long as they are referred to."""

    path: str
    manifest: Mapping[str, Any]
    members: Mapping[str, memoryview]
    arrays: Mapping[str, Array]
    tables: Mapping[str, Array]

    def text(self, name: str) -> str:
        """A text member; UnsafeInput when it is missing or no UTF-8."""
        try:
            return bytes(self._member(name)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _unsafe("SNC0606", self.path, f"member {name} is not UTF-8 text", str(error)) from None

    def json(self, name: str) -> Any:
        """A canonical JSON member; UnsafeInput when it is missing or anything else."""
        return _checked("SNC0606", self.path, lambda: read_json(self._member(name)))

    def table(self, name: str, dtype: np.dtype[Any]) -> Array:
        """A table that must have this dtype; UnsafeInput when it is missing or has another."""
        if name not in self.tables:
            raise _unsafe("SNC0607", self.path, f"table {name} is missing")
        table = self.tables[name]
        if table.dtype != dtype:
            expected = json_bytes(describe_dtype(dtype)).decode()
            found = json_bytes(describe_dtype(table.dtype)).decode()
            raise _unsafe("SNC0607", self.path, f"table {name} has other columns", found, expected)
        return table

    def _member(self, name: str) -> memoryview:
        if name not in self.members:
            raise _unsafe("SNC0606", self.path, f"member {name} is missing")
        return self.members[name]


def write_artefact(
    path: str | Path,
    *,
    members: Mapping[str, Buffer],
    arrays: Mapping[str, Array],
    tables: Mapping[str, Array],
    manifest: Mapping[str, Json],
) -> None:
    """Writes an artefact, whole or not at all: a file that stood there before stays until the new one is complete.

    `manifest` adds the caller's keys (target, options, hash of the source model) to those kept here. Raises UsageError
    when the place cannot be written, LimitExceeded when the disk is full or the content over 4 GiB, and ValueError for
    member names, manifest keys, dtypes or values that an artefact cannot hold.
    """
    contents: dict[str, Sequence[Buffer]] = {name: [memoryview(data).cast("B")] for name, data in members.items()}
    described: dict[str, Json] = {}
    added: dict[str, Sequence[Buffer]] = {WEIGHTS: pack_arrays(arrays)}
    for name, table in tables.items():
        described[name], data = pack_table(table)
        added[f"{TABLES}{name}.bin"] = [data]
    taken = _OWN_KEYS & manifest.keys() | (added.keys() | {MANIFEST}) & contents.keys()
    if taken or any(name.startswith(TABLES) for name in contents):
        raise ValueError(f"names that an artefact keeps for itself: {sorted(taken) or TABLES}")
    contents.update(added)
    listed: dict[str, Json] = {
        name: {"sha256": _digest(pieces), "size": _size(pieces)} for name, pieces in contents.items()
    }
    own: dict[str, Json] = {
        "format": "snc",
        "format_version": FORMAT_VERSION,
        "snc_version": __version__,
        "members": listed,
        "tables": described,
    }
    text = json_bytes({**manifest, **own})
    if len(text) > MAX_MANIFEST_BYTES:
        raise ValueError(f"a manifest of {len(text)} bytes")
    contents[MANIFEST] = [text]
    _write_file(Path(path), container(contents))


def read_artefact(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Artefact:
    """Opens an artefact and checks all of it, hashes included; arrays and tables are views of the mapped file.

    Raises UsageError when there is no such file, UnsafeInput when it is not a file that `write_artefact` made, or
    damaged, LimitExceeded when it is longer than `max_bytes`.
    """
    where = str(path)
    contents = open_container(_map_file(where, max_bytes), where)
    if MANIFEST not in contents or len(contents[MANIFEST]) > MAX_MANIFEST_BYTES:
        raise _unsafe("SNC0604", where, "the manifest is missing or too large")
    raw_manifest = contents.pop(MANIFEST)
    manifest = _checked("SNC0604", where, lambda: read_json(raw_manifest))
    _check_manifest(manifest, contents, where)
    weights = contents.pop(WEIGHTS)
    arrays = _checked("SNC0606", where, lambda: unpack_arrays(weights))
    tables = {}
    for name, description in manifest["tables"].items():
        data = contents.pop(f"{TABLES}{name}.bin")
        tables[name] = _checked("SNC0607", where, partial(unpack_table, description, data))
    proxies = [MappingProxyType(each) for each in (manifest, contents, arrays, tables)]
    return Artefact(where, *proxies)


def _check_manifest(manifest: object, contents: Mapping[str, memoryview], where: str) -> None:
    """Format, version, and that the manifest's members are the container's, byte for byte."""
    if not isinstance(manifest, dict) or not manifest.keys() >= _OWN_KEYS or manifest["format"] != "snc":
        raise _unsafe("SNC0604", where, "the manifest is not one of snc", expected=", ".join(sorted(_OWN_KEYS)))
    if manifest["format_version"] != FORMAT_VERSION:
        found = f"version {str(manifest['format_version'])[:20]}, written by snc {str(manifest['snc_version'])[:20]}"
        raise _unsafe("SNC0604", where, "the artefact has another format version", found, f"version {FORMAT_VERSION}")
    listed, tables = manifest["members"], manifest["tables"]
    if not isinstance(listed, dict) or listed.keys() != contents.keys() or WEIGHTS not in contents:
        raise _unsafe("SNC0604", where, "the manifest lists other members than the file has")
    if not isinstance(tables, dict):
        raise _unsafe("SNC0604", where, "the manifest does not describe the tables")
    files = {name for name in contents if name.startswith(TABLES)}
    if files != {f"{TABLES}{name}.bin" for name in tables}:
        raise _unsafe("SNC0604", where, "the manifest describes other tables than the file has")
    for name, data in contents.items():
        if listed[name] != {"sha256": _digest([data]), "size": len(data)}:
            raise _unsafe("SNC0605", where, f"member {name} is not what the manifest says", "another size or SHA-256")
        release(np.frombuffer(data, np.uint8))


def _map_file(where: str, max_bytes: int) -> memoryview:
    """A regular file as read-only bytes."""
    try:
        handle = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise UsageError(Diagnostic("SNC0601", "cannot open the artefact", found=_reason(error), node=where)) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe("SNC0602", where, "not a regular file")
        if status.st_size > max_bytes:
            limit = f"at most {max_bytes} bytes"
            found = f"{status.st_size} bytes"
            raise LimitExceeded(
                Diagnostic("SNC0608", "the artefact is too large", found=found, expected=limit, node=where)
            )
        if status.st_size == 0:
            raise _unsafe("SNC0602", where, "the file is empty")
        return memoryview(mmap.mmap(handle, status.st_size, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)


def _write_file(path: Path, pieces: Iterable[Buffer]) -> None:
    """Writes a neighbour of `path` and renames it; on any error or interrupt the neighbour is removed."""
    try:
        target = os.path.realpath(path)
        if os.path.exists(target) and not os.path.isfile(target):
            raise UsageError(
                Diagnostic("SNC0601", "cannot write the artefact", found="not a regular file", node=str(path))
            )
        with whole_file(target) as file:
            for piece in pieces:
                file.write(piece)
        _sync_folder(os.path.dirname(target))
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from None


def _sync_folder(folder: str) -> None:
    """Makes the rename last; some file systems cannot, and the file is whole without it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_error(path: Path, error: OSError | ValueError) -> SncError:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    kind = LimitExceeded if full else UsageError
    help = "free some space" if full else "choose a folder that exists and that you may write to"
    return kind(Diagnostic("SNC0601", "cannot write the artefact", found=_reason(error), help=help, node=str(path)))


def _checked(code: str, where: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except MalformedError as error:
        raise _unsafe(code, where, "the artefact is malformed", str(error)) from None


def _digest(pieces: Iterable[Buffer]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _size(pieces: Iterable[Buffer]) -> int:
    return sum(len(piece) for piece in pieces)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _unsafe(code: str, where: str, message: str, found: str = "", expected: str = "") -> UnsafeInput:
    return UnsafeInput(Diagnostic(code, message, found=found, expected=expected, node=where))


def whole_number(value: object) -> int:
    """A number of a JSON member that counts something; raises ValueError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected a whole number, found {value!r}")
    return value


def unsound(artefact: Artefact, error: Exception) -> UnsafeInput:
    """The error of an artefact whose members are whole and do not make a program."""
    return UnsafeInput(
        Diagnostic(
            "SNC0610",
            "the artefact does not hold a sound program",
            node=artefact.path,
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            help="build it again with this version of snc",
        )
    )
