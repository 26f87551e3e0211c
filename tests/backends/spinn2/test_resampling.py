"""Feature maps that are enlarged or cropped stay on the chip, and every element comes from where it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.resampling import picks
from snc.backends.spinn2.schedule import MAPPINGS
from snc.compiler.pipelines import Spinn2Options
from snc.ir.core import Value
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import ConcatOp, Conv2dOp, ResizeNearestOp, SliceOp

from ...passes.nets import Net
from .compiling import assert_exact, assert_maps_stay_on_the_chip, compile_module
from .small_machines import small_machine

MACHINE = small_machine(double_blocks=2, pes_per_qpe=4, ports=2, data_bytes=1 << 14)


def convolution(net: Net, x: Value, channels: int) -> Value:
    return net(Conv2dOp(x=x, weight=net.random(channels, x.shape[1], 3, 3), pads=(1, 1, 1, 1)))


def drawn_resampling(data: st.DataObject, x: Value) -> ResizeNearestOp | SliceOp:
    """An enlargement or reduction by any picks, or a crop; columns may run backwards, and so may a crop's rows."""
    height, width = x.shape[2:]
    if data.draw(st.booleans()):
        rows = sorted(data.draw(st.lists(st.integers(0, height - 1), min_size=2, max_size=9)))
        columns = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=9))
        return ResizeNearestOp(x=x, rows=tuple(rows), columns=tuple(columns))
    starts, counts, steps = [0], [1], [1]
    for size in x.shape[1:]:
        start, step = data.draw(st.integers(0, size - 1)), data.draw(st.sampled_from((1, 2, -1)))
        most = start + 1 if step < 0 else -(-(size - start) // step)
        starts, counts, steps = [*starts, start], [*counts, data.draw(st.integers(1, most))], [*steps, step]
    return SliceOp(x=x, starts=tuple(starts), counts=tuple(counts), steps=tuple(steps))


def drawn_network(data: st.DataObject) -> ModuleOp:
    """A convolution, what is picked of its result, joined with itself or not, and another convolution."""
    net = Net((1, 3, data.draw(st.integers(2, 7)), data.draw(st.integers(2, 7))))
    x = convolution(net, net.x, data.draw(st.integers(1, 6)))
    picked = net(drawn_resampling(data, x))
    if data.draw(st.booleans()):
        picked = net(ConcatOp(inputs=(picked, convolution(net, picked, 2)), axis=1))
    return net.module(convolution(net, picked, 2), convolution(net, x, 2))


def enlarged() -> ModuleOp:
    """The decoder of a segmentation network: a map is enlarged and joined with one of that size."""
    net = Net((1, 3, 8, 8))
    large = convolution(net, net.x, 4)
    half = (0, 2, 4, 6)
    small = convolution(net, net(ResizeNearestOp(x=large, rows=half, columns=half)), 8)
    twice = tuple(n // 2 for n in range(8))
    back = net(ResizeNearestOp(x=small, rows=twice, columns=twice))
    return net.module(convolution(net, net(ConcatOp(inputs=(back, large), axis=1)), 4))


class TestPrograms:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.sampled_from(MAPPINGS))
    def test_compute_the_interpreters_integers(self, data: st.DataObject, mapping: str) -> None:
        assert_exact(*compile_module(drawn_network(data), Spinn2Options(mapping=mapping), MACHINE, 0))

    @pytest.mark.parametrize("mapping", ["optimized", "kelber2020"])
    def test_leave_maps_on_the_chip(self, mapping: str) -> None:
        fixed, program = compile_module(enlarged(), Spinn2Options(mapping=mapping), MACHINE)
        assert_maps_stay_on_the_chip(program)
        assert_exact(fixed, program)


class TestPicks:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_say_where_each_element_comes_from(self, data: st.DataObject) -> None:
        net = Net((1, data.draw(st.integers(1, 3)), data.draw(st.integers(2, 5)), data.draw(st.integers(1, 5))))
        op = drawn_resampling(data, net.x)
        found = picks(op)
        values = np.arange(net.x.tensor.size).reshape(net.x.shape)
        expected = op.fold([values])[0]
        if found is None:
            assert isinstance(op, SliceOp) and (op.steps[2] < 0 or op.steps[1] != 1)
            return
        channels = np.arange(found.first_channel, found.first_channel + found.result.channels)
        np.testing.assert_array_equal(values[0][np.ix_(channels, found.rows, found.columns)], expected)
        assert found.source.shape == net.x.shape[1:] and found.result.shape == expected.shape
