"""The command `snc`: which verbs there are, and the frame in which they run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from ... import __version__
from .errors import EXIT_CODES, guarded

PROGRAM = "snc"
COMPLETION = "_SNC_COMPLETE"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

VERBS: Mapping[str, str] = {
    "build": "Compile an ONNX model into an artefact.",
    "check": "List everything in a model that does not compile or fit.",
    "run": "Run an artefact or a model on arrays.",
    "eval": "Measure the accuracy of an artefact, and where the rest went.",
    "inspect": "Show what is inside an artefact.",
    "profile": "Show how long an artefact takes, and where the time goes.",
    "sweep": "Build in many ways and show which are worth having.",
    "diff": "Show what changed from one artefact to another.",
    "report": "Write one HTML file that shows where a network lies and what it costs.",
    "sharpen": "Train a network until its activations are steps.",
    "export": "Hand a spiking network over to other tools.",
    "verify": "Prove that an artefact computes its network.",
    "opt": "Run passes on IR text.",
    "passes": "List the passes and the targets' pipelines.",
    "ops": "List the ONNX operators that are taken.",
    "targets": "List the targets and their machines.",
    "doctor": "Check this installation.",
}
"""Verb to the first line of its help; the verb `x` is the command `x` in `x.py`."""

EPILOG = (
    "\b\nExamples:\n"
    "  snc check net.onnx\n"
    "  snc build net.onnx --calibrate samples.npz -o net.snc\n"
    "  snc run net.snc --input x.npy -o y.npy\n"
    "\n"
    "\b\nExit codes:\n"
    + "".join(f"  {code:>3}  {meaning}\n" for code, meaning in EXIT_CODES.items())
    + '\nCompletion: add eval "$(_SNC_COMPLETE=bash_source snc)" to ~/.bashrc (zsh_source, fish_source elsewhere).'
)


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = getattr(importlib.import_module(f".{cmd_name}", __package__), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=VERBS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Runs the command line and exits."""
        if COMPLETION in os.environ:
            super().main(args, prog_name=PROGRAM)
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks must not end the run.
            with suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        given = list(sys.argv[1:] if args is None else args)
        sys.exit(guarded(lambda: self._run(given), given))

    def _run(self, arguments: list[str]) -> int:
        try:
            with self.make_context(PROGRAM, list(arguments)) as context:
                return self.invoke(context) or 0
        except click.exceptions.Exit as end:
            return end.exit_code


@click.group(cls=Verbs, context_settings=CONTEXT, epilog=EPILOG, subcommand_metavar="VERB ...")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def main() -> None:
    """Compile trained ONNX networks for SpiNNaker and run them bit-exactly, without a board."""
