"""What the host computes from the spikes of the last layers: votes, softmax, argmax."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp
from ...ir.traits import Trait

HOST_OPS: tuple[type[Operation], ...] = (
    *(nn.AddOp, nn.SubOp, nn.MulOp, nn.DivOp, nn.NegOp, nn.CastOp, nn.CompareOp),
    *(nn.ReduceOp, nn.SoftmaxOp, nn.ArgReduceOp, nn.MatMulOp),
)
"""Operations that may stand behind the last step, beside those that only move elements."""


def host_problem(op: Operation) -> Diagnostic | None:
    """Why the host does not compute `op` behind the spikes; None when it does."""
    if isinstance(op, nn.MatMulOp) and not _is_key(op):
        return Diagnostic(
            "SNC0461",
            "the last layer has weights but no step behind it",
            found=f"a product with {op.rhs.type}",
            expected="a step, or a key matrix that counts votes: all its entries are 0 or of one magnitude",
            help="end the network in a step (z >= threshold)",
            node=str(op.location),
        )
    if isinstance(op, HOST_OPS) or Trait.MOVEMENT in op.traits:
        return None
    return Diagnostic(
        "SNC0461",
        f"{op.name} stands behind the last step",
        expected="votes of a key matrix, softmax, argmax, or nothing",
        help="end the network in a step (z >= threshold)",
        node=str(op.location),
    )


def _is_key(op: nn.MatMulOp) -> bool:
    if not isinstance(op.rhs.owner, ConstantOp):
        return False
    magnitudes = np.unique(np.abs(op.rhs.owner.value))
    return bool((magnitudes > 0).sum() <= 1 and np.isfinite(magnitudes).all())
