"""What went wrong, said so that a person can act: found, expected, what to do.

Every error that a user can cause is an `SncError` with one or more diagnostics; its subclass decides the exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from attrs import frozen

MAX_SHOWN = 100
"""How many diagnostics one error prints."""


@frozen
class Diagnostic:
    """One finding.

    `code` is stable across releases (SNC0101). `node` names the ONNX node, tensor, file or row concerned.
    """

    code: str
    message: str
    found: str = ""
    expected: str = ""
    help: str = ""
    node: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        lines = [f"{self.severity}[{self.code}]: {where}{self.message}"]
        for word, text in (("found", self.found), ("expected", self.expected), ("help", self.help)):
            if text:
                lines.append(f"  {word}: {text}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, str]:
        """The diagnostic as a JSON object; empty fields are left out."""
        pairs = {
            "severity": self.severity,
            "code": self.code,
            "node": self.node,
            "message": self.message,
            "found": self.found,
            "expected": self.expected,
            "help": self.help,
        }
        return {key: text for key, text in pairs.items() if text}


class SncError(Exception):
    """An error that the user can do something about."""

    exit_code: ClassVar[int] = 1

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        self.diagnostics: Sequence[Diagnostic] = (
            (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        )
        shown = [str(d) for d in self.diagnostics[:MAX_SHOWN]]
        if len(self.diagnostics) > MAX_SHOWN:
            shown.append(f"... and {len(self.diagnostics) - MAX_SHOWN} more")
        super().__init__("\n".join(shown))


class ModelError(SncError):
    """The model cannot be taken: unsupported or invalid."""

    exit_code: ClassVar[int] = 1


class UnsupportedOperator(ModelError):
    """The model holds operators that snc does not take."""


class UsageError(SncError):
    """The call is wrong: an option, a path, an input's shape."""

    exit_code: ClassVar[int] = 2


class DoesNotFit(SncError):
    """The network does not fit the machine."""

    exit_code: ClassVar[int] = 3


class ThresholdMissed(SncError):
    """A comparison asked for by the user failed."""

    exit_code: ClassVar[int] = 4


class UnsafeInput(SncError):
    """A file is corrupt or hostile."""

    exit_code: ClassVar[int] = 5


class LimitExceeded(SncError):
    """A resource limit was reached."""

    exit_code: ClassVar[int] = 6


class VerifyError(Exception):
    """The IR breaks a rule: a mistake of a pass or of hand-written text, not of a model."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: Sequence[Diagnostic] = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics[:MAX_SHOWN]))


class ParseError(UsageError):
    """Text of the IR or of a pipeline cannot be read; the message names line and column."""
