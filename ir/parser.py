"""Text of the IR as a module.

`syntax` turns text into plain records by the grammar in grammar.lark; this file turns the records into operations, in
the order of the text, and looks up the values, operations, types and arrays that they name. Text is untrusted: its
length and nesting are bounded, and whatever is wrong with it is a ParseError that shows the line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lark import Token
from numpy.typing import NDArray

from .attributes import ArrayAttr, Attribute, DenseAttr, DictAttr
from .builder import Builder
from .context import Context
from .core import Block, Operation, Value
from .dense import read_inline, type_text
from .dialects import default_context
from .dialects.builtin import FuncOp, ModuleOp, ReturnOp
from .syntax import (
    LIMIT,
    MISFIT,
    NAME,
    RESOURCE,
    UNKNOWN_NAME,
    Fault,
    ParsedAttribute,
    ParsedDense,
    ParsedOp,
    ParsedRegion,
    ParsedType,
    located,
    read_syntax,
)
from .traits import Trait
from .types import BY_NAME, ElementType, FunctionType, TensorType, Type
from .verifier import RULE_ERRORS, declared_problems

Array = NDArray[Any]

MAX_REPEATED_BYTES = 1 << 30
"""Most bytes that all `dense<one value>` of a text fill together."""
MAX_GUESSED_NAME = 100
"""Longest name for which a message looks for a similar one."""

_TYPE = re.compile(r"tensor<[^<>]*(?:<[^<>]*>)?>|table<[^<>]*>|!\w[\w.]*(?:<[^<>]*>)?|u?i[0-9]+|f[0-9]+")
_SHAPE = re.compile(r"(?:[0-9]{1,18}x)*")
_DIALECT_TYPE = re.compile(r"!(\w[\w.]*)(?:<(.*)>)?")
_NAME = re.compile(r"%([A-Za-z0-9_.$]+)")


def parse_module(
    text: str, resources: Mapping[str, Array] = {}, context: Context | None = None, *, name: str = "<text>"
) -> ModuleOp:
    """The module that `text` holds.

    `resources` are the arrays that the text names; `name` stands for the text in messages. Without a context, all
    dialects are known. Raises ParseError for text that is no module of operations which fit their declarations; what
    operations demand beyond that is left to `verify`.
    """
    reader = _Reader(resources, default_context() if context is None else context)
    try:
        op = reader.operation(read_syntax(text))
        if not isinstance(op, ModuleOp):
            raise Fault(0, "expected a module", found=op.name)
    except Fault as fault:
        raise located(fault, text, name) from None
    except RecursionError:
        raise located(Fault(0, "nested too deep", code=LIMIT), text, name) from None
    return op


class _Reader:
    """Builds operations from records; `_scopes` are the values that are visible, innermost last."""

    def __init__(self, resources: Mapping[str, Array], context: Context) -> None:
        self._resources, self._context = resources, context
        self._scopes: list[dict[str, Value]] = [{}]
        self._types: dict[str, Type] = {}
        self._type_lists: dict[str, tuple[Type, ...]] = {}
        self._arrays: dict[str, DenseAttr] = {}
        self._repeated_bytes = 0

    def operation(self, parsed: ParsedOp) -> Operation:
        op_class = self._op_class(parsed)
        operands = [self._value(name, position) for name, position in _names(parsed.operands)]
        blocks = [self._block(region, op_class) for region in parsed.regions]
        given = {name: self._attribute(value) for name, value in parsed.attributes.items()}
        attributes = {**op_class.spec.defaults, **given}
        inputs, outputs = self._declared_types(parsed)
        if inputs is not None:
            self._same_types(parsed, "operand", [value.type for value in operands], inputs)
        problems = declared_problems(op_class, [value.type for value in operands], attributes, len(blocks))
        if problems:
            raise Fault(_start(parsed.token), f"{parsed.name}: {'; '.join(problems)}", code=MISFIT)
        try:
            op = op_class.create(operands, attributes, blocks, parsed.location)
        except RULE_ERRORS as error:
            raise Fault(_start(parsed.token), f"{parsed.name}: {error}", code=MISFIT) from None
        if outputs is not None:
            self._same_types(parsed, "result", _result_types(op, parsed), outputs)
        self._define_results(parsed, op)
        return op

    def _op_class(self, parsed: ParsedOp) -> type[Operation]:
        found = self._context.ops.get(parsed.name)
        if found is None:
            help_text = _close_to(parsed.name, self._context.ops)
            message = f"there is no operation {parsed.token}"
            raise Fault(_start(parsed.token), message, code=UNKNOWN_NAME, help=help_text)
        return found

    def _value(self, name: str, position: int) -> Value:
        for scope in reversed(self._scopes):
            value = scope.get(name)
            if value is not None:
                return value
        visible = [known for scope in self._scopes for known in scope]
        raise Fault(position, f"%{name} is not defined here", code=NAME, help=_close_to(name, visible, "%"))

    def _define(self, name: str, position: int, value: Value) -> None:
        if any(name in scope for scope in self._scopes):
            raise Fault(position, f"%{name} is already defined", code=NAME)
        value.hint = "" if name.isdigit() else name
        self._scopes[-1][name] = value

    def _define_results(self, parsed: ParsedOp, op: Operation) -> None:
        names = list(_names(parsed.results))
        if len(names) != len(op.results):
            message = f"{parsed.name} has {len(op.results)} results, found {len(names)} names for them"
            raise Fault(_start(parsed.results or parsed.token), message, code=MISFIT)
        for (name, position), value in zip(names, op.results, strict=True):
            self._define(name, position, value)

    def _block(self, region: ParsedRegion, parent: type[Operation]) -> Block:
        outer = self._scopes
        self._scopes = [{}] if Trait.ISOLATED in parent.traits else [*outer, {}]
        block = Block([self._type(token, _start(token)) for _, token in region.parameters])
        for (name, _), argument in zip(region.parameters, block.arguments, strict=True):
            self._define(name[1:], _start(name), argument)
        builder = Builder(block)
        for parsed in region.ops:
            builder.insert(self.operation(parsed))
        self._scopes = outer
        return block

    def _declared_types(self, parsed: ParsedOp) -> tuple[tuple[Type, ...] | None, tuple[Type, ...] | None]:
        """Types of operands and results as the form writes them; None for what it does not write."""
        if parsed.signature is not None:
            signature = self._function_type(parsed.signature)
            return signature.inputs, signature.results
        if parsed.name == ReturnOp.name:
            return self._type_list(parsed.inputs), None
        return None, self._type_list(parsed.outputs) if parsed.name == FuncOp.name else None

    def _same_types(self, parsed: ParsedOp, word: str, actual: Sequence[Type], declared: Sequence[Type]) -> None:
        if tuple(actual) == tuple(declared):
            return
        position = _start(parsed.signature or parsed.inputs or parsed.outputs or parsed.token)
        found, expected = (f"({', '.join(map(str, types))})" for types in (declared, actual))
        message = f"{parsed.name}: the {word} types are not those written here"
        raise Fault(position, message, code=MISFIT, found=found, expected=expected)

    def _attribute(self, value: ParsedAttribute) -> Attribute:
        match value:
            case Attribute():
                return value
            case list():
                return ArrayAttr(tuple(map(self._attribute, value)))
            case dict():
                return DictAttr(tuple((key, self._attribute(entry)) for key, entry in value.items()))
            case ParsedType(token):
                return self._function_type(token) if token.type == "SIGNATURE" else self._type(token, _start(token))
            case ParsedDense():
                return self._dense(value) if value.resource is None else self._resource(value, value.resource)

    def _dense(self, parsed: ParsedDense) -> DenseAttr:
        tensor = self._type(parsed.type, _start(parsed.type))
        value = self._attribute(parsed.value)
        if not isinstance(tensor, TensorType) or str(tensor.element) not in BY_NAME:
            raise Fault(_start(parsed.type), "expected a tensor of integers or floats", code=MISFIT, found=str(tensor))
        try:
            array = read_inline(value, tensor)
        except RULE_ERRORS as error:
            raise Fault(_start(parsed.token), str(error), code=MISFIT) from None
        self._repeated_bytes += array.nbytes
        if self._repeated_bytes > MAX_REPEATED_BYTES:
            expected = f"up to {MAX_REPEATED_BYTES} bytes"
            raise Fault(
                _start(parsed.token), "arrays of one repeated value are too large", code=LIMIT, expected=expected
            )
        return DenseAttr(array)

    def _resource(self, parsed: ParsedDense, name: str) -> DenseAttr:
        array = self._resources.get(name)
        if array is None:
            help_text = "the array stands beside the text, in the file that the text came with"
            raise Fault(_start(parsed.token), f"the array {name} is not at hand", code=RESOURCE, help=help_text)
        if name not in self._arrays:
            self._arrays[name] = DenseAttr(array)
        try:
            actual = type_text(array)
        except RULE_ERRORS:
            actual = f"an array of {array.dtype}"
        if actual != str(parsed.type):
            raise Fault(
                _start(parsed.type),
                f"the array {name} is of another type",
                code=RESOURCE,
                found=actual,
                expected=str(parsed.type),
            )
        return self._arrays[name]

    def _function_type(self, token: Token) -> FunctionType:
        inputs, _, results = token.partition("->")
        start = _start(token)
        return FunctionType(self._types_in(inputs, start), self._types_in(results, start + len(inputs) + len("->")))

    def _type_list(self, token: Token | None) -> tuple[Type, ...]:
        return () if token is None else self._types_in(token, _start(token))

    def _types_in(self, text: str, position: int) -> tuple[Type, ...]:
        found = self._type_lists.get(text)
        if found is None:
            found = tuple(self._type(match[0], position + match.start()) for match in _TYPE.finditer(text))
            self._type_lists[text] = found
        return found

    def _type(self, text: str, position: int) -> Type:
        found = self._types.get(text)
        if found is None:
            try:
                found = self._read_type(text)
            except RULE_ERRORS as error:
                raise Fault(position, f"{error}", code=UNKNOWN_NAME) from None
            self._types[str(text)] = found
        return found

    def _read_type(self, text: str) -> Type:
        if not text.startswith("tensor<"):
            return self._element_type(text)
        body = text[len("tensor<") : -1].strip()
        sizes = _SHAPE.match(body)
        shape = sizes[0] if sizes else ""
        return TensorType(tuple(map(int, shape.split("x")[:-1])), self._element_type(body[len(shape) :]))

    def _element_type(self, text: str) -> ElementType:
        builtin = BY_NAME.get(text)
        if builtin is not None:
            return builtin
        match = _DIALECT_TYPE.fullmatch(text)
        reader: Callable[[str], ElementType] | None = self._context.types.get(match[1]) if match else None
        if match is None or reader is None:
            raise ValueError(f"there is no type {text}")
        try:
            return reader(match[2] or "")
        except RULE_ERRORS as error:
            raise ValueError(f"{text}: {error}") from None


def _start(token: Token) -> int:
    return token.start_pos or 0


def _names(token: Token | None) -> Iterable[tuple[str, int]]:
    """The names in a list of values, without %, and their positions."""
    if token is None:
        return ()
    start = _start(token)
    return [(match[1], start + match.start()) for match in _NAME.finditer(token)]


def _result_types(op: Operation, parsed: ParsedOp) -> Sequence[Type]:
    """The types that the form writes behind the arrow: those of the results, for a function those that it returns."""
    if parsed.signature is not None or not isinstance(op, FuncOp):
        return [value.type for value in op.results]
    if not isinstance(op.body.last, ReturnOp):
        raise Fault(_start(parsed.token), "a function ends with return", code=MISFIT)
    return op.type.results


def _close_to(name: str, known: Iterable[str], sign: str = "") -> str:
    candidates = [candidate for candidate in known if len(candidate) <= MAX_GUESSED_NAME][:1000]
    close = difflib.get_close_matches(name, candidates, n=1) if len(name) <= MAX_GUESSED_NAME else []
    return f"did you mean {sign}{close[0]}?" if close else ""
