"""The words of cores, beside words that sPyNNaker 7.4.1 wrote for such networks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.backends.spinn1.partition import slot_bits
from snc.runtime.spinn1.netlist import Netlist

from .nets import SpikingNet

BOARD = load_machine("spinn5")


def span(netlist: Netlist, vertex: int, table: str, first: str, size: str) -> list[int]:
    row = netlist.vertices[vertex]
    return getattr(netlist, table)[row[first] : row[first] + row[size]].tolist()


def two_layers() -> Netlist:
    """Six sources, 20 neurons on three cores, 12 on two; excitatory only except for one synapse."""
    net = SpikingNet(6, per_core=8)
    first = np.full((6, 20), 3 << 4)
    first[2, 10] = -5 << 4
    threshold, offset = 0x4000 + 0x2000 * np.arange(20), (np.arange(20) - 4) * 0x2000
    spikes = net.dense(net.x, first, threshold=threshold, offset=offset.astype(np.int32), shift_exc=4, shift_inh=4)
    last = net.dense(spikes, np.full((20, 12), 7), threshold=1)
    return build_netlist(net.module(last), BOARD, tiles=1)


class TestMasterTable:
    def test_of_a_single_source_vertex(self) -> None:
        entry = [0x0, 0xFFFFFE00, 0x28000, 0x70000, 0x10006]
        # Rows of 8 words and of 1; the second matrix starts behind 6 rows of 3 + 8 words, at 16 bytes.
        assert span(two_layers(), 1, "master", "first_master", "master_words") == [1, 2, *entry, 0x7, 0x1100]

    def test_of_three_source_vertices(self) -> None:
        entry = [0x200, 0xFFFFFE00, 0x18000, 0x70003, 0x10008]
        assert span(two_layers(), 4, "master", "first_master", "master_words") == [1, 1, *entry, 0x7]


class TestRows:
    def test_are_padded_to_the_longest_of_the_population(self) -> None:
        netlist = two_layers()
        words = span(netlist, 2, "words", "first_word", "words")
        exc = [0, 8, 0] + [3 << 16 | 1 << 4 | post for post in range(8)]
        hole = [0, 7, 0] + [3 << 16 | 1 << 4 | post for post in range(8) if post != 2] + [0]
        inh = [0, 0, 0, 0]
        assert (
            words == exc * 2 + hole + exc * 3 + [0] * 2 + inh * 2 + [0, 1, 0, 5 << 16 | 1 << 4 | 1 << 3 | 2] + inh * 3
        )
        assert len(span(netlist, 3, "words", "first_word", "words")) == len(words)


class TestParameters:
    def test_are_arrays_of_structures(self) -> None:
        words = span(two_layers(), 3, "parameters", "first_parameter", "parameter_words")
        models = [[0, 0, 4, 4, offset, 0, 0, 0, 0x8000] for offset in (0x18000, 0x1A000, 0x1C000, 0x1E000)]
        thresholds = [0x24000, 0x26000, 0x28000, 0x2A000]
        assert words == [1, *np.concatenate(models), *[0x8000] * 4, *thresholds, *[0] * 8]

    def test_hold_negative_offsets(self) -> None:
        words = span(two_layers(), 1, "parameters", "first_parameter", "parameter_words")
        assert words[5] == 0xFFFF8000


class TestSlots:
    @settings(deadline=None)
    @given(st.integers(1, 5000))
    def test_are_the_power_of_two_that_holds_the_delay(self, delay: int) -> None:
        slots = 1 << slot_bits(delay)
        assert delay <= slots and (slots == 2 or slots // 2 < delay)
