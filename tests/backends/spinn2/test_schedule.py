"""A program computes what its fixed-point module means, however the layers are cut and wherever the pieces run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.machine import Machine
from snc.backends.spinn2.schedule import schedule
from snc.compiler.pipelines import Spinn2Options
from snc.ir.diagnostics import DoesNotFit
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import Conv2dOp
from snc.passes.tile.demand import Tile
from snc.passes.tile.geometry import Plan

from ...passes.nets import Net
from ...strategies import nn_modules
from .compiling import assert_exact, compile_module, fixed_point, same_tables, tiled, tiled_by_hand
from .layers import large_layers
from .small_machines import small_machine, small_machines

OPTIONS = st.builds(
    Spinn2Options,
    bits=st.sampled_from((8, 16)),
    activations=st.sampled_from(("int", "uint")),
    rescale=st.sampled_from(("multiplier", "shift")),
    mapping=st.sampled_from(("baseline", "kelber2020", "optimized")),
)


class TestExactness:
    @settings(max_examples=80)
    @given(nn_modules(), OPTIONS, small_machines(least_bytes=2048))
    def test_networks_on_machines_of_any_size(self, module: ModuleOp, options: Spinn2Options, machine: Machine) -> None:
        try:
            fixed, program = compile_module(module, options, machine)
        except DoesNotFit as error:
            assert all("needs" in each.found for each in error.diagnostics)
            return
        assert program.sram_bytes == machine.pe.data_bytes
        assert_exact(fixed, program)

    @settings(max_examples=80)
    @given(large_layers(), OPTIONS, small_machines(least_bytes=4352))
    def test_layers_that_fill_the_machine(self, module: ModuleOp, options: Spinn2Options, machine: Machine) -> None:
        assert_exact(*compile_module(module, options, machine))

    @settings(max_examples=80)
    @given(large_layers(), OPTIONS, small_machines(least_bytes=1 << 16, most_bytes=1 << 16), st.data())
    def test_any_tile(self, module: ModuleOp, options: Spinn2Options, machine: Machine, data: st.DataObject) -> None:
        fixed = fixed_point(module, options)
        cut = tiled_by_hand(fixed, lambda plan: drawn_tile(data.draw, plan), fuse=data.draw(st.booleans()))
        assert_exact(fixed, schedule(cut, machine, options.mapping))

    @pytest.mark.parametrize("per_qpe", [1, 2, 4])
    @pytest.mark.parametrize("tiles", [1, 3, 8, 19])
    @pytest.mark.parametrize("parts", [1, 3, 8, 11])
    def test_weights_wander_over_any_number_of_tiles_and_parts(self, per_qpe: int, tiles: int, parts: int) -> None:
        net = Net((1, 3, tiles, 2))
        fixed = fixed_point(net.module(net(Conv2dOp(x=net.x, weight=net.random(4 * parts, 3, 1, 1)))))
        cut = tiled_by_hand(fixed, lambda plan: (4, 1, 2, 3))
        for double_blocks, blocks, qpes in ((1, 1, 1), (2, 1, 2), (3, 1, 1), (4, 1, 1), (4, 2, 1)):
            machine = small_machine(double_blocks=double_blocks, blocks=blocks, qpes=qpes, pes_per_qpe=per_qpe)
            assert_exact(fixed, schedule(cut, machine, "kelber2020"))


def drawn_tile(draw: st.DrawFn, plan: Plan) -> Tile:
    """Any tile that the kind of block allows; tiles that are small in every axis at once would be too many."""

    def size(extent: int) -> int:
        parts = draw(st.integers(1, 4))
        return -(-extent // parts)

    view = plan.view
    channels = view.channels if plan.core in ("channels", "rows") else size(view.channels // plan.groups)
    columns = view.columns if plan.core == "rows" else size(view.columns)
    reduction = size(plan.reduction) if plan.core in ("conv", "matmul") and draw(st.booleans()) else plan.reduction
    return channels, size(view.rows), columns, reduction


class TestDeterminism:
    @settings(max_examples=10)
    @given(nn_modules(), OPTIONS)
    def test_the_same_module_gives_the_same_tables(self, module: ModuleOp, options: Spinn2Options) -> None:
        machine = small_machine()
        cut = tiled(fixed_point(module, options), options, machine)
        assert same_tables(schedule(cut, machine, options.mapping), schedule(cut, machine, options.mapping))
