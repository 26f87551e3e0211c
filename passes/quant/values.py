"""What quantisation asks of a value: does it need a type of its own, does an operation keep its scale."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp
from ...ir.traits import Trait
from ...ir.types import FloatType, TensorType


def needs_range(value: Value) -> bool:
    """Whether a float value has to be given a quantised type by us."""
    is_float = isinstance(value.type, TensorType) and isinstance(value.element, FloatType)
    if not is_float or not value.uses or isinstance(value.owner, ConstantOp | DequantizeOp):
        return False
    return not only_quantized(value) and not absorbed(value)


def only_quantized(value: Value) -> bool:
    """Whether every use of a value is a quantize, perhaps behind operations that only move elements."""
    return all(
        isinstance(op, QuantizeOp)
        or (Trait.MOVEMENT in op.traits and bool(op.results[0].uses) and only_quantized(op.results[0]))
        for op in value.users
    )


def absorbed(value: Value) -> bool:
    """Whether a value never exists as integers of its own: the one use is a bias add or a clamp that fuses with it."""
    if len(value.uses) != 1 or value.owner is None:
        return False
    (user,) = value.users
    if is_bias(user) and value is user.operands[0]:
        return True
    fusing = (nn.Conv2dOp, nn.MatMulOp, nn.AddOp, nn.SubOp, nn.MulOp, nn.AvgPool2dOp, nn.PReluOp)
    return isinstance(user, nn.ClampOp) and isinstance(value.owner, fusing)


def is_bias(op: Operation) -> bool:
    """Whether an add puts a constant vector on a matrix product that nobody else uses: the dense layer's bias."""
    if not isinstance(op, nn.AddOp):
        return False
    product, vector = op.lhs, op.rhs
    return (
        isinstance(product.owner, nn.MatMulOp)
        and isinstance(product.owner.rhs.owner, ConstantOp | DequantizeOp)
        and len(product.uses) == 1
        and constant_source(vector) is not None
        and vector.tensor.size == product.shape[-1]
        and vector.shape[-1:] == product.shape[-1:]
    )


def constant_source(value: Value) -> ConstantOp | None:
    """The constant behind a value, seen through one dequantize; None when there is none."""
    owner = value.owner
    if isinstance(owner, DequantizeOp):
        owner = owner.x.owner
    return owner if isinstance(owner, ConstantOp) else None


def keeps_scale(op: Operation | None) -> bool:
    """Whether an operation only picks or moves elements of its one float input, so that their scale stays."""
    if op is None or isinstance(op, nn.ConcatOp | nn.GatherOp):
        return isinstance(op, nn.GatherOp)
    if isinstance(op, nn.PadOp):
        return op.mode != "constant" or op.value == 0
    return Trait.MOVEMENT in op.traits or isinstance(op, nn.MaxPool2dOp)


WEIGHTED = (nn.Conv2dOp, nn.MatMulOp, nn.AddOp, nn.SubOp, nn.MulOp, nn.ConcatOp)
"""Operations whose constants become integers of a scale of their own."""


def check_constants(main: FuncOp) -> None:
    """Raises ModelError for the constants that no scale fits, as they hold NaN or infinite values."""
    used = {value.owner for op in main.body.ops if isinstance(op, WEIGHTED) for value in op.operands}
    problems = [
        Diagnostic(
            "SNC0425",
            "a constant holds NaN or infinite values",
            node=str(op.location),
            found=f"{int((~np.isfinite(op.value)).sum())} such values in {op.out.type}",
            expected="finite numbers",
        )
        for op in main.body.ops
        if isinstance(op, ConstantOp) and op in used and not np.isfinite(op.value).all()
    ]
    if problems:
        raise ModelError(problems)
