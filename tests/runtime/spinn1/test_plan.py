"""A plan holds the same, however many synapses are arranged at once and however they are sorted."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn1 import plan as plan_module
from snc.runtime.spinn1.dues import due_steps
from snc.runtime.spinn1.netlist import Netlist
from snc.runtime.spinn1.plan import Plan, plan
from snc.runtime.spinn1.routing import follow
from snc.runtime.spinn1.synapses import decode

from .netlists import draw, random_shape


def planned(netlist: Netlist) -> Plan:
    """The plan of a netlist."""
    synapses = decode(netlist, follow(netlist))
    return plan(netlist, synapses, due_steps(netlist, synapses))


class TestPlan:
    @given(seed=st.integers(0, 2**32), synapses=st.integers(1, 20))
    @settings(max_examples=20, deadline=None)
    def test_does_not_depend_on_how_many_synapses_are_arranged_at_once(self, seed: int, synapses: int) -> None:
        rng = np.random.default_rng(seed)
        netlist = draw(rng, random_shape(rng)).netlist
        whole = planned(netlist)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan_module, "BLOCK_SYNAPSES", synapses)
            parts = planned(netlist)
        for column in attrs.fields_dict(Plan):
            found, expected = np.asarray(getattr(parts, column)), np.asarray(getattr(whole, column))
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)

    @given(keys=st.lists(st.integers(0, 9), max_size=40), limit=st.sampled_from([10, 1 << 62]))
    @settings(max_examples=30, deadline=None)
    def test_equal_keys_keep_their_order(self, keys: list[int], limit: int) -> None:
        found, places = plan_module._sorted(np.array(keys, np.int64), limit)
        expected = sorted(range(len(keys)), key=keys.__getitem__)
        assert places.tolist() == expected
        assert found.tolist() == [keys[place] for place in expected]
