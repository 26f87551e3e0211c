"""Small ONNX files for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    weights: dict[str, Array],
) -> onnx.ModelProto:
    """A model of float inputs and outputs at opset 17."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def conv_net(shape: Sequence[int | str] = (1, 3, 8, 8), *, weight: float = 1.0) -> onnx.ModelProto:
    """conv 3x3 to 4 channels, ReLU; the input is `x`, the output `y`."""
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    w[0, 0, 0, 0] = weight
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    return model(nodes, {"x": shape}, {"y": [None, 4, None, None]}, {"w": w})  # type: ignore[dict-item]


def two_ports() -> onnx.ModelProto:
    """sum = a + b and difference = a - b of [1, 4, 5, 5]."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"], name="add"),
        helper.make_node("Sub", ["a", "b"], ["difference"], name="sub"),
    ]
    shape = (1, 4, 5, 5)
    return model(nodes, {"a": shape, "b": shape}, {"sum": shape, "difference": shape}, {})


def unsupported() -> onnx.ModelProto:
    """Three nodes in a row of which two are not taken."""
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first_bad"),
        helper.make_node("Relu", ["x"], ["b"], name="good"),
        helper.make_node("NonMaxSuppressionOfMine", ["b"], ["y"], name="second_bad", domain="mine"),
    ]
    made = model(nodes, {"x": (1, 3, 4, 4)}, {"y": (1, 3, 4, 4)}, {})
    made.opset_import.append(helper.make_opsetid("mine", 1))
    return made


def deep_net(size: int) -> onnx.ModelProto:
    """A convolutional network that takes seconds to calibrate on noise."""
    rng = np.random.default_rng(2)
    nodes, weights, last = [], {}, "x"
    for index in range(6):
        weights[f"w{index}"] = rng.standard_normal((32, 32 if index else 3, 3, 3)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        last = f"c{index}"
    nodes.append(helper.make_node("Relu", [last], ["y"]))
    return model(nodes, {"x": (1, 3, size, size)}, {"y": (1, 32, size, size)}, weights)


def save(made: onnx.ModelProto, path: Path) -> Path:
    """The path, with the model in it."""
    path.write_bytes(made.SerializeToString())
    return path
