"""Decides where every feature map of a network lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from fractions import Fraction
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects.builtin import ConstantOp, FuncOp
from ...ir.dialects.quant import QuantizeOp, StorageCastOp
from ...ir.dialects.spinn2_tables import BufferKind
from ...ir.dialects.tile import BlockOp
from ...passes.tile.demand import FILTER_GROUP
from ...passes.tile.geometry import MAC_ROW_BYTES, Boxes, Plan, View, align, storage_dtype
from ...passes.tile.rotation import Places, one_wave, plan_rotation
from ...passes.tile.split_layers import uses_reuse
from .aliases import Alias, families_of, find_aliases
from .maps import FeatureMap, Segments, bands
from .memory import Dram, Storage
from .planes import planar_views
from .rows import Rows

Array = NDArray[Any]


@define(eq=False)
class Placement:
    """Maps of all values; `aliases` are values without memory of their own.

    `storage_pes` are the PEs that keep maps, [bands of rows, bands of channels]. `spread` says that all PEs do, beside
    their work: bands then follow the map. `ports` are the DRAM ports in the order of the double blocks that they serve,
    in which elements lie by `places`.
    """

    rows: Rows
    dram: Dram
    storage_pes: Array
    storage: Storage
    ports: tuple[int, ...]
    places: Places
    spread: bool = False
    map_bytes: int | None = None
    """Bytes of each PE that maps may take; None: all."""
    aliases: dict[Value, Alias] = field(factory=dict)
    maps: dict[Value, FeatureMap] = field(factory=dict)

    def held(self, view: View, itemsize: int) -> FeatureMap:
        """A new map in SRAM or, where there is no room, behind the DRAM ports."""
        found = _in_storage(self, view, itemsize, 0, 0) if not view.minor else None
        return found if found is not None else _in_bands(self, view, itemsize)

    def map_of(self, value: Value) -> FeatureMap:
        """The map of a value that has been placed."""
        return self.maps[value]


def place_maps(
    main: FuncOp,
    plans: dict[Operation, Plan],
    placement: Placement,
    *,
    keep_on_chip: bool,
    elements: int,
    beside: Set[Operation] = frozenset(),
) -> None:
    """Gives every value a map; `elements` PEs compute, those blocks that are `beside` while the one before still does.

    A map that all use as the same planes goes to the storage PEs (`keep_on_chip`) while it fits, else in bands behind
    all DRAM ports; all others lie whole behind one port.
    """
    placement.aliases = find_aliases(main)
    order = turns(main)
    values = [*main.body.arguments, *(result for op in main.body.ops for result in op.results)]
    families = {value: {value: 0} for value in values if value not in placement.aliases}
    families |= families_of(placement.aliases)
    views = planar_views(families, placement.aliases, main.body.ops, plans)
    alone = {value: view for value, view in views.items() if len(families[value]) == 1}
    heirs = {} if placement.spread or not keep_on_chip else find_heirs(plans, order, alone)
    replaced = {heir: value for value, heir in heirs.items()}
    for value in values:
        if value in placement.aliases or not _needs_memory(value):
            continue
        if value in replaced:
            placement.maps[value] = placement.maps[replaced[value]]
            continue
        view, itemsize, family = views.get(value), storage_dtype(value).itemsize, families[value]
        found: FeatureMap | None = None
        if view is not None and keep_on_chip and not any(isinstance(each.owner, QuantizeOp) for each in family):
            line = [each for member in family for each in _line(member, heirs)]
            first = min(2 * order[each.owner] for each in family if each.owner is not None)
            last = _last_use(line, order, plans, None if placement.spread else elements, first)
            if value.owner in beside:
                found = _in_storage(placement, view, itemsize, first - 2, last)
            if found is None:
                found = _in_storage(placement, view, itemsize, first, last)
        if found is None and view is not None:
            ruled = keep_on_chip and not placement.spread
            share = _loaded_share(value, plans, placement, elements) if ruled else None
            found = _in_bands(placement, view, itemsize, share)
        placement.maps[value] = found if found is not None else _whole(placement, value.tensor.size, itemsize)
    for base, family in families.items():
        for value, offset in family.items():
            if value is not base:
                itemsize = storage_dtype(value).itemsize
                placement.maps[value] = placement.maps[base].part(offset, value.tensor.size, itemsize)


def find_heirs(
    plans: dict[Operation, Plan], order: dict[Operation, int], views: Mapping[Value, View]
) -> dict[Value, Value]:
    """For a map that a block adds to its own result, element by element, and that nobody reads later: that result.

    It can be written where the map lies, as each piece of the block reads just what it replaces. `views` are those
    under which all see a value; only values that have one come into question.
    """
    heirs: dict[Value, Value] = {}
    for op, plan in plans.items():
        result = op.results[0]
        for number, stage in enumerate(plan.stages):
            if stage.source is None:
                continue
            value = plan.block.inputs[stage.source.index]
            same = all(each.view == stage.source.view for each in plan.stages[number:])
            alike = same and stage.source.dtype == plan.stages[-1].dtype and not any(stage.source.repeated)
            alone = plan.block.inputs.count(value) == 1 and isinstance(value.owner, BlockOp)
            last = all(user is op or order.get(user, len(order)) < order[op] for user in value.users)
            known = views.get(value) == views.get(result) == stage.source.view
            if alike and alone and last and known and value not in heirs:
                heirs[value] = result
                break
    return heirs


def _line(value: Value, heirs: dict[Value, Value]) -> list[Value]:
    """A value and all that follow it in its place."""
    found = [value]
    while found[-1] in heirs:
        found.append(heirs[found[-1]])
    return found


def _last_use(
    values: Sequence[Value],
    order: dict[Operation, int],
    plans: dict[Operation, Plan],
    elements: int | None,
    first: int,
) -> int:
    """When the memory of values is free again, which is taken at `first`: behind those that use them, or before the
    results of those that load all of one first, if work is dealt to so many `elements` by the rules of the paper.
    """
    last = first
    for value in values:
        for user in value.users:
            early = elements is not None and _loads_first(value, user, plans, elements)
            last = max(last, 2 * order[user] - early)
    return last


def _loads_first(value: Value, user: Operation, plans: dict[Operation, Plan], elements: int) -> bool:
    """Whether a block has loaded all of a map before it stores anything: then its result may take the map's place."""
    if user not in plans or not isinstance(user, BlockOp) or user.tile is None or user.inputs.count(value) != 1:
        return False
    plan, (channels, rows, columns, reduction) = plans[user], user.tile
    if not uses_reuse(plan, (channels, rows, columns, reduction)) or user.inputs[plan.first.index] is not value:
        return False
    tiles = -(-plan.view.rows // rows) * -(-plan.view.columns // columns)
    return one_wave(tiles, -(-plan.view.channels // channels), elements)


def turns(main: FuncOp) -> dict[Operation, int]:
    """Numbers of operations in order, counting those that have rows; the others share the number before."""
    found: dict[Operation, int] = {}
    number = 0
    for op in main.body.ops:
        number += op.name not in WITHOUT_TURN
        found[op] = number
    return found


WITHOUT_TURN = ("builtin.constant", "nn.reshape", "quant.storage_cast", "quant.quantize", "quant.dequantize")


def _needs_memory(value: Value) -> bool:
    owner = value.owner
    if owner is None:
        return bool(value.uses) and not any(isinstance(user, QuantizeOp) for user in value.users)
    if isinstance(owner, StorageCastOp):
        return isinstance(owner.x.owner, ConstantOp)
    return isinstance(owner, BlockOp | QuantizeOp) or owner.name.startswith("nn.")


def _in_storage(placement: Placement, view: View, itemsize: int, first: int, last: int) -> FeatureMap | None:
    """Bands of rows and channels over the PEs that keep maps; None when there is no room."""
    if placement.spread:
        boxes, keeper, slot = _dealt(view, placement.storage_pes.size, CHANNEL_BANDS)
        pes = placement.storage_pes.reshape(-1)[keeper]
    else:
        # Rows over the storage QPEs, a quarter of the channels for each PE of one.
        qpes, per_qpe = placement.storage_pes.shape
        row_bands, channel_bands = bands(view, -(-view.rows // qpes)), _channel_bands(view, per_qpe)
        boxes = _grid(view, row_bands, channel_bands)
        pes = placement.storage_pes[: len(row_bands), : len(channel_bands)].reshape(-1)
        slot = np.zeros(len(boxes), np.int64)
    size = np.prod(boxes[:, :, 1] - boxes[:, :, 0], axis=1) * itemsize
    room = int(align(int(size.max()), MAC_ROW_BYTES))
    total = room * (int(slot.max()) + 1)
    mark = placement.storage.mark()
    region = placement.storage.take(total, first, last)
    if region is None:
        return None
    address = region.address
    if placement.map_bytes is not None and address + total > placement.map_bytes:
        placement.storage.release(mark)
        return None
    kind = BufferKind.RESULT if placement.spread else BufferKind.MAP
    place = address + slot * room
    buffer = placement.rows.buffers(pes, kind, 0, place, size)
    return _banded(view, itemsize, boxes, buffer, place, on_chip=True)


CHANNEL_BANDS = 16
"""Most bands of channels into which a spread map is cut."""
BAND_ROWS = 2
"""Rows of a band of a spread map: few, so that what is read at the same time comes from many PEs."""


def _dealt(view: View, keepers: int, most: int) -> tuple[Boxes, Array, Array]:
    """Boxes of narrow bands, dealt to `keepers` in turn: (boxes, keeper, how many the keeper had before)."""
    low = np.arange(0, view.rows, BAND_ROWS if view.rows % BAND_ROWS == 0 else 1, dtype=np.int64)
    row_bands = np.stack([low, np.append(low[1:], view.rows)], axis=1)
    boxes = _grid(view, row_bands, _channel_bands(view, min(most, -(-view.channels // FILTER_GROUP))))
    slot, keeper = np.divmod(np.arange(len(boxes)), keepers)
    return boxes, keeper, slot


def _grid(view: View, row_bands: Array, channel_bands: Array) -> Boxes:
    return np.array([[channels, rows, [0, view.columns]] for rows in row_bands for channels in channel_bands], np.int64)


def _channel_bands(view: View, count: int) -> Array:
    each = -(-view.channels // count)
    low = np.arange(0, view.channels, each, dtype=np.int64)
    return np.stack([low, np.minimum(low + each, view.channels)], axis=1)


def _loaded_share(value: Value, plans: dict[Operation, Plan], placement: Placement, elements: int) -> Fraction:
    """The share of a map that the first double block loads for the block that works on it first.

    That of one DRAM port among all, where no block does or double blocks load it in several waves.
    """
    equal = Fraction(1, placement.dram.ports)
    for user in value.users:
        if not isinstance(user, BlockOp) or user.inputs[plans[user].first.index] is not value or user.tile is None:
            continue
        view, (channels, rows, columns, reduction) = plans[user].view, user.tile
        if not uses_reuse(plans[user], (channels, rows, columns, reduction)):
            continue
        tiles = -(-view.rows // rows) * -(-view.columns // columns)
        rotation = plan_rotation(tiles, -(-view.channels // channels), elements, placement.places)
        shares = placement.places.per_double_block // (rotation.together * rotation.sharing)
        loaded = Fraction(rotation.share * shares, tiles)
        return loaded if placement.dram.ports <= tiles <= rotation.wave else equal
    return equal


def _in_bands(placement: Placement, view: View, itemsize: int, share: Fraction | None = None) -> FeatureMap:
    """Bands of rows behind all DRAM ports: narrow ones in turn, or one for each port, of about a `share` of the map."""
    ports = placement.dram.ports
    if share is None:
        boxes, port, _ = _dealt(view, ports, 1)
    else:
        rows = max(round(view.rows * share), -(-view.rows // ports))
        boxes = _grid(view, bands(view, rows), np.array([[0, view.channels]]))
        port = np.array(placement.ports)[: len(boxes)]
    size = np.prod(boxes[:, :, 1] - boxes[:, :, 0], axis=1) * itemsize
    address = np.array([placement.dram.take(int(each), int(room)) for each, room in zip(port, size, strict=True)])
    memory = placement.rows.processing_elements + port
    buffer = placement.rows.buffers(memory, BufferKind.MAP, 0, address, size)
    return _banded(view, itemsize, boxes, buffer, address)


def _banded(
    view: View, itemsize: int, boxes: Array, buffer: Array, address: Array, *, on_chip: bool = False
) -> FeatureMap:
    rows = boxes[:, 1, 1] - boxes[:, 1, 0]
    row_pitch = np.full(len(boxes), view.columns * itemsize)
    segments = Segments(boxes, buffer, address, row_pitch * rows, row_pitch)
    return FeatureMap(itemsize, view.size, banded=(view, segments), on_chip=on_chip)


def _whole(placement: Placement, size: int, itemsize: int) -> FeatureMap:
    port = placement.dram.next_port()
    address = placement.dram.take(port, size * itemsize)
    memory = np.array([placement.rows.processing_elements + port])
    buffer = placement.rows.buffers(memory, BufferKind.MAP, 0, address, size * itemsize)
    return FeatureMap(itemsize, size, dense=(int(buffer[0]), address))
