"""Structural equality: the same operations, attributes, types and flow of values, whatever the names."""

from __future__ import annotations

from collections.abc import Sequence

from .core import Block, Operation, Value
from .text import attribute_text


def structurally_equal(a: Operation, b: Operation, *, locations: bool = False) -> bool:
    """Whether two operations (modules) are the same program; name hints never matter, locations if asked for."""
    return difference(a, b, locations=locations) is None


def difference(a: Operation, b: Operation, *, locations: bool = False) -> str | None:
    """The first difference between `a` and `b` in words; None when they are structurally equal."""
    return _Comparison(locations).operations(a, b)


class _Comparison:
    """Walks two operations side by side; each returns the first difference."""

    def __init__(self, locations: bool) -> None:
        self._locations = locations
        self._twins: dict[Value, Value] = {}
        self._count = 0

    def operations(self, a: Operation, b: Operation) -> str | None:
        self._count += 1
        where = f"operation {self._count} ({a.name} at {a.location})"
        if a.name != b.name:
            return f"{where}: the other is {b.name} at {b.location}"
        if self._locations and a.location != b.location:
            return f"{where}: the other stands at {b.location}"
        found = self._operands(a, b) or _attributes(a, b)
        if found is not None:
            return f"{where}: {found}"
        return self._regions(a, b, where) or self._pair(a.results, b.results, f"{where}: result")

    def _operands(self, a: Operation, b: Operation) -> str | None:
        if len(a.operands) != len(b.operands):
            return f"{len(a.operands)} and {len(b.operands)} operands"
        for index, (left, right) in enumerate(zip(a.operands, b.operands, strict=True)):
            if self._twins.get(left) is not right:
                return f"operand {index} is another value"
        return None

    def _regions(self, a: Operation, b: Operation, where: str) -> str | None:
        if len(a.regions) != len(b.regions):
            return f"{where}: {len(a.regions)} and {len(b.regions)} regions"
        for left, right in zip(a.regions, b.regions, strict=True):
            found = self._blocks(left, right, where)
            if found is not None:
                return found
        return None

    def _blocks(self, a: Block, b: Block, where: str) -> str | None:
        found = self._pair(a.arguments, b.arguments, f"{where}: argument")
        if found is not None:
            return found
        left_ops, right_ops = list(a.ops), list(b.ops)
        for left, right in zip(left_ops, right_ops, strict=False):
            found = self.operations(left, right)
            if found is not None:
                return found
        if len(left_ops) != len(right_ops):
            return f"{where}: {len(left_ops)} and {len(right_ops)} operations in the block"
        return None

    def _pair(self, left: Sequence[Value], right: Sequence[Value], word: str) -> str | None:
        if len(left) != len(right):
            return f"{word}s: {len(left)} and {len(right)} of them"
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            if one.type != other.type:
                return f"{word} {index} has the types {one.type} and {other.type}"
            self._twins[one] = other
        return None


def _attributes(a: Operation, b: Operation) -> str | None:
    for name in sorted({*a.attributes, *b.attributes}):
        left, right = a.attributes.get(name), b.attributes.get(name)
        if left is None or right is None:
            return f"only one has the attribute {name}"
        if left != right:
            return f"attribute {name} is {attribute_text(left)} and {attribute_text(right)}"
    return None
