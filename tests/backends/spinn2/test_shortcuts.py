"""The result of a shortcut sum takes the place of the shortcut, where the paper's mapping allows it."""

from __future__ import annotations

import numpy as np

from snc.compiler.pipelines import Spinn2Options
from snc.ir.core import Value
from snc.ir.dialects.nn import AddOp, ClampOp, Conv2dOp
from snc.ir.dialects.spinn2_tables import BufferKind, Phase
from snc.runtime.spinn2.program import Program

from ...passes.nets import Net
from .compiling import assert_exact, compile_module
from .small_machines import small_machine


def residual(*, kept: bool) -> Program:
    """Three convolutions, the third adds the result of the first; with `kept` the network returns that, too."""
    net = Net((1, 4, 8, 8))

    def conv(x: Value) -> Value:
        y = net(Conv2dOp(x=x, weight=net.random(4, 4, 3, 3), pads=(1, 1, 1, 1)))
        return net(ClampOp(x=y, low=0.0, high=4.0))

    first = conv(net.x)
    other = net(Conv2dOp(x=conv(first), weight=net.random(4, 4, 3, 3), pads=(1, 1, 1, 1)))
    total = net(AddOp(lhs=other, rhs=first))
    last = conv(total)
    module = net.module(last, first) if kept else net.module(last)
    machine = small_machine(qpes=2, data_bytes=16384)
    fixed, program = compile_module(module, Spinn2Options(mapping="kelber2020"), machine)
    assert_exact(fixed, program)
    return program


def replaced(program: Program) -> bool:
    """Whether some layer reads a map and writes the same bytes."""
    rows, maps = program.transfers, program.buffers["kind"] == BufferKind.MAP
    for layer in np.unique(rows["layer"]):
        here = rows[rows["layer"] == layer]
        read = here["src"][(here["phase"] == Phase.INPUTS) & maps[here["src"]]]
        written = here["dst"][here["phase"] == Phase.RESULTS]
        if np.intersect1d(read, written).size:
            return True
    return False


class TestShortcuts:
    def test_a_sum_lies_where_its_shortcut_lay(self) -> None:
        assert replaced(residual(kept=False))

    def test_a_shortcut_that_is_read_later_stays(self) -> None:
        assert not replaced(residual(kept=True))
