"""What the host's processor can do, and how much of it generated code may use."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

from attrs import evolve, frozen

from ...ir.diagnostics import Diagnostic, UsageError
from .llvm import binding

MODES = ("off", "portable", "auto")
"""`off`: numpy; `portable`: vector code without instructions of one processor family; `auto`: all that the host has."""


@frozen
class Features:
    """Target of generated code. `flags` is LLVM's feature string, `dot512` and `dot256` say which widths of vpdpbusd
    (sums of four u8 x s8 products in 32 bit lanes) may be used."""

    cpu: str
    flags: str
    x86: bool
    dot512: bool
    dot256: bool


@lru_cache(maxsize=1)
def _host() -> Features:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    flags = binding.get_host_cpu_features()
    x86 = binding.get_process_triple().startswith(("x86_64", "amd64"))
    dot512 = x86 and all(flags.get(name, False) for name in ("avx512f", "avx512bw", "avx512vnni"))
    dot256 = x86 and (flags.get("avxvnni", False) or (dot512 and flags.get("avx512vl", False)))
    return Features(binding.get_host_cpu_name(), flags.flatten(), x86, dot512, dot256)


def jit_mode(mode: str | None = None) -> str:
    """`mode`, or what SNC_JIT says, or "auto"; "off" on machines that are not 64 bit little-endian.

    Raises UsageError for an unknown mode.
    """
    chosen = mode if mode is not None else os.environ.get("SNC_JIT", "auto")
    if chosen not in MODES:
        raise UsageError(Diagnostic("SNC0552", "unknown JIT mode", found=chosen, expected=" | ".join(MODES)))
    return chosen if sys.maxsize > 1 << 32 and sys.byteorder == "little" else "off"


def features(mode: str) -> Features:
    """The host's features as far as `mode` ("portable" or "auto") lets code use them."""
    host = _host()
    return host if mode == "auto" else evolve(host, x86=False, dot512=False, dot256=False)
