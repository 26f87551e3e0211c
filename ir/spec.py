"""How an operation is declared: fields for operands, results, attributes and regions.

    class MatMulOp(Operation):
        name: ClassVar[str] = "nn.matmul"
        lhs: Value = operand(ranked(2))
        rhs: Value = operand(ranked(2))
        bias: Value | None = operand(default=None)
        shift: int = attribute(INT, default=0)
        out: Value = result()

An operation has at most one optional or variadic operand field, so the flat operand list splits without further notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from .attributes import (
    ArrayAttr,
    Attribute,
    BoolAttr,
    DenseAttr,
    DictAttr,
    FloatAttr,
    IntAttr,
    StringAttr,
    SymbolAttr,
)
from .constraints import ANY_TENSOR, Constraint
from .text import attribute_text
from .types import Type

if TYPE_CHECKING:
    from .core import Operation

T = TypeVar("T")


class _Missing:
    """Stands for: no default."""


MISSING = _Missing()


@frozen
class Codec(Generic[T]):
    """Turns the Python value of an attribute field into an Attribute and back.

    `decode` raises TypeError or ValueError when the attribute is of another kind; `check` says what is wrong with a
    value, or returns None.
    """

    kind: str
    encode: Callable[[T], Attribute]
    decode: Callable[[Attribute], T]
    check: Callable[[T], str | None] = lambda _value: None


def _plain(kind: str, attribute_class: Any, python: Callable[[Any], T]) -> Codec[T]:
    def decode(attribute: Attribute) -> T:
        if not isinstance(attribute, attribute_class):
            raise TypeError(f"expected {kind}, found {attribute_text(attribute)}")
        value: T = attribute.value
        return value

    return Codec(kind, lambda value: attribute_class(python(value)), decode)


INT: Codec[int] = _plain("an integer", IntAttr, int)
BOOL: Codec[bool] = _plain("true or false", BoolAttr, bool)
STR: Codec[str] = _plain("a string", StringAttr, str)
FLOAT: Codec[float] = _plain("a float", FloatAttr, float)
SYMBOL: Codec[str] = _plain("a symbol", SymbolAttr, str)


def _sequence(kind: str, item: Codec[T]) -> Codec[tuple[T, ...]]:
    def decode(attribute: Attribute) -> tuple[T, ...]:
        if not isinstance(attribute, ArrayAttr):
            raise TypeError(f"expected {kind}, found {attribute_text(attribute)}")
        return tuple(item.decode(entry) for entry in attribute.items)

    return Codec(kind, lambda values: ArrayAttr(tuple(item.encode(value) for value in values)), decode)


INTS: Codec[tuple[int, ...]] = _sequence("a list of integers", INT)
FLOATS: Codec[tuple[float, ...]] = _sequence("a list of floats", FLOAT)
STRS: Codec[tuple[str, ...]] = _sequence("a list of strings", STR)


def _decode_dense(attribute: Attribute) -> NDArray[Any]:
    if not isinstance(attribute, DenseAttr):
        raise TypeError(f"expected an array, found {attribute_text(attribute)}")
    return attribute.array


DENSE: Codec[NDArray[Any]] = Codec("an array", lambda value: DenseAttr(np.asarray(value)), _decode_dense)


def _decode_type(attribute: Attribute) -> Type:
    if not isinstance(attribute, Type):
        raise TypeError(f"expected a type, found {attribute_text(attribute)}")
    return attribute


TYPE: Codec[Type] = Codec("a type", lambda value: value, _decode_type)


def _decode_dict(attribute: Attribute) -> DictAttr:
    if not isinstance(attribute, DictAttr):
        raise TypeError(f"expected a dictionary, found {attribute_text(attribute)}")
    return attribute


DICT: Codec[DictAttr] = Codec("a dictionary", lambda value: value, _decode_dict)


def choice(*words: str) -> Codec[str]:
    """A string out of a fixed set."""

    def check(value: str) -> str | None:
        return None if value in words else f"expected one of {', '.join(words)}, found {value!r}"

    return Codec(STR.kind, STR.encode, STR.decode, check)


def ints(count: int, *, low: int | None = None) -> Codec[tuple[int, ...]]:
    """A list of `count` integers, none below `low`."""

    def check(values: tuple[int, ...]) -> str | None:
        if len(values) != count:
            return f"expected {count} integers, found {len(values)}"
        if low is not None and any(value < low for value in values):
            return f"expected integers of at least {low}, found {list(values)}"
        return None

    return Codec(INTS.kind, INTS.encode, INTS.decode, check)


@frozen
class OperandField:
    """A declared operand."""

    name: str
    constraint: Constraint
    optional: bool = False
    variadic: bool = False


@frozen
class AttributeField:
    """A declared attribute; `default` is a Python value or MISSING, None makes the attribute optional."""

    name: str
    codec: Codec[Any]
    default: Any = MISSING


@frozen
class ResultField:
    """A declared result."""

    name: str


@frozen
class RegionField:
    """A declared single-block region."""

    name: str


Field = OperandField | AttributeField | ResultField | RegionField


def operand(constraint: Constraint = ANY_TENSOR, *, default: Any = MISSING) -> Any:
    """An operand; with `default=None` an optional one."""
    return OperandField("", constraint, optional=default is None)


def operands(constraint: Constraint = ANY_TENSOR, *, default: Any = ()) -> Any:
    """A variadic operand: a tuple of values."""
    return OperandField("", constraint, variadic=True)


@overload
def attribute(codec: Codec[T]) -> T: ...
@overload
def attribute(codec: Codec[T], *, default: T) -> T: ...
@overload
def attribute(codec: Codec[T], *, default: None) -> T | None: ...
def attribute(codec: Codec[Any], *, default: Any = MISSING) -> Any:
    """An attribute; with `default=None` an optional one."""
    return AttributeField("", codec, default)


def result(*, init: Literal[False] = False) -> Any:
    """A result; its type is inferred by the operation."""
    return ResultField("")


def location_field(*, default: Any = None) -> Any:
    """The location, which every operation takes; this exists for type checkers alone."""
    return default


def region(*, default: Any = None) -> Any:
    """A single-block region."""
    return RegionField("")


@frozen
class OpSpec:
    """The declaration of an operation class, collected from its fields."""

    operands: tuple[OperandField, ...] = ()
    attributes: tuple[AttributeField, ...] = ()
    results: tuple[ResultField, ...] = ()
    regions: tuple[RegionField, ...] = ()
    attribute_names: frozenset[str] = field(init=False)
    defaults: Mapping[str, Attribute] = field(init=False)

    def __attrs_post_init__(self) -> None:
        loose = [entry.name for entry in self.operands if entry.optional or entry.variadic]
        if len(loose) > 1:
            raise TypeError(f"at most one optional or variadic operand, found {', '.join(loose)}")
        defaults = {
            entry.name: entry.codec.encode(entry.default)
            for entry in self.attributes
            if entry.default is not None and entry.default is not MISSING
        }
        object.__setattr__(self, "attribute_names", frozenset(entry.name for entry in self.attributes))
        object.__setattr__(self, "defaults", defaults)

    def operand_range(self, index: int, count: int) -> tuple[int, int]:
        """Where operand field `index` lies in a flat list of `count` operands."""
        before = sum(1 for entry in self.operands[:index] if not (entry.optional or entry.variadic))
        fixed = sum(1 for entry in self.operands if not (entry.optional or entry.variadic))
        loose_before = any(entry.optional or entry.variadic for entry in self.operands[:index])
        start = before + (count - fixed if loose_before else 0)
        entry = self.operands[index]
        return start, start + (count - fixed if entry.optional or entry.variadic else 1)


def collect(fields: Iterable[tuple[str, Field]], inherited: OpSpec) -> OpSpec:
    """The spec of a class: inherited fields first, then its own in the order of declaration."""
    operand_fields, attribute_fields = list(inherited.operands), list(inherited.attributes)
    result_fields, region_fields = list(inherited.results), list(inherited.regions)
    for name, entry in fields:
        match entry:
            case OperandField():
                operand_fields.append(OperandField(name, entry.constraint, entry.optional, entry.variadic))
            case AttributeField():
                attribute_fields.append(AttributeField(name, entry.codec, entry.default))
            case ResultField():
                result_fields.append(ResultField(name))
            case RegionField():
                region_fields.append(RegionField(name))
    return OpSpec(tuple(operand_fields), tuple(attribute_fields), tuple(result_fields), tuple(region_fields))


class OperandView:
    """Descriptor of an operand field; assigning moves the use."""

    def __init__(self, index: int, spec_field: OperandField) -> None:
        self.index, self.field = index, spec_field

    def __get__(self, op: Operation | None, owner: type | None = None) -> Any:
        if op is None:
            return self
        start, stop = op.spec.operand_range(self.index, len(op.operands))
        if self.field.variadic:
            return op.operands[start:stop]
        return op.operands[start] if stop > start else None

    def __set__(self, op: Operation, value: Any) -> None:
        raise AttributeError(f"operands are changed by the Rewriter: rewriter.set_operand(op, {self.index}, value)")


class AttributeView:
    """Descriptor of an attribute field: decodes on reading."""

    def __init__(self, spec_field: AttributeField) -> None:
        self.field = spec_field

    def __get__(self, op: Operation | None, owner: type | None = None) -> Any:
        if op is None:
            return self
        stored = op.attributes.get(self.field.name)
        if stored is not None:
            return self.field.codec.decode(stored)
        if isinstance(self.field.default, _Missing):
            raise AttributeError(f"{op.name} lacks the attribute {self.field.name}")
        return self.field.default

    def __set__(self, op: Operation, value: Any) -> None:
        raise AttributeError("attributes are changed by the Rewriter: rewriter.set_attribute(op, name, value)")


class ResultView:
    """Descriptor of a result field."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, op: Operation | None, owner: type | None = None) -> Any:
        return self if op is None else op.results[self.index]

    def __set__(self, op: Operation, value: Any) -> None:
        raise AttributeError("results are made by the operation itself")


class RegionView:
    """Descriptor of a region field: the block inside."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __get__(self, op: Operation | None, owner: type | None = None) -> Any:
        return self if op is None else op.regions[self.index]

    def __set__(self, op: Operation, value: Any) -> None:
        raise AttributeError("regions are made by the operation itself")
