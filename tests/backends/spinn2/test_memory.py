from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.backends.spinn2.memory import LINE, Dram, Storage

REQUESTS = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9), st.integers(0, 9)), max_size=30)


class TestDram:
    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), max_size=20))
    def test_addresses_follow_each_other_behind_each_port(self, requests: list[tuple[int, int]]) -> None:
        dram = Dram(3, 1 << 20)
        ends = [0, 0, 0]
        for port, size in requests:
            address = dram.take(port, size)
            assert address % LINE == 0 and ends[port] <= address < ends[port] + LINE
            ends[port] = address + size
            assert ends[port] <= dram.used[port]

    def test_a_full_port_is_an_error(self) -> None:
        dram = Dram(2, 128)
        dram.take(0, 128)
        with pytest.raises(MemoryError, match="behind DRAM port 0"):
            dram.take(0, 1)
        assert dram.take(1, 64) == 0

    def test_ports_take_turns(self) -> None:
        dram = Dram(3, 128)
        assert sorted(dram.next_port() for _ in range(6)) == [0, 0, 1, 1, 2, 2]


class TestStorage:
    @given(REQUESTS)
    def test_what_lives_at_one_time_does_not_overlap(self, requests: list[tuple[int, int, int]]) -> None:
        storage = Storage(2048)
        used = np.zeros((10, 2048), bool)
        for size, one, other in requests:
            first, last = min(one, other), max(one, other)
            region = storage.take(size, first, last)
            if region is None:
                continue
            address = region.address
            assert address + size <= region.end <= 2048
            assert not used[first : last + 1, address : address + size].any()
            used[first : last + 1, address : address + size] = True

    def test_bytes_are_taken_again_when_their_map_is_dead(self) -> None:
        storage = Storage(128)
        assert taken(storage, 128, 0, 1) == 0
        assert taken(storage, 64, 1, 2) is None
        assert taken(storage, 64, 2, 3) == 0

    def test_the_highest_place_is_taken_if_wanted(self) -> None:
        storage = Storage(256)
        assert taken(storage, 64, 0, 1, high=True) == 192
        assert taken(storage, 64, 1, 2, high=True) == 128
        assert taken(storage, 64, 2, 2) == 0

    def test_a_region_begins_earlier_only_while_its_bytes_are_free(self) -> None:
        storage = Storage(128)
        storage.take(128, 0, 1)
        region = storage.take(64, 5, 6)
        assert region is not None
        assert storage.stretch(region, 2) and region.first == 2
        assert not storage.stretch(region, 1) and region.first == 2
        assert not storage.stretch(region, -1)

    def test_what_was_taken_since_a_mark_is_released(self) -> None:
        storage = Storage(128)
        storage.take(64, 0, 9)
        mark = storage.mark()
        storage.take(64, 0, 9)
        storage.release(mark)
        assert taken(storage, 64, 3, 3) == 64


def taken(storage: Storage, size: int, first: int, last: int, *, high: bool = False) -> int | None:
    """The address of a new region, if there is room for it."""
    region = storage.take(size, first, last, high=high)
    return None if region is None else region.address
