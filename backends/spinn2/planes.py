"""Which values are feature maps in one way only, so that they can be spread over memories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ...ir.core import Operation, Value
from ...ir.dialects.quant import QuantizeOp
from ...ir.dialects.tile import BlockOp
from ...passes.tile.geometry import Plan, View, storage_dtype
from .aliases import Alias, Family, is_in_place
from .channel_moves import channel_move
from .resampling import picks


def planar_views(
    families: Mapping[Value, Family],
    aliases: Mapping[Value, Alias],
    ops: Iterable[Operation],
    plans: Mapping[Operation, Plan],
) -> dict[Value, View]:
    """The planar view of each base of a family under which all write and read it; others have none.

    Blocks use values as maps, and so do moves of channels and operations that pick rows and columns; the host may write
    them. Where a move joins maps whose channels differ in size, none of them has a view.
    """
    found: dict[Value, View] = {}
    for base, family in families.items():
        view = _common_view(base, family, aliases, plans)
        if view is not None:
            found[base] = view
    base_of = {value: base for base, family in families.items() for value in family}
    moves = [op for op in ops if not isinstance(op, BlockOp) and op.results and picks(op) is None]
    while True:
        apart: set[Value] = set()
        for op in moves:
            joined = {base_of[value] for value in (*op.operands, *op.results) if value in base_of} & set(found)
            if len({found[base].rows * found[base].columns for base in joined}) > 1:
                apart |= joined
        if not apart:
            return found
        found = {base: view for base, view in found.items() if base not in apart}


def _common_view(
    base: Value, family: Family, aliases: Mapping[Value, Alias], plans: Mapping[Operation, Plan]
) -> View | None:
    views = [(value, view) for value in family for view in _views(value, plans)]
    planes = {(view.rows, view.columns) for _, view in views}
    if len(planes) != 1:
        return None
    rows, columns = planes.pop()
    plane = rows * columns
    if rows == 1 or any(view.minor or view.size != value.tensor.size for value, view in views):
        return None
    for value, offset in family.items():
        if offset % (plane * storage_dtype(value).itemsize) or value.tensor.size % plane:
            return None
        movers = [op for op in (value.owner, *value.users) if not isinstance(op, BlockOp)]
        if isinstance(value.owner, QuantizeOp):
            movers = movers[1:]
        whole = value.shape[-2:] == (rows, columns)
        if not all(_moves(op, aliases, plane) or (whole and op and picks(op)) for op in movers):
            return None
    return View(base.tensor.size // plane, rows, columns)


def _moves(op: Operation | None, aliases: Mapping[Value, Alias], plane: int) -> bool:
    """Whether an operation moves channels, or nothing."""
    return op is not None and (is_in_place(op, aliases) or channel_move(op, plane) is not None)


def _views(value: Value, plans: Mapping[Operation, Plan]) -> Iterator[View]:
    """The views under which blocks write and read a value."""
    if isinstance(value.owner, BlockOp):
        yield plans[value.owner].view
    for user in value.users:
        if isinstance(user, BlockOp):
            plan = plans[user]
            sources = [plan.first, *(stage.source for stage in plan.stages if stage.source is not None)]
            yield from (source.view for source in sources if plan.block.inputs[source.index] is value)
