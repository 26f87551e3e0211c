"""A small network, compiled and run, to see whether an installation works."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .driver import compile
from .verification import SEED


def small_model() -> onnx.ModelProto:
    """A convolution, a pool and a dense layer with seeded weights; its input is [1, 3, 12, 12]."""
    rng = np.random.default_rng(SEED)
    weights = {
        "w1": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "b1": rng.standard_normal(8).astype(np.float32),
        "w2": rng.standard_normal((288, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["d"], name="flatten"),
        helper.make_node("MatMul", ["d", "w2"], ["y"], name="dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "self_test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def differing_integers() -> int:
    """How many outputs of a small network, run by its program, differ from those of the reference interpreter."""
    executable = compile(small_model())
    x = np.random.default_rng(SEED).standard_normal((4, 3, 12, 12)).astype(np.float32)
    (ours,) = executable.run([x], integers=True)
    (reference,) = executable.interpret([x], integers=True)
    return int((ours != reference).sum())
