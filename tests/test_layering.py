"""Imports point down: compiler -> backends -> passes -> ir; compiler, backends -> runtime -> ir."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {"ir": set[str](), "passes": {"ir"}, "runtime": {"ir"}, "backends": {"passes", "runtime", "ir"}}
BELOW["compiler"] = {"backends", *BELOW["backends"]}


def imported(path: Path) -> set[str]:
    """The first name of every import: under the root for relative imports, behind a slash for absolute ones."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update("/" + alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            absolute = f"/{node.module}".split(".")
            base = path.relative_to(ROOT).parts[: -node.level] if node.level else absolute
            found.update((*base, *(node.module or alias.name).split("."))[0] for alias in node.names)
    return found


@pytest.mark.parametrize("folder", BELOW)
def test_imports_point_down(folder: str) -> None:
    wrong = {f"/{name}" for name in ("snc", *BELOW)} | set(BELOW) - BELOW[folder] - {folder}
    found = {str(path): imported(path) & wrong for path in (ROOT / folder).rglob("*.py")}
    assert not {path: names for path, names in found.items() if names}
