"""Numbers as a report shows them: with a unit, and with where they come from."""

from __future__ import annotations

import math
from enum import Enum

from attrs import frozen

SPACE = "\xa0"
"""Between a number and its unit, so that no line ends there."""


class Origin(Enum):
    """Where a figure comes from."""

    COMPUTED = "computed"
    MODELLED = "modelled"
    ASSUMED = "assumed"


MEANINGS = {
    Origin.COMPUTED: "counted in the tables of the program, or found by executing them bit for bit",
    Origin.MODELLED: "by the clock model, with the rates of the machine file",
    Origin.ASSUMED: "rests on a figure that nobody measured for this network, such as joules of the machine file",
}


@frozen
class Figure:
    """A number with its unit, as text, and its origin."""

    text: str
    origin: Origin

    def __str__(self) -> str:
        return self.text


@frozen
class Fact:
    """A name and what is said of it: a figure, or plain text; `note` is small print."""

    name: str
    value: Figure | str
    note: str = ""


def computed(text: str) -> Figure:
    """A figure that was counted."""
    return Figure(text, Origin.COMPUTED)


def modelled(text: str) -> Figure:
    """A figure of the clock model."""
    return Figure(text, Origin.MODELLED)


def assumed(text: str) -> Figure:
    """A figure that rests on assumptions."""
    return Figure(text, Origin.ASSUMED)


def quantity(value: float, unit: str) -> str:
    """An amount with a decimal prefix that suits it and four digits: 17.63 ms."""
    if not math.isfinite(value):
        return f"{value}{SPACE}{unit}"
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= scale:
            return f"{value / scale:.4g}{SPACE}{prefix}{unit}"
    return f"{value / 1e-9:.4g}{SPACE}n{unit}" if value else f"0{SPACE}{unit}"


def seconds(value: float) -> str:
    """A time; no prefix above a second."""
    return f"{value:,.4g}{SPACE}s" if abs(value) >= 1 else quantity(value, "s")


def size(count: float) -> str:
    """A number of bytes, exact below 10,000 and in binary units above."""
    value, index = float(count), 0
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    if abs(value) < 10_000:
        return f"{value:,.0f}{SPACE}B"
    while abs(value) >= 1024 and index < len(units) - 1:
        value, index = value / 1024, index + 1
    return f"{value:.1f}{SPACE}{units[index]}"


def number(count: float) -> str:
    """A number of things, exact below 100,000 and with four digits above."""
    return f"{count:,.0f}" if abs(count) < 100_000 else quantity(count, "").rstrip(SPACE)


def decimal(value: float) -> str:
    """A number that need not be whole, four digits."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def rate(value: float) -> str:
    """A number of things a second."""
    if value >= 1e6:
        return quantity(value, "").rstrip(SPACE)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def share(value: float) -> str:
    """A share of 1 in percent."""
    if not math.isfinite(value):
        return str(value)
    percent = value * 100
    return f"{percent:.0f}{SPACE}%" if abs(percent) >= 10 or percent == 0 else f"{percent:.2g}{SPACE}%"


def position(value: float) -> str:
    """A coordinate of a drawing: two decimals at most, no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
