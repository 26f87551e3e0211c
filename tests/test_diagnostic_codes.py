"""Codes of diagnostics: each means one thing, wherever it is raised."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = {
    "SNC0101": "an operator that is not known; the example in the docstring of Diagnostic",
    "SNC0190": "a value that cannot be computed: of a constant, and of a function's constant",
    "SNC0401": "wrong number of inputs: checked by executables and by the interpreter",
    "SNC0402": "an input that does not fit",
    "SNC0392": "text that is not UTF-8, from a file or from standard input",
    "SNC0403": "NaN or infinite values in an input",
    "SNC0423": "samples that lack an input",
    "SNC0440": "a layer that cannot be cut into pieces: by the pass, and by the mapping that cuts again",
    "SNC0463": "a soft activation that became a step: raised by the pass, counted by the compiler",
    "SNC0506": "a key of a machine file that cannot be",
    "SNC0572": "too many neurons on a core",
    "SNC0649": "workers with another version of snc",
    "SNC0650": "an extra that is not installed",
    "SNC0654": "a model, or data, too large for a sweep or a cluster",
    "SNC0721": "a program that differs from its network",
    "SNC0790": "a bug of snc, in a command or in a point of a sweep",
    "SNC0791": "not enough memory",
}
"""Codes that stand in two areas of the source, with what they mean in both."""


def areas() -> dict[str, set[str]]:
    """The codes, and the areas in which they stand: two folders deep."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in ("ir", "passes", "backends", "runtime", "compiler"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).parent.parts[:2]
            for code in re.findall(r"\bSNC\d{4}\b", path.read_text(encoding="utf-8")):
                found[code].add("/".join(parts))
    return found


class TestCodes:
    def test_a_code_belongs_to_one_area(self) -> None:
        clashes = {code: sorted(where) for code, where in areas().items() if len(where) > 1 and code not in SHARED}
        assert not clashes

    @pytest.mark.parametrize("code", sorted(SHARED))
    def test_shared_codes_are_shared(self, code: str) -> None:
        assert len(areas()[code]) > 1
