"""Object code on disk, so that a second process need not compile: a file per key, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

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


def cache_key(text: str, target: Features) -> str:
    """SHA-256 over all that decides the object code: IR text, CPU, CPU features, llvmlite version."""
    digest = hashlib.sha256()
    for part in (text, target.cpu, target.flags, VERSION):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


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
