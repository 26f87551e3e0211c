"""Small networks of soft activations, and data that they can learn."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from snc.compiler.data.arrays import ArrayDataSet

Array = NDArray[Any]
CLASSES = 4
SIDE = 6


def model(
    nodes: list[onnx.NodeProto], constants: dict[str, Array], shape: tuple[int, ...], output: str = "y"
) -> onnx.ModelProto:
    """A model of one input x [N, *shape]."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", 1, ["N", *shape])],
        [helper.make_tensor_value_info(output, 1, ["N", "outputs"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weights(seed: int, *shape: int) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def dense(outputs: int = CLASSES, activation: str = "Relu", tail: str = "") -> onnx.ModelProto:
    """36 - 12 - 12 - outputs."""
    nodes, constants, at = [], {}, "x"
    sizes = (SIDE * SIDE, 12, 12, outputs)
    for layer, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        constants[f"fc{layer}.weight"] = weights(layer, columns, rows)
        constants[f"fc{layer}.bias"] = np.zeros(columns, np.float32)
        names = [at, f"fc{layer}.weight", f"fc{layer}.bias"]
        nodes.append(helper.make_node("Gemm", names, [f"z{layer}"], name=f"/fc{layer}", transB=1))
        at = f"z{layer}"
        if layer < 2:
            nodes.append(helper.make_node(activation, [at], [f"a{layer}"], name=f"/act{layer}"))
            at = f"a{layer}"
    if tail:
        nodes.append(helper.make_node(tail, [at], ["tail"], name="/tail"))
        at = "tail"
    return model(nodes, constants, (SIDE * SIDE,), at)


def conv(
    outputs: int = CLASSES, *, pool_first: bool = False, normalised: bool = False, pool: str = "MaxPool"
) -> onnx.ModelProto:
    """3x3, 4 - pool 2 - dense; batch normalisations whose new scale and variance are one initialiser."""
    constants = {
        "conv.weight": weights(0, 4, 1, 3, 3),
        "conv.bias": np.zeros(4, np.float32),
        "fc.weight": weights(1, 36, outputs),
        "ones": np.ones(4, np.float32),
        "zeros": np.zeros(4, np.float32),
    }
    nodes = [helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["z"], name="/conv", pads=[1, 1, 1, 1])]
    at = "z"
    if normalised:
        nodes.append(
            helper.make_node("BatchNormalization", [at, "ones", "zeros", "zeros", "ones"], ["n"], name="/norm")
        )
        at = "n"
    relu = helper.make_node("Relu", ["{}"], ["a"], name="/relu")
    pooling = helper.make_node(pool, ["{}"], ["p"], name="/pool", kernel_shape=[2, 2], strides=[2, 2])
    for node in (pooling, relu) if pool_first else (relu, pooling):
        node.input[0] = at
        nodes.append(node)
        at = node.output[0]
    nodes += [
        helper.make_node("Flatten", [at], ["f"], name="/flatten"),
        helper.make_node("MatMul", ["f", "fc.weight"], ["y"], name="/fc"),
    ]
    return model(nodes, constants, (1, SIDE, SIDE))


def samples(count: int = 400, seed: int = 0, *, flat: bool = True) -> ArrayDataSet:
    """Four patterns of 0 and 1 with a tenth of the pixels turned over."""
    patterns = np.random.default_rng(7).integers(0, 2, (CLASSES, SIDE, SIDE))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    bits = (patterns[labels] ^ (rng.random((count, SIDE, SIDE)) < 0.1)).astype(np.uint8)
    return ArrayDataSet({"x": bits.reshape(count, -1) if flat else bits[:, None]}, labels)
