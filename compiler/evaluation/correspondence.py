"""Which value of a trained network each integer value of a compiled one stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.dialects.quant import Limited, QuantizeOp, UniformType
from ...ir.types import FloatType
from .batched import dependent

Array = NDArray[Any]
Weighing = (quant.Conv2dOp, quant.MatMulOp)


@frozen(eq=False)
class Correspondence:
    """`floats`: the float value for each quantised one; `weights`: the float operation for each that weighs."""

    floats: dict[Value, Value]
    weights: dict[Operation, nn.Conv2dOp | nn.MatMulOp]

    @classmethod
    def of(cls, module: ModuleOp, graph: ModuleOp) -> Correspondence:
        """By the names of ONNX nodes; layers with weights whose names say nothing, by their order.

        `graph` is the float network behind the graph pipeline. Shapes of a pair are equal.
        """
        ours, theirs = list(dependent(module)), list(dependent(graph))
        pairs: dict[Value, Value] = {}
        by_float: dict[Value, Value] = {}
        for value in ours:
            if not isinstance(value.element, UniformType):
                continue
            found = _by_names(value, module, graph, theirs)
            if found is not None:
                pairs.pop(by_float.get(found, value), None)
                pairs[value], by_float[found] = found, value
        weights = _weights(module, graph)
        for op, layer in weights.items():
            last = _end(op)
            if last is not None and last not in pairs and layer.results[0].shape == last.shape:
                pairs[last] = _fused(layer.results[0])
        return cls(pairs, weights)


def layer_values(module: ModuleOp) -> list[Value]:
    """The values of the layers, inputs first: what is quantised, or rounded and limited."""
    return [
        value
        for value in dependent(module)
        if isinstance(value.owner, QuantizeOp | Limited) and isinstance(value.element, UniformType)
    ]


def _by_names(value: Value, module: ModuleOp, graph: ModuleOp, theirs: Sequence[Value]) -> Value | None:
    op = value.owner
    if isinstance(op, QuantizeOp) and op.x.owner is None:
        number = module.main.body.arguments.index(op.x)
        arguments = graph.main.body.arguments
        return arguments[number] if number < len(arguments) and arguments[number].shape == value.shape else None
    names = set() if op is None else set(op.location.names)
    found = None
    for other in theirs:
        owner = other.owner
        if owner is None or not isinstance(other.element, FloatType) or other.shape != value.shape:
            continue
        if owner.location.names and names.issuperset(owner.location.names):
            found = other
    return found


def _weights(module: ModuleOp, graph: ModuleOp) -> dict[Operation, nn.Conv2dOp | nn.MatMulOp]:
    ours = [op for op in module.main.body.ops if isinstance(op, Weighing)]
    theirs = [
        op
        for op in graph.main.body.ops
        if isinstance(op, nn.Conv2dOp | nn.MatMulOp) and isinstance(op.operands[1].owner, ConstantOp)
    ]
    by_names = {op.location.names: op for op in theirs if op.location.names}
    found: dict[Operation, nn.Conv2dOp | nn.MatMulOp] = {}
    for number, op in enumerate(ours):
        names = [each for each in by_names if set(op.location.names).issuperset(each)]
        layer = by_names[names[0]] if len(names) == 1 else theirs[number] if len(ours) == len(theirs) else None
        if layer is not None and layer.operands[1].shape == op.weight.shape:
            found[op] = layer
    return found


def _end(op: Operation) -> Value | None:
    """The quantised value that a sum of products becomes."""
    users = op.results[0].users
    return users[0].results[0] if len(users) == 1 and isinstance(users[0], Limited) else None


def _fused(value: Value) -> Value:
    """The value behind the bias and the clamp that are fused with a layer."""
    while len(value.users) == 1 and isinstance(value.users[0], nn.AddOp | nn.ClampOp):
        (user,) = value.users
        free = [each for each in user.operands if not isinstance(each.owner, ConstantOp)]
        if len(free) != 1 or user.results[0].shape != value.shape:
            break
        value = user.results[0]
    return value


def lost_weights(op: quant.Conv2dOp | quant.MatMulOp, layer: nn.Conv2dOp | nn.MatMulOp) -> tuple[float, float]:
    """The share of weights that became zero, of those that were none; power of the weights' errors over their own.

    The integers are compared in the unit for each output channel that suits them best.
    """
    axis = 0 if isinstance(op, quant.Conv2dOp) else 1
    owners = op.weight.owner, layer.operands[1].owner
    assert isinstance(owners[0], ConstantOp) and isinstance(owners[1], ConstantOp)
    steps = np.moveaxis(owners[0].value.astype(np.float64), axis, 0)
    steps = steps.reshape(len(steps), -1)
    real = np.moveaxis(owners[1].value.astype(np.float64), axis, 0).reshape(len(steps), -1)
    power = (steps * steps).sum(axis=1)
    unit = np.where(power > 0, (steps * real).sum(axis=1) / np.where(power > 0, power, 1), 0.0)
    kept = int(np.count_nonzero(real))
    zero = int(np.count_nonzero((real != 0) & (steps == 0)))
    total = float((real * real).sum())
    error = float(((real - steps * unit[:, None]) ** 2).sum())
    return (zero / kept if kept else 0.0), (error / total if total else 0.0)
