"""Merged and binned times against a count of single clocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.report.intervals import covered, lengths, merged, ticks

ROWS, END = 4, 40


@st.composite
def intervals(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, begins and ends within 0 .. END."""
    found = draw(st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, END), st.integers(0, 12)), max_size=25))
    table = np.array(found, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], np.minimum(table[:, 1] + table[:, 2], END)


def counted(row: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many intervals of a row cover each clock."""
    found = np.zeros((ROWS, END), np.int64)
    for number, low, high in zip(row, begin, end, strict=True):
        found[number, low:high] += 1
    return found


class TestMerged:
    @given(intervals())
    @settings(deadline=None)
    def test_covers_the_same_clocks_once(self, given: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        found = merged(*given)
        np.testing.assert_array_equal(counted(*found), counted(*given) > 0)
        np.testing.assert_array_equal(lengths(*found, ROWS), (counted(*given) > 0).sum(axis=1))


class TestCovered:
    @given(intervals(), st.sampled_from([1, 4, 5, 8, 40]))
    @settings(deadline=None)
    def test_is_the_sum_of_the_clocks_of_a_bin(
        self, given: tuple[np.ndarray, np.ndarray, np.ndarray], width: int
    ) -> None:
        row, begin, end = given
        bins = END // width
        found = covered(row, begin / width, end / width, ROWS, bins)
        expected = counted(*given).reshape(ROWS, bins, width).sum(axis=2) / width
        # Sums of a few dozen quotients: far below the tenth digit.
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_leaves_out_what_lies_outside(self) -> None:
        row, begin, end = np.array([0, 0, 0]), np.array([-5.0, 3.5, 9.0]), np.array([0.5, 12.0, 11.0])
        np.testing.assert_allclose(covered(row, begin, end, 1, 4), [[0.5, 0.0, 0.0, 0.5]])


class TestTicks:
    @given(st.floats(1e-9, 1e9))
    @settings(deadline=None)
    def test_are_few_round_and_within(self, total: float) -> None:
        found = ticks(total)
        assert found[0] == 0 and 2 <= len(found) <= 7
        # Rounding of the last product.
        assert found[-1] <= total * (1 + 1e-9)
        step = f"{found[1]:.6e}"
        assert step[0] in "125" and step[1:8] == ".000000"

    def test_of_nothing_is_its_start(self) -> None:
        assert ticks(0.0) == [0.0]
