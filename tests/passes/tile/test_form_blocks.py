from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.core import Value
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.tile import BlockOp
from snc.passes.legality import check_legality
from snc.passes.tile.form_blocks import FormBlocks
from snc.passes.tile.geometry import plan_block

from ...backends.spinn2.compiling import fixed_point
from ...strategies import nn_modules
from ..nets import Net, after


def chains(module: ModuleOp, *, fuse: bool = True) -> list[list[str]]:
    """The operations of each block."""
    formed = after(module, FormBlocks(fuse=fuse))
    return [[each.name for each in op.chain] for op in formed.main.body.ops if isinstance(op, BlockOp)]


def conv(net: Net, x: Value, filters: int = 4) -> Value:
    return net(nn.Conv2dOp(x=x, weight=net.random(filters, x.shape[1], 1, 1)))


def residual(net: Net) -> Value:
    return net(nn.ClampOp(x=net(nn.AddOp(lhs=conv(net, net.x), rhs=net.x)), low=0.0, high=4.0))


def pooled(net: Net) -> Value:
    return net(nn.MaxPool2dOp(x=net(nn.HardSwishOp(x=conv(net, net.x))), kernel=(2, 2), strides=(2, 2)))


def overlapping(net: Net) -> Value:
    return net(nn.MaxPool2dOp(x=conv(net, net.x), kernel=(3, 3), strides=(2, 2)))


def read_twice(net: Net) -> Value:
    y = conv(net, net.x)
    return net(nn.AddOp(lhs=y, rhs=net(nn.SigmoidOp(x=y))))


RESCALED = ["quant.conv2d", "quant.rescale"]
FUSED: dict[str, tuple[Callable[[Net], Value], list[list[str]]]] = {
    "residual": (residual, [[*RESCALED, "quant.add"]]),
    "pooled": (pooled, [[*RESCALED, "quant.table", "quant.max_pool2d"]]),
    "overlapping": (overlapping, [RESCALED, ["quant.max_pool2d"]]),
    "read_twice": (read_twice, [RESCALED, ["quant.table", "quant.add"]]),
}


class TestFormBlocks:
    @pytest.mark.parametrize("name", FUSED)
    def test_what_follows_a_convolution_joins_its_block(self, name: str) -> None:
        build, expected = FUSED[name]
        net = Net((1, 4, 6, 6))
        fixed = fixed_point(net.module(build(net)))
        assert chains(fixed) == expected
        apart = [[each] for chain in expected for each in chain]
        assert sorted(chains(fixed, fuse=False)) == sorted(apart)

    def test_slopes_along_another_axis_than_the_columns_of_a_product_stay_outside(self) -> None:
        net = Net((1, 7, 12))
        product = net(nn.MatMulOp(lhs=net.x, rhs=net.random(12, 9)))
        fixed = fixed_point(net.module(net(nn.PReluOp(x=product, slope=net.random(7, 1)))))
        assert chains(fixed) == [["quant.matmul", "quant.rescale"], ["quant.table"]]

    @settings(max_examples=40)
    @given(nn_modules(), st.booleans())
    def test_every_operation_is_in_one_block_that_has_a_plan(self, module: ModuleOp, fuse: bool) -> None:
        fixed = fixed_point(module)
        formed = after(fixed, FormBlocks(fuse=fuse))
        assert check_legality(formed, "tiled") == []
        work = [op.name for op in fixed.main.body.ops if op.name.startswith("quant.")]
        inside = [op.name for block in formed.walk() if isinstance(block, BlockOp) for op in block.chain]
        outside = [op.name for op in formed.main.body.ops if op.name.startswith("quant.")]
        assert sorted(work) == sorted(inside + outside)
        for block in formed.walk():
            if isinstance(block, BlockOp):
                plan = plan_block(block)
                assert plan.view.size == block.results[0].tensor.size
                assert [stage.op for stage in plan.stages] == list(block.chain)


class TestPlan:
    def test_the_first_map_is_the_one_of_the_results_shape(self) -> None:
        net = Net((1, 4, 1, 1), (1, 4, 3, 3))
        one, other = net.body.arguments
        fixed = fixed_point(net.module(net(nn.MulOp(lhs=one, rhs=other))))
        (block,) = [op for op in after(fixed, FormBlocks()).walk() if isinstance(op, BlockOp)]
        plan = plan_block(block)
        assert block.inputs[plan.first.index].shape == (1, 4, 3, 3)
        (stage,) = plan.stages
        assert stage.swapped and stage.source is not None
        assert stage.source.repeated == (False, True, True)

    def test_columns_of_one_channel_repeat(self) -> None:
        net = Net((1, 6, 5), (1, 1, 5))
        one, other = net.body.arguments
        fixed = fixed_point(net.module(net(nn.AddOp(lhs=one, rhs=other))))
        (block,) = [op for op in after(fixed, FormBlocks()).walk() if isinstance(op, BlockOp)]
        (stage,) = plan_block(block).stages
        assert stage.source is not None and stage.source.repeated == (True, False, False)
        assert np.prod(stage.source.view.shape) == 5
