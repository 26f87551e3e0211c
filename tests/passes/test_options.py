"""Options of passes: fields with a text form."""

from __future__ import annotations

from typing import ClassVar

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.diagnostics import UsageError
from snc.passes.base import Option, Pass, option

from .drawn_options import option_values, passes


@frozen
class Tuned(Pass):
    """A pass with an option of each type. Keeps: everything."""

    name: ClassVar[str] = "tuned"
    bits: int = option(8, low=2, high=16, help="bits of a weight")
    share: float = option(0.5, low=0, help="share of values")
    signed: bool = option(True, help="whether weights have a sign")
    method: str = option("max", help="how ranges are found", choices=("max", "mse"))
    label: str | None = option(None, help="any text")
    axes: tuple[int, ...] = option((), help="axes", low=0)
    split_at: tuple[int, ...] | None = option(None, help="positions")
    seed: int | None = option(3, help="seed")


OPTIONS = {entry.name: entry for entry in Tuned.options()}


class TestOption:
    @pytest.mark.parametrize("entry", OPTIONS.values(), ids=OPTIONS)
    @settings(deadline=None)
    @given(data=st.data())
    def test_text_reads_back(self, entry: Option, data: st.DataObject) -> None:
        value = data.draw(option_values(entry))
        again = entry.parse(entry.print(value))
        assert again == value and type(again) is type(value)

    @pytest.mark.parametrize("entry", OPTIONS.values(), ids=OPTIONS)
    @settings(deadline=None)
    @given(text=st.text(max_size=5) | st.sampled_from(("1,2", "[1,", "1e999", "nan", "-1", "99", "none", '"', '"a')))
    def test_any_text_is_a_value_that_fits_or_a_value_error(self, entry: Option, text: str) -> None:
        try:
            value = entry.parse(text)
        except ValueError:
            return
        entry.check(value)

    def test_names_are_kebab_case(self) -> None:
        assert list(OPTIONS) == ["bits", "share", "signed", "method", "label", "axes", "split-at", "seed"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("bits", "an integer at least 2 and at most 16"),
            ("method", "one of max, mse"),
            ("split-at", "a list of integers such as [1,2], or none"),
        ],
    )
    def test_says_what_it_takes(self, name: str, expected: str) -> None:
        assert OPTIONS[name].expected == expected


class TestPass:
    def test_prints_only_what_differs_from_the_default(self) -> None:
        assert str(Tuned()) == "tuned"
        tuned = Tuned(bits=4, signed=False, label="none", split_at=(1, -2), seed=None)
        assert str(tuned) == 'tuned{bits=4 signed=false label="none" split-at=[1,-2] seed=none}'

    @settings(deadline=None)
    @given(tuned=passes(Tuned), other=passes(Tuned))
    def test_equal_passes_have_equal_texts_and_only_they(self, tuned: Pass, other: Pass) -> None:
        assert (str(tuned) == str(other)) == (tuned == other)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"bits": 1},
            {"bits": True},
            {"bits": 8.0},
            {"share": float("nan")},
            {"share": -0.1},
            {"method": "min"},
            {"signed": 1},
            {"axes": [1]},
            {"axes": (1, -1)},
            {"label": 3},
            {"bits": None},
        ],
    )
    def test_refuses_a_value_that_an_option_cannot_have(self, wrong: dict[str, object]) -> None:
        (name,) = wrong
        with pytest.raises(UsageError, match=f"option {name} of tuned: expected") as caught:
            Tuned(**wrong)
        assert caught.value.diagnostics[0].help == OPTIONS[name].help

    def test_refuses_an_option_of_another_type_at_first_use(self) -> None:
        @frozen
        class Odd(Pass):
            name: ClassVar[str] = "odd"
            ratio: complex = option(1j, help="no such option")

        with pytest.raises(TypeError, match="odd: an option cannot be of type"):
            Odd.options()
