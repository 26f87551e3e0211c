"""Products of a vector with a matrix: every element has its share of the rows, and every DRAM port sends as much."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import load_machine
from snc.backends.spinn2.schedule import schedule
from snc.compiler.pipelines import Spinn2Options
from snc.ir.dialects.nn import MatMulOp
from snc.ir.dialects.spinn2_tables import Phase
from snc.passes.tile.geometry import MAC_ROW_BYTES, align
from snc.runtime.spinn2.loads import moves_of

from ...passes.nets import Net
from .compiling import assert_exact, fixed_point, tiled

MACHINE = load_machine("spinn2-2020")


class TestShares:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 3000), st.integers(1, 96))
    def test_no_port_waits_for_another(self, inner: int, columns: int) -> None:
        net = Net((1, inner))
        fixed = fixed_point(net.module(net(MatMulOp(lhs=net.x, rhs=net.random(inner, columns)))))
        program = schedule(tiled(fixed, Spinn2Options(mapping="optimized"), MACHINE), MACHINE, "optimized", 0)
        assert_exact(fixed, program)
        moves = moves_of(program, clocks_of(MACHINE))
        weights = (moves.source >= MACHINE.processing_elements) & (program.transfers["phase"] == Phase.WEIGHTS)
        port = moves.source[weights] - MACHINE.processing_elements
        sent = np.bincount(port, weights=moves.size[weights], minlength=len(MACHINE.dram.ports))
        # Elements have as many rows or one less; a port serves a quarter of them. Small matrices leave some without.
        elements = MACHINE.processing_elements // len(MACHINE.dram.ports)
        if inner >= 4 * MACHINE.processing_elements:
            assert sent.max() - sent.min() <= elements * int(align(columns, MAC_ROW_BYTES))
