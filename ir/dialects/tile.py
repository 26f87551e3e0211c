"""The tiled dialect: blocks of integer operations that are computed piece by piece, and how they are split."""

from __future__ import annotations

from typing import ClassVar

from ..context import Dialect
from ..core import Block, Operation, Value
from ..spec import attribute, choice, ints, operands, region
from ..traits import Trait
from ..types import Type

CORES = ("conv", "depthwise", "matmul", "pointwise", "pool", "rows", "channels")
"""What a block is built around.

conv, depthwise, matmul: MAC array work first. pool: a pooling window. pointwise: element by element. rows: whole rows
at once (softmax). channels: all channels of a position at once (local response normalisation).
"""


class YieldOp(Operation):
    """Ends a block and names its result."""

    name: ClassVar[str] = "tile.yield"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TERMINATOR})
    values: tuple[Value, ...] = operands()

    def infer(self) -> tuple[Type, ...]:
        return ()


class BlockOp(Operation):
    """A chain of integer operations whose intermediate results never leave a processing element.

    The first operation of the body reads the first argument; later ones read the result before them and, where they
    take a second feature map, a further argument. Constants are used from outside. `tile` is the extent of a piece of
    the result (channels, rows, columns) and of the reduction (input channels of a conv, rows of a matrix) that one
    piece covers; it is absent until split-layers has run.
    """

    name: ClassVar[str] = "tile.block"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    inputs: tuple[Value, ...] = operands()
    core: str = attribute(choice(*CORES))
    tile: tuple[int, ...] | None = attribute(ints(4, low=1), default=None)
    body: Block = region()

    def infer(self) -> tuple[Type, ...]:
        return tuple(value.type for value in self.yield_op.values)

    def check(self) -> None:
        found = [value.type for value in self.inputs]
        expected = [argument.type for argument in self.body.arguments]
        if found != expected:
            raise ValueError(f"the block takes {list(map(str, expected))}, found {list(map(str, found))}")
        if len(self.yield_op.values) != 1:
            raise ValueError("a block yields one value")

    @property
    def yield_op(self) -> YieldOp:
        """The end of the body; raises ValueError when it is missing."""
        if not isinstance(self.body.last, YieldOp):
            raise ValueError("a block ends with tile.yield")
        return self.body.last

    @property
    def chain(self) -> tuple[Operation, ...]:
        """The operations of the body in order, without the yield."""
        return tuple(op for op in self.body.ops if not isinstance(op, YieldOp))


TILE = Dialect("tile", (BlockOp, YieldOp))
