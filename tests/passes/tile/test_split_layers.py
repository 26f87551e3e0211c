"""Every piece that is chosen fits the memory that it was chosen for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.diagnostics import DoesNotFit
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.tile import BlockOp
from snc.passes.tile.demand import Tile, accumulator_parts, demand
from snc.passes.tile.form_blocks import FormBlocks
from snc.passes.tile.geometry import Plan, align, core_extent, plan_block
from snc.passes.tile.split_layers import SplitLayers, uses_reuse, weight_slots

from ...backends.spinn2.compiling import fixed_point
from ...backends.spinn2.layers import large_layers
from ..nets import Net, after


def split(module: ModuleOp, options: SplitLayers) -> list[tuple[Plan, Tile]]:
    """Plan and tile of every block."""
    formed = after(fixed_point(module), FormBlocks(), options)
    found = []
    for op in formed.main.body.ops:
        if isinstance(op, BlockOp):
            assert op.tile is not None
            channels, rows, columns, reduction = op.tile
            found.append((plan_block(op), (channels, rows, columns, reduction)))
    return found


def cut_of(shape: tuple[int, ...], weight: tuple[int, ...], stride: int = 1) -> Tile:
    """The tile of a single convolution, padded to keep the map's size, on the machine of the paper."""
    net, border = Net(shape), weight[-1] // 2
    conv = nn.Conv2dOp(x=net.x, weight=net.random(*weight), strides=(stride,) * 2, pads=(border,) * 4)
    module = net.module(net(conv))
    ((_, tile),) = split(module, SplitLayers())
    return tile


class TestSplitLayers:
    @settings(max_examples=60)
    @given(large_layers(), st.integers(300, 600), st.sampled_from((1, 8, 128)), st.booleans())
    def test_every_piece_fits(self, module: ModuleOp, words: int, elements: int, reuse: bool) -> None:
        options = SplitLayers(sram_bytes=16 * words, elements=elements, reuse=reuse)
        for plan, tile in split(module, options):
            slots = weight_slots(plan, tile, elements) if reuse else 1
            assert demand(plan, tile).total(weight_slots=slots) <= 16 * words
            assert all(1 <= size <= whole for size, whole in zip(tile[:3], plan.view.shape, strict=True))
            assert 1 <= tile[3] <= plan.reduction

    def test_parts_that_never_move_need_one_place(self) -> None:
        """A deep map of 7 x 7 fits beside one part of the weights, not beside two."""
        net = Net((1, 512, 7, 7))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.random(512, 512, 3, 3), pads=(1, 1, 1, 1))))
        ((plan, tile),) = split(module, SplitLayers())
        assert tile == (4, 7, 7, 512)
        assert weight_slots(plan, tile, 128) == 1
        assert demand(plan, tile).total(weight_slots=2) > 98304
        assert weight_slots(plan, (4, 2, 7, 512), 128) == 2

    def test_no_element_holds_two_parts_where_larger_ones_cost_nothing(self) -> None:
        net = Net((1, 64, 7, 7))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.random(2048, 64, 1, 1))))
        ((_, tile),) = split(module, SplitLayers())
        assert tile[0] == 16

    def test_a_strided_1x1_convolution_takes_single_rows(self) -> None:
        """Rows between those that it needs would be fetched and summed up for nothing."""
        assert cut_of((1, 256, 56, 56), (128, 256, 1, 1), stride=2) == (4, 1, 28, 256)

    def test_parts_grow_while_each_qpe_has_one(self) -> None:
        """Four tiles, one for each element of a QPE, and 32 parts are a piece for each of 128 elements."""
        assert cut_of((1, 128, 28, 28), (512, 128, 1, 1)) == (16, 7, 28, 128)

    def test_tiles_are_cut_so_that_few_bytes_move(self) -> None:
        """Tiles of 14 x 14 have less halo than 7 x 28, but their rows of sums are filled up from 14 to 16."""
        assert cut_of((1, 256, 56, 56), (256, 256, 3, 3)) == (4, 7, 28, 256)

    @settings(max_examples=60)
    @given(large_layers(), st.integers(300, 600), st.sampled_from((1, 8, 128)))
    def test_sums_of_stride_1_have_room(self, module: ModuleOp, words: int, elements: int) -> None:
        for plan, tile in split(module, SplitLayers(sram_bytes=16 * words, elements=elements)):
            if uses_reuse(plan, tile):
                stride, extents = plan.stages[0].window.stride, core_extent(plan, tile[1], tile[2])
                rows, columns = ((size - 1) * step + 1 for size, step in zip(extents, stride, strict=True))
                kept = int(align(4 * extents[1], 16)) * extents[0]
                need = demand(plan, tile).total(weight_slots=weight_slots(plan, tile, elements))
                assert need + tile[0] * (int(align(4 * columns, 16)) * rows - kept) <= 16 * words

    def test_input_channels_are_cut_where_nothing_else_helps(self) -> None:
        net = Net((1, 200, 4, 4))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.random(4, 200, 3, 3))))
        ((_, tile),) = split(module, SplitLayers(sram_bytes=8192))
        assert tile[3] < 200
        ((_, whole),) = split(module, SplitLayers(sram_bytes=98304))
        assert whole[3] == 200

    @settings(max_examples=60)
    @given(large_layers(), st.integers(4, 40), st.booleans())
    def test_what_is_refused_does_not_fit(self, module: ModuleOp, words: int, reuse: bool) -> None:
        try:
            split(module, SplitLayers(sram_bytes=16 * words, reuse=reuse))
        except DoesNotFit as error:
            for each in error.diagnostics:
                need, have = re.findall(r"needs (\d+) bytes.* has (\d+)", each.found)[0]
                assert int(need) > int(have) == 16 * words

    def test_a_shortage_names_the_parts_of_the_need(self) -> None:
        net = Net((1, 4, 9, 9))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.random(4, 4, 5, 5))))
        with pytest.raises(DoesNotFit, match=r"needs \d+ bytes \(input tile \d+ bytes, weights \d+ bytes"):
            split(module, SplitLayers(sram_bytes=256))


class TestAccumulatorParts:
    def plan(self, weight: np.ndarray) -> Plan:
        net = Net((1, weight.shape[1], 3, 3))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.constant(weight))))
        ((plan, _),) = split(module, SplitLayers())
        return plan

    def test_parts_are_as_few_as_keep_every_sum_in_range(self) -> None:
        """Weights of 127 and inputs of -128 .. 127: 64 channels of 9 taps reach 9.4 million, beyond 24 bits signed."""
        plan = self.plan(np.ones((4, 64, 3, 3), np.float32))
        assert accumulator_parts(plan, 32) == 1
        assert accumulator_parts(plan, 29) == 1
        assert accumulator_parts(plan, 24) == 2
        assert accumulator_parts(plan, 20) == 22

    def test_real_weights_count_and_not_their_number(self) -> None:
        weight = np.zeros((4, 64, 3, 3), np.float32)
        weight[:, 0, 0, 0] = 1
        assert accumulator_parts(self.plan(weight), 24) == 1

    def test_single_products_that_are_too_large(self) -> None:
        with pytest.raises(ValueError, match="sums of single products"):
            accumulator_parts(self.plan(np.ones((4, 2, 3, 3), np.float32)), 14)

    def test_the_pass_cuts_accordingly(self) -> None:
        net = Net((1, 64, 5, 5))
        module = net.module(net(nn.Conv2dOp(x=net.x, weight=net.constant(np.ones((4, 64, 3, 3))))))
        ((_, tile),) = split(module, SplitLayers(accumulator_bits=24))
        assert tile[3] == 32
