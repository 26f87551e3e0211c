"""Words are decoded to the synapses that were written, and words that no core could use are refused."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.dialects.spinn1_tables import ROW_HEADER
from snc.runtime.spinn1 import synapses
from snc.runtime.spinn1.errors import NetlistError
from snc.runtime.spinn1.netlist import Netlist
from snc.runtime.spinn1.routing import follow
from snc.runtime.spinn1.synapses import Synapses, decode

from .netlists import Shape, draw, random_shape


def decoded(netlist: Netlist) -> Synapses:
    """The synapses of a netlist."""
    return decode(netlist, follow(netlist))


def with_word(netlist: Netlist, table: str, at: int, value: int) -> Netlist:
    """The netlist with one word changed."""
    words = getattr(netlist, table).copy()
    words[at] = value
    return attrs.evolve(netlist, **{table: words})


def in_order(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by all their columns."""
    return rows[np.lexsort(rows.T[::-1])]


class TestDecode:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=50, deadline=None)
    def test_gives_back_the_synapses_that_were_written(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        drawn = draw(rng, random_shape(rng))
        found = decoded(drawn.netlist)
        post = drawn.netlist.vertex_neurons()[found.vertex()] + found.target
        rows = np.stack([found.neuron(), post, found.receptor, found.weight, found.delay], axis=1)
        np.testing.assert_array_equal(in_order(rows), in_order(drawn.synapses))

    def test_rows_say_what_a_fetch_costs(self) -> None:
        rng = np.random.default_rng(0)
        drawn = draw(rng, Shape(sizes=(6, 4), per_core=4, density=0.5, tiles=1))
        rows = decoded(drawn.netlist).rows
        widest = [np.bincount(drawn.synapses[drawn.synapses[:, 2] == n, 0], minlength=6).max() for n in (0, 1)]
        np.testing.assert_array_equal(rows.words, np.tile(np.array(widest) + ROW_HEADER, 6))
        np.testing.assert_array_equal(rows.first, np.cumsum(rows.synapses) - rows.synapses)
        np.testing.assert_array_equal(rows.neuron, np.repeat(np.arange(6), 2))

    @given(seed=st.integers(0, 2**32), rows=st.integers(1, 20))
    @settings(max_examples=20, deadline=None)
    def test_does_not_depend_on_how_many_rows_are_decoded_at_once(self, seed: int, rows: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        whole = decoded(netlist)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(synapses, "BLOCK_ROWS", rows)
            parts = decoded(netlist)
        for one, other in ((whole.rows, parts.rows), (whole, parts)):
            for column in set(attrs.fields_dict(type(one))) - {"rows"}:
                found, expected = getattr(other, column), getattr(one, column)
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)

    def test_a_packet_that_no_table_knows_has_no_effect(self) -> None:
        netlist = draw(np.random.default_rng(1), Shape(sizes=(6, 4), tiles=1)).netlist
        first = int(netlist.vertices["first_master"][-1])
        deaf = with_word(netlist, "master", first + 2, 1 << 31)
        assert len(decoded(deaf).weight) == 0
        assert len(decoded(netlist).weight) > 0

    @pytest.mark.parametrize(
        ("table", "at", "value", "message"),
        [
            ("master", 0, 9, "another length"),
            ("master", 1, 0, "another length"),
            ("master", 2, 1, "a key is not valid"),
            ("master", 4, 0xFFFF_8000, "number of addresses"),
            ("master", 4, 0, "colour bits"),
            ("master", 5, 32 << 16, "core shift"),
            ("master", 6, 0, "number of neurons"),
            ("master", 3, 0xFFFF_FFFF, "tell the neurons of one vertex apart"),
            ("master", 7, 0xFF, "leaves the synaptic matrices"),
            ("master", 7, 0x00FF_FF00, "leaves the synaptic matrices"),
            ("words", 0, 1, "row header"),
            ("words", 1, 99, "row header"),
            ("words", 2, 1, "row header"),
            ("words", 3, 0x0001_000F, "a target"),
        ],
    )
    def test_refuses_words_that_no_core_could_use(self, table: str, at: int, value: int, message: str) -> None:
        """One vertex of four neurons, of which all have synapses from all six sources."""
        drawn = draw(np.random.default_rng(1), Shape(sizes=(6, 3), density=1.0, tiles=1))
        decoded(drawn.netlist)
        with pytest.raises(NetlistError, match=message):
            decoded(with_word(drawn.netlist, table, at, value))
