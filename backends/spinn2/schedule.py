"""From tiled IR to the tables of a SpiNNaker2 program."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, DoesNotFit, ModelError, UsageError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, StorageCastOp
from ...ir.dialects.spinn2_tables import Packing
from ...ir.dialects.tile import BlockOp
from ...passes.tile.demand import Tile, demand
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align, plan_block
from ...passes.tile.split_layers import uses_reuse
from ...runtime.spinn2.program import Program
from .clocks import clocks_of
from .dense import schedule_dense
from .emit import BlockEmitter
from .layout import inputs_of, schedule_layout
from .machine import Machine
from .maps import FeatureMap
from .memory import Dram, Storage
from .optimize import Layer, Optimizer, snake
from .order import dataflow_order
from .place import Placement, place_maps, resolve, turns
from .reuse import schedule_reuse
from .rows import Rows, program_of
from .waves import schedule_waves

Array = NDArray[Any]

MAPPINGS = ("optimized", "kelber2020", "baseline")


EFFORT = (0, 1, 6, 24)
"""How many splits of each kind of layer `optimized` times at the levels -O0 to -O3."""
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
    # Maps that stay on the chip leave layers less room: where that is too little, fewer stay.
    whole = machine.pe.data_bytes
    for map_bytes in (whole, whole // 2, whole // 4):
        try:
            return _attempt(module, machine, mapping, level, map_bytes)
        except DoesNotFit as error:
            if all(each.code != "SNC0454" for each in error.diagnostics):
                raise
    return _attempt(module, machine, mapping, level, 0)


def _attempt(module: ModuleOp, machine: Machine, mapping: str, level: int = 0, map_bytes: int | None = None) -> Program:
    """A program whose maps take at most `map_bytes` of each PE (all that fits, if None)."""
    main = module.main
    rows = Rows(machine.processing_elements)
    dram = Dram(len(machine.dram.ports), machine.dram.capacity_bytes // len(machine.dram.ports))
    spread = mapping == "optimized"
    keepers = snake(machine)[None] if spread else storage_elements(machine)
    placement = Placement(rows, dram, keepers, Storage(machine.pe.data_bytes), spread, map_bytes)
    on_chip = mapping != "baseline"
    clocks = clocks_of(machine)
    optimizer = Optimizer.of(machine, clocks, placement, EFFORT[level]) if spread else None
    plans: dict[Operation, Plan] = {op: plan_block(op) for op in main.body.ops if isinstance(op, BlockOp)}
    layers: list[str] = []
    turn = turns(main)
    try:
        elements = compute_elements(machine, mapping)
        place_maps(main, plans, placement, keep_on_chip=on_chip, elements=len(elements))
        for op in main.body.ops:
            if optimizer is not None and isinstance(op, BlockOp):
                layers.append(str(op.location))
                optimizer.schedule(_layer(op, plans[op], placement, len(layers) - 1, turn[op]))
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
    program = program_of(rows, dram, machine, layers)
    return dataflow_order(program, clocks, urgency=level > 0) if spread else program


def _layer(op: BlockOp, plan: Plan, placement: Placement, number: int, turn: int) -> Layer:
    inputs = [placement.map_of(value) for value in op.inputs]
    return Layer(plan, number, turn, inputs, placement.map_of(op.results[0]), str(op.location))


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
        weight_slots=2 if reuse or ahead else 1,
        tile_slots=2 if ahead else 1,
    )
    if plan.core == "matmul":
        schedule_dense(emitter)
    elif reuse:
        per_qpe, floor = machine.mesh.pes_per_qpe, machine.floor_plan
        schedule_reuse(emitter, per_qpe, per_qpe * floor.qpes_per_block * floor.blocks_per_double_block)
    else:
        schedule_waves(emitter)


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
