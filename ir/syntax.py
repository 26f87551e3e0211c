"""Text of the IR as plain records: what the grammar alone can say, with the place of every name.

The tree that the grammar matches becomes `ParsedOp` records; values, operations and types are looked up later, by the
parser. Everything that is wrong with a text is a `Fault` at a position, which `located` turns into a ParseError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import lark
from attrs import frozen
from lark import Token

from .attributes import ArrayAttr, Attribute, BoolAttr, FloatAttr, IntAttr, StringAttr, SymbolAttr
from .diagnostics import Diagnostic, ParseError
from .location import UNKNOWN, Location

MAX_TEXT = 1 << 28
"""Longest text, in characters."""
MAX_NESTING = 64
"""Most brackets and braces that stand open at one place."""
MAX_SHARED_LIST = 100
"""Longest text of a list of integers that is remembered, in characters."""
MAX_SHOWN_LINE = 120
"""Most characters of a faulty line that a message repeats."""

SYNTAX, LIMIT, NAME, UNKNOWN_NAME, MISFIT, RESOURCE = "SNC0301", "SNC0302", "SNC0303", "SNC0304", "SNC0305", "SNC0306"

_WORDS = {
    "NAME": "a name",
    "VALUE": "a value such as %x",
    "VALUES": "values such as %x, %y",
    "STRING": "a string",
    "SYMBOL": "a symbol such as @main",
    "INTEGER": "an integer",
    "FLOAT": "a float",
    "INTEGERS": "a list",
    "LSQB": "a list",
    "DENSE": "dense<..>",
    "RESOURCE": "dense_resource<..>",
    "TYPE": "a type",
    "TYPES": "types",
    "SIGNATURE": "a signature such as (tensor<2xf32>) -> tensor<2xf32>",
    "LOCATION": 'loc("..")',
    "$END": "the end",
}
_BRACKETS = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|[\[\]{}]')


class Fault(Exception):
    """Something wrong at a position of the text."""

    def __init__(
        self, position: int, message: str, *, code: str = SYNTAX, found: str = "", expected: str = "", help: str = ""
    ) -> None:
        super().__init__(message)
        self.position, self.message, self.code = position, message, code
        self.found, self.expected, self.help = found, expected, help


def located(fault: Fault, text: str, name: str) -> ParseError:
    """The error that shows a fault: file, line and column first, then the line with a caret under the column."""
    position = min(fault.position, len(text))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : len(text) if end < 0 else end]
    column = position - start
    first = max(0, min(column - MAX_SHOWN_LINE // 2, len(line) - MAX_SHOWN_LINE))
    shown = line[first : first + MAX_SHOWN_LINE].replace("\t", " ")
    where = f"{name}, line {text.count(chr(10), 0, position) + 1}, column {column + 1}"
    message = f"{fault.message}\n    {shown}\n    {' ' * (column - first)}^"
    return ParseError(Diagnostic(fault.code, message, fault.found, fault.expected, fault.help, node=where))


@frozen
class ParsedType:
    """A type, or with an arrow a function type, not yet looked up."""

    token: Token


@frozen
class ParsedDense:
    """`dense<value> : type`, or with a name instead of the value `dense_resource<name> : type`."""

    token: Token
    value: ParsedAttribute
    type: Token
    resource: str | None = None


ParsedAttribute = Attribute | ParsedType | ParsedDense | list[Any] | dict[str, Any]
"""A literal, or something that holds a name yet to be looked up; lists and dictionaries hold ParsedAttributes."""


@frozen
class ParsedRegion:
    """Arguments, as pairs of a value and a type, and operations."""

    parameters: tuple[tuple[Token, Token], ...]
    ops: list[ParsedOp]


@frozen
class ParsedOp:
    """An operation in any of its forms; `token` is the place that messages show.

    `inputs` (types), `outputs` (types) and `signature` (both) are there when the form writes them.
    """

    token: Token
    name: str
    results: Token | None = None
    operands: Token | None = None
    attributes: Mapping[str, ParsedAttribute] = {}
    regions: tuple[ParsedRegion, ...] = ()
    inputs: Token | None = None
    outputs: Token | None = None
    signature: Token | None = None
    location: Location = UNKNOWN


def read_syntax(text: str) -> ParsedOp:
    """The one operation that a text holds; raises Fault."""
    if len(text) > MAX_TEXT:
        raise Fault(
            0, "the text is too long", code=LIMIT, found=str(len(text)), expected=f"up to {MAX_TEXT} characters"
        )
    _check_nesting(text)
    try:
        op = _grammar().parse(text)
    except lark.UnexpectedToken as error:
        at_end = error.token.type == "$END"
        position = len(text.rstrip()) if at_end else error.token.start_pos or 0
        found = "the end" if at_end else repr(str(error.token)[:40])
        raise Fault(position, "unexpected text", found=found, expected=_expected(error.expected)) from None
    except lark.UnexpectedCharacters as error:
        position = error.pos_in_stream or 0
        found = repr(text[position])
        raise Fault(position, "unexpected text", found=found, expected=_expected(error.allowed or ())) from None
    assert isinstance(op, ParsedOp)
    return op


def _check_nesting(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise Fault(match.start(), "nested too deep", code=LIMIT, expected=f"up to {MAX_NESTING} levels")
        elif bracket in "]}":
            depth -= 1


def _expected(terminals: Any) -> str:
    words = {_WORDS.get(name) or _literal(name) for name in terminals if not name.startswith("__IGNORE")}
    return " or ".join(sorted(words))


def _literal(terminal: str) -> str:
    return f"'{_grammar().get_terminal(terminal).pattern.value}'"


class _Records(lark.Transformer[Token, Any]):
    """Turns each matched rule into its record; an optional part that is absent is None."""

    def start(self, children: list[Any]) -> Any:
        return children[0]

    def pretty(self, children: list[Any]) -> ParsedOp:
        results, name, operands, attributes, regions, signature, location = children
        return ParsedOp(
            token=name,
            name=str(name),
            results=results,
            operands=operands,
            attributes=attributes or {},
            regions=regions or (),
            signature=signature,
            location=_location(location),
        )

    def generic(self, children: list[Any]) -> ParsedOp:
        results, name, operands, attributes, regions, signature, location = children
        return ParsedOp(
            token=name,
            name=json.loads(name),
            results=results,
            operands=operands,
            attributes=attributes or {},
            regions=regions or (),
            signature=signature,
            location=_location(location),
        )

    def module(self, children: list[Any]) -> ParsedOp:
        keyword, attributes, body, location = children
        return ParsedOp(
            token=keyword,
            name="builtin.module",
            attributes=attributes or {},
            regions=(ParsedRegion((), body),),
            location=_location(location),
        )

    def func(self, children: list[Any]) -> ParsedOp:
        keyword, symbol, parameters, outputs, attributes, body, location = children
        given = attributes or {}
        if "sym_name" in given:
            raise Fault(keyword.start_pos, "the name of a function stands behind `func`, not among its attributes")
        return ParsedOp(
            token=keyword,
            name="builtin.func",
            attributes={"sym_name": _symbol(symbol), **given},
            regions=(ParsedRegion(parameters or (), body),),
            outputs=outputs,
            location=_location(location),
        )

    def return_op(self, children: list[Any]) -> ParsedOp:
        keyword, operands, types, location = children
        return ParsedOp(
            token=keyword, name="builtin.return", operands=operands, inputs=types, location=_location(location)
        )

    def body(self, children: list[Any]) -> list[Any]:
        return children

    def regions(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def region(self, children: list[Any]) -> ParsedRegion:
        parameters, body = children
        return ParsedRegion(parameters or (), body)

    def parameters(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def parameter(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def results(self, children: list[Any]) -> Token | None:
        (types,) = children
        return types if isinstance(types, Token) else None

    def attributes(self, children: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for entry in children:
            if entry is None:
                continue
            key, value = entry
            name = json.loads(key) if key.type == "STRING" else str(key)
            if name in found:
                raise Fault(key.start_pos, f"the attribute {key} stands twice")
            found[name] = value
        return found

    def entry(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def integer(self, children: list[Any]) -> IntAttr:
        return IntAttr(_integer(children[0], children[0]))

    def integers(self, children: list[Any]) -> ArrayAttr:
        (token,) = children
        return _shared_integers(token) if len(token) <= MAX_SHARED_LIST else _integers(token)

    def decimal(self, children: list[Any]) -> FloatAttr:
        return FloatAttr(float(children[0]))

    def boolean(self, children: list[Any]) -> BoolAttr:
        return BoolAttr(children[0] == "true")

    def string(self, children: list[Any]) -> StringAttr:
        return StringAttr(json.loads(children[0]))

    def symbol(self, children: list[Any]) -> SymbolAttr:
        return _symbol(children[0])

    def items(self, children: list[Any]) -> list[Any]:
        return [child for child in children if child is not None]

    def plain_type(self, children: list[Any]) -> ParsedType:
        return ParsedType(children[0])

    def function_type(self, children: list[Any]) -> ParsedType:
        return ParsedType(children[0])

    def dense(self, children: list[Any]) -> ParsedDense:
        token, value, value_type = children
        return ParsedDense(token, value, value_type)

    def resource(self, children: list[Any]) -> ParsedDense:
        token, value_type = children
        return ParsedDense(token, [], value_type, str(token)[len("dense_resource<") : -1])


def _location(token: Token | None) -> Location:
    return UNKNOWN if token is None else Location(tuple(json.loads(f"[{token[len('loc(') : -1]}]")))


def _symbol(token: Token) -> SymbolAttr:
    return SymbolAttr(json.loads(token[1:]) if token[1] == '"' else str(token[1:]))


def _integers(token: Token) -> ArrayAttr:
    return ArrayAttr(tuple(IntAttr(_integer(token, item)) for item in token[1:-1].split(",")))


_shared_integers = lru_cache(maxsize=4096)(_integers)
"""Short lists (strides, pads) are read once, as many operations share them."""


def _integer(token: Token, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Fault(token.start_pos or 0, "an integer has too many digits", code=LIMIT) from None


@cache
def _grammar() -> lark.Lark:
    return lark.Lark.open(
        "grammar.lark", rel_to=__file__, parser="lalr", transformer=_Records(), maybe_placeholders=True
    )
