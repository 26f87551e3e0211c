"""Copies of IR that share nothing but attributes, types and locations, which are frozen."""

from __future__ import annotations

from typing import TypeVar

from .builder import Builder
from .core import Block, Operation, Value

OpT = TypeVar("OpT", bound=Operation)


def clone_module(module: OpT) -> OpT:
    """A copy of a module, or of any operation that uses no value from outside; name hints are kept.

    Result types are inferred anew, so a module that does not verify may raise what `infer` raises.
    """
    copy = _clone(module, {})
    assert isinstance(copy, type(module))
    return copy


def _clone(op: Operation, copies: dict[Value, Value]) -> Operation:
    blocks = [_clone_block(block, copies) for block in op.regions]
    copy = type(op).create([copies[value] for value in op.operands], op.attributes, blocks, op.location)
    for old, new in zip(op.results, copy.results, strict=True):
        new.hint = old.hint
        copies[old] = new
    return copy


def _clone_block(block: Block, copies: dict[Value, Value]) -> Block:
    copy = Block([argument.type for argument in block.arguments], [argument.hint for argument in block.arguments])
    copies.update(zip(block.arguments, copy.arguments, strict=True))
    builder = Builder(copy)
    for op in block.ops:
        builder.insert(_clone(op, copies))
    return copy
