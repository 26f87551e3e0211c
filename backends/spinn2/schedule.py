"""From tiled IR to the tables of a SpiNNaker2 program: the mappings, and which programs `optimized` tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

from attrs import define, field, frozen

from ...ir.clone import clone_module
from ...ir.diagnostics import Diagnostic, DoesNotFit, UsageError
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.tile import BlockOp
from ...ir.rewriter import Rewriter
from ...ir.spec import INTS
from ...passes.tile.geometry import plan_block
from ...passes.tile.split_layers import SplitLayers
from ...runtime.spinn2.clocks import Clocks
from ...runtime.spinn2.program import Program
from ...runtime.spinn2.timer import time_program
from .build import build_program, compute_elements
from .clocks import clocks_of
from .machine import Machine
from .optimize import Tactics
from .order import better_order, dataflow_order
from .splits import Kind, Splits
from .tables import with_tables
from .teams import TeamSplit

Timed: TypeAlias = tuple[int, Program]
"""Clocks of a program, and itself."""

MAPPINGS = ("optimized", "kelber2020", "baseline")
TACTICS = (
    Tactics(0.2, apart=False, way=6.0, waves=2),
    Tactics(0.75, apart=True, way=4.0, home=False, overlap=True),
    Tactics(0.25, apart=False, way=6.5),
    Tactics(0.12, apart=False, way=6.0, waves=3, overlap=True),
    Tactics(0.16, apart=False, way=6.0, waves=2, overlap=True),
    Tactics(0.16, apart=False, way=6.0, waves=2),
    Tactics(0.33, apart=False, way=6.5, waves=2),
    Tactics(0.65, apart=True, way=5.0, home=False),
    Tactics(0.75, apart=True, way=5.0, overlap=True),
    Tactics(0.5, apart=True, way=4.5, waves=2, overlap=True),
)


@frozen
class Effort:
    """How hard `optimized` searches: it tries the first so many TACTICS, with the best of them so many `alternatives`
    for each kind of layer, one at a time, and puts the steps of the best program in so many orders more.
    """

    tactics: int
    alternatives: int = 0
    orders: int = 0


EFFORT = (Effort(1), Effort(4, orders=4), Effort(len(TACTICS), orders=4), Effort(len(TACTICS), 4, 8))
"""For the levels -O0 to -O3."""
LIKE_PAPER = 1.6
"""A program of the mapping kelber2020 that is so many times slower may gain from a better order, and is tried."""
WIDE_SUM_BITS = 32
"""Bits of the sums of 16 bit products."""


def schedule(
    module: ModuleOp,
    machine: Machine,
    mapping: str,
    level: int = 2,
    progress: Callable[[str], None] = lambda _what: None,
) -> Program:
    """The program of a module at stage `tiled`; `level` (0 to 3) says how hard `optimized` searches.

    `progress` hears which program `optimized` tries, and how fast the fastest is.

    Raises DoesNotFit when DRAM or a PE's SRAM is too small, ModelError for a layer that has no schedule, UsageError for
    an unknown mapping or level.
    """
    if mapping not in MAPPINGS:
        raise UsageError(
            Diagnostic("SNC0450", f"there is no mapping {mapping}", expected=f"one of {', '.join(MAPPINGS)}")
        )
    if level not in range(len(EFFORT)):
        raise UsageError(
            Diagnostic("SNC0455", f"there is no optimisation level {level}", expected=f"0 to {len(EFFORT) - 1}")
        )
    if mapping != "optimized":
        return build_program(module, machine, mapping)
    return _optimized(module, machine, EFFORT[level], progress)


@define(eq=False)
class _Search:
    """The fastest of all programs that were tried, and why others do not fit."""

    clocks: Clocks
    progress: Callable[[str], None]
    best: Timed | None = None
    problems: list[DoesNotFit] = field(factory=list)
    tried: int = 0

    def timed(self, build: Callable[[], Program]) -> Timed | None:
        """A program and its time; None, and one more of `problems`, if it does not fit."""
        self.tried += 1
        fastest = "" if self.best is None else f", fastest so far {1e3 * self.best[0] / self.clocks.hertz:.3g} ms"
        self.progress(f"schedule, program {self.tried}{fastest}")
        try:
            program = build()
        except DoesNotFit as error:
            self.problems.append(error)
            return None
        return time_program(program, self.clocks).total_clocks, program

    def take(self, found: Timed | None) -> bool:
        """Whether a program is faster than all before it; then it is the best one."""
        if found is None or (self.best is not None and self.best[0] <= found[0]):
            return False
        self.best = found
        return True


def _optimized(module: ModuleOp, machine: Machine, effort: Effort, progress: Callable[[str], None]) -> Program:
    """The fastest of some programs, among them one without new tables and that of the mapping kelber2020."""
    clocks = clocks_of(machine)
    splits = Splits.of(machine, clocks)
    search = _Search(clocks, progress)
    found, leaders = TACTICS[0], list[Timed | None]()
    tabled = with_tables(module, splits)
    for number, tactics in enumerate(TACTICS[: effort.tactics], 1):
        if search.take(search.timed(partial(_by_tactics, tabled, machine, splits, tactics, {}))):
            found = tactics
        if any(number == each.tactics for each in EFFORT):
            if tabled is not module:
                search.take(search.timed(partial(_by_tactics, module, machine, splits, found, {})))
            leaders.append(search.best)
    chosen: dict[Kind, TeamSplit] = {}
    for kind, split in splits.alternatives(found.way, found.overlap, effort.alternatives):
        wanted = {**chosen, kind: split}
        if search.take(search.timed(partial(_by_tactics, tabled, machine, splits, found, wanted))):
            chosen = wanted
    paper = search.timed(partial(_paper_program, module, machine))
    others = [paper]
    search.take(paper)
    if search.best is None:
        raise search.problems[0]
    if paper is not None and paper[0] <= LIKE_PAPER * search.best[0]:
        ordered_paper = search.timed(partial(dataflow_order, paper[1], clocks))
        others.append(ordered_paper)
        search.take(ordered_paper)
    progress("schedule, order of steps")
    # What a lower level would have chosen may gain more from another order.
    rivals = {id(each[1]): each[1] for leader in leaders if (each := _fastest([leader, *others])) is not None}
    rivals[id(search.best[1])] = search.best[1]
    ordered = [better_order(program, clocks, effort.orders) for program in rivals.values()]
    return min(ordered, key=lambda program: time_program(program, clocks).total_clocks)


def _fastest(programs: Iterable[Timed | None]) -> Timed | None:
    """The fastest of those that there are, the first of equals."""
    return min((each for each in programs if each is not None), key=lambda each: each[0], default=None)


def _by_tactics(
    module: ModuleOp, machine: Machine, splits: Splits, tactics: Tactics, chosen: Mapping[Kind, TeamSplit]
) -> Program:
    """Maps that stay on the chip leave layers less room: where that is too little, fewer stay."""

    def built(map_bytes: int) -> Program:
        program = build_program(module, machine, "optimized", splits, map_bytes, tactics, chosen)
        return dataflow_order(program, splits.clocks)

    whole = machine.pe.data_bytes
    for map_bytes in (whole, whole // 2, whole // 4):
        try:
            return built(map_bytes)
        except DoesNotFit as error:
            if all(each.code != "SNC0454" for each in error.diagnostics):
                raise
    return built(0)


def _paper_program(module: ModuleOp, machine: Machine) -> Program:
    """The program of the mapping kelber2020, whose layers are cut otherwise."""
    copy = clone_module(module)
    rewriter = Rewriter()
    elements = len(compute_elements(machine, "kelber2020"))
    for op in copy.main.body.ops:
        if isinstance(op, BlockOp):
            plan = plan_block(op)
            bits = machine.mac_array.accumulator_bits if plan.first.dtype.itemsize == 1 else WIDE_SUM_BITS
            split = SplitLayers(
                sram_bytes=machine.pe.data_bytes,
                elements=elements,
                columns=machine.mac_array.columns,
                accumulator_bits=bits,
            )
            try:
                rewriter.set_attribute(op, "tile", INTS.encode(split.choose(plan)))
            except ValueError as error:
                raise DoesNotFit(
                    Diagnostic(
                        "SNC0440", "the layer cannot be cut into pieces", node=str(op.location), found=str(error)
                    )
                ) from None
    return build_program(copy, machine, "kelber2020")
