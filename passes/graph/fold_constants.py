"""fold-constants: everything that can be known before the first input is known afterwards."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.rewriter import RewritePattern, Rewriter, apply_patterns
from ...ir.traits import Trait
from ...ir.types import TensorType, tensor_of
from ..base import Pass, PassContext, option
from .chains import CHAINS
from .identities import IDENTITIES
from .matching import EraseDead, constant_of


@frozen
class FoldConstants(Pass):
    """Computes what depends on constants alone, and removes operations that do nothing.

    `f(constants)` becomes a constant, `reshape(reshape(x))` one reshape, `x * 1` becomes x, and so on until nothing
    applies; the shape arithmetic that exporters write disappears. Unused pure operations are removed.

    Keeps: every output equals, bit for bit, what it was. So `x + 0.0` stays where `x` may be -0.0 (the sum is +0.0),
    but `x - 0.0` and `x + -0.0` go. Only `nn` operations are computed: a quantised weight stays the integers that it
    is, behind its dequantize.
    """

    name: ClassVar[str] = "fold-constants"
    idempotent: ClassVar[bool] = True
    max_bytes: int = option(
        1 << 31, low=0, help="bytes that all constants together may take because of folding; what would need more stays"
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        apply_patterns(module, [EraseDead()])
        evaluate = Evaluate(_constant_bytes(module), self.max_bytes)
        apply_patterns(module, [EraseDead(), evaluate, *IDENTITIES, *CHAINS])
        if evaluate.wrong:
            raise ModelError(evaluate.wrong.values())
        left = [op for op in evaluate.too_large if op.parent is not None]
        context.warnings.extend(
            Diagnostic(
                "SNC0381",
                "a constant was not computed because it is too large",
                found=str(op.result.type),
                expected=f"at most {self.max_bytes} bytes in all constants",
                help=f"raise max-bytes of {self.name}",
                node=str(op.location),
                severity="warning",
            )
            for op in left
        )


def _constant_bytes(module: ModuleOp) -> int:
    arrays = {id(op.value): op.value for op in module.walk() if isinstance(op, ConstantOp)}
    return sum(array.nbytes for array in arrays.values())


class Evaluate(RewritePattern):
    """Replaces an operation on constants by its value.

    A value may be larger than the operands only while the constants of the module stay within `max_bytes`.
    `too_large` collects the operations left for that reason, `wrong` those whose value does not exist.
    """

    def __init__(self, held: int, max_bytes: int) -> None:
        self.held = held
        self.max_bytes = max_bytes
        self.too_large: dict[Operation, None] = {}
        self.wrong: dict[Operation, Diagnostic] = {}

    def match_and_rewrite(self, op: Operation, rewriter: Rewriter) -> None:
        if Trait.PURE not in op.traits or not op.name.startswith("nn.") or len(op.results) != 1 or op in self.wrong:
            return
        arrays = [array for value in op.operands if (array := constant_of(value)) is not None]
        result_type = op.result.type
        if len(arrays) != len(op.operands) or not isinstance(result_type, TensorType):
            return
        growth = result_type.size * result_type.element.dtype.itemsize - sum(array.nbytes for array in arrays)
        if growth > 0 and self.held + growth > self.max_bytes:
            self.too_large[op] = None
            return
        try:
            value = op.fold(arrays)
        except ValueError as error:
            self.wrong[op] = Diagnostic("SNC0380", f"{op.name} has no value: {error}", node=str(op.location))
            return
        if value is None or tensor_of(value) != result_type:
            return
        self.held += max(growth, 0)
        rewriter.replace_with(op, ConstantOp(value=value))
