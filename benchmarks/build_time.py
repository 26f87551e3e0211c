"""Seconds that each stage of building takes: `python benchmarks/build_time.py [--net vgg16] [--net resnet50]`.

The front end is all from the ONNX model in memory to blocks with tiles; one program of the mapping `optimized` is then
built, put in order and timed. Beside it stands what numpy needs, in the same run, to sort the program's rows by step
and copy them: the least that a stage of whole tables can take.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx

from snc.backends.spinn2.build import build_program
from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import Machine, load_machine
from snc.backends.spinn2.order import dataflow_order
from snc.backends.spinn2.schedule import TACTICS
from snc.backends.spinn2.splits import Splits
from snc.compiler.driver import calibration_context, machine_pipeline, run_pipeline
from snc.compiler.onnx.importer import import_model
from snc.compiler.pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline
from snc.ir.diagnostics import Diagnostic
from snc.ir.dialects.builtin import ModuleOp
from snc.passes.base import PassContext
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.timer import time_program

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.paper_nets import NETS

T = TypeVar("T")


def measured(name: str, work: Callable[[], T]) -> T:
    """The result of `work`, whose seconds are printed."""
    start = time.perf_counter()
    found = work()
    print(f"  {name:<12}{time.perf_counter() - start:8.2f} s")
    return found


def front_end(model: onnx.ModelProto, machine: Machine) -> ModuleOp:
    """The network as blocks with tiles."""
    notes: list[Diagnostic] = []
    module = import_model(model, warn=notes.append)
    options = Spinn2Options(mapping="optimized")
    run_pipeline(graph_pipeline(), module, PassContext(warnings=notes), ())
    context, _ = calibration_context(module, None, notes)
    run_pipeline(fixed_point_pipeline(options), module, context, ())
    run_pipeline(machine_pipeline(options, machine), module, context, ())
    return module


def sorted_rows(program: Program) -> int:
    """Copies the rows in an order found by sorting; how many there are."""
    for rows in (program.tasks, program.transfers):
        rows[np.argsort(rows["step"][::-1], kind="stable")]
    return len(program.tasks) + len(program.transfers)


def time_net(net: str, machine: Machine) -> None:
    """Prints the stages of a network."""
    print(net)
    clocks, model = clocks_of(machine), NETS[net]()
    splits, whole = Splits.of(machine, clocks), machine.pe.data_bytes
    module = measured("front end", lambda: front_end(model, machine))
    program = measured("one program", lambda: build_program(module, machine, "optimized", splits, whole, TACTICS[0]))
    ordered = measured("its order", lambda: dataflow_order(program, clocks))
    measured("its times", lambda: time_program(ordered, clocks))
    rows = measured("numpy's sort", lambda: sorted_rows(program))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"  {rows:,} rows, {len(ordered.depends):,} dependences; most memory so far {peak:,} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", action="append", choices=sorted(NETS))
    for net in parser.parse_args().net or sorted(NETS):
        time_net(net, load_machine("spinn2-2020"))


if __name__ == "__main__":
    main()
