"""Values, operations, blocks: SSA with single-block regions.

Values, operations and blocks are compared by identity. Only the Builder and the Rewriter change them; everything that
changes something is named with a leading underscore here and used by those two alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from numpy.typing import NDArray

from .attributes import Attribute
from .location import UNKNOWN, Location
from .spec import (
    MISSING,
    AttributeField,
    AttributeView,
    OperandField,
    OperandView,
    OpSpec,
    RegionField,
    RegionView,
    ResultField,
    ResultView,
    attribute,
    collect,
    location_field,
    operand,
    operands,
    region,
    result,
)
from .traits import Trait
from .types import ElementType, TensorType, Type


class Value:
    """A typed value and its uses in order. `hint` is the name that the printer prefers."""

    __slots__ = ("_uses", "hint", "type")

    def __init__(self, value_type: Type, hint: str = "") -> None:
        self.type = value_type
        self.hint = hint
        self._uses: dict[tuple[Operation, int], None] = {}

    @property
    def uses(self) -> tuple[tuple[Operation, int], ...]:
        """(operation, operand index) of every use, in the order in which they were made."""
        return tuple(self._uses)

    @property
    def users(self) -> tuple[Operation, ...]:
        """Every operation that uses the value, once."""
        return tuple(dict.fromkeys(op for op, _ in self._uses))

    @property
    def owner(self) -> Operation | None:
        """The operation that makes the value; None for a block argument."""
        return None

    @property
    def tensor(self) -> TensorType:
        """The type, known to be a tensor; raises TypeError otherwise."""
        if not isinstance(self.type, TensorType):
            raise TypeError(f"expected a tensor, found {self.type}")
        return self.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def element(self) -> ElementType:
        return self.tensor.element


class OpResult(Value):
    """A result of an operation."""

    __slots__ = ("_owner", "index")

    def __init__(self, value_type: Type, owner: Operation, index: int) -> None:
        super().__init__(value_type)
        self._owner = owner
        self.index = index

    @property
    def owner(self) -> Operation:
        return self._owner

    def __repr__(self) -> str:
        return f"<result {self.index} of {self._owner.name}: {self.type}>"


class BlockArgument(Value):
    """An argument of a block."""

    __slots__ = ("block", "index")

    def __init__(self, value_type: Type, block: Block, index: int, hint: str = "") -> None:
        super().__init__(value_type, hint)
        self.block = block
        self.index = index

    def __repr__(self) -> str:
        return f"<argument {self.index}: {self.type}>"


class Block:
    """A list of operations with arguments; the only block of its region."""

    __slots__ = ("_first", "_last", "_parent", "arguments")

    def __init__(self, argument_types: Sequence[Type] = (), hints: Sequence[str] = ()) -> None:
        names = [*hints, *[""] * (len(argument_types) - len(hints))]
        self.arguments: tuple[BlockArgument, ...] = tuple(
            BlockArgument(t, self, i, names[i]) for i, t in enumerate(argument_types)
        )
        self._first: Operation | None = None
        self._last: Operation | None = None
        self._parent: Operation | None = None

    @property
    def parent(self) -> Operation | None:
        """The operation whose region this is."""
        return self._parent

    @property
    def ops(self) -> Iterator[Operation]:
        """The operations that stand here now, in order; those removed while iterating are left out."""
        snapshot = []
        op = self._first
        while op is not None:
            snapshot.append(op)
            op = op._next
        for op in snapshot:
            if op._parent is self:
                yield op

    @property
    def first(self) -> Operation | None:
        return self._first

    @property
    def last(self) -> Operation | None:
        return self._last

    def _insert(self, op: Operation, before: Operation | None) -> None:
        previous = self._last if before is None else before._previous
        op._parent, op._previous, op._next = self, previous, before
        if previous is None:
            self._first = op
        else:
            previous._next = op
        if before is None:
            self._last = op
        else:
            before._previous = op

    def _detach(self, op: Operation) -> None:
        if op._previous is None:
            self._first = op._next
        else:
            op._previous._next = op._next
        if op._next is None:
            self._last = op._previous
        else:
            op._next._previous = op._previous
        op._parent = op._previous = op._next = None


@dataclass_transform(
    kw_only_default=True, field_specifiers=(operand, operands, attribute, result, region, location_field)
)
class Declared:
    """Tells type checkers that the classes below get their constructor from their fields."""


class Operation(Declared):
    """Base of all operations; a subclass declares its fields (see spec.py) and infers its result types."""

    if TYPE_CHECKING:  # a field of every constructor; at run time a plain attribute
        location: Location = location_field(default=UNKNOWN)

    name: ClassVar[str] = ""
    traits: ClassVar[frozenset[Trait]] = frozenset()
    spec: ClassVar[OpSpec] = OpSpec()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = [
            (name, value)
            for name, value in vars(cls).items()
            if isinstance(value, OperandField | AttributeField | ResultField | RegionField)
        ]
        cls.spec = collect(own, cls.spec)
        for index, operand_field in enumerate(cls.spec.operands):
            setattr(cls, operand_field.name, OperandView(index, operand_field))
        for attribute_field in cls.spec.attributes:
            setattr(cls, attribute_field.name, AttributeView(attribute_field))
        for index, result_field in enumerate(cls.spec.results):
            setattr(cls, result_field.name, ResultView(index))
        for index, region_field in enumerate(cls.spec.regions):
            setattr(cls, region_field.name, RegionView(index))

    def __init__(self, *, location: Location = UNKNOWN, **fields: Any) -> None:
        flat: list[Value] = []
        for operand_field in self.spec.operands:
            value = fields.pop(operand_field.name, MISSING)
            if operand_field.variadic:
                flat.extend(() if value is MISSING else value)
            elif value is MISSING or value is None:
                if not operand_field.optional:
                    raise TypeError(f"{self.name} needs the operand {operand_field.name}")
            else:
                flat.append(value)
        attributes: dict[str, Attribute] = {}
        for attribute_field in self.spec.attributes:
            value = fields.pop(attribute_field.name, attribute_field.default)
            if value is MISSING:
                raise TypeError(f"{self.name} needs the attribute {attribute_field.name}")
            if value is not None:
                attributes[attribute_field.name] = attribute_field.codec.encode(value)
        blocks = [fields.pop(region_field.name, None) or Block() for region_field in self.spec.regions]
        if fields:
            raise TypeError(f"{self.name} has no field {', '.join(fields)}")
        self._fill(flat, attributes, blocks, location)

    def _fill(
        self, flat: Sequence[Value], attributes: Mapping[str, Attribute], blocks: Sequence[Block], location: Location
    ) -> None:
        self._operands: list[Value] = []
        self.attributes: dict[str, Attribute] = dict(attributes)
        self.location = location
        self._parent: Block | None = None
        self._previous: Operation | None = None
        self._next: Operation | None = None
        self.regions: tuple[Block, ...] = tuple(blocks)
        for block in blocks:
            block._parent = self
        for index, value in enumerate(flat):
            self._operands.append(value)
            value._uses[self, index] = None
        self.results: tuple[OpResult, ...] = ()
        self.results = tuple(OpResult(t, self, i) for i, t in enumerate(self.infer()))

    @classmethod
    def create(
        cls,
        operands: Sequence[Value],
        attributes: Mapping[str, Attribute],
        blocks: Sequence[Block] = (),
        location: Location = UNKNOWN,
    ) -> Operation:
        """An operation from its flat parts, as the parser and the cloner have them; defaults are filled in."""
        op = cls.__new__(cls)
        op._fill(operands, {**cls.spec.defaults, **attributes}, blocks, location)
        return op

    @property
    def operands(self) -> tuple[Value, ...]:
        """The flat operands; changed by the Rewriter only."""
        return tuple(self._operands)

    @property
    def parent(self) -> Block | None:
        """The block that holds the operation."""
        return self._parent

    @property
    def next(self) -> Operation | None:
        """The operation behind this one in its block."""
        return self._next

    @property
    def result(self) -> OpResult:
        """The one result."""
        (only,) = self.results
        return only

    def infer(self) -> tuple[Type, ...]:
        """Result types from operands and attributes; raises ValueError with what does not fit."""
        raise NotImplementedError(f"{self.name} must infer its result types")

    def check(self) -> None:
        """What the declarations cannot say; raises ValueError with what does not fit."""

    def fold(self, operands: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
        """The value of the one result for these operand values; None when the operation has no such rule.

        This is the meaning of every elementwise, reducing or data-moving operation; the interpreter uses it too.
        """
        return None

    def walk(self) -> Iterator[Operation]:
        """This operation, then all inside it, in order."""
        yield self
        for block in self.regions:
            for op in block.ops:
                yield from op.walk()

    def _set_operand(self, index: int, value: Value) -> None:
        del self._operands[index]._uses[self, index]
        self._operands[index] = value
        value._uses[self, index] = None

    def _drop(self) -> None:
        for index, value in enumerate(self._operands):
            del value._uses[self, index]
        self._operands = []
        for block in self.regions:
            for op in block.ops:
                op._drop()
                block._detach(op)

    def __repr__(self) -> str:
        return f"<{self.name} at {self.location}>"
