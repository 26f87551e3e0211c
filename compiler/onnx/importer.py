"""Lowers an ONNX model to the graph dialect.

Every problem of every node is found in one go: the results of a node that could not be imported are missing, and nodes
that need them are then checked for operator and schema only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import onnx

from ...ir.builder import Builder
from ...ir.core import Block, Value
from ...ir.diagnostics import Diagnostic, ModelError, UnsupportedOperator
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.quant import UniformType
from ...ir.folding import ConstantFolder
from ...ir.location import Location
from ...ir.types import ElementType
from .functions import inline_functions
from .inputs import pin_inputs
from .node import Node, describe
from .problems import (
    ELEMENT_TYPE,
    MALFORMED_NODE,
    MALFORMED_TENSOR,
    OUTPUT_SHAPE,
    OUTPUT_TYPE,
    UNSUPPORTED,
    NodeProblem,
)
from .registry import OnnxOperator
from .structure import STANDARD, check_names, check_node, check_opsets, check_types, opsets_of
from .tensors import data_type_name, element_of_onnx, to_array

Warn = Callable[[Diagnostic], None]


def import_model(
    model: onnx.ModelProto, *, shapes: Mapping[str, Sequence[int]] | None = None, warn: Warn | None = None
) -> ModuleOp:
    """The module with one function `@main` that computes what `model` computes.

    `shapes` fixes free dimensions of inputs by name; a free batch alone becomes 1, which `warn` is told. Raises
    UsageError for shapes that contradict the model, UnsupportedOperator with one diagnostic for everything that is not
    taken, ModelError when the model breaks a rule of ONNX, LimitExceeded for values that are too large.
    """
    importer = _Importer(model, shapes or {})
    module = importer.run()
    errors = [entry for entry in importer.diagnostics if entry.severity == "error"]
    if errors:
        only_unsupported = all(entry.code in UNSUPPORTED for entry in errors)
        raise (UnsupportedOperator if only_unsupported else ModelError)(errors)
    for entry in importer.diagnostics:
        if warn is not None:
            warn(entry)
    return module


def check_model(model: onnx.ModelProto, *, shapes: Mapping[str, Sequence[int]] | None = None) -> list[Diagnostic]:
    """Everything that `import_model` finds, errors and warnings; UsageError and LimitExceeded are raised as there."""
    try:
        importer = _Importer(model, shapes or {})
    except ModelError as error:
        return list(error.diagnostics)
    importer.run()
    return importer.diagnostics


class _Importer:
    def __init__(self, model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._shapes = shapes
        self._model = inline_functions(model)
        self._graph = self._model.graph
        self._opsets = opsets_of(self._model)
        self._initializers = {tensor.name: tensor for tensor in self._graph.initializer}
        self._used = frozenset(
            (*(name for node in self._graph.node for name in node.input), *(o.name for o in self._graph.output))
        )
        self._values: dict[str, Value] = {}
        self._poisoned: set[str] = set()
        self._folder = ConstantFolder()

    def run(self) -> ModuleOp:
        """The module; worth something only when `diagnostics` holds no error."""
        self.diagnostics += [*check_opsets(self._model), *check_names(self._graph)]
        given = [value for value in self._graph.input if value.name not in self._initializers]
        pinned = pin_inputs(given, self._shapes)
        self.diagnostics += pinned.diagnostics
        self._poisoned.update(value.name for value in given)
        names = [name for name, _ in pinned.types]
        body = Block([kind for _, kind in pinned.types], [hint_of(name) for name in names])
        self._values.update(zip(names, body.arguments, strict=True))
        self._poisoned.difference_update(names)
        self._builder = Builder(body)
        for node in self._graph.node:
            self._import_node(node)
        outputs = [self._output(output) for output in self._graph.output]
        self._builder.insert(ReturnOp(values=tuple(value for value in outputs if value is not None)))
        output_names = tuple(output.name for output in self._graph.output)
        top = Block()
        Builder(top).insert(FuncOp(sym_name="main", input_names=tuple(names), output_names=output_names, body=body))
        return ModuleOp(body=top)

    def _import_node(self, proto: onnx.NodeProto) -> None:
        support = check_node(proto, self._opsets)
        self.diagnostics += support.problems
        inputs = None if support.entry is None else self._inputs(proto)
        results: Sequence[Value | None] = ()
        if support.entry is not None and inputs is not None:
            results = self._lower(proto, support.entry, inputs)
        for index, name in enumerate(proto.output):
            value = results[index] if index < len(results) else None
            if value is None:
                self._poisoned.add(name)
            elif name:
                self._values[name] = value
                if not value.hint:
                    value.hint = hint_of(name)

    def _inputs(self, proto: onnx.NodeProto) -> list[Value | None] | None:
        """The values of a node's inputs; None when one of them could not be imported."""
        inputs = [self._value(name) if name else None for name in proto.input]
        missing = any(name and value is None for name, value in zip(proto.input, inputs, strict=True))
        return None if missing else inputs

    def _lower(
        self, proto: onnx.NodeProto, entry: OnnxOperator, inputs: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        wrong_type = None if entry.domain else check_types(proto, self._opsets[STANDARD], list(map(_builtin, inputs)))
        if wrong_type is not None:
            self.diagnostics.append(wrong_type)
            return ()
        node = Node(proto, self._opsets[entry.domain], inputs, self._builder, self._folder, self._used)
        try:
            result = entry.importer(node)
        except NodeProblem as problem:
            self.diagnostics.append(
                Diagnostic(
                    problem.code,
                    f"{proto.op_type}: {problem.message}",
                    found=problem.found,
                    expected=problem.expected,
                    help=problem.remedy,
                    node=describe(proto),
                )
            )
            return ()
        except (ValueError, OverflowError) as error:
            self.diagnostics.append(Diagnostic(MALFORMED_NODE, f"{proto.op_type}: {error}", node=describe(proto)))
            return ()
        return (result,) if isinstance(result, Value) else result

    def _value(self, name: str) -> Value | None:
        """The value of a tensor; initializers become constants where they are first used."""
        value = self._values.get(name)
        if value is not None or name in self._poisoned or name not in self._initializers:
            return value
        tensor = self._initializers[name]
        if element_of_onnx(tensor.data_type) is None:
            code, reason = ELEMENT_TYPE, f"elements of {data_type_name(tensor.data_type)} are not taken"
        else:
            try:
                array = to_array(tensor)
            except ValueError as error:
                code, reason = MALFORMED_TENSOR, str(error)
            else:
                constant = ConstantOp(value=array, location=Location((name,)))
                value = self._values[name] = self._builder.insert(constant).result
                value.hint = hint_of(name)
                return value
        self.diagnostics.append(Diagnostic(code, f"initializer {name!r}: {reason}", node=name))
        self._poisoned.add(name)
        return None

    def _output(self, output: onnx.ValueInfoProto) -> Value | None:
        value = self._value(output.name)
        if value is None or output.type.WhichOneof("value") != "tensor_type":
            return value
        declared = output.type.tensor_type
        element = element_of_onnx(declared.elem_type)
        if declared.elem_type and (element is None or element.dtype != value.element.dtype):
            self.diagnostics.append(
                Diagnostic(
                    OUTPUT_TYPE,
                    "the output has another type than the model declares",
                    found=str(value.element),
                    expected=data_type_name(declared.elem_type),
                    node=output.name,
                )
            )
        if declared.HasField("shape"):
            sizes = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in declared.shape.dim]
            fits = len(sizes) == value.tensor.rank and all(
                size is None or size < 0 or size == found for size, found in zip(sizes, value.shape, strict=True)
            )
            if not fits:
                self.diagnostics.append(
                    Diagnostic(
                        OUTPUT_SHAPE,
                        "the output has another shape than the model declares",
                        found=str(list(value.shape)),
                        expected=str(sizes),
                        node=output.name,
                        severity="warning",
                    )
                )
        return value


def _builtin(value: Value | None) -> ElementType | None:
    """The element type that ONNX knows a value by."""
    if value is None:
        return None
    return value.element.storage if isinstance(value.element, UniformType) else value.element


def hint_of(name: str) -> str:
    """An ONNX name as the printer can show it: letters, digits and underscores, not starting with a digit."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return f"v{plain}" if plain[:1].isdigit() else plain
