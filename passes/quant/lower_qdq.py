"""The pass that turns float operations between dequantize and quantize into integer operations."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, StorageCastOp, UniformType
from ...ir.rewriter import Rewriter
from ...ir.traits import Trait
from ...ir.types import FloatType, IntegerType, TensorType
from ..base import Pass, PassContext, option
from .integer_ops import lower_value
from .lowering import Lowering, Unfit

Array = NDArray[Any]

NO_SCALE = Unfit("a float operation whose inputs or result carry no scale")


@frozen
class LowerQdq(Pass):
    """`quantize(f(dequantize(q)))` becomes integer operations on q with the scales and zero points given.

    Every integer result lies at most one step from the float expression: rescale rounds the exact ratio of scales once,
    where the float form rounds in f32. A quantize that saturates at a limit is the activation: its limits become those
    of the integer operation. What stays float raises ModelError with every operation at once.
    """

    name: ClassVar[str] = "lower-qdq"
    establishes: ClassVar[str | None] = "fixed-point"
    rescale: str = option(
        "multiplier",
        help="multiplier: round once by multiplier and shift; shift: the same, but refuse ratios of scales that are no "
        "power of two; float: in f32, as onnxruntime does",
        choices=("multiplier", "shift", "float"),
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        rewriter = Rewriter()
        body = module.main.body
        self._name_storage(module, rewriter)
        unfit: dict[Operation, Unfit] = {}
        for op in body.ops:
            if isinstance(op, QuantizeOp) and op.scale.ndim == 0:
                self._lower(op, rewriter, unfit)
            if isinstance(op, nn.MaxPool2dOp) and isinstance(op.x.element, UniformType):
                rewriter.replace_with(op, quant.MaxPool2dOp.create([op.x], op.attributes))
        remove_dead(module, rewriter)
        floats = {op for op in body.ops if not isinstance(op, QuantizeOp | DequantizeOp) and _touches_floats(op)}
        # What has no reason of its own and reads a refused value is but a consequence.
        refused = [
            op
            for op in body.ops
            if op in floats and (op in unfit or not any(value.owner in floats for value in op.operands))
        ]
        problems = [self._refusal(op, unfit.get(op, NO_SCALE)) for op in refused]
        problems += [
            self._refusal(op, Unfit("a quantize inside the network reads a float value"))
            for op in body.ops
            if isinstance(op, QuantizeOp) and not isinstance(op.x.owner, ConstantOp | None) and op.x.owner not in floats
        ]
        problems += [
            self._refusal(op, Unfit(f"{result.type}, which has no elements"))
            for op in body.ops
            for result in op.results
            if result.tensor.size == 0 and not isinstance(op, ConstantOp)
        ]
        if problems:
            raise ModelError(problems)

    def _name_storage(self, module: ModuleOp, rewriter: Rewriter) -> None:
        """Plain integers that a per-tensor dequantize reads as activations get their quantised type."""
        for op in module.main.body.ops:
            if not isinstance(op, DequantizeOp) or not isinstance(op.x.element, IntegerType) or op.scale.ndim:
                continue
            if op.x.element.width > 16 or (isinstance(op.x.owner, ConstantOp) and not _is_activation(op)):
                continue
            kind = UniformType(op.x.element, float(op.scale), int(op.zero_point))
            cast = rewriter.insert_before(op, StorageCastOp(x=op.x, to=kind, location=op.location))
            rewriter.set_operand(op, 0, cast.out)

    def _lower(self, op: QuantizeOp, rewriter: Rewriter, unfit: dict[Operation, Unfit]) -> None:
        source = op.x.owner
        target = op.out.element
        if source is None or not isinstance(target, UniformType):
            return
        if isinstance(source, ConstantOp):
            steps = np.rint(source.value.astype(np.float32) / np.float32(target.scale)) + target.zero_point
            limited = np.clip(steps, target.storage.low, target.storage.high).astype(target.dtype)
            constant = rewriter.insert_before(op, ConstantOp(value=limited, location=source.location))
            rewriter.replace_with(op, StorageCastOp(x=constant.out, to=target))
            return
        limits = target.storage.low, target.storage.high
        lowering = Lowering(rewriter, op, target, *limits, source.location, self.rescale)
        try:
            result = lower_value(op.x, lowering)
        except (Unfit, ValueError) as error:
            core = source.x.owner if isinstance(source, nn.ClampOp) else None
            culprit = source if core is None or isinstance(core, DequantizeOp) else core
            unfit[culprit] = error if isinstance(error, Unfit) else Unfit(str(error))
            return
        rewriter.replace(op, result)

    def _refusal(self, op: Operation, reason: Unfit) -> Diagnostic:
        return Diagnostic(
            "SNC0430",
            f"{op.name} has no integer form",
            node=str(op.location),
            found=str(reason),
            expected="an operation between dequantize and quantize that the integer target can compute",
            help=reason.help or "let calibration give every value a scale, or cut the network before this node",
        )


def _is_activation(op: DequantizeOp) -> bool:
    """Whether a dequantized constant is used as data: not as weight or bias."""
    return all(
        not isinstance(user, nn.Conv2dOp | nn.MatMulOp | nn.ConvTranspose2dOp) or index == 0
        for user, index in op.out.uses
    )


def _touches_floats(op: Operation) -> bool:
    values = (*op.operands, *op.results)
    if isinstance(op, ConstantOp) or op.name == "builtin.return":
        return False
    return any(isinstance(value.type, TensorType) and isinstance(value.element, FloatType) for value in values)


def remove_dead(module: ModuleOp, rewriter: Rewriter) -> None:
    """Removes pure operations whose results nobody uses, last ones first."""
    for op in reversed(list(module.main.body.ops)):
        if Trait.PURE in op.traits and not any(result.uses for result in op.results):
            rewriter.erase(op)
