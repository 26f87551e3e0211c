"""Drawn values for the options of passes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from snc.passes.base import Option, Pass

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(("none", "true", "a b", "x.y-z", '"', "{}"))


def passes(pass_class: type[Pass]) -> st.SearchStrategy[Pass]:
    """Instances of a pass class with any options that it takes."""
    values = {entry.attribute: option_values(entry) for entry in pass_class.options()}
    return st.builds(pass_class, **values)


def option_values(entry: Option) -> st.SearchStrategy[Any]:
    """Values that an option takes."""
    present = st.sampled_from(entry.choices) if entry.choices else _of_kind(entry)
    return present | st.none() if entry.optional else present


def _of_kind(entry: Option) -> st.SearchStrategy[Any]:
    low = None if entry.low is None else int(entry.low)
    high = None if entry.high is None else int(entry.high)
    if entry.kind is bool:
        return st.booleans()
    if entry.kind is int:
        return st.integers(low, high)
    if entry.kind is float:
        return st.floats(entry.low, entry.high, allow_nan=False)
    if entry.kind is tuple:
        return st.lists(st.integers(low, high), max_size=3).map(tuple)
    return TEXTS
