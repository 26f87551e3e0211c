"""Object code on disk, so that a second process need not compile: a file per key, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import platformdirs

from .features import Features
from .llvm import VERSION

MAGIC = b"snc object code 1\n"
MAX_FILES = 64
"""Older files are removed beyond this number."""


def cache_folder() -> Path | None:
    """Where object code is kept; None if SNC_CACHE is `off`."""
    if os.environ.get("SNC_CACHE") == "off":
        return None
    return Path(platformdirs.user_cache_dir("snc")) / "jit"


def cache_key(source: bytes, target: Features) -> str:
    """SHA-256 over all that decides the object code: what the IR is made from, the target, llvmlite's version."""
    digest = hashlib.sha256()
    for part in (source, repr(target).encode(), VERSION.encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def source_digest(modules: Iterable[ModuleType]) -> bytes:
    """SHA-256 over the source text of modules that generate IR: cheaper than to generate it and as telling.

    Raises OSError if a module has no readable source file.
    """
    digest = hashlib.sha256()
    for module in modules:
        if module.__file__ is None:
            raise FileNotFoundError(module.__name__)
        digest.update(hashlib.sha256(Path(module.__file__).read_bytes()).digest())
    return digest.digest()


def read(key: str) -> bytes | None:
    """Object code stored under `key`; None if there is none or the file is damaged."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        data = (folder / key).read_bytes()
    except OSError:
        return None
    head, checksum, code = data[: len(MAGIC)], data[len(MAGIC) : len(MAGIC) + 32], data[len(MAGIC) + 32 :]
    return code if head == MAGIC and checksum == hashlib.sha256(code).digest() else None


def write(key: str, code: bytes) -> None:
    """Store object code. A folder that cannot be written is no error: the next process compiles again."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + hashlib.sha256(code).digest() + code)
            os.replace(name, folder / key)
        except BaseException:
            os.unlink(name)
            raise
        _trim(folder)
    except OSError:
        return


def _trim(folder: Path) -> None:
    """Remove the oldest files beyond MAX_FILES."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[MAX_FILES:]:
        path.unlink(missing_ok=True)
