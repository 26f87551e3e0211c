"""One program of a tiled module, by one mapping."""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic, DoesNotFit, ModelError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, StorageCastOp
from ...ir.dialects.spinn2_tables import Packing
from ...ir.dialects.tile import BlockOp
from ...passes.tile.demand import Tile, demand
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan, align, plan_block
from ...passes.tile.rotation import places_of
from ...passes.tile.split_layers import uses_reuse, weight_slots
from ...runtime.spinn2.clocks import Clocks
from ...runtime.spinn2.program import Program
from .aliases import is_in_place
from .channel_moves import channel_move, schedule_channel_move
from .dense import schedule_dense
from .emit import BlockEmitter
from .estimate import LayerCost
from .layout import inputs_of, schedule_layout
from .machine import Machine
from .maps import FeatureMap
from .memory import Dram, Storage
from .optimize import Layer, Optimizer, Tactics
from .pieces import schedule_pieces
from .place import Placement, place_maps, turns
from .pooling import cheapest_pooling
from .ports import add_input_ports, add_output_ports
from .relay import Ground
from .resampling import picks, schedule_picks
from .reuse import schedule_reuse
from .rows import Rows, program_of
from .splits import Kind, Splits, snake
from .teams import TeamSplit
from .waves import schedule_waves

Array = NDArray[Any]


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


def across(elements: Array, machine: Machine) -> Array:
    """PEs in such an order that neighbours sit in different QPEs: parts that are read together pass many routers."""
    return elements.reshape(-1, machine.mesh.pes_per_qpe).T.reshape(-1)


def served_ports(machine: Machine) -> tuple[int, ...]:
    """All DRAM ports: those of the double blocks in their order, then the others."""
    served = (each.dram_port for each in machine.floor_plan.double_blocks)
    return tuple(dict.fromkeys((*served, *range(len(machine.dram.ports)))))


def quadrants(machine: Machine) -> list[Array]:
    """The PEs nearest to each DRAM port."""
    port = np.repeat([machine.nearest_port(qpe) for qpe in machine.qpes], machine.mesh.pes_per_qpe)
    return [np.flatnonzero(port == each) for each in np.unique(port)]


def build_program(
    module: ModuleOp,
    machine: Machine,
    mapping: str,
    splits: Splits | None = None,
    map_bytes: int | None = None,
    tactics: Tactics | None = None,
    chosen: Mapping[Kind, TeamSplit] | None = None,
) -> Program:
    """A program whose maps take at most `map_bytes` of each PE (all that fits, if None).

    With `splits` it is an optimized one, by `tactics`; layers of a kind take the split that is `chosen`, if it fits.
    """
    main = module.main
    rows = Rows(machine.processing_elements)
    dram = Dram(len(machine.dram.ports), machine.dram.capacity_bytes // len(machine.dram.ports))
    spread = splits is not None
    keepers = across(snake(machine), machine)[None] if spread else storage_elements(machine)
    storage = Storage(machine.pe.data_bytes)
    floor = machine.floor_plan
    places = places_of(machine.mesh.pes_per_qpe, floor.qpes_per_block, floor.blocks_per_double_block)
    placement = Placement(rows, dram, keepers, storage, served_ports(machine), places, spread, map_bytes)
    on_chip = mapping != "baseline"
    plans: dict[Operation, Plan] = {op: plan_block(op) for op in main.body.ops if isinstance(op, BlockOp)}
    optimizer, beside = None, set[Operation]()
    if splits is not None and tactics is not None:
        optimizer = Optimizer(machine, placement, splits, tactics, chosen or {})
        beside = _beside(main, plans, splits.clocks) if tactics.overlap else set()
    layers: list[str] = []
    try:
        elements = compute_elements(machine, mapping)
        place_maps(main, plans, placement, keep_on_chip=on_chip, elements=len(elements), beside=beside)
        if optimizer is not None:
            optimizer.plan(_layers(main, plans, placement, beside))
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
    add_input_ports(main, placement)
    add_output_ports(main.return_op, placement)
    return program_of(rows, dram, machine, layers)


def _with_rows(main: FuncOp) -> list[Operation]:
    """The operations that are layers, in order."""
    return [op for op in main.body.ops if not isinstance(op, WITHOUT_ROWS)]


def _beside(main: FuncOp, plans: dict[Operation, Plan], clocks: Clocks) -> set[Operation]:
    """Blocks behind one that keeps the ARM cores busier than the MAC arrays."""
    return {
        op
        for before, op in pairwise(_with_rows(main))
        if op in plans and before in plans and LayerCost(cheapest_pooling(plans[before], clocks), clocks).arm_bound
    }


def _layers(main: FuncOp, plans: dict[Operation, Plan], placement: Placement, beside: Set[Operation]) -> list[Layer]:
    """The blocks of a network; they share their numbers with the layout operations between them."""
    turn = turns(main)
    return [
        Layer(
            plans[op],
            number,
            turn[op],
            [placement.map_of(value) for value in op.inputs],
            placement.map_of(op.results[0]),
            str(op.location),
            op in beside,
        )
        for number, op in enumerate(_with_rows(main))
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
    if is_in_place(op, placement.aliases):
        return
    sources, target = [placement.map_of(value) for value in inputs_of(op)], placement.map_of(op.results[0])
    try:
        _move(rows, len(layers) - 1, op, sources, target)
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


def _move(rows: Rows, layer: int, op: Operation, sources: list[FeatureMap], target: FeatureMap) -> None:
    """Transfers between maps, whole channels if the operation keeps them."""
    planes = {held.banded[0].rows * held.banded[0].columns for held in (*sources, target) if held.banded}
    if not planes:
        schedule_layout(rows, layer, op, sources, target)
        return
    plane, picked = planes.pop(), picks(op)
    move = channel_move(op, plane) if not planes else None
    if move is not None:
        schedule_channel_move(rows, layer, move, plane, sources, target)
    elif picked is not None:
        schedule_picks(rows, layer, picked, sources[0], target)
    else:
        raise ValueError("the operation takes channels apart")


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
        schedule_dense(emitter, share=on_chip)
    elif reuse:
        ports = np.array([each.dram_port for each in machine.floor_plan.double_blocks])
        schedule_reuse(emitter, placement.places, np.repeat(ports, len(elements) // len(ports)), Ground.of(machine))
    elif on_chip:
        schedule_waves(emitter)
    else:
        schedule_pieces(emitter, quadrants(machine))


def _fits_twice(plan: Plan, tile: Tile, have: int) -> bool:
    """Whether two sets of operands fit beside the results."""
    need = demand(plan, tile)
    return need.total(weight_slots=2) + int(align(need.first, MAC_ROW_BYTES)) <= have
