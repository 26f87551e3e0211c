"""Lets go of what was read of a mapped file: pages that were touched count as memory of the process until then."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

_RELEASE = getattr(mmap, "MADV_DONTNEED", None)


def release(array: npt.NDArray[Any]) -> None:
    """The system may take back the pages that hold a contiguous view of a mapped file; reading brings them back.

    Nothing happens for other memory, nor where the system has no such call. A map that can be written is left alone:
    its pages may hold what is in no file.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if not isinstance(owner, mmap.mmap) or _RELEASE is None or array.size == 0:
        return
    view = memoryview(owner)
    if not view.readonly:
        return
    start = array.ctypes.data - np.frombuffer(view, np.uint8).ctypes.data
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    owner.madvise(_RELEASE, first, start + array.nbytes - first)
