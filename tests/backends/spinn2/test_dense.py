"""Pieces of a matrix product's input come from DRAM once, and from there to whoever multiplies with them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import load_machine
from snc.backends.spinn2.schedule import schedule
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import MatMulOp
from snc.ir.dialects.spinn2_tables import Phase
from snc.runtime.spinn2.loads import moves_of
from snc.runtime.spinn2.program import Program

from ...passes.nets import Net
from .compiling import assert_exact, fixed_point, tiled_by_hand

MACHINE = load_machine("spinn2-2020")


def product(rows: int, inner: int, columns: int) -> ModuleOp:
    net = Net((rows, inner))
    return net.module(net(MatMulOp(lhs=net.x, rhs=net.random(inner, columns))))


def input_bytes_from_dram(program: Program) -> int:
    """Bytes of inputs that the PEs fetch from DRAM."""
    moves = moves_of(program, clocks_of(MACHINE))
    fetched = (moves.source >= MACHINE.processing_elements) & (moves.target < MACHINE.processing_elements)
    return int(moves.size[fetched & (program.transfers["phase"] == Phase.INPUTS)].sum())


class TestInputs:
    @settings(max_examples=15)
    @given(st.integers(1, 9), st.integers(1, 300), st.integers(1, 200), st.integers(1, 4), st.integers(8, 64))
    def test_each_byte_comes_from_dram_once(self, rows: int, inner: int, columns: int, tall: int, length: int) -> None:
        """As long as all tiles of the result are computed at once; the baseline fetches for every piece."""
        fixed = fixed_point(product(rows, inner, columns))
        cut = tiled_by_hand(fixed, lambda plan: (min(columns, 64), min(rows, tall), 1, min(inner, length)))
        program = schedule(cut, MACHINE, "kelber2020")
        assert input_bytes_from_dram(program) == rows * inner
        pieces = -(-columns // min(columns, 64))
        assert input_bytes_from_dram(schedule(cut, MACHINE, "baseline")) == pieces * rows * inner

    @settings(max_examples=10)
    @given(st.integers(1, 5), st.integers(20, 200), st.integers(100, 600))
    def test_more_tiles_than_elements_are_computed_in_waves(self, rows: int, inner: int, columns: int) -> None:
        fixed = fixed_point(product(rows, inner, columns))
        cut = tiled_by_hand(fixed, lambda plan: (1, 1, 1, 16))
        assert_exact(fixed, schedule(cut, MACHINE, "kelber2020"))
