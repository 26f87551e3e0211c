"""Numbers with their units, in a size that is easy to read."""

from __future__ import annotations

from collections.abc import Mapping

_SCALES: Mapping[str, tuple[tuple[str, float], ...]] = {
    "s": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)),
    "J": (("J", 1.0), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9)),
    "B": (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)),
}
_EXACT_BYTES = 10_000
SHARE = "share"
"""The unit of what is from 0 to 1, shown in per cent."""


def amount_text(value: float | None, unit: str) -> str:
    """A number and its unit; `none` for None. Counts are exact where they are integers, bytes below 10,000."""
    if value is None:
        return "none"
    if not value and unit in _SCALES:
        return f"0 {unit}"
    if unit == SHARE:
        return f"{value:.2%}"
    if unit in _SCALES and not (unit == "B" and abs(value) < _EXACT_BYTES):
        scales = _SCALES[unit]
        name, size = next((each for each in scales if abs(value) >= each[1]), scales[-1])
        return f"{value / size:.4g} {name}"
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    return f"{number} {unit}".rstrip()
