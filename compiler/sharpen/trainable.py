"""What of a network can be trained: its operations, and which of its constants learn."""

from __future__ import annotations

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, ModuleOp, ReturnOp
from ...ir.types import F32
from ...passes.graph.matching import only_user
from .layers import weight_of
from .problems import not_trained

REDUCTIONS = ("mean", "sum", "max")


def untrained(module: ModuleOp) -> list[Diagnostic]:
    """Every operation of a network of steps that training does not know."""
    found = []
    for op in module.main.body.ops:
        reason = _refusal(op)
        if reason:
            name = op.name.removeprefix("nn.")
            expected = "ReLU, Clip or sigmoid; convolutions, products, normalisations, poolings, sums and moves"
            found.append(not_trained(op, f"{name}, {reason}" if reason != name else name, expected=expected))
    return found


def _refusal(op: Operation) -> str:
    """Why an operation is not trained; empty when it is."""
    match op:
        case ConstantOp() | ReturnOp() | nn.CompareOp() | nn.MaxPool2dOp():
            return ""
        case nn.AddOp() | nn.SubOp() | nn.MulOp() | nn.DivOp():
            return ""
        case nn.CastOp():
            return "" if op.out.element == F32 else f"to {op.out.element}"
        case nn.BatchNormOp():
            return "" if all(isinstance(value.owner, ConstantOp) for value in op.operands[1:]) else "without constants"
        case nn.Conv2dOp() | nn.MatMulOp():
            return "" if weight_of(op) is not None else "with weights that are computed"
        case nn.ReshapeOp():
            return "" if op.shape[:1] == op.x.shape[:1] else "which mixes samples"
        case nn.TransposeOp():
            return "" if op.permutation[:1] == (0,) else "which mixes samples"
        case nn.ConcatOp():
            return "" if op.axis % op.out.tensor.rank else "which mixes samples"
        case nn.SliceOp():
            whole = op.starts[0] == 0 and op.counts[0] == op.x.shape[0]
            return "" if whole and min(op.steps) > 0 else "which leaves samples out, or goes backwards"
        case nn.PadOp():
            return "" if op.mode == "constant" and not (op.before[0] or op.after[0]) else f"of mode {op.mode}"
        case nn.ReduceOp():
            inside = all(axis % op.x.tensor.rank for axis in op.axes)
            return "" if op.kind in REDUCTIONS and inside else f"{op.kind} of axes {list(op.axes)}"
        case nn.AvgPool2dOp():
            even = op.pads[:2] == op.pads[2:] and op.dilations == (1, 1)
            return "" if even else "with uneven padding or dilation"
        case _:
            return op.name.removeprefix("nn.")


def constant_names(module: ModuleOp) -> dict[Value, str]:
    """A name of its own for every constant of floats, that of the initialiser where it has one."""
    names: dict[Value, str] = {}
    taken: set[str] = set()
    for op in module.main.body.ops:
        if not isinstance(op, ConstantOp) or op.value.dtype.kind != "f":
            continue
        wanted = op.location.names[0] if op.location.names else op.out.hint or "constant"
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        names[op.out] = name
    return names


def learning(module: ModuleOp) -> set[Value]:
    """Weights, biases, and scales and biases of normalisations; no bias that a normalisation takes away again."""
    found: set[Value] = set()
    for op in module.main.body.ops:
        if weight_of(op) is not None:
            found.add(op.operands[1])
        if isinstance(op, nn.Conv2dOp) and op.bias is not None and not _normalised(op):
            found.add(op.bias)
        if isinstance(op, nn.BatchNormOp):
            found.update((op.scale, op.bias))
        if isinstance(op, nn.AddOp | nn.SubOp) and not _normalised(op):
            found.update(value for value in op.operands if value.tensor.size > 1)
    return {value for value in found if isinstance(value.owner, ConstantOp) and value.owner.value.dtype.kind == "f"}


def _normalised(op: Operation) -> bool:
    return isinstance(only_user(op.result), nn.BatchNormOp)
