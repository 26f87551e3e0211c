"""Dialects and the context that knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from .core import Operation
from .types import ElementType


@frozen
class Dialect:
    """A named set of operations, and of element types written `!name.kind<body>`.

    `types` maps the kind to a parser of the body; it raises ValueError for a body it cannot read.
    """

    name: str
    ops: tuple[type[Operation], ...] = ()
    types: Mapping[str, Callable[[str], ElementType]] = {}


class Context:
    """The dialects at hand: finds operation classes by name."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self.dialects = tuple(dialects)
        self.ops: dict[str, type[Operation]] = {op.name: op for dialect in self.dialects for op in dialect.ops}
        self.types: dict[str, Callable[[str], ElementType]] = {
            f"{dialect.name}.{kind}": read for dialect in self.dialects for kind, read in dialect.types.items()
        }
