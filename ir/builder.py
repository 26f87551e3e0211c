"""A cursor that inserts operations."""

from __future__ import annotations

from typing import TypeVar

from .core import Block, Operation

OpT = TypeVar("OpT", bound=Operation)


class Builder:
    """Inserts operations into `block`, before `before` or at the end."""

    __slots__ = ("before", "block")

    def __init__(self, block: Block, before: Operation | None = None) -> None:
        self.block = block
        self.before = before

    @classmethod
    def before_op(cls, op: Operation) -> Builder:
        """A cursor right before `op`."""
        if op.parent is None:
            raise ValueError(f"{op} stands in no block")
        return cls(op.parent, op)

    def insert(self, op: OpT) -> OpT:
        """Inserts `op` and returns it."""
        self.block._insert(op, self.before)
        return op
