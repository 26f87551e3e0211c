"""A quantised network whose values are not limited to 8 or 16 bits: rounding without saturation.

Scales, zero points and roundings stay; the integers of every value that has a counterpart in the float network get 32
bits, and keep no limits but those of its activation. Functions that are tables of 8 bits are computed in float.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.attributes import Attribute
from ...ir.builder import Builder
from ...ir.core import Block, Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp
from ...ir.dialects.quant import DequantizeOp, Limited, QuantizeOp, UniformType
from ...ir.spec import INT, TYPE
from ...ir.traits import Trait
from ...ir.types import I32
from .correspondence import Correspondence, Weighing

Array = NDArray[Any]

REACH_BITS = 17
"""Values lie within 2^17 steps of zero, so that no product of the operations below leaves 64 bits."""
TABLES = (quant.TableOp, quant.SoftmaxOp, quant.LrnOp)
TAKE_WIDE = (
    *Weighing,
    quant.RescaleOp,
    quant.RescaleFloatOp,
    quant.AddOp,
    quant.AddFloatOp,
    quant.MulOp,
    quant.AvgPool2dOp,
    quant.MaxPool2dOp,
    quant.DequantizeOp,
    nn.PadOp,
)
MOST_FUSED = 4
"""Float operations behind one table."""


class _NoFloatForm(Exception):
    """A table whose function is not found in the float network."""


def widened(module: ModuleOp, pairs: Correspondence) -> ModuleOp:
    """The network without saturation; where no value leaves its range it computes the same integers."""
    return _Widening(module, pairs).run()


def sum_reach(module: ModuleOp) -> int:
    """How many steps an input may lie from its zero point such that no 32 bit sum can wrap."""
    reach = 1 << REACH_BITS
    for op in module.main.body.ops:
        if isinstance(op, Weighing) and isinstance(op.weight.owner, ConstantOp):
            weight = np.abs(op.weight.owner.value.astype(np.int64))
            outputs = np.moveaxis(weight, 0 if isinstance(op, quant.Conv2dOp) else 1, 0)
            most = int(outputs.reshape(len(outputs), -1).sum(axis=1).max(initial=1))
            bias = op.bias.owner.value if op.bias is not None and isinstance(op.bias.owner, ConstantOp) else np.zeros(1)
            room = (1 << 31) - 1 - int(np.abs(bias.astype(np.int64)).max(initial=0))
            reach = min(reach, room // max(1, most))
    return reach


class _Widening:
    def __init__(self, module: ModuleOp, pairs: Correspondence) -> None:
        self._module, self._pairs = module, pairs
        self._reach = sum_reach(module)
        function = module.main
        arguments = function.body.arguments
        self._body = Block([each.type for each in arguments], [each.hint for each in arguments])
        self._builder = Builder(self._body)
        self._copies: dict[Value, Value] = dict(zip(arguments, self._body.arguments, strict=True))
        self._of_float = {other: value for value, other in pairs.floats.items()}

    def run(self) -> ModuleOp:
        function = self._module.main
        for op in function.body.ops:
            made = self._copy(op)
            for old, new in zip(op.results, made, strict=True):
                self._copies[old] = new
        top = Block()
        Builder(top).insert(
            FuncOp(
                sym_name="main", input_names=function.input_names, output_names=function.output_names, body=self._body
            )
        )
        return ModuleOp(body=top)

    def _insert(self, op: Operation, location: Operation) -> Value:
        op.location = location.location
        return self._builder.insert(op).results[0]

    def _copy(self, op: Operation) -> tuple[Value, ...]:
        operands = [self._copies[value] for value in op.operands]
        attributes = dict(op.attributes)
        if isinstance(op, TABLES) and op.results[0] in self._pairs.floats:
            try:
                return (self._function(op),)
            except _NoFloatForm:
                pass
        if isinstance(op, quant.ExtremumOp | nn.ConcatOp) and any(_is_wide(value) for value in operands):
            operands = [self._rescaled(value, _wide(value), op) for value in operands]
        elif not isinstance(op, TAKE_WIDE) and Trait.MOVEMENT not in op.traits and op.name != "builtin.return":
            operands = [
                self._rescaled(value, old.element, op) for value, old in zip(operands, op.operands, strict=True)
            ]
        elif isinstance(op, quant.StorageCastOp):
            operands = [self._rescaled(operands[0], op.x.element, op)]
        if isinstance(op, Limited) and op.results[0] in self._pairs.floats and not isinstance(op, TABLES):
            attributes.update(self._limits(op))
        if isinstance(op, QuantizeOp) and op.scale.ndim == 0 and op.results[0] in self._pairs.floats:
            attributes["to"] = TYPE.encode(I32)
        made = type(op).create(operands, attributes, [], op.location)
        self._builder.insert(made)
        return made.results

    def _limits(self, op: Limited) -> dict[str, Attribute]:
        """Type and limits of a result: those of its activation, and how far sums reach."""
        kind = op.target
        low, high = kind.zero_point - self._reach, kind.zero_point + self._reach
        clamp = self._pairs.floats[op.results[0]].owner
        if isinstance(clamp, nn.ClampOp):
            low, high = max(low, _step(clamp.low, kind, low)), min(high, _step(clamp.high, kind, high))
        # Limits inside the range are those of an activation, whatever the reference has.
        low = op.low if op.low > kind.storage.low else low
        high = op.high if op.high < kind.storage.high else high
        wide = UniformType(I32, kind.scale, kind.zero_point)
        return {"to": TYPE.encode(wide), "low": INT.encode(low), "high": INT.encode(max(low, high))}

    def _rescaled(self, value: Value, kind: Any, op: Operation) -> Value:
        """A value with another storage of the same scale, saturated to it; itself where it has that type."""
        if not isinstance(value.element, UniformType) or value.element == kind or not isinstance(kind, UniformType):
            return value
        same = quant.RescaleOp(
            x=value,
            multiplier=np.array(1, np.int32),
            shift=np.array(0, np.int32),
            to=kind,
            low=kind.storage.low,
            high=kind.storage.high,
        )
        return self._insert(same, op)

    def _function(self, op: Operation) -> Value:
        """The value of a table by the float operations that it stands for."""
        value = self._pairs.floats[op.results[0]]
        kind = op.results[0].element
        assert isinstance(kind, UniformType)
        result = self._float(value, op, MOST_FUSED)
        scale, zero = np.array(kind.scale, np.float32), np.array(kind.zero_point, np.int32)
        return self._insert(QuantizeOp(x=result, scale=scale, zero_point=zero, to=I32), op)

    def _float(self, value: Value, op: Operation, depth: int) -> Value:
        """A value of the float network: dequantized where there are integers for it, else computed from others."""
        ours = self._of_float.get(value)
        if ours is not None and ours in self._copies and depth < MOST_FUSED:
            copy = self._copies[ours]
            kind = copy.element
            assert isinstance(kind, UniformType)
            scale, zero = np.array(kind.scale, np.float32), np.array(kind.zero_point, np.int32)
            return self._insert(DequantizeOp(x=copy, scale=scale, zero_point=zero), op)
        owner = value.owner
        if owner is None or depth == 0:
            raise _NoFloatForm
        if isinstance(owner, ConstantOp):
            return self._insert(ConstantOp(value=owner.value), op)
        operands = [self._float(operand, op, depth - 1) for operand in owner.operands]
        return self._insert(type(owner).create(operands, owner.attributes), op)


def _is_wide(value: Value) -> bool:
    return isinstance(value.element, UniformType) and value.element.storage == I32


def _wide(value: Value) -> Any:
    kind = value.element
    return UniformType(I32, kind.scale, kind.zero_point) if isinstance(kind, UniformType) else kind


def _step(limit: float, kind: UniformType, otherwise: int) -> int:
    """A limit of an activation in steps of its type."""
    if not math.isfinite(limit):
        return otherwise
    step = float(np.rint(np.float32(limit) / np.float32(kind.scale))) + kind.zero_point
    return int(min(max(step, -(1 << 30)), 1 << 30))
