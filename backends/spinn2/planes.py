"""Which values are feature maps in one way only, so that they can be spread over memories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...ir.core import Operation, Value
from ...ir.dialects.quant import QuantizeOp
from ...ir.dialects.tile import BlockOp
from ...passes.tile.geometry import Plan, View, storage_dtype
from .aliases import Family, is_in_place


def common_view(base: Value, family: Family, plans: Mapping[Operation, Plan]) -> View | None:
    """The planar view of `base` under which blocks alone write and read its bytes; None when there is no such view.

    Blocks that use another of the `family` that shares its memory see some of the channels. The host may write it.
    """
    views: list[tuple[Value, View]] = []
    for value in family:
        if not isinstance(value.owner, BlockOp | QuantizeOp) and not _is_moved(value, family):
            return None
        for user in value.users:
            if not isinstance(user, BlockOp) and not is_in_place(user, family):
                return None
        views += [(value, view) for view in _views(value, plans)]
    planes = {(view.rows, view.columns) for _, view in views}
    if len(planes) != 1:
        return None
    rows, columns = planes.pop()
    size = rows * columns
    for value, view in views:
        start = family[value] // storage_dtype(value).itemsize
        if view.minor or rows == 1 or view.size != value.tensor.size or start % size:
            return None
    return View(base.tensor.size // size, rows, columns) if base.tensor.size % size == 0 else None


def _is_moved(value: Value, family: Family) -> bool:
    return value.owner is not None and is_in_place(value.owner, family)


def _views(value: Value, plans: Mapping[Operation, Plan]) -> Iterator[View]:
    """The views under which blocks write and read a value."""
    if isinstance(value.owner, BlockOp):
        yield plans[value.owner].view
    for user in value.users:
        if isinstance(user, BlockOp):
            plan = plans[user]
            sources = [plan.first, *(stage.source for stage in plan.stages if stage.source is not None)]
            yield from (source.view for source in sources if plan.block.inputs[source.index] is value)
