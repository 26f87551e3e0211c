"""Packet keys: disjoint zones, the toolchain's numbers, and what happens when they run out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.keys import KeysExhaustedError, allocate_keys, bits_for

COLOUR_BITS = 4


class TestKeys:
    def test_of_the_dense_net_are_those_of_the_toolchain(self) -> None:
        sends = np.array([True, True, True, False])
        keys = allocate_keys(np.array([785, 100, 100, 100]), np.ones(4, int), sends, 190, colour_bits=COLOUR_BITS)
        assert [hex(key) for key in keys.zone_key] == ["0x0", "0x4000", "0x8000", "0x0"]
        assert [hex(mask) for mask in keys.zone_mask] == ["0xffffc000"] * 3 + ["0x0"]
        key, mask = keys.vertex_keys(np.array([1, 3]), np.array([0, 0]))
        assert (key.tolist(), mask.tolist()) == ([0x4000, 0], [0xFFFFF800, 0])
        assert keys.stride == 1 << 16

    def test_count_slices_above_neurons(self) -> None:
        keys = allocate_keys(np.array([6, 8]), np.array([1, 3]), np.array([True, True]), 1, colour_bits=COLOUR_BITS)
        key, mask = keys.vertex_keys(np.array([1, 1, 1]), np.arange(3))
        assert (key.tolist(), set(mask.tolist())) == ([0x200, 0x280, 0x300], {0xFFFFFF80})

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 300), st.integers(1, 9), st.booleans()), min_size=1, max_size=6), st.data()
    )
    def test_of_all_neurons_of_all_tiles_differ(
        self, populations: list[tuple[int, int, bool]], data: st.DataObject
    ) -> None:
        neurons, vertices, sends = (np.array(column) for column in zip(*populations, strict=True))
        tiles = data.draw(st.integers(1, 4))
        keys = allocate_keys(neurons, vertices, sends, tiles, colour_bits=2)
        owner = np.repeat(np.arange(len(neurons)), vertices)[np.repeat(sends, vertices)]
        place = np.concatenate([np.arange(each) for each in vertices])[np.repeat(sends, vertices)]
        key, mask = keys.vertex_keys(owner, place)
        packets = [
            first + tile * keys.stride + np.arange(neurons[population] << 2)
            for tile in range(tiles)
            for first, population in zip(key.astype(np.int64), owner, strict=True)
        ]
        every = np.concatenate([np.zeros(0, np.int64), *packets])
        assert len(np.unique(every)) == len(every) and every.max(initial=0) < 1 << 32
        for first, zone, population in zip(key, mask, owner, strict=True):
            assert first & zone == first and (neurons[population] << 2) - 1 & zone == 0
            assert first & keys.zone_mask[population] == keys.zone_key[population]

    def test_run_out_with_the_number_of_tiles_that_fit(self) -> None:
        with pytest.raises(KeysExhaustedError) as caught:
            allocate_keys(np.array([1 << 20]), np.array([8]), np.array([True]), 33, colour_bits=COLOUR_BITS)
        assert (caught.value.needed, caught.value.tiles) == (27, 32)

    def test_run_out_for_a_single_tile(self) -> None:
        with pytest.raises(KeysExhaustedError) as caught:
            allocate_keys(np.array([1 << 20]), np.array([1 << 9]), np.array([True]), 1, colour_bits=COLOUR_BITS)
        assert (caught.value.needed, caught.value.tiles) == (33, 0)


@given(st.integers(1, 1 << 20))
def test_bits_tell_that_many_values_apart(values: int) -> None:
    assert 1 << bits_for(values) >= values and (values == 1 or 1 << bits_for(values) - 1 < values)
