"""Every command and program that README shows runs as it stands there."""

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
