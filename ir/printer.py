"""IR as text, in a pretty and a generic form that both derive from the declarations alone.

    %0 = nn.conv2d %x, %w {strides = [1, 1], groups = 1} : (tensor<..>, tensor<..>) -> tensor<..> loc("/conv1/Conv")
    %0 = "nn.conv2d"(%x, %w) {strides = [1, 1], groups = 1} : (tensor<..>, tensor<..>) -> tensor<..> loc("/conv1/Conv")

Only module, func and return have a form of their own. Names of values are numbers, or hints made unique; every
isolated operation starts afresh. Reading the text back gives the same module, and printing that the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from .attributes import ArrayAttr, Attribute, DenseAttr, DictAttr, SymbolAttr
from .core import Block, Operation, Value
from .dense import inline_text, resource_name
from .dialects.builtin import FuncOp, ModuleOp, ReturnOp
from .location import Location
from .text import dictionary_text, symbol_text
from .traits import Trait
from .types import Type

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.$]+")


def print_module(module: Operation, *, generic: bool = False, locations: bool = True) -> str:
    """The text of a module (or of any operation), ending with a line feed.

    Arrays that the text only names are given by `resources`. Broken IR prints too, so that a message can show it.
    """
    printer = _Printer(generic=generic, locations=locations)
    printer.operation(module, "")
    return "\n".join(printer.lines) + "\n"


def resources(module: Operation) -> dict[str, NDArray[Any]]:
    """The arrays that the text of a module names and does not hold, by name, in order of appearance."""
    found: dict[str, NDArray[Any]] = {}
    for op in module.walk():
        for attribute in _dense_attributes(op.attributes.values()):
            if inline_text(attribute.array) is None:
                found[resource_name(attribute)] = attribute.array
    return found


def _dense_attributes(attributes: Iterable[Attribute]) -> Iterator[DenseAttr]:
    for attribute in attributes:
        match attribute:
            case DenseAttr():
                yield attribute
            case ArrayAttr(items):
                yield from _dense_attributes(items)
            case DictAttr(items):
                yield from _dense_attributes(value for _, value in items)


def _base_name(hint: str) -> str:
    """The hint as a name, empty when nothing of it is left; names that consist of digits are kept for the unnamed."""
    name = _NOT_IN_A_NAME.sub("_", hint).strip("_")
    return f"v{name}" if name.isdigit() else name


class _Names:
    """Unique names of the values inside one isolated operation."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._numbers = 0
        self._suffixes: dict[str, int] = {}

    def of(self, value: Value) -> str:
        """The name, given at the first call."""
        name = self._names.get(value)
        if name is None:
            name = self._names[value] = self._fresh(_base_name(value.hint))
        return name

    def _fresh(self, base: str) -> str:
        if not base:
            self._numbers += 1
            return f"%{self._numbers - 1}"
        name = base
        while name in self._taken:
            self._suffixes[base] = self._suffixes.get(base, 0) + 1
            name = f"{base}_{self._suffixes[base]}"
        self._taken.add(name)
        return f"%{name}"


class _Printer:
    """Collects lines."""

    def __init__(self, *, generic: bool, locations: bool) -> None:
        self.lines: list[str] = []
        self._generic, self._locations = generic, locations
        self._names = _Names()
        self._types: dict[Type, str] = {}

    def operation(self, op: Operation, indent: str) -> None:
        match op:
            case ModuleOp() if not self._generic:
                self._module(op, indent)
            case FuncOp() if not self._generic and self._has_own_form(op):
                self._func(op, indent)
            case ReturnOp() if not self._generic and not op.attributes:
                values = f" {self._values(op.operands)} : {self._type_list(op.operands)}" if op.operands else ""
                self.lines.append(f"{indent}return{values}{self._location(op.location)}")
            case _:
                self._uniform(op, indent)

    def _uniform(self, op: Operation, indent: str) -> None:
        operands = self._values(op.operands)
        signature = f" : ({self._type_list(op.operands)}) -> {self._results(op.results)}{self._location(op.location)}"
        results = f"{self._values(op.results)} = " if op.results else ""
        if self._generic:
            head = f'{indent}{results}"{op.name}"({operands})'
        else:
            head = f"{indent}{results}{op.name}{' ' if operands else ''}{operands}"
        head += self._attributes(op, op.attributes)
        if not op.regions:
            self.lines.append(head + signature)
            return
        inner = f"{indent}  "
        for index, block in enumerate(op.regions):
            self.lines.append(f"{head} ({{" if index == 0 else f"{indent}}}, {{")
            outer_names = self._enter(op)
            if block.arguments:
                self.lines.append(f"{inner}^({self._parameters(block)}):")
            self._body(block, inner)
            self._names = outer_names
        self.lines.append(f"{indent}}}){signature}")

    def _module(self, op: ModuleOp, indent: str) -> None:
        attributes = self._attributes(op, op.attributes)
        self.lines.append(f"{indent}module{' attributes' if attributes else ''}{attributes} {{")
        outer_names = self._enter(op)
        self._body(op.body, f"{indent}  ")
        self._names = outer_names
        self.lines.append(f"{indent}}}{self._location(op.location)}")

    def _has_own_form(self, op: FuncOp) -> bool:
        return isinstance(op.body.last, ReturnOp) and isinstance(op.attributes.get("sym_name"), SymbolAttr)

    def _func(self, op: FuncOp, indent: str) -> None:
        outer_names = self._enter(op)
        shown = {
            name: value
            for name, value in op.attributes.items()
            if name != "sym_name" and value != op.spec.defaults.get(name)
        }
        attributes = self._attributes(op, shown)
        self.lines.append(
            f"{indent}func {symbol_text(op.sym_name)}({self._parameters(op.body)}) -> "
            f"{self._results(op.return_op.operands)}{' attributes' if attributes else ''}{attributes} {{"
        )
        self._body(op.body, f"{indent}  ")
        self._names = outer_names
        self.lines.append(f"{indent}}}{self._location(op.location)}")

    def _enter(self, op: Operation) -> _Names:
        """Starts the names of an isolated operation afresh; returns the names to go back to."""
        outer = self._names
        if Trait.ISOLATED in op.traits:
            self._names = _Names()
        return outer

    def _body(self, block: Block, indent: str) -> None:
        for op in block.ops:
            self.operation(op, indent)

    def _parameters(self, block: Block) -> str:
        return ", ".join(f"{self._names.of(argument)}: {self._type(argument.type)}" for argument in block.arguments)

    def _values(self, values: Sequence[Value]) -> str:
        return ", ".join(map(self._names.of, values))

    def _type(self, value_type: Type) -> str:
        text = self._types.get(value_type)
        if text is None:
            text = self._types[value_type] = str(value_type)
        return text

    def _type_list(self, values: Sequence[Value]) -> str:
        return ", ".join(self._type(value.type) for value in values)

    def _results(self, values: Sequence[Value]) -> str:
        types = self._type_list(values)
        return types if len(values) == 1 else f"({types})"

    def _attributes(self, op: Operation, attributes: Mapping[str, Attribute]) -> str:
        """Declared attributes in the order of declaration, then the others by name."""
        if not attributes:
            return ""
        declared = [entry.name for entry in op.spec.attributes if entry.name in attributes]
        others = sorted(attributes.keys() - op.spec.attribute_names)
        return f" {dictionary_text((name, attributes[name]) for name in (*declared, *others))}"

    def _location(self, location: Location) -> str:
        if not self._locations or not location.names:
            return ""
        return f" loc({', '.join(map(json.dumps, location.names))})"
