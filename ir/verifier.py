"""Whether IR keeps the rules: structure first, then the declarations, then what each operation says itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from .attributes import Attribute
from .context import Context
from .core import Block, Operation, Value
from .diagnostics import Diagnostic, VerifyError
from .traits import Trait
from .types import Type

RULE_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError)
"""What `infer` and `check` of an operation may raise on operands and attributes that do not fit."""

STRUCTURE, DECLARATION, RESULT_TYPE, OWN_RULE = "SNC0351", "SNC0352", "SNC0353", "SNC0354"


def verify(module: Operation, context: Context | None = None) -> None:
    """Raises VerifyError with every broken rule in `module`; each names the ONNX node first.

    With a context, operations and attribute prefixes must belong to its dialects.
    """
    verifier = _Verifier(module, context)
    verifier.operation(module)
    verifier.uses()
    if verifier.diagnostics:
        raise VerifyError(verifier.diagnostics)


def declared_problems(
    op_class: type[Operation], operand_types: Sequence[Type], attributes: Mapping[str, Attribute], regions: int
) -> list[str]:
    """What does not fit the declaration of an operation; `infer` and `check` may be asked when nothing is wrong."""
    problems = _operand_problems(op_class, operand_types)
    for entry in op_class.spec.attributes:
        stored = attributes.get(entry.name)
        if stored is None:
            if entry.default is not None:
                problems.append(f"the attribute {entry.name} ({entry.codec.kind}) is missing")
            continue
        try:
            wrong = entry.codec.check(entry.codec.decode(stored))
        except RULE_ERRORS as error:
            wrong = str(error)
        if wrong is not None:
            problems.append(f"attribute {entry.name}: {wrong}")
    for name in attributes:
        if name not in op_class.spec.attribute_names and not _prefix(name):
            problems.append(
                f"the attribute {name!r} is not declared; names of other attributes have the form dialect.name"
            )
    expected = len(op_class.spec.regions)
    if regions != expected:
        problems.append(f"expected {expected} regions, found {regions}")
    return problems


def _prefix(attribute_name: str) -> str:
    """The dialect in the name of an attribute; empty when there is none."""
    prefix, dot, rest = attribute_name.partition(".")
    return prefix if dot and rest else ""


def _operand_problems(op_class: type[Operation], operand_types: Sequence[Type]) -> list[str]:
    spec, count = op_class.spec, len(operand_types)
    fixed = sum(1 for entry in spec.operands if not (entry.optional or entry.variadic))
    most = count if any(entry.variadic for entry in spec.operands) else len(spec.operands)
    if not fixed <= count <= max(most, fixed):
        if most == count:
            return [f"expected at least {fixed} operands, found {count}"]
        return [f"expected {fixed if fixed == most else f'{fixed} to {most}'} operands, found {count}"]
    problems = []
    for index, entry in enumerate(spec.operands):
        start, stop = spec.operand_range(index, count)
        for operand_type in operand_types[start:stop]:
            wrong = entry.constraint.check(operand_type)
            if wrong is not None:
                problems.append(f"operand {entry.name}: {wrong}")
    return problems


class _Verifier:
    """Collects diagnostics in one walk."""

    def __init__(self, module: Operation, context: Context | None) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._context = context
        self._dialects = frozenset() if context is None else frozenset(dialect.name for dialect in context.dialects)
        self._visible: set[Value] = set()
        self._defined: list[Value] = []
        self._uses: dict[Value, set[tuple[Operation, int]]] = defaultdict(set)
        self._numbers: dict[Operation, int] = {}

    def operation(self, op: Operation) -> None:
        self._numbers[op] = len(self._numbers) + 1
        self._registered(op)
        for index, value in enumerate(op.operands):
            self._uses[value].add((op, index))
            if value not in self._visible:
                self._complain(op, STRUCTURE, f"operand {index} ({value.type}) is used where it is not defined")
        operand_types = [value.type for value in op.operands]
        problems = declared_problems(type(op), operand_types, op.attributes, len(op.regions))
        for problem in problems:
            self._complain(op, DECLARATION, problem)
        for block in op.regions:
            self._block(op, block)
        if not problems:
            self._own_rules(op)
        self._define(op.results)

    def uses(self) -> None:
        """The uses that values know are those that operations make."""
        for value in self._defined:
            made = self._uses.get(value, set())
            for op, index in value.uses:
                if (op, index) not in made:
                    self._complain(op, STRUCTURE, f"{value!r} lists a use as operand {index} that nobody makes")
            for op, index in sorted(made.difference(value.uses), key=lambda use: (self._numbers[use[0]], use[1])):
                self._complain(op, STRUCTURE, f"operand {index} is not in the list of uses of {value!r}")

    def _registered(self, op: Operation) -> None:
        if self._context is None:
            return
        if self._context.ops.get(op.name) is not type(op):
            self._complain(op, STRUCTURE, f"no dialect has the operation {op.name}")
        for name in op.attributes:
            if name not in op.spec.attribute_names and _prefix(name) and _prefix(name) not in self._dialects:
                self._complain(op, DECLARATION, f"there is no dialect to explain the attribute {name!r}")

    def _block(self, parent: Operation, block: Block) -> None:
        if block.parent is not parent:
            self._complain(parent, STRUCTURE, "a region does not know the operation that holds it")
        outer, first_inner = self._visible, len(self._defined)
        if Trait.ISOLATED in parent.traits:
            self._visible = set()
        self._define(block.arguments)
        for op in block.ops:
            if Trait.TERMINATOR in op.traits and op is not block.last:
                self._complain(op, STRUCTURE, f"{op.name} ends a block, but operations stand behind it")
            self.operation(op)
        self._visible = outer
        outer.difference_update(self._defined[first_inner:])

    def _own_rules(self, op: Operation) -> None:
        try:
            inferred = op.infer()
        except RULE_ERRORS as error:
            self._complain(op, RESULT_TYPE, str(error))
            return
        stored = tuple(value.type for value in op.results)
        if inferred != stored:
            self._complain(op, RESULT_TYPE, "wrong result types", found=_listed(stored), expected=_listed(inferred))
        try:
            op.check()
        except RULE_ERRORS as error:
            self._complain(op, OWN_RULE, str(error))

    def _define(self, values: Sequence[Value]) -> None:
        self._visible.update(values)
        self._defined.extend(values)

    def _complain(self, op: Operation, code: str, message: str, *, found: str = "", expected: str = "") -> None:
        number = self._numbers.get(op)
        place = f"operation {number}" if number else "an operation outside the module"
        node = str(op.location) if op.location.names else place
        self.diagnostics.append(Diagnostic(code, f"{op.name}: {message}", found, expected, node=node))


def _listed(types: Sequence[Type]) -> str:
    return f"({', '.join(map(str, types))})"
