"""The trained network that an artefact is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from attrs import frozen

from ...ir.clone import clone_module
from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects.builtin import ModuleOp
from ...passes.base import PassContext
from ..driver import run_pipeline
from ..executable import Port
from ..onnx.importer import import_model
from ..onnx.loading import load_model
from ..spinn1.driver import model_digest
from ..spinn1.executable import input_ports


@frozen(eq=False)
class Reference:
    """A model as imported. `is_source` is whether the artefact was built from it, `name` how the user calls it."""

    module: ModuleOp
    name: str
    is_source: bool
    notes: tuple[Diagnostic, ...]

    @property
    def folded(self) -> ModuleOp:
        """The model with constants computed once: the same values, in less time."""
        copy = clone_module(self.module)
        run_pipeline("fold-constants", copy, PassContext(), ())
        return copy


def read_reference(
    model: str | Path | onnx.ModelProto,
    *,
    shapes: Mapping[str, Sequence[int]],
    source_sha256: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
) -> Reference:
    """The reference of an artefact with these inputs and outputs.

    Raises the errors of loading and importing, UsageError when its inputs or outputs are others.
    """
    proto = load_model(model) if isinstance(model, str | Path) else model
    name = str(model) if isinstance(model, str | Path) else "the reference"
    declared = {value.name for value in proto.graph.input}
    module = import_model(proto, shapes={each: shape for each, shape in shapes.items() if each in declared})
    main = module.main
    found = [_shapes(input_ports(module)), [list(value.shape) for value in main.return_op.values]]
    wanted = [_shapes(inputs), _shapes(outputs)]
    for side, ours, theirs in zip(("inputs", "outputs"), found, wanted, strict=True):
        if ours != theirs:
            raise UsageError(
                Diagnostic(
                    "SNC0850",
                    f"the reference has other {side} than the artefact",
                    node=name,
                    found=f"shapes {', '.join(map(str, ours)) or 'of none'}",
                    expected=f"{', '.join(map(str, theirs))}",
                    help="give the network that the artefact was built from, or one like it",
                )
            )
    digest = model_digest(proto)
    is_source = bool(digest) and digest == source_sha256
    notes = () if is_source else (_another(name),)
    return Reference(module, name, is_source, notes)


def _shapes(ports: Sequence[Port]) -> list[list[int]]:
    return [list(port.shape) for port in ports]


def _another(name: str) -> Diagnostic:
    return Diagnostic(
        "SNC0851",
        "the artefact was not built from the reference",
        node=name,
        found="another SHA-256 than that of its source",
        help="layers are compared by their ONNX node names, or by their order where names differ",
        severity="warning",
    )
