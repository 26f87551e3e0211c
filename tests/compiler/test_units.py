"""Numbers with their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.compiler.units import amount_text


class TestAmountText:
    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [
            (0.0, "s", "0 s"),
            (30.5e-6, "s", "30.5 us"),
            (1.0, "s", "1 s"),
            (-0.0025, "s", "-2.5 ms"),
            (1e-12, "s", "0.001 ns"),
            (687.5e-6, "J", "687.5 uJ"),
            (0, "B", "0 B"),
            (9_999, "B", "9,999 B"),
            (98304, "B", "96 KiB"),
            (0.9375, "share", "93.75%"),
            (1_984, "tasks", "1,984 tasks"),
            (32778.3, "samples/s", "32,778.3 samples/s"),
            (0.125, "", "0.125"),
            (None, "s", "none"),
        ],
    )
    def test_is_easy_to_read(self, value: float | None, unit: str, text: str) -> None:
        assert amount_text(value, unit) == text

    @given(st.integers(), st.sampled_from(["clocks", "cores"]))
    def test_counts_are_exact(self, value: int, unit: str) -> None:
        assert amount_text(value, unit).replace(",", "") == f"{value} {unit}"

    @given(st.floats(1e-9, 1e9))
    def test_times_keep_four_digits(self, value: float) -> None:
        number, unit = amount_text(value, "s").split()
        assert float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit] == pytest.approx(value, rel=1e-3)
