"""From tiled IR to the tables of a SpiNNaker2 program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.clone import clone_module
from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, DoesNotFit, ModelError, UsageError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, StorageCastOp
from ...ir.dialects.spinn2_tables import Packing
from ...ir.dialects.tile import BlockOp
from ...ir.rewriter import Rewriter
from ...ir.spec import INTS
from ...passes.tile.demand import Tile, demand
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align, plan_block
from ...passes.tile.rotation import places_of
from ...passes.tile.split_layers import SplitLayers, uses_reuse, weight_slots
from ...runtime.spinn2.program import Program
from ...runtime.spinn2.timer import time_program
from .clocks import clocks_of
from .dense import schedule_dense
from .emit import BlockEmitter
from .layout import inputs_of, schedule_layout
from .machine import Machine
from .maps import FeatureMap
from .memory import Dram, Storage
from .optimize import Layer, Optimizer, Tactics
from .order import dataflow_order
from .pieces import schedule_pieces
from .place import Placement, place_maps, resolve, turns
from .reuse import schedule_reuse
from .rows import Rows, program_of
from .splits import Splits, snake
from .waves import schedule_waves

Array = NDArray[Any]

MAPPINGS = ("optimized", "kelber2020", "baseline")


EFFORT = (0, 0, 0, 2)
"""How many splits of each kind of layer `optimized` times at the levels -O0 to -O3."""
TACTICS = (
    Tactics(0.25, apart=False, way=6.5),
    Tactics(0.75, apart=True, way=5.0),
    Tactics(0.33, apart=False, way=6.5),
    Tactics(0.65, apart=True, way=4.5),
    Tactics(0.75, apart=False, way=4.5),
    Tactics(0.5, apart=True, way=4.5),
    Tactics(0.4, apart=False, way=6.5),
    Tactics(0.3, apart=False, way=5.5),
)
TRIES = (1, 2, 3, 8)
"""How many TACTICS are tried at the levels -O0 to -O3."""
LIKE_PAPER = 1.6
"""A program of the mapping kelber2020 that is so many times slower may gain from a better order, and is tried."""
WIDE_SUM_BITS = 32
"""Bits of the sums of 16 bit products."""
WITHOUT_ROWS = (nn.ReshapeOp, StorageCastOp, ConstantOp, QuantizeOp, DequantizeOp, ReturnOp)
"""Operations that cost nothing on the machine: they are no layer."""


def compute_elements(machine: Machine, mapping: str) -> Array:
    """Numbers of the PEs that compute: all for the baseline, else those of the double blocks, in their order."""
    if mapping != "kelber2020":
        return np.arange(machine.processing_elements)
    return np.array([machine.pe_of(qpe, i) for qpe in machine.compute_qpes for i in range(machine.mesh.pes_per_qpe)])


def storage_elements(machine: Machine) -> Array:
    """[storage QPEs, PEs of each]: numbers of the PEs that keep maps."""
    per_qpe = range(machine.mesh.pes_per_qpe)
    return np.array([[machine.pe_of(qpe, i) for i in per_qpe] for qpe in machine.floor_plan.storage_qpes])


def quadrants(machine: Machine) -> list[Array]:
    """The PEs nearest to each DRAM port."""
    port = np.repeat([machine.nearest_port(qpe) for qpe in machine.qpes], machine.mesh.pes_per_qpe)
    return [np.flatnonzero(port == each) for each in np.unique(port)]


def schedule(module: ModuleOp, machine: Machine, mapping: str, level: int = 2) -> Program:
    """The program of a module at stage `tiled`; `level` (0 to 3) says how hard `optimized` searches.

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
        return _attempt(module, machine, mapping)
    return _optimized(module, machine, level)


def _optimized(module: ModuleOp, machine: Machine, level: int) -> Program:
    """The fastest of some programs, among them that of the mapping kelber2020."""
    clocks = clocks_of(machine)
    splits = Splits.of(machine, clocks, EFFORT[level])
    problems: list[DoesNotFit] = []
    found: list[tuple[int, Program]] = []

    def consider(build: Callable[[], Program]) -> tuple[int, Program] | None:
        try:
            program = build()
        except DoesNotFit as error:
            problems.append(error)
            return None
        found.append((time_program(program, clocks).total_clocks, program))
        return found[-1]

    for tactics in TACTICS[: TRIES[level]]:
        consider(partial(_in_order, module, machine, splits, tactics, urgency=level > 0))
    paper = consider(partial(_paper_program, module, machine))
    if not found:
        raise problems[0]
    if paper is not None and paper[0] <= LIKE_PAPER * min(total for total, _ in found):
        consider(partial(dataflow_order, paper[1], clocks, urgency=level > 0))
    return min(found, key=lambda each: each[0])[1]


def _in_order(module: ModuleOp, machine: Machine, splits: Splits, tactics: Tactics, *, urgency: bool) -> Program:
    return dataflow_order(_with_fewer_maps(module, machine, splits, tactics), splits.clocks, urgency=urgency)


def _with_fewer_maps(module: ModuleOp, machine: Machine, splits: Splits, tactics: Tactics) -> Program:
    """Maps that stay on the chip leave layers less room: where that is too little, fewer stay."""
    whole = machine.pe.data_bytes
    for map_bytes in (whole, whole // 2, whole // 4):
        try:
            return _attempt(module, machine, "optimized", splits, map_bytes, tactics)
        except DoesNotFit as error:
            if all(each.code != "SNC0454" for each in error.diagnostics):
                raise
    return _attempt(module, machine, "optimized", splits, 0, tactics)


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
    return _attempt(copy, machine, "kelber2020")


def _attempt(
    module: ModuleOp,
    machine: Machine,
    mapping: str,
    splits: Splits | None = None,
    map_bytes: int | None = None,
    tactics: Tactics = TACTICS[0],
) -> Program:
    """A program whose maps take at most `map_bytes` of each PE (all that fits, if None).

    With `splits` it is an optimized one, by `tactics`.
    """
    main = module.main
    rows = Rows(machine.processing_elements)
    dram = Dram(len(machine.dram.ports), machine.dram.capacity_bytes // len(machine.dram.ports))
    spread = splits is not None
    keepers = snake(machine)[None] if spread else storage_elements(machine)
    placement = Placement(rows, dram, keepers, Storage(machine.pe.data_bytes), spread, map_bytes)
    on_chip = mapping != "baseline"
    optimizer = Optimizer(machine, placement, splits, tactics) if splits is not None else None
    plans: dict[Operation, Plan] = {op: plan_block(op) for op in main.body.ops if isinstance(op, BlockOp)}
    layers: list[str] = []
    try:
        elements = compute_elements(machine, mapping)
        place_maps(main, plans, placement, keep_on_chip=on_chip, elements=len(elements))
        if optimizer is not None:
            optimizer.plan(_layers(main, plans, placement))
        for op in main.body.ops:
            if optimizer is not None and isinstance(op, BlockOp):
                layers.append(str(op.location))
                optimizer.emit(len(layers) - 1)
            else:
                _schedule_op(op, plans, placement, elements, layers, machine, on_chip=on_chip)
    except MemoryError as error:
        raise DoesNotFit(
            Diagnostic(
                "SNC0451",
                "the network does not fit the machine's DRAM",
                node=layers[-1] if layers else "",
                found=str(error),
                expected=f"at most {dram.capacity} bytes behind each of {dram.ports} ports",
                help="try a smaller input (--shape) or a machine with more DRAM (--machine)",
            )
        ) from None
    _input_ports(main, placement)
    _output_ports(main.return_op, placement)
    return program_of(rows, dram, machine, layers)


def _layers(main: FuncOp, plans: dict[Operation, Plan], placement: Placement) -> list[Layer]:
    """The blocks of a network; they share their numbers with the layout operations between them."""
    turn = turns(main)
    with_rows = [op for op in main.body.ops if not isinstance(op, WITHOUT_ROWS)]
    return [
        Layer(
            plans[op],
            number,
            turn[op],
            [placement.map_of(value) for value in op.inputs],
            placement.map_of(op.results[0]),
            str(op.location),
        )
        for number, op in enumerate(with_rows)
        if isinstance(op, BlockOp)
    ]


def _schedule_op(
    op: Operation,
    plans: dict[Operation, Plan],
    placement: Placement,
    elements: Array,
    layers: list[str],
    machine: Machine,
    *,
    on_chip: bool,
) -> None:
    rows = placement.rows
    if isinstance(op, BlockOp):
        layers.append(str(op.location))
        _schedule_block(op, plans[op], placement, elements, len(layers) - 1, machine, on_chip=on_chip)
        return
    if isinstance(op, StorageCastOp) and isinstance(op.x.owner, ConstantOp):
        whole = placement.map_of(op.out).dense
        if whole is not None:
            array = rows.array(op.x.owner.value)
            rows.constants(whole[0], np.array([whole[1]]), array, Packing.RAW, np.zeros((1, 4), np.int64))
        return
    if isinstance(op, WITHOUT_ROWS):
        return
    layers.append(str(op.location))
    try:
        sources = [placement.map_of(value) for value in inputs_of(op)]
        schedule_layout(rows, len(layers) - 1, op, sources, placement.map_of(op.results[0]))
    except ValueError as error:
        raise ModelError(
            Diagnostic(
                "SNC0452",
                f"{op.name} has no schedule",
                node=str(op.location),
                found=str(error),
                expected="a move of elements that is separable, axis by axis",
            )
        ) from None


def _schedule_block(
    block: BlockOp,
    plan: Plan,
    placement: Placement,
    elements: Array,
    layer: int,
    machine: Machine,
    *,
    on_chip: bool,
) -> None:
    if block.tile is None:
        raise ValueError(f"{block} has no tile; run split-layers first")
    channels, rows, columns, reduction = block.tile
    tile = (channels, rows, columns, reduction)
    reuse = on_chip and uses_reuse(plan, tile)
    ahead = plan.core == "matmul" and on_chip and _fits_twice(plan, tile, machine.pe.data_bytes)
    emitter = BlockEmitter(
        placement.rows,
        placement.dram,
        plan,
        layer,
        tile,
        elements,
        [placement.map_of(value) for value in block.inputs],
        placement.map_of(block.results[0]),
        weight_slots=2 if ahead else weight_slots(plan, tile, len(elements)) if reuse else 1,
        tile_slots=2 if ahead else 1,
    )
    if plan.core == "matmul":
        schedule_dense(emitter)
    elif reuse:
        floor = machine.floor_plan
        places = places_of(machine.mesh.pes_per_qpe, floor.qpes_per_block, floor.blocks_per_double_block)
        ports = np.array([each.dram_port for each in floor.double_blocks])
        schedule_reuse(emitter, places, np.repeat(ports, len(elements) // len(ports)))
    elif on_chip:
        schedule_waves(emitter)
    else:
        schedule_pieces(emitter, quadrants(machine))


def _fits_twice(plan: Plan, tile: Tile, have: int) -> bool:
    """Whether two sets of operands fit beside the results."""
    need = demand(plan, tile)
    return need.total(weight_slots=2) + int(align(need.first, MAC_ROW_BYTES)) <= have


def network_inputs(main: FuncOp) -> list[Value]:
    """The values that the host writes: a quantised argument (once for each way), or an integer argument itself.

    An argument that nobody reads is not written.
    """
    found: list[Value] = []
    for argument in main.body.arguments:
        quantized = [user.out for user in argument.users if isinstance(user, QuantizeOp)]
        found += quantized or [argument] * bool(argument.uses)
    return found


def network_outputs(op: ReturnOp) -> list[Value]:
    """The integers that the host reads: what is returned, before it is dequantized."""
    return [value.owner.x if isinstance(value.owner, DequantizeOp) else value for value in op.values]


def _port_columns(held: FeatureMap) -> tuple[dict[str, Array | int], int]:
    if held.dense is not None:
        size = held.size * held.itemsize
        return {
            "buffer": held.dense[0],
            "address": held.dense[1],
            "n0": 1,
            "bytes": size,
            "pitch": size,
            "at": 0,
        }, 1
    if held.banded is None:
        raise ValueError("a map lies nowhere")
    view, segments = held.banded
    channels = view.channels
    index = np.repeat(np.arange(len(segments.boxes)), channels)
    channel = np.tile(np.arange(channels), len(segments.boxes))
    row_low, row_high = segments.boxes[index, 1, 0], segments.boxes[index, 1, 1]
    size = (row_high - row_low) * view.columns * held.itemsize
    return {
        "buffer": segments.buffer[index],
        "address": segments.address[index] + channel * segments.channel_pitch[index],
        "n0": 1,
        "bytes": size,
        "pitch": size,
        "at": (channel * view.rows + row_low) * view.columns * held.itemsize,
    }, len(index)


def _input_ports(main: FuncOp, placement: Placement) -> None:
    for index, value in enumerate(network_inputs(main)):
        columns, count = _port_columns(placement.map_of(value))
        placement.rows.ports(index, output=False, columns=columns, count=count)


def _output_ports(op: ReturnOp, placement: Placement) -> None:
    for index, value in enumerate(network_outputs(op)):
        base, _ = resolve(placement.aliases, value)
        if base not in placement.maps:
            raise ModelError(
                Diagnostic(
                    "SNC0453",
                    "an output of the network is not computed by it",
                    node=str(value.owner.location) if value.owner is not None else "",
                    found=f"a constant or unused {value.type}",
                    expected="an output that depends on an input",
                )
            )
        columns, count = _port_columns(placement.map_of(value))
        placement.rows.ports(index, output=True, columns=columns, count=count)
