"""Decides where every feature map of a network lives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp
from ...ir.dialects.quant import QuantizeOp, StorageCastOp
from ...ir.dialects.spinn2_tables import BufferKind
from ...ir.dialects.tile import BlockOp
from ...passes.tile.geometry import Plan, View, storage_dtype
from ...passes.tile.rotation import one_wave
from ...passes.tile.split_layers import uses_reuse
from .maps import FeatureMap, Segments, bands
from .memory import Dram, Storage
from .rows import Rows

Array = NDArray[Any]


@frozen
class Alias:
    """A value that is a run of another value's bytes, from byte `offset`."""

    base: Value
    offset: int


@define(eq=False)
class Placement:
    """Maps of all values; `aliases` are values without memory of their own."""

    rows: Rows
    dram: Dram
    storage_pes: Array
    storage: Storage
    aliases: dict[Value, Alias] = field(factory=dict)
    maps: dict[Value, FeatureMap] = field(factory=dict)

    def map_of(self, value: Value) -> FeatureMap:
        """The map of a value that has been placed."""
        return self.maps[value]


def resolve(aliases: dict[Value, Alias], value: Value) -> tuple[Value, int]:
    """The value that owns the memory of `value`, and the byte where `value` starts in it."""
    offset = 0
    while value in aliases:
        offset += aliases[value].offset
        value = aliases[value].base
    return value, offset


def find_aliases(main: FuncOp) -> dict[Value, Alias]:
    """Values that need no bytes of their own: reshaped or cast ones, and inputs of a concat along the slowest axis."""
    aliases: dict[Value, Alias] = {}
    arguments = set(main.body.arguments)
    for op in main.body.ops:
        if isinstance(op, nn.ReshapeOp | StorageCastOp) and _is_data(op.operands[0]):
            aliases[op.results[0]] = Alias(op.operands[0], 0)
    for op in reversed(list(main.body.ops)):
        if not isinstance(op, nn.ConcatOp) or math.prod(op.out.shape[: op.axis % op.out.tensor.rank]) != 1:
            continue
        offset = 0
        for value in op.inputs:
            root, inside = resolve(aliases, value)
            free = (
                root not in arguments and _made_here(root) and inside == 0 and root is not resolve(aliases, op.out)[0]
            )
            if free and op.inputs.count(value) == 1 and root.tensor.size == value.tensor.size:
                aliases[root] = Alias(op.out, offset)
            offset += value.tensor.size * storage_dtype(value).itemsize
    return aliases


def _is_data(value: Value) -> bool:
    return value.owner is None or value.owner.name != "builtin.constant"


def _made_here(value: Value) -> bool:
    owner = value.owner
    return isinstance(owner, BlockOp) or (owner is not None and owner.name.startswith("nn."))


def place_maps(
    main: FuncOp, plans: dict[Operation, Plan], placement: Placement, *, keep_on_chip: bool, elements: int
) -> None:
    """Gives every value a map; `elements` PEs compute.

    A map that only blocks touch, all as the same planes, goes to the storage PEs (`keep_on_chip`) while it fits, else
    in bands behind all DRAM ports; all others lie whole behind one port.
    """
    placement.aliases = find_aliases(main)
    order = {op: number for number, op in enumerate(main.body.ops)}
    shared = {alias.base for alias in placement.aliases.values()} | set(placement.aliases)
    values = [*main.body.arguments, *(result for op in main.body.ops for result in op.results)]
    for value in values:
        if value in placement.aliases or not _needs_memory(value):
            continue
        view = None if value in shared else _common_view(value, plans)
        kind = storage_dtype(value)
        found: FeatureMap | None = None
        if view is not None and keep_on_chip and isinstance(value.owner, BlockOp):
            first = 2 * order[value.owner]
            last = max(
                (2 * order[user] - _loads_first(value, user, plans, elements) for user in value.users), default=first
            )
            found = _in_storage(placement, view, kind.itemsize, first, last)
        if found is None and view is not None:
            found = _in_bands(placement, view, kind.itemsize)
        if found is None:
            found = _whole(placement, value.tensor.size, kind.itemsize)
        placement.maps[value] = found
    for value in values:
        if value in placement.aliases:
            base, offset = resolve(placement.aliases, value)
            whole = placement.maps[base].dense
            if whole is None:
                raise ValueError(f"{value} shares the memory of a banded map")
            item = storage_dtype(value).itemsize
            placement.maps[value] = FeatureMap(item, value.tensor.size, (whole[0], whole[1] + offset))


def _loads_first(value: Value, user: Operation, plans: dict[Operation, Plan], elements: int) -> bool:
    """Whether a block has loaded all of a map before it stores anything: then its result may take the map's place."""
    if user not in plans or not isinstance(user, BlockOp) or user.tile is None or user.inputs.count(value) != 1:
        return False
    plan, (channels, rows, columns, reduction) = plans[user], user.tile
    if not uses_reuse(plan, (channels, rows, columns, reduction)) or user.inputs[plan.first.index] is not value:
        return False
    tiles = -(-plan.view.rows // rows) * -(-plan.view.columns // columns)
    return one_wave(tiles, -(-plan.view.channels // channels), elements)


def _needs_memory(value: Value) -> bool:
    owner = value.owner
    if owner is None:
        return bool(value.uses) and not any(isinstance(user, QuantizeOp) for user in value.users)
    if isinstance(owner, StorageCastOp):
        return isinstance(owner.x.owner, ConstantOp)
    return isinstance(owner, BlockOp | QuantizeOp) or owner.name.startswith("nn.")


def _common_view(value: Value, plans: dict[Operation, Plan]) -> View | None:
    """The one planar view under which blocks alone write and read a value; None when there is no such view."""
    views: set[View] = set()
    if isinstance(value.owner, BlockOp):
        views.add(plans[value.owner].view)
    elif not isinstance(value.owner, QuantizeOp):
        return None
    for user in value.users:
        if not isinstance(user, BlockOp):
            return None
        plan = plans[user]
        sources = [plan.first, *(stage.source for stage in plan.stages if stage.source is not None)]
        views.update(source.view for source in sources if plan.block.inputs[source.index] is value)
    view = views.pop() if len(views) == 1 else None
    return view if view is not None and not view.minor and view.rows > 1 else None


def _in_storage(placement: Placement, view: View, itemsize: int, first: int, last: int) -> FeatureMap | None:
    """Row bands over the storage QPEs, channel quarters over the PEs of each."""
    qpes, per_qpe = placement.storage_pes.shape
    row_bands, channel_bands = bands(view, qpes), _channel_bands(view, per_qpe)
    boxes = np.array(
        [[channels, rows, [0, view.columns]] for rows in row_bands for channels in channel_bands], np.int64
    )
    pes = placement.storage_pes[: len(row_bands), : len(channel_bands)].reshape(-1)
    size = np.prod(boxes[:, :, 1] - boxes[:, :, 0], axis=1) * itemsize
    address = placement.storage.take(int(size.max()), first, last)
    if address is None:
        return None
    buffer = placement.rows.buffers(pes, BufferKind.MAP, 0, address, size)
    return _banded(view, itemsize, boxes, buffer, np.full(len(boxes), address, np.int64))


def _channel_bands(view: View, count: int) -> Array:
    each = -(-view.channels // count)
    low = np.arange(0, view.channels, each, dtype=np.int64)
    return np.stack([low, np.minimum(low + each, view.channels)], axis=1)


def _in_bands(placement: Placement, view: View, itemsize: int) -> FeatureMap:
    row_bands = bands(view, placement.dram.ports)
    boxes = np.array([[[0, view.channels], rows, [0, view.columns]] for rows in row_bands], np.int64)
    size = np.prod(boxes[:, :, 1] - boxes[:, :, 0], axis=1) * itemsize
    address = np.array([placement.dram.take(port, int(each)) for port, each in enumerate(size)])
    memory = placement.rows.processing_elements + np.arange(len(boxes))
    buffer = placement.rows.buffers(memory, BufferKind.MAP, 0, address, size)
    return _banded(view, itemsize, boxes, buffer, address)


def _banded(view: View, itemsize: int, boxes: Array, buffer: Array, address: Array) -> FeatureMap:
    rows = boxes[:, 1, 1] - boxes[:, 1, 0]
    row_pitch = np.full(len(boxes), view.columns * itemsize)
    return FeatureMap(itemsize, view.size, banded=(view, Segments(boxes, buffer, address, row_pitch * rows, row_pitch)))


def _whole(placement: Placement, size: int, itemsize: int) -> FeatureMap:
    port = placement.dram.next_port()
    address = placement.dram.take(port, size * itemsize)
    memory = np.array([placement.rows.processing_elements + port])
    buffer = placement.rows.buffers(memory, BufferKind.MAP, 0, address, size * itemsize)
    return FeatureMap(itemsize, size, dense=(int(buffer[0]), address))
