"""What can be wrong with a network or its samples before training begins."""

from __future__ import annotations

from importlib.util import find_spec

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic, UsageError

NOT_TRAINED = "SNC0490"
NO_LAYERS = "SNC0491"
OUTPUTS = "SNC0492"
NO_TORCH = "SNC0493"
SAMPLES = "SNC0494"
LABELS = "SNC0495"
CHECKPOINT = "SNC0496"
SETTINGS = "SNC0497"
DIVERGED = "SNC0498"


def not_trained(op: Operation, reason: str, *, expected: str = "", help: str = "") -> Diagnostic:
    """An operation that cannot be trained towards spikes."""
    return Diagnostic(
        NOT_TRAINED,
        "this cannot be trained towards spikes",
        found=reason,
        expected=expected,
        help=help,
        node=str(op.location),
    )


def wrong_samples(source: str, message: str, found: str, expected: str = "", help: str = "") -> UsageError:
    """Samples that do not fit the network."""
    return UsageError(Diagnostic(SAMPLES, message, found=found, expected=expected, help=help, node=source))


def wrong_labels(source: str, message: str, found: str, expected: str = "", help: str = "") -> UsageError:
    """Labels that do not fit the network or the samples."""
    return UsageError(Diagnostic(LABELS, message, found=found, expected=expected, help=help, node=source))


def wrong_settings(message: str, found: str, expected: str = "", help: str = "") -> UsageError:
    """Settings that no training can have."""
    return UsageError(Diagnostic(SETTINGS, message, found=found, expected=expected, help=help))


def need_torch() -> None:
    """Raises UsageError where torch is not installed."""
    if find_spec("torch") is None:
        raise UsageError(Diagnostic(NO_TORCH, "training needs the package torch", help="pip install 'snc[sharpen]'"))
