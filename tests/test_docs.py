"""Every command and program that README and the pages of docs show runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PAGES = {
    page.name: re.findall(r"```(console|python)\n(.*?)```", page.read_text(), re.DOTALL)
    for page in sorted((ROOT / "docs").glob("*.md"))
}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/digits to work in."""
    return shutil.copytree(ROOT / "examples" / "digits", tmp_path_factory.mktemp("docs") / "digits")


class TestReadme:
    def test_commands_run_in_their_order(self, digits: Path) -> None:
        assert len(COMMANDS) >= 8
        for command in COMMANDS:
            words = shlex.split(command)
            assert words[0] == "snc"
            done = subprocess.run(
                [sys.executable, "-m", "snc", *words[1:]], cwd=digits, env=ENVIRONMENT, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_programs_run(self, program: str, digits: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=digits, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def test_linked_files_exist(self) -> None:
        for target in re.findall(r"\]\(([^)#]+)\)", README):
            assert (ROOT / target).exists(), target


class TestPages:
    """Blocks of a page run in their order, in a copy of tests/data."""

    @pytest.mark.parametrize("page", [page for page, blocks in PAGES.items() if blocks])
    def test_commands_and_programs_run(self, page: str, tmp_path: Path) -> None:
        folder = shutil.copytree(ROOT / "tests" / "data", tmp_path / "data")
        for kind, block in PAGES[page]:
            shown = [["-c", block]]
            if kind == "console":
                commands = [shlex.split(line.removeprefix("$ ")) for line in block.splitlines()]
                assert all(words[0] == "snc" for words in commands)
                shown = [["-m", "snc", *words[1:]] for words in commands]
            for words in shown:
                done = subprocess.run(
                    [sys.executable, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
