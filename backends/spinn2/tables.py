"""Blocks that map codes of 8 bits to codes of 8 bits, as one table each where that is estimated to be faster.

Such a block is a batch normalisation (a depthwise 1x1 convolution and its rescale), a rescale, or any chain of
elementwise operations on one feature map. The ARM core looks a code up in fewer clocks than it rescales one, but a
channel has a table of its own, whose 256 bytes come from DRAM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.builder import Builder
from ...ir.clone import clone_module
from ...ir.core import Block, Operation, Value
from ...ir.dialects import quant
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.quant import UniformType, along_axis, uniform
from ...ir.dialects.tile import BlockOp
from ...ir.rewriter import Rewriter
from ...passes.tile.form_blocks import outline
from ...passes.tile.geometry import channel_axis, plan_block
from ...runtime.interpreter.evaluate import evaluate
from .estimate import LayerCost
from .splits import Splits

Array = NDArray[Any]

CODE_BITS = 8
CODES = 1 << CODE_BITS
"""Entries of a table."""


def with_tables(module: ModuleOp, splits: Splits) -> ModuleOp:
    """A copy of a tiled module with tables for the blocks that map codes, where that is estimated to be faster.

    `module` itself if there is no such block.
    """
    copy, rewriter = clone_module(module), Rewriter()
    blocks = [op for op in copy.main.body.ops if isinstance(op, BlockOp) and maps_codes(op)]
    changed = [_replaced(block, rewriter, splits) for block in blocks]
    return copy if any(changed) else module


def _replaced(block: BlockOp, rewriter: Rewriter, splits: Splits) -> bool:
    """Puts a table in the place of a block if it is faster."""
    table = _as_table(block, rewriter)
    if _clocks(table, splits) >= _clocks(block, splits):
        rewriter.erase(table)
        return False
    rewriter.replace(block, table.results)
    return True


def maps_codes(block: BlockOp) -> bool:
    """Whether each code of a block's result depends on its channel and on the code in its place of one map alone."""
    values = (*block.inputs, *block.results)
    if block.core not in ("depthwise", "pointwise") or len(values) != 2:
        return False
    # A vector of channels has one element for each table.
    several = values[0].tensor.rank > (_axis(block) is not None)
    return several and all(_is_code(value) for value in values) and all(_in_place(op) for op in block.chain)


def _is_code(value: Value) -> bool:
    return isinstance(value.element, UniformType) and value.element.storage.width == CODE_BITS


def _in_place(op: Operation) -> bool:
    """Whether an operation of such a block looks at one position only: a convolution may have a window or padding."""
    if isinstance(op, quant.Conv2dOp):
        return op.weight.shape[2:] == (1, 1) and op.strides == (1, 1) and not any(op.pads)
    return True


def _axis(block: BlockOp) -> int | None:
    """The axis of the channels; None when all are alike."""
    return 1 if block.core == "depthwise" else channel_axis(block.chain)


def _clocks(block: BlockOp, splits: Splits) -> float:
    """Clocks of a block by its best split."""
    plan = plan_block(block)
    if block.tile is None:
        raise ValueError(f"{block} has no tile; run split-layers first")
    channels, rows, columns, reduction = block.tile
    best, *_ = splits.waves(plan, (channels, rows, columns, reduction))
    return LayerCost(plan, splits.clocks).waves(best, len(splits.elements))


def _as_table(block: BlockOp, rewriter: Rewriter) -> BlockOp:
    """A block of one table, inserted before the block whose values it has."""
    result, axis = block.results[0], _axis(block)
    table, kind = table_of(block), uniform(result)
    op = quant.TableOp(
        x=block.inputs[0],
        table=table if np.any(table != table[0]) else table[0],
        axis=1 if axis is None else axis,
        to=kind,
        low=kind.storage.low,
        high=kind.storage.high,
    )
    op.location = block.location
    found = outline([rewriter.insert_before(block, op)], "pointwise", rewriter)
    rewriter.set_attribute(found, "tile", block.attributes["tile"])
    return found


def table_of(block: BlockOp) -> Array:
    """What a block makes of each code, by the reference interpreter: [channels, 256], or [1, 256] if all are alike."""
    (x,), axis = block.body.arguments, _axis(block)
    shape, along = [1] * x.tensor.rank, 1 if axis == 0 else 0
    if axis is not None:
        shape[axis] = x.shape[axis]
    shape[along] = CODES
    body = Block([x.tensor.with_shape(tuple(shape))])
    builder, copies = Builder(body), dict[Value, Value]({x: body.arguments[0]})
    for op in block.chain:
        for value in op.operands:
            if isinstance(value.owner, ConstantOp) and value not in copies:
                copies[value] = builder.insert(ConstantOp(value=value.owner.value)).result
        operands = [copies[value] for value in op.operands]
        copies[op.result] = builder.insert(type(op).create(operands, op.attributes)).result
    builder.insert(ReturnOp(values=(copies[block.yield_op.values[0]],)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", body=body))
    kind = uniform(x)
    every = (np.arange(CODES) + kind.storage.low).astype(kind.dtype)
    (found,) = evaluate(module, [np.broadcast_to(along_axis(every, along, len(shape)), shape)])
    return np.moveaxis(found, along, -1).reshape(-1, CODES)
