"""The frame around all verbs: help, errors, exit codes, signals, pipes, colours."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snc import __version__
from snc.compiler.cli.app import VERBS
from snc.compiler.cli.console import bytes_text, clean, count_text
from snc.compiler.cli.errors import EXIT_CODES

from .conftest import DIGITS, Snc
from .nets import conv_net, deep_net, save

ROOT = DIGITS.parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color", "COLUMNS": "80"}
COMMAND = [sys.executable, "-m", "snc"]


class TestHelp:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_help_with_examples(self, snc: Snc, verb: str) -> None:
        shown = snc(verb, "--help")
        assert shown.exit_code == 0 and "Examples:" in shown.stdout and "--json" in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 100

    def test_root_lists_verbs_and_exit_codes(self, snc: Snc) -> None:
        shown = snc("--help").stdout
        assert all(f"  {verb} " in shown for verb in VERBS)
        assert all(meaning in shown for meaning in EXIT_CODES.values())

    def test_version(self, snc: Snc) -> None:
        assert snc("--version").stdout == f"snc {__version__}\n"

    def test_no_verb_shows_help(self, snc: Snc) -> None:
        assert snc().exit_code == 2 and "Verbs:" in snc().stderr

    def test_help_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from snc.compiler.cli import main\n"
            "try: main(['build', '--help'])\n"
            "except SystemExit: pass\n"
            "sys.exit(any(name in sys.modules for name in ('numpy', 'onnx', 'llvmlite', 'lark', 'rich')))"
        )
        assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True).returncode == 0

    @pytest.mark.parametrize(("words", "found"), [("", "build"), ("build --mach", "--machine")])
    def test_completion(self, words: str, found: str) -> None:
        asked = {
            "_SNC_COMPLETE": "bash_complete",
            "COMP_WORDS": f"snc {words}",
            "COMP_CWORD": str(words.count(" ") + 1),
        }
        done = subprocess.run(COMMAND, env=ENVIRONMENT | asked, capture_output=True, text=True)
        assert f"plain,{found}" in done.stdout.splitlines()


class TestUsage:
    def test_unknown_verb(self, snc: Snc) -> None:
        done = snc("biuld")
        assert done.exit_code == 2 and "Did you mean 'build'?" in done.stderr

    def test_unknown_option(self, snc: Snc) -> None:
        done = snc("build", "net.onnx", "--calibrat", "x")
        assert done.exit_code == 2 and "--calibrate" in done.stderr and done.stderr.startswith("error[SNC0700]")

    def test_errors_are_documents_with_json(self, snc: Snc) -> None:
        for arguments in (["build", "--json"], ["build", "gone.onnx", "--json"], ["nothing", "--json"]):
            done = snc(*arguments)
            document = json.loads(done.stdout)
            assert done.exit_code == document["exit_code"] == 2 and document["diagnostics"][0]["message"]
            assert "error[SNC" in done.stderr


class TestText:
    def test_control_characters_are_escaped(self) -> None:
        assert clean("a\x1b[31mb\r\nc\u202e") == "a\\x1b[31mb\\r\nc\\u202e"
        assert clean("plain \u00e9\n") == "plain \u00e9\n"

    def test_names_of_a_model_cannot_steer_the_terminal(self, snc: Snc, tmp_path: Path) -> None:
        made = conv_net((1, 3, "h", "w"))
        for holder in (made.graph.input[0], made.graph.node[0]):
            holder.name = "x\x1b]0;owned\x07"
        made.graph.node[0].input[0] = made.graph.input[0].name
        done = snc("check", save(made, tmp_path / "net.onnx"))
        assert done.exit_code == 1 and "\x1b" not in done.output and "\x07" not in done.output

    @pytest.mark.parametrize(
        ("count", "as_bytes", "as_count"),
        [(0, "0 B", "0"), (9999, "9999 B", "9,999"), (1 << 20, "1.0 MiB", "1.0 M"), (123_456, "120.6 KiB", "123.5 k")],
    )
    def test_numbers(self, count: int, as_bytes: str, as_count: str) -> None:
        assert bytes_text(count) == as_bytes and count_text(count) == as_count


def on_terminal(arguments: list[str], **extra: str) -> str:
    """What a run writes to a terminal of 80 columns."""
    pid, handle = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*COMMAND, *arguments], ENVIRONMENT | extra)
    parts = []
    while True:
        try:
            part = os.read(handle, 1 << 16)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(handle)
    os.waitpid(pid, 0)
    return b"".join(parts).decode()


class TestProcess:
    def test_ctrl_c_leaves_no_file(self, tmp_path: Path) -> None:
        net = save(deep_net(256), tmp_path / "deep.onnx")
        build = subprocess.Popen(
            [*COMMAND, "build", str(net), "-v"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        assert build.stderr is not None
        while "fixed point" not in build.stderr.readline():
            assert build.poll() is None
        build.send_signal(signal.SIGINT)
        rest = build.stderr.read()
        assert build.wait(30) == 130
        assert "interrupted" in rest and "Traceback" not in rest
        assert [path.name for path in tmp_path.iterdir()] == ["deep.onnx"]

    def test_closed_pipe_is_quiet(self) -> None:
        for arguments in (["ops"], ["passes"], ["--help"], ["targets", "show", "spinn2-2020"]):
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run([*COMMAND, *arguments], env=ENVIRONMENT, stdout=write, stderr=subprocess.PIPE)
            os.close(write)
            assert done.returncode == 141 and done.stderr == b""

    def test_full_output_device_is_an_error(self) -> None:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([*COMMAND, "ops"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 6 and "Traceback" not in done.stderr

    def test_pipes_see_no_escape_codes(self, digits: Path) -> None:
        done = subprocess.run([*COMMAND, "inspect", str(digits)], env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr
        assert all(line == line.rstrip() for line in done.stdout.splitlines())

    def test_terminals_see_colours_and_progress(self, tmp_path: Path) -> None:
        net = save(conv_net(), tmp_path / "net.onnx")
        seen = on_terminal(["build", net.name])
        assert "\x1b[1;33mwarning" in seen and "..." in seen
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
        assert max(len(line) for line in plain.replace("\r", "\n").split("\n")) <= 80

    def test_no_color_is_respected(self, tmp_path: Path) -> None:
        net = save(conv_net(), tmp_path / "net.onnx")
        seen = on_terminal(["build", net.name], NO_COLOR="1")
        assert "warning[SNC0422]" in seen and not re.search(r"\x1b\[[0-9;]*m", seen)

    def test_start_is_quick(self) -> None:
        def seconds(option: str) -> float:
            started = time.perf_counter()
            subprocess.run([*COMMAND, option], env=ENVIRONMENT, check=True, capture_output=True)
            return time.perf_counter() - started

        # The best of several, as other work on the machine only ever adds time.
        assert min(seconds("--version") for _ in range(5)) < 0.15
        assert min(seconds("--help") for _ in range(5)) < 0.3
