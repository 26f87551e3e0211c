"""The pass that gives every float value and weight an integer type, as quantize-dequantize pairs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from attrs import frozen

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType
from ...ir.location import UNKNOWN, Location
from ...ir.rewriter import Rewriter
from ...ir.spec import FLOATS
from ...ir.types import I8, I16, U8, U16, FloatType, IntegerType, TensorType
from ..base import Pass, PassContext, option
from .calibrate import ARGUMENT_RANGES, RANGE
from .numerics import Scheme, quantized_weight, weight_scales
from .values import check_constants, constant_source, is_bias, keeps_scale, needs_range

ACTIVATIONS: dict[str, IntegerType] = {"int8": I8, "uint8": U8, "int16": I16, "uint16": U16}


@frozen
class Quantize(Pass):
    """Puts a quantize-dequantize pair behind every float value and turns weights into integers.

    `y = f(x)` becomes `y = dequantize(quantize(f(x)))`: each value moves by at most half a step of its scale, or
    saturates at the calibrated range. Weights are symmetric with one scale per output channel. Values that carry a
    quantize of their own (QDQ models) are left alone.
    """

    name: ClassVar[str] = "quantize"
    idempotent: ClassVar[bool] = True
    establishes: ClassVar[str | None] = "graph"
    bits: int = option(8, help="bits of activations and weights", choices=(8, 16))
    activations: str = option("int", help="signed or unsigned activations", choices=("int", "uint"))
    rescale: str = option(
        "multiplier",
        help="multiplier: any scale, requantised by multiplier and shift; shift: powers of two, by shift alone",
        choices=("multiplier", "shift"),
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        main = module.main
        check_constants(main)
        scheme = Scheme(
            ACTIVATIONS[f"{self.activations}{self.bits}"], {8: I8, 16: I16}[self.bits], self.rescale == "shift"
        )
        rewriter = Rewriter()
        chosen = self._activation_types(main, scheme)
        for value, kind in chosen.items():
            anchor = value.owner.next if value.owner is not None else main.body.first
            if anchor is None:
                raise ValueError("a function ends with return")
            insert_pair(rewriter, value, kind, anchor)
        for op in main.body.ops:
            if isinstance(op, nn.Conv2dOp):
                quantize_weight(rewriter, op, op.x, 1, 0, op.bias, scheme)
            elif isinstance(op, nn.MatMulOp) and isinstance(op.rhs.owner, ConstantOp) and op.rhs.tensor.rank == 2:
                (user,) = op.out.users if len(op.out.uses) == 1 else (None,)
                bias = user.operands[1] if user is not None and is_bias(user) else None
                quantize_weight(rewriter, op, op.lhs, 1, 1, bias, scheme)
            else:
                self._quantize_constant_operands(rewriter, op, scheme)

    def _quantize_constant_operands(self, rewriter: Rewriter, op: Operation, scheme: Scheme) -> None:
        """Constants that stand where activations stand (a table of positions to add, say)."""
        if not isinstance(op, nn.AddOp | nn.SubOp | nn.MulOp | nn.MaximumOp | nn.MinimumOp | nn.ConcatOp) or is_bias(
            op
        ):
            return
        for index, value in enumerate(op.operands):
            owner = value.owner
            if not isinstance(owner, ConstantOp) or not isinstance(value.element, FloatType):
                continue
            if not isinstance(op, nn.ConcatOp) and per_channel(value.tensor, op.results[0].tensor):
                continue
            array = owner.value.astype(np.float64)
            kind = scheme.activation_type(float(array.min(initial=0)), float(array.max(initial=0)))
            steps = np.clip(np.rint(array / kind.scale) + kind.zero_point, kind.storage.low, kind.storage.high)
            constant = rewriter.insert_before(op, ConstantOp(value=steps.astype(kind.dtype), location=owner.location))
            restored = rewriter.insert_before(op, dequantize(constant.out, kind, owner.location))
            rewriter.set_operand(op, index, restored.out)

    def _activation_types(self, main: FuncOp, scheme: Scheme) -> dict[Value, UniformType]:
        values = [*main.body.arguments, *(result for op in main.body.ops for result in op.results)]
        wanted = [value for value in values if needs_range(value)]
        ranges = {value: own_range(main, value) for value in wanted}
        for value in wanted:
            owner = value.owner
            if isinstance(owner, nn.SoftmaxOp) and not owner.log:
                ranges[value] = (0.0, 1.0 - 2.0**-self.bits)
            if isinstance(owner, nn.SigmoidOp | nn.HardSigmoidOp):
                ranges[value] = (0.0, 1.0)
            if isinstance(owner, nn.ConcatOp):
                self._share(owner, ranges)
        types: dict[Value, UniformType] = {}
        for value in wanted:
            owner = value.owner
            source = owner.operands[0] if owner is not None and keeps_scale(owner) else None
            if source is not None and source in types:
                types[value] = types[source]
            elif source is not None and isinstance(source.owner, DequantizeOp) and source.owner.scale.ndim == 0:
                found = source.owner.x.element
                types[value] = found if isinstance(found, UniformType) else scheme.activation_type(*ranges[value])
            else:
                types[value] = scheme.activation_type(*ranges[value])
        return types

    def _share(self, concat: nn.ConcatOp, ranges: dict[Value, tuple[float, float]]) -> None:
        """Inputs that go nowhere else take the range of the whole, so that the concat moves bytes only."""
        whole = ranges[concat.out]
        own = [ranges[value] for value in concat.inputs if value in ranges]
        whole = (min([whole[0], *(low for low, _ in own)]), max([whole[1], *(high for _, high in own)]))
        ranges[concat.out] = whole
        for value in concat.inputs:
            if value in ranges and len(value.uses) == 1 and value.owner is not None and not keeps_scale(value.owner):
                ranges[value] = whole


def own_range(main: FuncOp, value: Value) -> tuple[float, float]:
    """The calibrated range of a value; raises UsageError when calibrate has not run."""
    if value.owner is None:
        stored = main.attributes.get(ARGUMENT_RANGES)
        index = next(i for i, argument in enumerate(main.body.arguments) if argument is value)
        bounds = FLOATS.decode(stored)[2 * index : 2 * index + 2] if stored is not None else ()
        location = Location(main.input_names[index : index + 1])
    else:
        stored = value.owner.attributes.get(RANGE)
        bounds = FLOATS.decode(stored) if stored is not None else ()
        location = value.owner.location
    if len(bounds) != 2:
        raise UsageError(
            Diagnostic(
                "SNC0421",
                "the range of a value is not known",
                node=str(location),
                expected=f"the attribute {RANGE}",
                help="run calibrate before quantize",
            )
        )
    return bounds[0], bounds[1]


def per_channel(vector: TensorType, whole: TensorType) -> bool:
    """Whether a constant has one element, or one per channel (axis 1) of `whole`."""
    if vector.size == 1:
        return True
    aligned = (1,) * (whole.rank - vector.rank) + vector.shape
    return whole.rank >= 2 and vector.rank <= whole.rank and aligned[1] == vector.size == whole.shape[1]


def dequantize(value: Value, kind: UniformType, location: Location = UNKNOWN) -> DequantizeOp:
    """The dequantize of a value of `kind`."""
    return DequantizeOp(
        x=value,
        scale=np.array(kind.scale, np.float32),
        zero_point=np.array(kind.zero_point, np.int32),
        location=location,
    )


def insert_pair(rewriter: Rewriter, value: Value, kind: UniformType, anchor: Operation) -> None:
    """Inserts dequantize(quantize(value)) before `anchor` and makes every other use of `value` a use of it."""
    uses = [(op, index) for op, index in value.uses if not isinstance(op, QuantizeOp)]
    location = value.owner.location if value.owner is not None else UNKNOWN
    quantized = rewriter.insert_before(
        anchor,
        QuantizeOp(
            x=value,
            scale=np.array(kind.scale, np.float32),
            zero_point=np.array(kind.zero_point, np.int32),
            to=kind.storage,
            location=location,
        ),
    )
    restored = rewriter.insert_before(anchor, dequantize(quantized.out, kind, location))
    for op, index in uses:
        rewriter.set_operand(op, index, restored.out)


def quantize_weight(
    rewriter: Rewriter, op: Operation, x: Value, operand: int, axis: int, bias: Value | None, scheme: Scheme
) -> None:
    """Replaces the float constant at `operand` of `op` by an integer constant and a per-channel dequantize."""
    owner = op.operands[operand].owner
    source = x.owner
    if not isinstance(owner, ConstantOp) or not isinstance(source, DequantizeOp) or source.scale.ndim:
        return
    kind = source.x.element
    storage = kind.storage if isinstance(kind, UniformType) else kind
    if not isinstance(storage, IntegerType):
        return
    zero = int(source.zero_point)
    largest = max(storage.high - zero, zero - storage.low)
    least = np.zeros(owner.value.shape[axis])
    constant_bias = constant_source(bias) if bias is not None else None
    if constant_bias is not None and bias is not None and isinstance(bias.owner, ConstantOp):
        least = np.abs(constant_bias.value.astype(np.float64).reshape(-1)) / (float(source.scale) * 2.0**29)
    scale = weight_scales(owner.value, axis, scheme, least, largest)
    steps = quantized_weight(owner.value, axis, scale, scheme)
    constant = rewriter.insert_before(op, ConstantOp(value=steps, location=owner.location))
    restored = rewriter.insert_before(
        op,
        DequantizeOp(
            x=constant.out, scale=scale, zero_point=np.zeros(scale.shape, np.int32), axis=axis, location=owner.location
        ),
    )
    rewriter.set_operand(op, operand, restored.out)
