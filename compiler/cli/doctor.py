"""snc doctor: does this installation work?"""

from __future__ import annotations

from typing import Any

import click

from .errors import FAILED
from .options import json_option


@click.command(epilog="\b\nExamples:\n  snc doctor\n  SNC_JIT=off snc doctor\n")
@json_option
def doctor(as_json: bool) -> int:
    """Check this installation: versions, processor, machine code, cache. Exit code 4 when something does not work."""
    from .console import print_facts, print_json

    facts = _facts()
    tests = {"machine code": _self_test(), "cache": _cache_test()}
    code = FAILED if any(problem for problem in tests.values()) else 0
    if as_json:
        checks = {name: problem or "ok" for name, problem in tests.items()}
        print_json("doctor", {"facts": facts, "checks": checks}, code=code)
        return code
    print_facts("snc", [(name, str(value)) for name, value in facts.items()])
    print_facts("checks", [(name, f"FAILED: {problem}" if problem else "ok") for name, problem in tests.items()])
    return code


def _facts() -> dict[str, Any]:
    import os
    import platform
    from importlib import metadata

    from ... import __version__
    from ...runtime.jit.cache import cache_folder
    from ...runtime.jit.features import features, jit_mode
    from ...runtime.spinn2.executor import thread_count

    host = features("auto")
    used = [width for width, has in (("512 bit", host.dot512), ("256 bit", host.dot256)) if has]
    libraries = ("numpy", "onnx", "protobuf", "llvmlite", "click", "rich")
    return {
        "snc": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.machine()}",
        **{name: metadata.version(name) for name in libraries},
        "processor": host.cpu,
        "byte dot products": f"{' and '.join(used)} (VNNI)" if used else "none, multiply and add instead",
        "machine code": jit_mode(),
        "threads": f"{thread_count()} of {os.cpu_count()} processors",
        "cache": str(cache_folder() or "off (SNC_CACHE)"),
    }


def _self_test() -> str:
    """What is wrong with running a small network by machine code; empty when its values are the interpreter's."""
    from ..self_test import differing_integers

    try:
        wrong = differing_integers()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"{wrong} integers differ from the reference interpreter" if wrong else ""


def _cache_test() -> str:
    """Why object code cannot be kept; empty when it can, or is not to be."""
    import os

    from ...runtime.jit.cache import cache_folder

    folder = cache_folder()
    if folder is None:
        return ""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} cannot be written"
