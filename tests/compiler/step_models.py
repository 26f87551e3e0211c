"""Small ONNX networks of binary activations, with what they compute in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

CLASSES = 3
OUTPUTS = 6
RNG = np.random.default_rng(5)
W1 = RNG.integers(-8, 9, (12, 9)).astype(np.float32) / 8
B1 = RNG.integers(-8, 9, 9).astype(np.float32) / 8
W2 = RNG.integers(-8, 9, (9, OUTPUTS)).astype(np.float32) / 8
B2 = RNG.integers(-8, 9, OUTPUTS).astype(np.float32) / 8
KEY = np.kron(np.eye(CLASSES, dtype=np.float32), np.ones((OUTPUTS // CLASSES, 1), np.float32)) * 2 - 1


def step(z: str, name: str) -> list[onnx.NodeProto]:
    """`z >= 0.5`, as float, called `name`."""
    return [
        helper.make_node("GreaterOrEqual", [z, "half"], [f"{name}_is"], name=f"{name}_ge"),
        helper.make_node("Cast", [f"{name}_is"], [name], to=TensorProto.FLOAT),
    ]


def dense_steps(
    tail: str = "", *, scale: float = 1.0, activation: str = "step", key_rows: int = OUTPUTS, rows: int | str = "N"
) -> bytes:
    """x [N, 12] -> steps -> steps [N, 6]; `tail` adds a key matrix of `key_rows`, with argmax or softmax behind it.

    `scale` multiplies the first weights; `activation` = relu puts a ReLU in the place of the first step.
    """
    nodes = [helper.make_node("Gemm", ["x", "w1", "b1"], ["z1"], name="first")]
    nodes += step("z1", "a1") if activation == "step" else [helper.make_node("Relu", ["z1"], ["a1"], name="soft")]
    nodes += [helper.make_node("Gemm", ["a1", "w2", "b2"], ["z2"], name="second"), *step("z2", "spikes")]
    if tail:
        nodes.append(helper.make_node("MatMul", ["spikes", "key"], ["votes"], name="vote"))
    if tail == "argmax":
        nodes.append(helper.make_node("ArgMax", ["votes"], ["label"], axis=1, keepdims=0))
    if tail == "softmax":
        nodes.append(helper.make_node("Softmax", ["votes"], ["share"], axis=1))
    name = {"": "spikes", "key": "votes", "argmax": "label", "softmax": "share"}[tail]
    kind = TensorProto.INT64 if tail == "argmax" else TensorProto.FLOAT
    shape = [rows] if tail == "argmax" else [rows, CLASSES if tail else OUTPUTS]
    return _model(
        nodes,
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 12]),
        helper.make_tensor_value_info(name, kind, shape),
        {"w1": W1 * np.float32(scale), "b1": B1, "w2": W2, "b2": B2, "key": KEY[:key_rows]},
    )


def dense_spikes(x: Array) -> Array:
    """The output spikes of `dense_steps`, uint8 [N, 6]."""
    hidden = (x.astype(np.float64) @ W1 + B1 >= 0.5).astype(np.float64)
    return (hidden @ W2 + B2 >= 0.5).astype(np.uint8)


def conv_steps() -> bytes:
    """x [N, 1, 6, 6] -> 3 x 3 convolution to 2 maps -> steps -> 2 x 2 max pooling -> dense steps [N, 4]."""
    rng = np.random.default_rng(6)
    weights = {
        "k": rng.integers(-8, 9, (2, 1, 3, 3)).astype(np.float32) / 8,
        "w": rng.integers(-8, 9, (18, 4)).astype(np.float32) / 8,
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        *step("c", "s"),
        helper.make_node("MaxPool", ["s"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["z"], name="dense"),
        *step("z", "spikes"),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 6, 6]),
        helper.make_tensor_value_info("spikes", TensorProto.FLOAT, ["N", 4]),
        weights,
    )


def grey_steps() -> bytes:
    """x [N, 4] of any numbers, x >= 100 -> dense steps [N, 2]."""
    nodes = [
        helper.make_node("GreaterOrEqual", ["x", "level"], ["on"]),
        helper.make_node("Cast", ["on"], ["bits"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["bits", "w"], ["z"], name="dense"),
        *step("z", "spikes"),
    ]
    weights = {"level": np.array(100, np.float32), "w": np.eye(4, 2, dtype=np.float32)}
    return _model(
        nodes,
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4]),
        helper.make_tensor_value_info("spikes", TensorProto.FLOAT, ["N", 2]),
        weights,
    )


def _model(
    nodes: list[onnx.NodeProto], given: onnx.ValueInfoProto, output: onnx.ValueInfoProto, weights: dict[str, Array]
) -> bytes:
    used = {name for node in nodes for name in node.input}
    weights = {"half": np.array(0.5, np.float32), **weights}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used]
    graph = helper.make_graph(nodes, "steps", [given], [output], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def samples(count: int, *shape: int) -> Array:
    """Seeded 0 and 1, uint8 [count, ...]."""
    return np.random.default_rng(count).integers(0, 2, (count, *shape)).astype(np.uint8)
