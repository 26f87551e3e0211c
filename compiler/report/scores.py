"""How the metrics of accuracy are written, and which way is better."""

from __future__ import annotations

from ..sweep.pareto import LESS_IS_BETTER
from .figures import decimal, share

SHARES = ("top1", "top5", "accuracy")
"""Metrics that are shares of all samples."""


def score_text(metric: str, value: float) -> str:
    """A score with its unit."""
    return precise_share(value) if is_share(metric) else decimal(value)


def loss_text(metric: str, value: float) -> str:
    """What a stage took, in points of a share or in the metric's own unit; a gain has a plus."""
    sign = "-" if value > 0 else "+" if value < 0 else ""
    return f"{sign}{abs(value) * 100:.2f} points" if is_share(metric) else f"{sign}{decimal(abs(value))}"


def is_share(metric: str) -> bool:
    """Whether a metric is a share of the samples; a metric without a name is taken for one."""
    return metric in SHARES or not metric


def precise_share(value: float) -> str:
    """A share in percent with two decimals."""
    return share(value) if abs(value) > 10 else f"{value * 100:.2f}\xa0%"


def less_is_better(metric: str) -> bool:
    """Whether a metric counts errors."""
    return metric in LESS_IS_BETTER
