"""The pass that groups integer operations into blocks which one processing element computes without a pause."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ...ir.core import Block, Operation, Value
from ...ir.dialects import quant
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.dialects.tile import BlockOp, YieldOp
from ...ir.location import fuse
from ...ir.rewriter import Rewriter
from ...ir.shapes import normal_axis
from ..base import Pass, PassContext, option

POINTWISE = (
    *(quant.RescaleOp, quant.RescaleFloatOp, quant.AddOp, quant.AddFloatOp, quant.MulOp, quant.TableOp),
    quant.ExtremumOp,
)


def core_of(op: Operation) -> str | None:
    """What a block that starts with `op` is built around; None for an operation that no block takes."""
    match op:
        case quant.Conv2dOp():
            single = op.groups > 1 and op.weight.shape[1] == 1 and op.weight.shape[0] == op.groups
            return "depthwise" if single else "conv"
        case quant.MatMulOp():
            return "matmul"
        case quant.MaxPool2dOp() | quant.AvgPool2dOp():
            return "pool"
        case quant.SoftmaxOp():
            return "rows"
        case quant.LrnOp():
            return "channels"
        case _:
            return "pointwise" if isinstance(op, POINTWISE) else None


@frozen
class FormBlocks(Pass):
    """Moves chains of integer operations into `tile.block`; the values computed stay the same.

    With `fuse`, a convolution or matrix product takes along its rescale, an addition, tables and a max pooling whose
    windows do not overlap; without it every operation is a block of its own.
    """

    name: ClassVar[str] = "form-blocks"
    idempotent: ClassVar[bool] = True
    establishes: ClassVar[str | None] = "tiled"
    fuse: bool = option(True, help="fuse what follows a convolution or matrix product into its block")

    def run(self, module: ModuleOp, context: PassContext) -> None:
        rewriter = Rewriter()
        taken: set[Operation] = set()
        for op in list(module.main.body.ops):
            core = core_of(op)
            if core is None or op in taken or op.parent is not module.main.body:
                continue
            chain = [op]
            while self.fuse and (follower := self._follower(chain)) is not None:
                chain.append(follower)
            taken.update(chain)
            outline(chain, core, rewriter)

    def _follower(self, chain: list[Operation]) -> Operation | None:
        value = chain[-1].results[0]
        if len(value.uses) != 1 or core_of(chain[0]) in ("rows", "channels"):
            return None
        (op,) = value.users
        if isinstance(op, quant.MaxPool2dOp):
            disjoint = op.kernel == op.strides and not any(op.pads) and op.dilations == (1, 1) and not op.ceil
            whole = disjoint and all(size % step == 0 for size, step in zip(op.x.shape[2:], op.strides, strict=True))
            return op if whole and core_of(chain[0]) == "conv" else None
        if not isinstance(op, POINTWISE) or op.results[0].shape != value.shape:
            return None
        if core_of(chain[0]) == "matmul" and not _behind_matmul(op):
            return None
        if any(isinstance(earlier, quant.MaxPool2dOp) for earlier in chain):
            return None
        return op


def _behind_matmul(op: Operation) -> bool:
    """Whether an operation works column by column, as the result of a matrix product is cut."""
    if isinstance(op, quant.TableOp):
        return op.table.ndim == 1 or normal_axis(op.axis, op.x.tensor.rank) == op.x.tensor.rank - 1
    return isinstance(op, quant.RescaleOp | quant.RescaleFloatOp)


def outline(chain: list[Operation], core: str, rewriter: Rewriter) -> BlockOp:
    """Moves `chain` into a new block at the place of its last operation."""
    inside = {result for op in chain for result in op.results}
    outside: dict[Value, None] = {}
    for op in chain:
        for value in op.operands:
            if value not in inside and not isinstance(value.owner, ConstantOp):
                outside[value] = None
    inputs = tuple(outside)
    body = Block([value.type for value in inputs], [value.hint for value in inputs])
    last = chain[-1]
    anchor = last.next
    if anchor is None:
        raise ValueError("a function ends with return")
    result = last.results[0]
    uses = result.uses
    for op in chain:
        rewriter.move_to_end(op, body)
        for index, value in enumerate(op.operands):
            if value in outside:
                rewriter.set_operand(op, index, body.arguments[inputs.index(value)])
    rewriter.append(body, YieldOp(values=(result,)))
    block = rewriter.insert_before(anchor, BlockOp(inputs=inputs, core=core, body=body))
    block.location = fuse(op.location for op in chain)
    block.results[0].hint = result.hint
    for op, index in uses:
        rewriter.set_operand(op, index, block.results[0])
    return block
