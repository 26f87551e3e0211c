"""The ONNX backend interface: import, then the reference interpreter in the model's own precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from attrs import frozen

from ...ir.dialects.builtin import ModuleOp
from ...runtime.interpreter.evaluate import evaluate
from .importer import import_model
from .structure import check_node, check_opsets, opsets_of


@frozen
class Representation:
    """A prepared model."""

    module: ModuleOp

    def run(self, inputs: Sequence[Any], **_options: object) -> tuple[np.ndarray[Any, Any], ...]:
        """The model's outputs for its inputs in order; initializers are no inputs."""
        return tuple(evaluate(self.module, [np.asarray(entry) for entry in inputs]))


def prepare(model: onnx.ModelProto, device: str = "CPU", **_options: object) -> Representation:
    """Imports `model`; raises UnsupportedOperator or ModelError as `import_model` does, ValueError for the device."""
    if not supports_device(device):
        raise ValueError(f"device {device} is not known, expected CPU")
    return Representation(import_model(model))


def run_model(model: onnx.ModelProto, inputs: Sequence[Any], device: str = "CPU") -> tuple[np.ndarray[Any, Any], ...]:
    """Prepares and runs in one go."""
    return prepare(model, device).run(inputs)


def supports_device(device: str) -> bool:
    """Everything runs on the CPU."""
    return device == "CPU"


def is_compatible(model: onnx.ModelProto, device: str = "CPU", **_options: object) -> bool:
    """Whether every operator of the model is known in its opset; `prepare` may still refuse how one is used."""
    opsets = opsets_of(model)
    known = not any(check_opsets(model)) and all(not check_node(node, opsets).problems for node in model.graph.node)
    return known and supports_device(device)
