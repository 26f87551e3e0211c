"""Placement: whole tiles, no core twice, no chip over its memory, few chips."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.place import NoRoomError, place_tiles

BOARD = load_machine("spinn5")
BYTES = BOARD.sdram.chip_bytes


class TestPlaces:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, BYTES), min_size=1, max_size=12), st.integers(1, 400))
    def test_break_no_limit(self, sdram: list[int], most: int) -> None:
        need = np.array(sdram)
        places = place_tiles(BOARD, need, most)
        assert places.tiles <= most and places.chip.shape == places.core.shape == (places.tiles, len(need))
        flat = list(zip(places.chip.reshape(-1).tolist(), places.core.reshape(-1).tolist(), strict=True))
        assert len(set(flat)) == len(flat)
        assert all(core in BOARD.cores[chip] for chip, core in flat)
        used = np.bincount(places.chip.reshape(-1), np.tile(need, places.tiles), len(BOARD.chips))
        assert used.max(initial=0) <= BYTES

    def test_fill_every_core(self) -> None:
        places = place_tiles(BOARD, np.zeros(3, np.int64))
        assert places.tiles == 759 // 3

    def test_keep_tiles_on_neighbouring_chips(self) -> None:
        places = place_tiles(BOARD, np.zeros(4, np.int64))
        assert (places.chip.max(axis=1) - places.chip.min(axis=1)).max() == 1

    def test_leave_a_chip_whose_memory_is_used_up(self) -> None:
        places = place_tiles(BOARD, np.array([BYTES // 2 + 1, 0]), 5)
        assert places.chip.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]]

    def test_of_too_many_tiles_are_those_that_fit(self) -> None:
        small = attrs.evolve(BOARD, sdram=attrs.evolve(BOARD.sdram, chip_bytes=10))
        assert place_tiles(small, np.array([6, 6]), 100).tiles == 24

    def test_refuse_a_vertex_larger_than_a_chip(self) -> None:
        with pytest.raises(NoRoomError, match="vertex 1"):
            place_tiles(BOARD, np.array([0, BYTES + 1]))
