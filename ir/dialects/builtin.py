"""Module, function, return and constant: the frame that every stage shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..constraints import ANY_TYPE
from ..context import Dialect
from ..core import Block, Operation, Value
from ..spec import DENSE, STRS, SYMBOL, attribute, operands, region, result
from ..traits import Trait
from ..types import FunctionType, Type, tensor_of


class ModuleOp(Operation):
    """The whole program: one block of functions."""

    name: ClassVar[str] = "builtin.module"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ISOLATED})
    body: Block = region()

    def infer(self) -> tuple[Type, ...]:
        return ()

    @property
    def main(self) -> FuncOp:
        """The function `@main`; raises ValueError when the module has none."""
        for op in self.body.ops:
            if isinstance(op, FuncOp) and op.sym_name == "main":
                return op
        raise ValueError("the module has no function @main")

    def __repr__(self) -> str:
        return f"<snc module of {sum(1 for _ in self.walk())} operations>"

    def _repr_html_(self) -> str:
        from ..html import module_html

        return module_html(self)


class FuncOp(Operation):
    """A function; its one block takes the inputs and ends with `return`."""

    name: ClassVar[str] = "builtin.func"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ISOLATED})
    sym_name: str = attribute(SYMBOL)
    input_names: tuple[str, ...] = attribute(STRS, default=())
    output_names: tuple[str, ...] = attribute(STRS, default=())
    body: Block = region()

    def infer(self) -> tuple[Type, ...]:
        return ()

    def check(self) -> None:
        if not isinstance(self.body.last, ReturnOp):
            raise ValueError("a function ends with return")
        for word, names, values in (
            ("input", self.input_names, self.body.arguments),
            ("output", self.output_names, self.body.last.values),
        ):
            if names and len(names) != len(values):
                raise ValueError(f"expected {len(values)} {word} names, found {len(names)}")

    @property
    def return_op(self) -> ReturnOp:
        """The `return` at the end; raises ValueError when it is missing."""
        if not isinstance(self.body.last, ReturnOp):
            raise ValueError("a function ends with return")
        return self.body.last

    @property
    def type(self) -> FunctionType:
        """Types of the arguments and of the returned values."""
        return FunctionType(
            tuple(argument.type for argument in self.body.arguments),
            tuple(value.type for value in self.return_op.values),
        )


class ReturnOp(Operation):
    """Ends a function and names its results."""

    name: ClassVar[str] = "builtin.return"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TERMINATOR})
    values: tuple[Value, ...] = operands(ANY_TYPE)

    def infer(self) -> tuple[Type, ...]:
        return ()


class ConstantOp(Operation):
    """A constant tensor."""

    name: ClassVar[str] = "builtin.constant"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    value: NDArray[Any] = attribute(DENSE)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (tensor_of(self.value),)

    def fold(self, operands: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return self.value


BUILTIN = Dialect("builtin", (ModuleOp, FuncOp, ReturnOp, ConstantOp))
