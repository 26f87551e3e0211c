"""From a float module to a program, step by step, and the law that every program has to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snc.backends.spinn2.machine import Machine
from snc.backends.spinn2.schedule import schedule
from snc.compiler.driver import calibration_context, machine_pipeline, run_pipeline
from snc.compiler.executable import Executable
from snc.compiler.pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline
from snc.ir.clone import clone_module
from snc.ir.diagnostics import Diagnostic
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.tile import BlockOp
from snc.ir.rewriter import Rewriter
from snc.ir.spec import INTS
from snc.passes.base import PassContext
from snc.passes.tile.demand import Tile
from snc.passes.tile.geometry import Plan, plan_block
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.verify import verify

Array = NDArray[Any]


def fixed_point(module: ModuleOp, options: Spinn2Options | None = None) -> ModuleOp:
    """The module in fixed point, calibrated on noise."""
    copy, notes = clone_module(module), list[Diagnostic]()
    run_pipeline(graph_pipeline(), copy, PassContext(warnings=notes), ())
    context, _ = calibration_context(copy, None, notes)
    run_pipeline(fixed_point_pipeline(options or Spinn2Options()), copy, context, ())
    return copy


def tiled(fixed: ModuleOp, options: Spinn2Options, machine: Machine) -> ModuleOp:
    """The module in blocks, split for a machine."""
    copy = clone_module(fixed)
    run_pipeline(machine_pipeline(options, machine), copy, PassContext(), ())
    return copy


def tiled_by_hand(fixed: ModuleOp, choose: Callable[[Plan], Tile], *, fuse: bool = True) -> ModuleOp:
    """The module in blocks, each with the tile that `choose` says."""
    copy = clone_module(fixed)
    run_pipeline(f"form-blocks{{fuse={'true' if fuse else 'false'}}}", copy, PassContext(), ())
    rewriter = Rewriter()
    for op in copy.main.body.ops:
        if isinstance(op, BlockOp):
            rewriter.set_attribute(op, "tile", INTS.encode(choose(plan_block(op))))
    return copy


def assert_exact(fixed: ModuleOp, program: Program, *, seed: int = 0) -> None:
    """The program is sound, and gives the integers that the reference interpreter gives for the fixed-point module."""
    program.validate()
    assert verify(program) == []
    executable = Executable(fixed, program, "", "spinn2", "", {}, "")
    rng = np.random.default_rng(seed)
    inputs = [(2 * rng.standard_normal(port.shape)).astype(port.dtype) for port in executable.inputs]
    found, expected = executable.run(inputs, integers=True), executable.interpret(inputs, integers=True)
    for ours, reference in zip(found, expected, strict=True):
        assert ours.dtype == reference.dtype
        np.testing.assert_array_equal(ours, reference)


def same_tables(first: Program, second: Program) -> bool:
    """Whether two programs agree byte by byte."""
    pairs = zip((*first.tables().values(), *first.arrays), (*second.tables().values(), *second.arrays), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def compile_module(module: ModuleOp, options: Spinn2Options, machine: Machine) -> tuple[ModuleOp, Program]:
    """The fixed-point module and its program."""
    fixed = fixed_point(module, options)
    return fixed, schedule(tiled(fixed, options, machine), machine, options.mapping)
