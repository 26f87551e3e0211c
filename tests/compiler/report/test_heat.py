"""Steps of a colour scale, and grids as paths."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.report.heat import STEPS, Strip, levels, strip


def painted(found: Strip) -> np.ndarray:
    """The cells that the strokes of a strip cover."""
    cells = np.zeros((found.rows, found.columns), np.int64)
    for step, path in found.paths:
        assert re.fullmatch(r"(M\d+ \d+\.5h\d+)+", path)
        for x, y, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
            part = cells[int(y), int(x) : int(x) + int(length)]
            assert len(part) == int(length) and not part.any(), "a stroke twice, or beyond the end"
            part[:] = step
    return cells


class TestStrip:
    @given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 2**32))
    @settings(deadline=None)
    def test_paints_every_cell_in_its_step(self, rows: int, columns: int, seed: int) -> None:
        cells = np.random.default_rng(seed).integers(0, 4, (rows, columns))
        np.testing.assert_array_equal(painted(strip(cells)), cells)


class TestLevels:
    @given(st.lists(st.floats(0, 1e6), min_size=1))
    @settings(deadline=None)
    def test_rise_with_the_value_and_fill_the_scale(self, values: list[float]) -> None:
        amounts = np.array(values)
        found = levels(amounts, amounts.max())
        assert (np.diff(found[np.argsort(amounts)]) >= 0).all()
        np.testing.assert_array_equal(found == 0, amounts == 0)
        assert found.max() == (STEPS if amounts.max() > 0 else 0)

    def test_what_is_above_the_top_has_the_last_step(self) -> None:
        assert levels(np.array([0.5, 1.0, 7.0]), 1.0).tolist() == [STEPS // 2, STEPS, STEPS]
