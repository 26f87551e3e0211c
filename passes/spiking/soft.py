"""Activations that are no steps: why they are refused, and the step that may be asked for in their place."""

from __future__ import annotations

import math

from ...ir.core import Operation
from ...ir.dialects import nn
from .forms import NotBinary

HELP = (
    "train the network with steps (z >= threshold), or ask for a step in its place with --binarize threshold and look "
    "at the error that it makes"
)


def soft_step(op: Operation, level: float | None) -> float:
    """The least z at which the activation `op` reaches `level`; raises NotBinary when there is none.

    `level` is None where steps in the place of other activations were not asked for.
    """
    reason = _reason(op)
    if level is None or reason is None:
        raise NotBinary(
            reason or f"{op.name} of a weighted sum has no spiking form",
            found=op.name.removeprefix("nn."),
            expected="a step: z >= c, z > c, where(z < c, 0, 1) and the like",
            help=HELP if reason else "",
        )
    match op:
        case nn.ClampOp() if op.low < level <= op.high:
            return level
        case nn.HardSigmoidOp() if op.alpha > 0 and 0 < level < 1:
            return (level - op.beta) / op.alpha
        case nn.SigmoidOp() if 0 < level < 1:
            return math.log(level / (1 - level))
        case nn.TanhOp() if -1 < level < 1:
            return math.atanh(level)
    raise NotBinary(f"{op.name} has no step at the level {level:g}", found=op.name.removeprefix("nn."))


def _reason(op: Operation) -> str | None:
    match op:
        case nn.ClampOp() if math.isinf(op.high) or math.isinf(op.low):
            return "an activation without an upper bound has no spike for its value"
        case nn.ClampOp() | nn.HardSigmoidOp():
            return "a bounded ReLU that is not sharpened has values between 0 and 1"
        case nn.SigmoidOp() | nn.TanhOp():
            return f"the activation {op.name.removeprefix('nn.')} is soft"
    if isinstance(op, nn.Unary) and not isinstance(op, nn.CastOp | nn.NotOp):
        return f"the activation {op.name.removeprefix('nn.')} is no step"
    return None
