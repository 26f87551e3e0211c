"""Functions that a model brings along are inlined."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import inliner

from ...ir.diagnostics import Diagnostic, LimitExceeded, ModelError
from .problems import MALFORMED_GRAPH

MAX_NODES = 1 << 20
"""No model has more nodes after inlining."""

Key = tuple[str, str]


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own; the model itself when it has none.

    Raises ModelError when functions call each other in a circle, LimitExceeded when too many nodes would result.
    """
    if not model.functions:
        return model
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[Key, int] = {}
    for key in bodies:
        _measure(key, bodies, sizes)
    total = _expanded(model.graph.node, sizes)
    if total > MAX_NODES:
        raise LimitExceeded(
            Diagnostic(
                "SNC0190", "too many nodes once functions are inlined", found=str(total), expected=str(MAX_NODES)
            )
        )
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(Diagnostic(MALFORMED_GRAPH, f"the model's functions cannot be inlined: {error}")) from None


def _measure(start: Key, bodies: dict[Key, Iterable[onnx.NodeProto]], sizes: dict[Key, int]) -> None:
    """Fills in the number of nodes that `start` and everything it calls expand to, callees first."""
    stack, running = [start], set[Key]()
    while stack:
        key = stack[-1]
        if key in sizes:
            running.discard(stack.pop())
            continue
        running.add(key)
        missing = [
            callee for node in bodies[key] if (callee := (node.domain, node.op_type)) in bodies and callee not in sizes
        ]
        if not missing:
            sizes[key] = _expanded(bodies[key], sizes)
        elif missing[0] in running:
            raise ModelError(
                Diagnostic(MALFORMED_GRAPH, "functions of the model call each other in a circle", node=missing[0][1])
            )
        else:
            stack.append(missing[0])


def _expanded(nodes: Iterable[onnx.NodeProto], sizes: dict[Key, int]) -> int:
    return sum(sizes.get((node.domain, node.op_type), 1) for node in nodes)
