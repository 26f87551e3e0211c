"""Small combinators that say which types an operand takes."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from .types import FloatType, IntegerType, TensorType, Type


@frozen
class Constraint:
    """`check` returns what is wrong with a type, or None."""

    text: str
    holds: Callable[[Type], bool]

    def check(self, found: Type) -> str | None:
        return None if self.holds(found) else f"expected {self.text}, found {found}"

    def __and__(self, other: Constraint) -> Constraint:
        return Constraint(f"{self.text}, {other.text}", lambda t: self.holds(t) and other.holds(t))

    def __or__(self, other: Constraint) -> Constraint:
        return Constraint(f"{self.text} or {other.text}", lambda t: self.holds(t) or other.holds(t))


ANY_TYPE = Constraint("any type", lambda _type: True)
ANY_TENSOR = Constraint("a tensor", lambda t: isinstance(t, TensorType))
FLOAT_TENSOR = Constraint(
    "a tensor of floats", lambda t: isinstance(t, TensorType) and isinstance(t.element, FloatType)
)
INTEGER_TENSOR = Constraint(
    "a tensor of integers", lambda t: isinstance(t, TensorType) and isinstance(t.element, IntegerType)
)


def ranked(*ranks: int) -> Constraint:
    """A tensor of one of these ranks."""
    text = f"a tensor of rank {' or '.join(map(str, ranks))}"
    return Constraint(text, lambda t: isinstance(t, TensorType) and t.rank in ranks)


def element(*kinds: type[Type]) -> Constraint:
    """A tensor whose element type is of one of these classes."""
    text = f"elements of {' or '.join(kind.__name__ for kind in kinds)}"
    return Constraint(text, lambda t: isinstance(t, TensorType) and isinstance(t.element, kinds))
