from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.passes.tile.rotation import Places, places_of, plan_rotation, power_at_least, power_at_most

SIZES = st.integers(1, 300)
PLACES = st.builds(places_of, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
PAPER = places_of(per_qpe=4, qpes=4, blocks=2)


class TestRotation:
    @given(SIZES, SIZES, st.integers(1, 160), PLACES)
    def test_every_tile_meets_every_part_once(self, tiles: int, parts: int, elements: int, places: Places) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        place = np.arange(rotation.group)
        met = np.zeros((rotation.turns * rotation.moves, rotation.group), int)
        for moved in range(rotation.moves):
            for turn in range(rotation.turns):
                part = rotation.part_at(rotation.source_of(place, turn), moved)
                np.add.at(met, (rotation.tile_of(place), part), 1)
        assert (met == 1).all()
        assert rotation.tiles <= rotation.turns * rotation.moves

    @given(SIZES, SIZES, st.integers(1, 160), PLACES)
    def test_an_element_gets_its_next_part_from_who_has_it(
        self, tiles: int, parts: int, elements: int, places: Places
    ) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        place = np.arange(rotation.group)
        for moved in range(1, rotation.moves):
            giver = rotation.giver_of(place, moved)
            assert sorted(giver.tolist()) == place.tolist()
            assert (rotation.part_at(giver, moved - 1) == rotation.part_at(place, moved)).all()

    @given(SIZES, SIZES, st.integers(1, 160), PLACES)
    def test_every_element_has_a_place_of_its_own(self, tiles: int, parts: int, elements: int, places: Places) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        element = np.arange(rotation.elements)
        team, place = rotation.team_of(element), rotation.place_of(element)
        assert (rotation.element_at(team, place) == element).all()
        assert (team < rotation.teams).all()
        assert (place < rotation.group).all()

    @given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 160), PLACES)
    def test_every_piece_of_a_wave_is_at_one_element(
        self, tiles: int, parts: int, elements: int, places: Places
    ) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        element = np.arange(rotation.elements)
        tile, place, team = rotation.tile_at(element), rotation.place_of(element), rotation.team_of(element)
        met = np.zeros((rotation.wave, rotation.group), int)
        for moved in range(rotation.moves):
            for turn in range(rotation.own_turns):
                part = rotation.part_at(rotation.source_of(place, rotation.first_turn(team) + turn), moved)
                np.add.at(met, (tile[tile >= 0], part[tile >= 0]), 1)
        assert (met == 1).all()

    @pytest.mark.parametrize(("tiles", "tile"), [(16, 4), (13, 4), (8, 2)])
    def test_double_blocks_with_all_parts_in_each_block_share_tiles(self, tiles: int, tile: int) -> None:
        """As in the logs, each QPE of a double block holds all tiles that it works on."""
        rotation = plan_rotation(tiles, 16, 128, PAPER)
        at = rotation.tile_at(np.arange(128)).reshape(4, 8, 4)
        for double_block, each in enumerate(at):
            assert (np.unique(each) == tile * double_block + np.arange(tile)).all()
            assert (each == each[0]).all()
        assert rotation.own_turns == tile // 2

    @given(SIZES, SIZES, st.integers(1, 160), PLACES)
    def test_every_tile_of_a_wave_is_at_teams_that_share_it(
        self, tiles: int, parts: int, elements: int, places: Places
    ) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        element = np.arange(rotation.elements)
        tile, team = rotation.tile_at(element), rotation.team_of(element)
        wave = min(tiles, rotation.wave)
        assert set(range(wave)) <= set(tile.tolist())
        for each in range(wave):
            assert len(set((team[tile == each] // rotation.sharing).tolist())) == 1

    @given(SIZES, st.integers(33, 64))
    def test_parts_that_lie_on_the_chip_twice_lie_in_neighbouring_double_blocks(self, tiles: int, parts: int) -> None:
        rotation = plan_rotation(tiles, parts, 128, PAPER)
        double_block = rotation.element_at(np.arange(2)[:, None], np.arange(rotation.group)) // PAPER.per_double_block
        assert (double_block[1] == double_block[0] + 1).all()

    @given(SIZES, st.integers(33, 128))
    def test_parts_come_from_as_many_double_blocks_on_as_there_are_teams(self, tiles: int, parts: int) -> None:
        rotation = plan_rotation(tiles, parts, 128, PAPER)
        element = np.arange(128)
        team, place = rotation.team_of(element), rotation.place_of(element)
        for moved in range(1, rotation.moves):
            stride = rotation.ring_of(moved).stride
            giver = (element + stride * rotation.teams) % 128
            if stride >= rotation.together:
                assert (giver == rotation.element_at(team, rotation.giver_of(place, moved))).all()

    @given(SIZES, SIZES, st.integers(1, 160), PLACES)
    def test_it_fits_the_elements(self, tiles: int, parts: int, elements: int, places: Places) -> None:
        rotation = plan_rotation(tiles, parts, elements, places)
        assert rotation.elements == power_at_most(elements) <= elements
        assert rotation.turns <= places.per_qpe
        assert rotation.rounds(tiles, parts) * rotation.elements >= tiles * parts

    @given(SIZES, st.integers(17, 32))
    def test_parts_that_fit_a_double_block_stay_in_it(self, tiles: int, parts: int) -> None:
        rotation = plan_rotation(tiles, parts, 128, PAPER)
        place = np.arange(rotation.group)
        for moved in range(1, rotation.moves):
            giver = rotation.giver_of(place, moved)
            assert (giver // PAPER.per_double_block == place // PAPER.per_double_block).all()
            if rotation.tiles <= PAPER.per_block:
                assert (giver // PAPER.per_block == place // PAPER.per_block).all()

    @given(SIZES, st.integers(65, 128))
    def test_whole_rows_of_tiles_lie_in_one_double_block(self, tiles: int, parts: int) -> None:
        rotation = plan_rotation(tiles, parts, 128, PAPER)
        place = np.arange(rotation.group)
        block = place // PAPER.per_double_block
        share = -(-rotation.turns * rotation.moves // 4)
        assert (rotation.tile_of(place) // share == block // (4 // min(4, rotation.turns * rotation.moves))).all()

    @given(st.integers(1, 10**6))
    def test_powers_of_two(self, value: int) -> None:
        assert power_at_most(value) <= value <= power_at_least(value) < 2 * value
        assert power_at_least(value) in (power_at_most(value), 2 * power_at_most(value))
