"""Which way of max pooling takes the ARM core the fewest clocks: by windows or by maxima, before or behind a rescale.

A rescale that never falls where its input grows gives the same code for the greatest sum as it gives, at the greatest,
for all sums under a window. So pooling may come first, and the rescale works on what is left.
"""

from __future__ import annotations

import attrs
import numpy as np

from ...ir.dialects import quant
from ...ir.dialects.quant import uniform
from ...ir.types import IntegerType
from ...passes.tile.demand import bias_of
from ...passes.tile.geometry import Plan, Stage
from ...runtime.spinn2.clocks import Clocks
from .estimate import LayerCost
from .maxima import separable

SUM_LIMIT = 1 << 31
"""No sum, with or without its bias, may reach this: a sum that wraps is not ordered any more."""
MOST_SHIFT = 62
"""With a greater shift, the half that rounds could overflow 64 bits."""


def cheapest_pooling(plan: Plan, clocks: Clocks) -> Plan:
    """The plan of the same block with its max pooling done in the cheapest way; `plan` itself if none is cheaper.

    What ARM work costs is the machine's: a pooling costs the same everywhere in a map, so the whole map is compared.
    """
    forms = [plan, *_by_maxima(plan)]
    first = _pooled_first(plan)
    if first is not None:
        forms += [first, *_by_maxima(first)]
    return min(forms, key=lambda form: float(LayerCost(form, clocks).arm(*(np.array(n) for n in form.view.shape))))


def _by_maxima(plan: Plan) -> list[Plan]:
    """The plan with a max pooling by maxima, if it has one that can be done so."""
    found = []
    for number, stage in enumerate(plan.stages):
        before = plan.stages[number - 1].view if number else plan.first.view
        if isinstance(stage.op, quant.MaxPool2dOp) and not stage.maxima and separable(stage, before):
            changed = attrs.evolve(stage, maxima=True)
            found.append(attrs.evolve(plan, stages=(*plan.stages[:number], changed, *plan.stages[number + 1 :])))
    return found


def _pooled_first(plan: Plan) -> Plan | None:
    """A convolution, a rescale and a max pooling with the last two exchanged; None where values could change."""
    if plan.core != "conv" or len(plan.stages) != 3:
        return None
    core, rescale, pool = plan.stages
    if not isinstance(pool.op, quant.MaxPool2dOp) or not _rises(rescale, plan):
        return None
    sums = attrs.evolve(pool, dtype=np.dtype(np.int32))
    return attrs.evolve(plan, stages=(core, sums, attrs.evolve(rescale, view=pool.view)))


def _rises(rescale: Stage, plan: Plan) -> bool:
    """Whether a stage gives codes that never fall where the convolution's sums grow."""
    match rescale.op:
        case quant.RescaleOp() as op:
            steady = bool(np.all(op.multiplier >= 0)) and int(op.shift.max()) <= MOST_SHIFT
        case quant.RescaleFloatOp() as op:
            steady = bool(np.all(np.isfinite(op.scale) & (op.scale >= 0)))
        case _:
            return False
    return steady and _largest_sum(plan) < SUM_LIMIT


def _largest_sum(plan: Plan) -> int:
    """The greatest magnitude that a sum of the convolution may have, on the way to its bias or with it."""
    kind = uniform(plan.stages[0].op.operands[0]).storage
    if not isinstance(kind, IntegerType):
        raise TypeError(f"expected integers, found {kind}")
    largest = max(-kind.low, kind.high)
    weights = np.abs(plan.weight.astype(np.int64)).sum(axis=(1, 2, 3))
    return int((largest * weights + np.abs(bias_of(plan))).max())
