"""The only way to change IR in place, and the greedy driver of rewrite patterns."""

from __future__ import annotations

import inspect
import typing
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from .attributes import Attribute
from .builder import Builder
from .core import Block, Operation, Value
from .location import fuse

OpT = TypeVar("OpT", bound=Operation)


class Rewriter:
    """Changes IR and remembers that it did, and which operations deserve another look."""

    def __init__(self) -> None:
        self.changed = False
        self.touched: dict[Operation, None] = {}

    def insert_before(self, anchor: Operation, op: OpT) -> OpT:
        """Inserts `op` right before `anchor`."""
        self._note(op)
        return Builder.before_op(anchor).insert(op)

    def insert_after(self, anchor: Operation, op: OpT) -> OpT:
        """Inserts `op` right after `anchor`."""
        if anchor.parent is None:
            raise ValueError(f"{anchor} stands in no block")
        self._note(op)
        return Builder(anchor.parent, anchor.next).insert(op)

    def append(self, block: Block, op: OpT) -> OpT:
        """Inserts `op` at the end of `block`."""
        self._note(op)
        return Builder(block).insert(op)

    def set_operand(self, op: Operation, index: int, value: Value) -> None:
        """Makes `value` the operand `index` of `op`."""
        if op.operands[index] is value:
            return
        self._look_again(op.operands[index])
        op._set_operand(index, value)
        self._note(op)

    def set_attribute(self, op: Operation, name: str, value: Attribute | None) -> None:
        """Sets, or with None removes, the attribute `name`."""
        if op.attributes.get(name) == value:
            return
        if value is None:
            del op.attributes[name]
        else:
            op.attributes[name] = value
        self._note(op)

    def replace_uses(self, old: Value, new: Value) -> None:
        """Every use of `old` becomes a use of `new`; `new` inherits the name hint."""
        if old.hint and not new.hint:
            new.hint = old.hint
        for op, index in old.uses:
            self.set_operand(op, index, new)

    def replace(self, op: Operation, new: Value | Sequence[Value]) -> None:
        """Replaces the results of `op` by `new` and erases it."""
        values = (new,) if isinstance(new, Value) else new
        if len(values) != len(op.results):
            raise ValueError(f"{op} has {len(op.results)} results, found {len(values)} values to replace them")
        for result, value in zip(op.results, values, strict=True):
            self.replace_uses(result, value)
        self.erase(op)

    def replace_with(self, op: Operation, new: OpT, *absorbed: Operation) -> OpT:
        """Inserts `new` before `op` and replaces `op` by it; the location is fused with those of `absorbed`."""
        self.insert_before(op, new)
        new.location = fuse([*(other.location for other in absorbed), op.location])
        self.replace(op, new.results)
        return new

    def move_before(self, op: Operation, anchor: Operation) -> None:
        """Moves `op` right before `anchor`, which may stand in another block."""
        if op.parent is None or anchor.parent is None:
            raise ValueError(f"{op} or {anchor} stands in no block")
        op.parent._detach(op)
        anchor.parent._insert(op, anchor)
        self._note(op)

    def move_to_end(self, op: Operation, block: Block) -> None:
        """Moves `op` to the end of `block`."""
        if op.parent is None:
            raise ValueError(f"{op} stands in no block")
        op.parent._detach(op)
        block._insert(op, None)
        self._note(op)

    def erase(self, op: Operation) -> None:
        """Removes `op`, whose results nobody uses."""
        used = [result for result in op.results if result.uses]
        if used:
            raise ValueError(f"{op} is still used by {used[0].users[0]}")
        for value in op.operands:
            self._look_again(value)
        if op.parent is not None:
            op.parent._detach(op)
        op._drop()
        self.touched.pop(op, None)
        self.changed = True

    def _note(self, op: Operation) -> None:
        self.changed = True
        self.touched[op] = None

    def _look_again(self, value: Value) -> None:
        if value.owner is not None:
            self.touched[value.owner] = None


class RewritePattern:
    """A local rewrite; the operation class is read from the annotation of `match_and_rewrite`."""

    root: ClassVar[type[Operation]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "match_and_rewrite" in vars(cls):
            parameters = list(inspect.signature(cls.match_and_rewrite).parameters)
            cls.root = typing.get_type_hints(cls.match_and_rewrite)[parameters[1]]

    def match_and_rewrite(self, op: Any, rewriter: Rewriter) -> None:
        """Changes the IR around `op` through `rewriter`, or leaves it alone."""
        raise NotImplementedError


class NoFixpoint(Exception):
    """Patterns kept rewriting beyond the bound."""


def apply_patterns(root: Operation, patterns: Sequence[RewritePattern], *, limit_per_op: int = 64) -> bool:
    """Applies patterns inside `root` until none matches; returns whether anything changed.

    Operations are visited in order, then those that a rewrite touched. More than `limit_per_op` rewrites per
    operation of the input raise NoFixpoint, which names the pattern that rewrote last.
    """
    worklist = OrderedDict.fromkeys(op for op in root.walk() if op is not root)
    budget = limit_per_op * (len(worklist) + 1)
    rewriter = Rewriter()
    any_change = False
    while worklist:
        op, _ = worklist.popitem(last=False)
        for pattern in patterns:
            if op.parent is None or not isinstance(op, pattern.root):
                continue
            rewriter.changed = False
            pattern.match_and_rewrite(op, rewriter)
            if rewriter.changed:
                any_change = True
                budget -= 1
                if budget < 0:
                    raise NoFixpoint(f"{type(pattern).__name__} rewrites without end near {op.location}")
                for touched in rewriter.touched:
                    worklist[touched] = None
                    for result in touched.results:
                        worklist.update(dict.fromkeys(result.users))
                rewriter.touched.clear()
                worklist[op] = None
                break
            rewriter.touched.clear()
    return any_change
