"""One rule for each operation of the graph: the form of its result, from those of its operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...ir.core import Operation
from ...ir.dialects import nn
from ...ir.traits import Trait
from . import elementwise, places, steps, weights
from .forms import Form
from .reader import Reader

Rule = Callable[[Reader, Any], Form]

RULES: Mapping[type[Operation], Rule] = {
    nn.AddOp: elementwise.affine,
    nn.SubOp: elementwise.affine,
    nn.MulOp: elementwise.affine,
    nn.DivOp: elementwise.affine,
    nn.NegOp: elementwise.negative,
    nn.CastOp: elementwise.cast,
    nn.BatchNormOp: elementwise.batch_norm,
    nn.CompareOp: steps.compare,
    nn.SignOp: steps.sign,
    nn.RoundOp: steps.round_half_even,
    nn.Conv2dOp: weights.conv2d,
    nn.MatMulOp: weights.matmul,
    nn.AvgPool2dOp: weights.mean,
    nn.ReduceOp: weights.mean,
    nn.MaxPool2dOp: places.max_pool,
    nn.ConcatOp: places.concat,
}
"""Operations that are more than a function element by element, or a move."""


def read_form(reader: Reader, op: Operation) -> Form | None:
    """The form of the result of `op`; None when all operands are constants; raises NotBinary when it has none."""
    if not any(value in reader.forms for value in op.operands):
        return None
    reader.check_operands(op)
    rule = RULES.get(type(op))
    if rule is not None:
        return rule(reader, op)
    return places.movement(reader, op) if Trait.MOVEMENT in op.traits else reader.function(op)
