from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snc.passes.tile.rotation import plan_rotation, power_at_least, power_at_most

SIZES = st.integers(1, 300)


class TestRotation:
    @given(SIZES, SIZES, st.integers(1, 160), st.integers(1, 6))
    def test_every_tile_meets_every_part_once(self, tiles: int, parts: int, elements: int, per_qpe: int) -> None:
        rotation = plan_rotation(tiles, parts, elements, per_qpe)
        place = np.arange(rotation.group)
        met = np.zeros((rotation.turns * rotation.moves, rotation.group), int)
        for moved in range(rotation.moves):
            for turn in range(rotation.turns):
                part = rotation.part_at(rotation.source_of(place, turn), moved)
                np.add.at(met, (rotation.tile_of(place), part), 1)
        assert (met == 1).all()
        assert rotation.tiles <= rotation.turns * rotation.moves

    @given(SIZES, SIZES, st.integers(1, 160), st.integers(1, 6))
    def test_it_fits_the_elements(self, tiles: int, parts: int, elements: int, per_qpe: int) -> None:
        rotation = plan_rotation(tiles, parts, elements, per_qpe)
        assert rotation.elements == power_at_most(elements) <= elements
        assert rotation.turns <= per_qpe
        assert rotation.rounds(tiles, parts) * rotation.elements >= tiles * parts

    @given(st.integers(1, 10**6))
    def test_powers_of_two(self, value: int) -> None:
        assert power_at_most(value) <= value <= power_at_least(value) < 2 * value
        assert power_at_least(value) in (power_at_most(value), 2 * power_at_most(value))
