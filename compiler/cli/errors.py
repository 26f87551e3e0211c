"""Exit codes: whatever a verb raises ends here, as a message and a number, never as a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ...ir.diagnostics import Diagnostic

OK = 0
REFUSED = 1
USAGE = 2
FAILED = 4
LIMIT = 6
BUG = 70
INTERRUPTED = 130
CLOSED_PIPE = 141
"""What a shell says of a program that SIGPIPE ended."""

EXIT_CODES = {
    OK: "done",
    REFUSED: "the model is refused: unsupported or invalid",
    USAGE: "wrong usage: options, paths, shapes",
    3: "the network does not fit the machine",
    FAILED: "a check or a threshold failed (verify, eval, diff)",
    5: "an input file is corrupt or unsafe",
    LIMIT: "a limit of memory, size or disk was reached",
    BUG: "a bug of snc",
    INTERRUPTED: "interrupted",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def guarded(run: Callable[[], int], arguments: Sequence[str]) -> int:
    """The exit code of `run`, whose errors are printed; with `--json` among the arguments, as a document too."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _close_quietly()
        return CLOSED_PIPE
    except (KeyboardInterrupt, EOFError, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("SNC_TRACEBACK") == "1" and not isinstance(error, click.ClickException):
            import traceback

            traceback.print_exc()
        try:
            return _failed(error, arguments)
        except BrokenPipeError:
            _close_quietly()
            return CLOSED_PIPE


def _failed(error: Exception, arguments: Sequence[str]) -> int:
    from ...ir.diagnostics import MAX_SHOWN, Diagnostic, SncError
    from .console import print_diagnostics, print_json, remark

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return USAGE
    notes: Sequence[Diagnostic]
    if isinstance(error, SncError):
        code, notes = error.exit_code, error.diagnostics
    elif isinstance(error, click.ClickException):
        code, notes = USAGE, [_usage(error)]
    elif isinstance(error, MemoryError):
        help = "close other programs, or try a smaller model or input"
        code, notes = LIMIT, [Diagnostic("SNC0791", "there is not enough memory", found=str(error), help=help)]
    elif isinstance(error, OSError):
        code = LIMIT if error.errno in _FULL else USAGE
        where = str(error.filename) if error.filename is not None else ""
        notes = [Diagnostic("SNC0708", "a file cannot be read or written", found=error.strerror or "", node=where)]
    else:
        code, notes = BUG, [_bug(error)]
    print_diagnostics(notes[:MAX_SHOWN])
    if len(notes) > MAX_SHOWN:
        remark(f"... and {len(notes) - MAX_SHOWN} more")
    if "--json" in arguments:
        verb = next((each for each in arguments if not each.startswith("-")), "")
        print_json(verb, {}, code=code, notes=notes)
        sys.stdout.flush()
    return code


def _usage(error: click.ClickException) -> Diagnostic:
    from ...ir.diagnostics import Diagnostic

    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    help = f"{context.command_path} --help" if context is not None else ""
    return Diagnostic("SNC0700", message[:1].lower() + message[1:], help=help)


def _bug(error: Exception) -> Diagnostic:
    from ...ir.diagnostics import Diagnostic

    text = str(error).strip().splitlines()
    notes = "; ".join(getattr(error, "__notes__", ()))
    return Diagnostic(
        "SNC0790",
        "internal error, a bug of snc",
        found=f"{type(error).__name__}{': ' + text[0] if text else ''}{'; ' + notes if notes else ''}",
        help="please report this message with what `snc doctor` prints and, if you may share it, the model; "
        "SNC_TRACEBACK=1 shows where it happened",
    )


def _close_quietly() -> None:
    """Points standard output at nothing, so that the interpreter's last flush does not complain."""
    with suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
