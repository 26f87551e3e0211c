"""Drawn float networks for SpiNNaker2, in which one layer's range can be made too narrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snc.compiler import calibration
from snc.compiler.driver import compile as compile_schedule
from snc.compiler.executable import Executable
from snc.compiler.onnx.importer import import_model
from snc.ir.core import Value
from snc.ir.dialects.builtin import ModuleOp
from snc.runtime.interpreter.evaluate import evaluate as interpret

Array = NDArray[Any]

INPUTS, WIDTH, CLASSES = 12, 16, 7
ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "")


def dense_model(seed: int, layers: int, activation: str) -> onnx.ModelProto:
    """x [N, 12] -> layers fc<i> with act<i> behind all but the last -> y [N, 7]."""
    rng = np.random.default_rng(seed)
    nodes, held, last, inner = [], {}, "x", INPUTS
    for number in range(layers):
        end = number == layers - 1
        outer = CLASSES if end else WIDTH
        held[f"w{number}"] = rng.normal(0, 1 / np.sqrt(inner), (inner, outer))
        held[f"b{number}"] = rng.normal(0, 0.2, outer)
        out = "y" if end else f"z{number}"
        nodes.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [out], name=f"fc{number}"))
        if activation and not end:
            nodes.append(helper.make_node(activation, [out], [f"a{number}"], name=f"act{number}"))
            out = f"a{number}"
        last, inner = out, outer
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(seed: int, count: int = 300) -> Array:
    """Normal noise, f32 [count, 12]."""
    return np.random.default_rng((seed, 2)).standard_normal((count, INPUTS)).astype(np.float32)


def outputs(model: onnx.ModelProto, x: Array) -> Array:
    """The float outputs by the reference interpreter."""
    (found,) = interpret(import_model(model, shapes={"x": x.shape}), [x])
    return found


def narrowed(model: onnx.ModelProto, x: Array, node: str, factor: float) -> Executable:
    """An artefact whose ranges are those of `x`, but for the layer of an ONNX node: that one is `factor` as wide."""
    measure = calibration.SampleCalibration.ranges

    def ranges(
        self: calibration.SampleCalibration, module: ModuleOp, method: str
    ) -> Mapping[Value, tuple[float, float]]:
        found = dict(measure(self, module, method))
        for value, (low, high) in found.items():
            if value.owner is not None and value.owner.location.names[-1:] == (node,):
                found[value] = (low * factor, high * factor)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration.SampleCalibration, "ranges", ranges)
        return compile_schedule(model, calibration={"x": x}, level=0)
