"""Is a model well-formed: names, order, opsets, and every node against the operator's schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx
from attrs import frozen
from onnx import defs

from ...ir.diagnostics import Diagnostic
from ...ir.types import ElementType
from .node import describe
from .problems import ELEMENT_TYPE, MALFORMED_GRAPH, MALFORMED_NODE, UNKNOWN_OPERATOR, UNKNOWN_OPSET
from .registry import NEWEST_OPSET, OLDEST_OPSET, REASONS, REGISTRY, OnnxOperator
from .tensors import onnx_type

STANDARD = ""


def domain_of(name: str) -> str:
    """A domain with the standard one as the empty string."""
    return STANDARD if name == "ai.onnx" else name


def opsets_of(model: onnx.ModelProto) -> dict[str, int]:
    """The version that the model asks for of every domain."""
    return {domain_of(entry.domain): entry.version for entry in model.opset_import}


def check_opsets(model: onnx.ModelProto) -> Iterator[Diagnostic]:
    """The opset imports: one of each domain, the standard one within what is known."""
    domains = [domain_of(entry.domain) for entry in model.opset_import]
    for domain in sorted({domain for domain in domains if domains.count(domain) > 1}):
        yield Diagnostic(MALFORMED_GRAPH, f"domain {domain or 'ai.onnx'!r} is imported twice")
    opset = opsets_of(model).get(STANDARD)
    if opset is None:
        if any(domain_of(node.domain) == STANDARD for node in model.graph.node):
            yield Diagnostic(MALFORMED_GRAPH, "the model does not say which opset it uses")
    elif not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        newer = opset > NEWEST_OPSET
        yield Diagnostic(
            UNKNOWN_OPSET,
            "the model's opset is not understood",
            found=f"opset {opset}",
            expected=f"opset {OLDEST_OPSET} to {NEWEST_OPSET}",
            help="install a newer onnx package, or export to an older opset"
            if newer
            else "export to opset 13 or later",
        )


def check_names(graph: onnx.GraphProto) -> Iterator[Diagnostic]:
    """Every tensor is made once, before it is used, and every graph output exists."""
    made: set[str] = set()
    inputs = [value.name for value in graph.input]
    initializers = [tensor.name for tensor in graph.initializer]
    for word, names in (("input", inputs), ("initializer", initializers)):
        for name in sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
            yield Diagnostic(MALFORMED_GRAPH, f"two tensors have one name among every {word}", node=name)
        if "" in names:
            yield Diagnostic(MALFORMED_GRAPH, f"an {word} has no name")
    if graph.sparse_initializer:
        yield Diagnostic(ELEMENT_TYPE, "sparse initializers are not taken")
    made.update(inputs, initializers)
    later = {name: node for node in graph.node for name in node.output if name}
    for node in graph.node:
        for name in node.input:
            if name and name not in made:
                reason = (
                    "made by a later node (the graph is not sorted, or runs in a circle)"
                    if name in later
                    else ("made by no node, input or initializer")
                )
                yield Diagnostic(MALFORMED_GRAPH, f"input {name!r} is {reason}", node=describe(node))
        for name in node.output:
            if name and name in made:
                yield Diagnostic(MALFORMED_GRAPH, f"output {name!r} was already made", node=describe(node))
            made.add(name)
    for output in graph.output:
        if output.name not in made or not output.name:
            yield Diagnostic(
                MALFORMED_GRAPH, f"output {output.name!r} of the graph is made by no node", node=output.name
            )
    if not graph.output:
        yield Diagnostic(MALFORMED_GRAPH, "the graph has no output")


@frozen
class Support:
    """How a node stands to the registry: its entry, or why there is none."""

    entry: OnnxOperator | None
    problems: tuple[Diagnostic, ...] = ()


def check_node(node: onnx.NodeProto, opsets: dict[str, int]) -> Support:
    """The registry entry for a node; problems when the operator is not taken or the node breaks its schema."""
    domain, where = domain_of(node.domain), describe(node)
    opset = opsets.get(domain)
    entry = REGISTRY.get((domain, node.op_type))
    shown = f"{domain}::{node.op_type}" if domain else node.op_type
    if opset is None:
        return Support(None, (Diagnostic(MALFORMED_NODE, f"domain {domain!r} is not imported", node=where),))
    if entry is None:
        known = domain != STANDARD or defs.has(node.op_type, min(opset, NEWEST_OPSET), STANDARD)
        reason = REASONS.get(node.op_type, "" if known else "no such operator exists in this opset")
        return Support(
            None,
            (
                Diagnostic(
                    UNKNOWN_OPERATOR,
                    f"operator {shown} is not taken" + (f": {reason}" if reason else ""),
                    found=f"{shown}, opset {opset}",
                    expected="an operator listed by `snc ops`",
                    help="replace the operator before export, or cut the model before this node",
                    node=where,
                ),
            ),
        )
    if domain != STANDARD:
        return Support(entry)
    if not defs.has(node.op_type, opset, STANDARD):
        problem = Diagnostic(
            UNKNOWN_OPSET,
            f"operator {node.op_type} does not exist in opset {opset}",
            found=f"opset {opset}",
            expected=f"opset {entry.opsets}",
            node=where,
        )
        return Support(None, (problem,))
    schema = defs.get_schema(node.op_type, opset, STANDARD)
    if schema.since_version not in entry.versions:
        problem = Diagnostic(
            UNKNOWN_OPSET,
            f"this version of {node.op_type} is not understood",
            found=f"opset {opset} (version {schema.since_version})",
            expected=f"opset {entry.opsets}",
            node=where,
        )
        return Support(None, (problem,))
    problems = tuple(Diagnostic(MALFORMED_NODE, text, node=where) for text in _schema_problems(node, schema))
    return Support(entry if not problems else None, problems)


def check_types(node: onnx.NodeProto, opset: int, elements: Sequence[ElementType | None]) -> Diagnostic | None:
    """What is wrong with the element types of a standard node's inputs; None stands for an input left out."""
    formal = defs.get_schema(node.op_type, opset, STANDARD).inputs
    for index, kind in enumerate(elements):
        parameter = formal[min(index, len(formal) - 1)]
        if kind is not None and onnx_type(kind) not in parameter.types:
            return Diagnostic(
                MALFORMED_NODE,
                f"input {index} ({parameter.name}) of {node.op_type} cannot have this type",
                found=onnx_type(kind),
                expected=", ".join(sorted(parameter.types)),
                node=describe(node),
            )
    return None


def _schema_problems(node: onnx.NodeProto, schema: defs.OpSchema) -> Iterable[str]:
    for word, names, low, high in (
        ("inputs", node.input, schema.min_input, schema.max_input),
        ("outputs", node.output, schema.min_output, schema.max_output),
    ):
        if not low <= len(names) <= high:
            expected = str(low) if low == high else f"{low} to {high}" if high < 2**31 - 1 else f"at least {low}"
            yield f"{node.op_type} has {len(names)} {word}, expected {expected}"
    for index, parameter in enumerate(schema.inputs):
        required = parameter.option == defs.OpSchema.FormalParameterOption.Single
        if required and index < len(node.input) and not node.input[index]:
            yield f"input {index} ({parameter.name}) of {node.op_type} is missing"
    seen: set[str] = set()
    for attribute in node.attribute:
        declared = schema.attributes.get(attribute.name)
        if attribute.name in seen:
            yield f"attribute {attribute.name} is given twice"
        elif declared is None:
            yield f"{node.op_type} has no attribute {attribute.name} in this opset"
        elif onnx.AttributeProto.AttributeType.Name(attribute.type) != _kind(declared):
            yield f"attribute {attribute.name} has the wrong type, expected {_kind(declared)}"
        elif attribute.ref_attr_name:
            yield f"attribute {attribute.name} refers to a function's attribute outside a function"
        seen.add(attribute.name)
    for name, declared in schema.attributes.items():
        if declared.required and name not in seen:
            yield f"{node.op_type} lacks the attribute {name}"


def _kind(declared: defs.OpSchema.Attribute) -> str:
    """The type of a declared attribute by its name in ONNX: INT, FLOATS."""
    return str(declared.type).rpartition(".")[2]
