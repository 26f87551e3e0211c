"""Comparisons, and what else decides between two values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir.dialects import nn
from .forms import Form, NotBinary, Step, Sum
from .reader import Reader, compared, is_constant

PREDICATES: Mapping[str, tuple[float, float, float]] = {
    "ge": (0, 1, 1),
    "gt": (0, 0, 1),
    "le": (1, 1, 0),
    "lt": (1, 0, 0),
    "eq": (0, 1, 0),
    "ne": (1, 0, 1),
}
"""What a comparison z ? c gives where z lies below, at and above c."""

SWAPPED = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt", "eq": "eq", "ne": "ne"}


def compare(reader: Reader, op: nn.CompareOp) -> Form:
    """A comparison of a sum with constants, or of two sums; of a value with two levels, a function of it."""
    own = _own_encoder(reader, op)
    if own is not None:
        return own
    left, right = reader.forms.get(op.lhs), reader.forms.get(op.rhs)
    if _is_function(left, right):
        return reader.function(op)
    if right is None:
        assert left is not None
        total = reader.writer.as_sum(left)
        return compared(total, reader.constant(op.rhs, op.out.shape), op, PREDICATES[op.predicate])
    if left is None:
        total = reader.writer.as_sum(right)
        return compared(total, reader.constant(op.lhs, op.out.shape), op, PREDICATES[SWAPPED[op.predicate]])
    if op.lhs.shape != op.rhs.shape:
        raise NotBinary("spikes are broadcast")
    difference = reader.writer.as_sum(left).plus(reader.writer.as_sum(right).affine(-1.0, 0.0))
    return compared(difference, 0.0, op, PREDICATES[op.predicate])


def _is_function(left: Form | None, right: Form | None) -> bool:
    """Whether one comparison, or one map, decides what is compared."""
    if isinstance(left, Step) and isinstance(right, Step):
        return left.comparison.equals(right.comparison)
    only = left if right is None else right if left is None else None
    return isinstance(only, Step) or (isinstance(only, Sum) and only.map is not None)


def _own_encoder(reader: Reader, op: nn.CompareOp) -> Form | None:
    """The input itself, scaled perhaps, compared with one number: an encoder of that threshold."""
    x = reader.forms.get(op.lhs)
    spikes = x.map if isinstance(x, Sum) else None
    if spikes not in reader.inputs or not is_constant(op.rhs) or op.predicate not in ("ge", "gt"):
        return None
    assert isinstance(x, Sum) and spikes is not None
    scale = x.terms[spikes]
    argument = reader.inputs[spikes]
    if not (scale > 0).all() or argument.shape != op.out.shape:
        return None
    threshold = (reader.constant(op.rhs, op.out.shape) - x.shift) / scale
    if not (threshold == threshold.flat[0]).all():
        return None
    level = np.float32(threshold.flat[0])
    return reader.encode(argument, op, float(level if op.predicate == "ge" else np.nextafter(level, np.inf)), 1)


def sign(reader: Reader, op: nn.SignOp) -> Form:
    """-1 below 0, 0 at 0, 1 above."""
    form = reader.forms[op.x]
    if isinstance(form, Step) or form.map is not None:
        return reader.function(op)
    return compared(form, 0.0, op, (-1, 0, 1))


def round_half_even(reader: Reader, op: nn.RoundOp) -> Form:
    """round(clamp(z, 0, 1)) is z > 0.5: halves go to even."""
    clamp = op.x.owner
    if isinstance(clamp, nn.ClampOp) and (clamp.low, clamp.high) == (0, 1) and clamp.x in reader.forms:
        form = reader.forms[clamp.x]
        if isinstance(form, Sum) and form.map is None:
            return compared(form, 0.5, op, (0, 0, 1))
    return reader.function(op)
