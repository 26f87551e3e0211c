"""Feature maps that are joined, sliced and shuffled by channels stay on the chip, and nothing of them changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.channel_moves import channel_move
from snc.backends.spinn2.maps import Segments
from snc.backends.spinn2.schedule import MAPPINGS
from snc.compiler.pipelines import Spinn2Options
from snc.ir.core import Operation, Value
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import ConcatOp, Conv2dOp, ExpandOp, GatherOp, ReshapeOp, SliceOp, TransposeOp
from snc.ir.dialects.spinn2_tables import Phase
from snc.runtime.spinn2.touches import field

from ...passes.nets import Net
from .compiling import assert_exact, assert_maps_stay_on_the_chip, compile_module
from .small_machines import small_machine

SIDE = 6
GROUPS = 2
MACHINE = small_machine(double_blocks=2, pes_per_qpe=4, ports=2, data_bytes=1 << 14)


def convolution(net: Net, x: Value, channels: int) -> Value:
    weight = net.random(channels, x.shape[1], 3, 3)
    return net(Conv2dOp(x=x, weight=weight, pads=(1, 1, 1, 1)))


def channels_from(net: Net, x: Value, low: int, count: int, step: int = 1) -> Value:
    counts = (1, count, *x.shape[2:])
    return net(SliceOp(x=x, starts=(0, low, 0, 0), counts=counts, steps=(1, step, 1, 1)))


def shuffled(net: Net, x: Value) -> Value:
    """Channels in another order, as grouped convolutions exchange them."""
    _, channels, rows, columns = x.shape
    apart = net(ReshapeOp(x=x, shape=(1, GROUPS, channels // GROUPS, rows, columns)))
    return net(ReshapeOp(x=net(TransposeOp(x=apart, permutation=(0, 2, 1, 3, 4))), shape=x.shape))


def drawn_network(data: st.DataObject) -> ModuleOp:
    """Convolutions between joins, slices and shuffles of what there is so far; all values have an even width."""
    net = Net((1, 4, SIDE, SIDE))
    values = [convolution(net, net.x, 4)]
    for _ in range(data.draw(st.integers(1, 5))):
        x = values[data.draw(st.integers(0, len(values) - 1))]
        match data.draw(st.sampled_from(("convolution", "join", "slice", "shuffle", "every other"))):
            case "convolution":
                values.append(convolution(net, x, 2 * data.draw(st.integers(1, 4))))
            case "join":
                others = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
                values.append(net(ConcatOp(inputs=(x, *others), axis=1)))
            case "slice" if x.shape[1] > 2:
                low = 2 * data.draw(st.integers(0, x.shape[1] // 2 - 1))
                values.append(channels_from(net, x, low, 2 * data.draw(st.integers(1, (x.shape[1] - low) // 2))))
            case "every other" if x.shape[1] % 4 == 0:
                values.append(channels_from(net, x, 1, x.shape[1] // 2, 2))
            case _:
                values.append(shuffled(net, x))
    return net.module(*(convolution(net, value, 2) for value in values[-2:]))


def branches() -> ModuleOp:
    """A map is cut in two; one half goes through a convolution, the other not, and both are joined and shuffled."""
    net = Net((1, 4, SIDE, SIDE))
    x = convolution(net, net.x, 8)
    left, right = channels_from(net, x, 0, 4), channels_from(net, x, 4, 4)
    joined = net(ConcatOp(inputs=(convolution(net, left, 4), right, convolution(net, right, 8)), axis=1))
    return net.module(convolution(net, shuffled(net, joined), 4))


class TestPrograms:
    @settings(max_examples=40, deadline=None)
    @given(st.data(), st.sampled_from(MAPPINGS))
    def test_compute_the_interpreters_integers(self, data: st.DataObject, mapping: str) -> None:
        assert_exact(*compile_module(drawn_network(data), Spinn2Options(mapping=mapping), MACHINE, 0))

    @pytest.mark.parametrize("mapping", ["optimized", "kelber2020"])
    def test_leave_maps_on_the_chip(self, mapping: str) -> None:
        program = compile_module(branches(), Spinn2Options(mapping=mapping), MACHINE)[1]
        assert_maps_stay_on_the_chip(program)

    def test_move_only_what_does_not_lie_in_its_place(self) -> None:
        program = compile_module(branches(), Spinn2Options(), MACHINE)[1]
        layout = program.transfers[program.transfers["phase"] == Phase.LAYOUT]
        boxes = program.boxes[layout["box"]]
        moved = int((field(boxes, "n0") * field(boxes, "n1") * field(boxes, "bytes")).sum())
        # The shuffle alone: all that is joined is rescaled first, and its result written where it belongs.
        assert moved == 16 * SIDE * SIDE

    def test_slices_of_what_is_no_map_lie_in_their_place(self) -> None:
        net = Net((1, 4, SIDE, SIDE))
        flat = net(ReshapeOp(x=convolution(net, net.x, 4), shape=(1, 4 * SIDE * SIDE)))
        half = net(SliceOp(x=flat, starts=(0, 2 * SIDE), counts=(1, 2 * SIDE * SIDE), steps=(1, 1)))
        back = net(ReshapeOp(x=half, shape=(1, 2, SIDE, SIDE)))
        fixed, program = compile_module(net.module(convolution(net, back, 2), half), Spinn2Options(), MACHINE)
        assert not (program.transfers["phase"] == Phase.LAYOUT).any()
        assert_exact(fixed, program)


def drawn_move(data: st.DataObject, net: Net) -> Operation:
    x = net.x
    channels = x.shape[1]
    match data.draw(st.sampled_from(("slice", "gather", "transpose", "join", "expand"))):
        case "slice":
            low = data.draw(st.integers(0, channels - 1))
            step = data.draw(st.sampled_from((1, 2, -1)))
            most = low + 1 if step < 0 else -(-(channels - low) // step)
            count = data.draw(st.integers(1, most))
            return SliceOp(x=x, starts=(0, low, 0, 0), counts=(1, count, *x.shape[2:]), steps=(1, step, 1, 1))
        case "gather":
            index = data.draw(st.lists(st.integers(-channels, channels - 1), min_size=1, max_size=5))
            return GatherOp(x=x, indices=net.constant(index, np.int64), axis=1)
        case "transpose":
            apart = net(ReshapeOp(x=x, shape=(2, channels // 2, *x.shape[2:])))
            return TransposeOp(x=apart, permutation=(1, 0, 2, 3))
        case "expand":
            one = net(SliceOp(x=x, starts=(0,) * 4, counts=(1, 1, *x.shape[2:]), steps=(1,) * 4))
            return ExpandOp(x=one, shape=x.shape)
        case _:
            return ConcatOp(inputs=(x, x), axis=1)


class TestChannelMove:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_says_which_channel_goes_where(self, data: st.DataObject) -> None:
        net = Net((1, 2 * data.draw(st.integers(1, 3)), data.draw(st.integers(2, 3)), data.draw(st.integers(1, 3))))
        op = drawn_move(data, net)
        plane = net.x.shape[2] * net.x.shape[3]
        move = channel_move(op, plane)
        assert move is not None
        maps = [value for value in op.operands if value.tensor.element == op.results[0].tensor.element]
        values = [np.arange(value.tensor.size, dtype=np.float32).reshape(value.shape) for value in maps]
        constants = [value.owner.value for value in op.operands[len(maps) :]]
        expected = np.reshape(op.fold([*values, *constants]), (-1, plane))
        planes = [value.reshape(-1, plane) for value in values]
        found = [planes[n][channel] for n, channel in zip(move.operands, move.channels, strict=True)]
        np.testing.assert_array_equal(found, expected)

    def test_is_none_where_channels_are_cut(self) -> None:
        net = Net((1, 4, 4, 4))
        rows = SliceOp(x=net.x, starts=(0, 0, 1, 0), counts=(1, 4, 2, 4), steps=(1,) * 4)
        assert channel_move(rows, 16) is None
        assert channel_move(TransposeOp(x=net.x, permutation=(0, 1, 3, 2)), 16) is None
        assert channel_move(ConcatOp(inputs=(net.x, net.x), axis=2), 16) is None
        assert channel_move(Conv2dOp(x=net.x, weight=net.random(4, 4, 1, 1)), 16) is None


class TestSegments:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_of_channels_keep_their_bytes(self, data: st.DataObject) -> None:
        bands = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
        high = np.cumsum(bands)
        boxes = np.array([[[end - size, end], [0, 1], [0, 2]] for size, end in zip(bands, high, strict=True)])
        count = len(bands)
        address = np.array(data.draw(st.lists(st.integers(0, 99), min_size=count, max_size=count)))
        pitch = np.array(data.draw(st.lists(st.integers(2, 9), min_size=count, max_size=count)))
        whole = Segments(boxes, np.arange(count), address, pitch, np.full(count, 2))
        channels = np.array(data.draw(st.lists(st.integers(0, int(high[-1]) - 1), min_size=1, max_size=9)))
        found = whole.of_channels(channels)
        places: dict[int, tuple[int, int]] = {}
        for n, box in enumerate(found.boxes):
            for channel in range(*box[0]):
                assert channel not in places
                place = found.address[n] + (channel - box[0, 0]) * found.channel_pitch[n]
                places[channel] = int(found.buffer[n]), int(place)
        expected = {}
        for number, channel in enumerate(channels.tolist()):
            band = int(np.searchsorted(high, channel, side="right"))
            expected[number] = band, int(address[band] + (channel - boxes[band, 0, 0]) * pitch[band])
        assert places == expected
