"""Compressed routing tables answer every key as the long ones do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.compress import NO_ENTRY, Table, compress
from snc.backends.spinn1.routes import compressed

KEY_BITS = 10
"""Keys are drawn in the lowest bits, and looked up one and all."""


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, np.ndarray]:
    """Disjoint zones, found by cutting the key space again and again, with few different routes."""
    zones = [(0, KEY_BITS)]
    for _ in range(draw(st.integers(0, 40))):
        key, bits = zones.pop(draw(st.integers(0, len(zones) - 1)))
        zones += [(key, bits - 1), (key + (1 << bits - 1), bits - 1)] if bits else [(key, bits)]
    kept = draw(st.lists(st.sampled_from(sorted(set(zones))), min_size=1, unique=True))
    routes = draw(st.lists(st.integers(1, 4), min_size=len(kept), max_size=len(kept)))
    straight = draw(st.lists(st.booleans(), min_size=len(kept), max_size=len(kept)))
    key = np.array([zone[0] for zone in kept], np.uint32)
    mask = np.array([0xFFFF_FFFF >> zone[1] << zone[1] for zone in kept], np.uint32)
    return Table(key, mask, np.array(routes)), np.array(straight)


class TestCompression:
    @settings(deadline=None, max_examples=200)
    @given(tables())
    def test_changes_no_route(self, drawn: tuple[Table, np.ndarray]) -> None:
        table, straight = drawn
        shorter = compressed(table, straight)
        keys = np.arange(1 << KEY_BITS, dtype=np.uint32)
        before, after = table.look_up(keys), shorter.look_up(keys)
        hit = np.array([(keys & mask) == key for key, mask in zip(table.key, table.mask, strict=True)])
        free = (hit & straight[:, None]).any(axis=0)
        cared = hit.any(axis=0)
        assert (((after == before) | (free & (after == NO_ENTRY))) | ~cared).all()
        assert len(shorter) <= len(table)

    def test_needs_one_entry_for_one_route(self) -> None:
        key = np.arange(0, 190 * 0x10000, 0x10000, dtype=np.uint32)
        table = Table(key, np.full(190, 0xFFFF_C000, np.uint32), np.full(190, 64))
        assert len(compress(table, np.zeros(190, bool))) == 1

    def test_puts_exceptions_before_the_rule(self) -> None:
        key = np.arange(8, dtype=np.uint32)
        route = np.array([1, 1, 1, 2, 1, 1, 1, 1])
        shorter = compress(Table(key, np.full(8, 0xFFFF_FFFF, np.uint32), route), np.zeros(8, bool))
        assert len(shorter) == 2 and shorter.route.tolist() == [2, 1]

    def test_drops_what_goes_straight_on(self) -> None:
        table = Table(np.array([0, 8], np.uint32), np.full(2, 0xFFFF_FFF8, np.uint32), np.array([1, 2]))
        assert len(compress(table, np.array([True, True]))) == 0
        kept = compress(table, np.array([True, False]))
        assert kept.look_up(np.array([0, 8], np.uint32)).tolist() == [0, 2]

    def test_of_nothing_is_nothing(self) -> None:
        empty = Table(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, int))
        assert len(compress(empty, np.zeros(0, bool))) == 0

    @pytest.mark.parametrize(
        ("keys", "masks"), [([0, 1], [0xFFFF_FFFE, 0xFFFF_FFFF]), ([0, 0], [0xFFFF_FFFF] * 2), ([0], [0xFFFF_FFFD])]
    )
    def test_refuses_what_overlaps_or_is_no_prefix(self, keys: list[int], masks: list[int]) -> None:
        table = Table(np.array(keys, np.uint32), np.array(masks, np.uint32), np.ones(len(keys), int))
        with pytest.raises(ValueError):
            compress(table, np.zeros(len(keys), bool))
