"""The error of a program whose tables cannot be trusted or run."""

from __future__ import annotations

from ...ir.diagnostics import Diagnostic, UnsafeInput


class ProgramError(UnsafeInput):
    """A table of a program breaks the contract of `ir/dialects/spinn2_tables.py`, or an input does not fit a port."""


def program_error(message: str, *, node: str, found: object, expected: object) -> ProgramError:
    """A ProgramError about `node` (a table row such as "tasks[3].a")."""
    return ProgramError(Diagnostic("SNC0551", message, found=str(found), expected=str(expected), node=node))
