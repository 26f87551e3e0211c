"""What can be wrong with samples and their files."""

from __future__ import annotations

from pathlib import Path

from ...ir.diagnostics import Diagnostic, LimitExceeded, UnsafeInput, UsageError

KINDS = ".npz, .npy, IDX (.gz too), or a folder of images"
"""The kinds of data that are read."""


class MalformedError(ValueError):
    """A file is not what it should be; the text says what was found, `expected` what should have been."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found)
        self.expected = expected


def cannot_open(path: Path, reason: str) -> UsageError:
    """There is no such file, or it may not be read."""
    return UsageError(Diagnostic("SNC0830", "the data cannot be opened", found=reason, node=str(path)))


def damaged(path: Path, found: str, expected: str = "") -> UnsafeInput:
    """A file that ends too early, goes on too long or has an impossible header."""
    return UnsafeInput(
        Diagnostic("SNC0831", "the data is damaged, or no data", found=found, expected=expected, node=str(path))
    )


def too_large(where: str, found: str, limit: str, help: str = "") -> LimitExceeded:
    """More than a data set may have."""
    return LimitExceeded(
        Diagnostic("SNC0832", "the data is too large", found=found, expected=f"at most {limit}", help=help, node=where)
    )


def misfit(where: str, message: str, found: str, expected: str, help: str = "") -> UsageError:
    """Arrays that are whole, and together no samples."""
    return UsageError(Diagnostic("SNC0833", message, found=found, expected=expected, help=help, node=where))


def wrong_labels(where: str, found: str, expected: str, help: str = "") -> UsageError:
    """Labels that are no classes and no numbers of these samples."""
    return UsageError(
        Diagnostic("SNC0834", "the labels do not fit", found=found, expected=expected, help=help, node=where)
    )


def not_finite(where: str, name: str, sample: int) -> UsageError:
    """NaN or an infinite value in an input."""
    return UsageError(
        Diagnostic(
            "SNC0835",
            f"{f'input {name}' if name else 'the input'} holds NaN or infinite values",
            found=f"the first in sample {sample}",
            expected="finite numbers",
            node=where,
        )
    )
