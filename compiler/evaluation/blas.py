"""Keeps the products of numpy to one thread: the artefact runs on the other processors meanwhile.

Threads of BLAS wait for each other without rest. Where others want the processors too, as here, a product of small
matrices takes ten times as long with two of them as with one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Lock

from attrs import define

CALLS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)
"""What reads and sets the number of threads, by library."""
USERS = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
"""The module of numpy that is linked with BLAS, by version."""


@define
class _Limit:
    """How many ask for one thread, and how many threads there were before."""

    asked: int = 0
    before: int = 0


_LIMIT, _LOCK = _Limit(), Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within, and in all threads of the process, products take one thread; no effect for libraries of other names."""
    calls = _calls()
    if calls is None:
        yield
        return
    threads, set_threads = calls
    with _LOCK:
        if _LIMIT.asked == 0:
            _LIMIT.before = threads()
            set_threads(1)
        _LIMIT.asked += 1
    try:
        yield
    finally:
        with _LOCK:
            _LIMIT.asked -= 1
            if _LIMIT.asked == 0:
                set_threads(_LIMIT.before)


def _calls() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """What reads and sets the number of threads of the BLAS that numpy is linked with."""
    library = _library()
    for names in CALLS:
        if library is not None and all(hasattr(library, name) for name in names):
            threads, set_threads = (getattr(library, name) for name in names)
            return threads, set_threads
    return None


def _library() -> ctypes.CDLL | None:
    """numpy's own module: a name that is looked up in it is looked for in what it is linked with."""
    for name in USERS:
        try:
            found = find_spec(name)
            if found is not None and found.origin is not None:
                return ctypes.CDLL(found.origin)
        except (ImportError, OSError):
            continue
    return None
