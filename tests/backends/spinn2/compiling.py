"""From a float module to a program, step by step, and the law that every program has to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from snc.backends.spinn2.machine import Machine
from snc.backends.spinn2.schedule import schedule
from snc.compiler.driver import calibration_context, machine_pipeline, run_pipeline
from snc.compiler.executable import Executable
from snc.compiler.pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline
from snc.ir.clone import clone_module
from snc.ir.diagnostics import Diagnostic
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.spinn2_tables import END, HOST, BufferKind
from snc.ir.dialects.tile import BlockOp
from snc.ir.rewriter import Rewriter
from snc.ir.spec import INTS
from snc.passes.base import PassContext
from snc.passes.tile.demand import Tile
from snc.passes.tile.geometry import Plan, plan_block
from snc.runtime.spinn2.dataflow import unordered
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.touches import field
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
    """The program is sound, and gives the integers that the reference interpreter gives for the fixed-point module.

    So it does when its steps run in any other order that the dependencies allow.
    """
    program.validate()
    assert verify(program) == []
    assert unordered(program) == []
    rng = np.random.default_rng(seed)
    executable = Executable(fixed, program, "", "spinn2", "", {}, "")
    inputs = [(2 * rng.standard_normal(port.shape)).astype(port.dtype) for port in executable.inputs]
    expected = executable.interpret(inputs, integers=True)
    for each in (program, in_another_order(program, seed)):
        found = evolve(executable, program=each).run(inputs, integers=True)
        for ours, reference in zip(found, expected, strict=True):
            assert ours.dtype == reference.dtype
            np.testing.assert_array_equal(ours, reference)


def assert_maps_stay_on_the_chip(program: Program) -> None:
    """No map lies in DRAM but the network's inputs and outputs."""
    outside = field(program.buffers, "memory") >= program.processing_elements
    maps = np.flatnonzero(outside & (program.buffers["kind"] == BufferKind.MAP))
    assert set(maps.tolist()) == set(program.ports["buffer"].tolist())


def same_tables(first: Program, second: Program) -> bool:
    """Whether two programs agree byte by byte."""
    pairs = zip((*first.tables().values(), *first.arrays), (*second.tables().values(), *second.arrays), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def compile_module(
    module: ModuleOp, options: Spinn2Options, machine: Machine, level: int = 2
) -> tuple[ModuleOp, Program]:
    """The fixed-point module and its program."""
    fixed = fixed_point(module, options)
    return fixed, schedule(tiled(fixed, options, machine), machine, options.mapping, level)


def in_another_order(program: Program, seed: int) -> Program:
    """The program with its steps in a random order that the table of dependencies allows."""
    rng = np.random.default_rng(seed)
    count = int(max(program.tasks["step"].max(initial=0), program.transfers["step"].max(initial=0)))
    waits = np.bincount(program.depends["after"], minlength=count + 1)
    followers: list[list[int]] = [[] for _ in range(count + 1)]
    for before, after in program.depends[["before", "after"]].tolist():
        followers[before].append(after)
    ready = [step for step in range(1, count + 1) if not waits[step]]
    number = np.zeros(count + 1, np.int64)
    for place in range(1, count + 1):
        step = ready.pop(int(rng.integers(len(ready))))
        number[step] = place
        for after in followers[step]:
            waits[after] -= 1
            if not waits[after]:
                ready.append(after)
    tasks, transfers, buffers = (table.copy() for table in (program.tasks, program.transfers, program.buffers))
    for rows in (tasks, transfers):
        rows["step"] = number[rows["step"]]
    # Lives of buffers follow the old order; nothing that runs looks at them.
    buffers["first"], buffers["last"] = HOST, END
    return evolve(program, tasks=tasks, transfers=transfers, buffers=buffers)
