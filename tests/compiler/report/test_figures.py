"""Numbers with their units."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.report.figures import number, position, quantity, rate, seconds, share, size
from snc.compiler.report.names import MOST_LETTERS, elided, nodes_of


class TestText:
    @pytest.mark.parametrize(
        ("shown", "expected"),
        [
            (seconds(0.017634), "17.63 ms"),
            (seconds(0), "0 s"),
            (seconds(2.5), "2.5 s"),
            (seconds(3e-10), "0.3 ns"),
            (quantity(-1.5e-5, "J"), "-15 uJ"),
            (quantity(float("nan"), "J"), "nan J"),
            (size(9999), "9,999 B"),
            (size(98304), "96.0 KiB"),
            (size(5 << 50), "5120.0 TiB"),
            (number(99999), "99,999"),
            (number(4_089_000_000), "4.089 G"),
            (rate(56.71), "56.7"),
            (rate(2850), "2,850"),
            (share(0.184), "18 %"),
            (share(0.0082), "0.82 %"),
            (share(0.0), "0 %"),
        ],
    )
    def test_has_a_unit_and_no_more_digits_than_mean_something(self, shown: str, expected: str) -> None:
        assert shown.replace("\xa0", " ") == expected

    @given(st.floats(-1e6, 1e6))
    @settings(deadline=None)
    def test_positions_are_exact_to_two_decimals(self, value: float) -> None:
        assert float(position(value)) == pytest.approx(value, abs=0.00501)
        assert not position(value).startswith("-0.00") and position(value) != "-0"


class TestNames:
    @given(st.text(max_size=2 * MOST_LETTERS))
    @settings(deadline=None)
    def test_long_ones_lose_their_middle(self, name: str) -> None:
        found = elided(name)
        assert len(found) <= MOST_LETTERS
        assert found == name or (name.startswith(found[:100]) and name.endswith(found[-100:]))

    def test_a_layer_is_its_nodes(self) -> None:
        assert nodes_of("conv + relu") == ("conv", "relu")
        assert nodes_of("") == ("(no name)",)
