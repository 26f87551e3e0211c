"""Small ONNX models, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from snc.compiler.onnx.importer import import_model
from snc.ir.dialects import default_context
from snc.ir.verifier import verify
from snc.runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]

IR_VERSION = 10
"""Old enough for every runtime that the tests compare with."""


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array | Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
    *,
    opset: int = 17,
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; an input is given by an array of its type and shape, or by an f32 shape with names for free sizes."""
    declared = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(like.dtype) if isinstance(like, np.ndarray) else onnx.TensorProto.FLOAT,
            like.shape if isinstance(like, np.ndarray) else like,
        )
        for name, like in inputs.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", declared, results, initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*entry) for entry in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def single(
    op_type: str,
    inputs: Sequence[Array | None],
    *,
    opset: int = 17,
    constant_from: int = 1,
    outputs: int = 1,
    **attributes: Any,
) -> tuple[onnx.ModelProto, list[Array]]:
    """A model of one node, and its run-time inputs; inputs from `constant_from` on are initializers."""
    names = ["" if array is None else f"i{index}" for index, array in enumerate(inputs)]
    results = [f"o{index}" for index in range(outputs)]
    node = helper.make_node(op_type, names, results, name="node", **attributes)
    given = [(name, array) for name, array in zip(names, inputs, strict=True) if array is not None]
    free = {name: array for name, array in given if int(name[1:]) < constant_from}
    fixed = {name: array for name, array in given if int(name[1:]) >= constant_from}
    return model([node], free, results, fixed, opset=opset), list(free.values())


def run(proto: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """What snc computes; the imported module is verified first."""
    module = import_model(proto)
    verify(module, default_context())
    return evaluate(module, inputs)


def oracle(proto: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """What onnxruntime computes without rewriting the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    typed = onnx.shape_inference.infer_shapes(proto)
    session = onnxruntime.InferenceSession(typed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def assert_agrees(proto: onnx.ModelProto, inputs: Sequence[Array], *, rtol: float = 1e-5) -> None:
    """Same shapes and dtypes as onnxruntime; floats within `rtol` of the largest value, the rest bit for bit.

    Both sum in f32 in another order, so they differ by some units in the last place of the largest term.
    """
    ours, theirs = run(proto, inputs), oracle(proto, inputs)
    assert len(ours) == len(theirs)
    for found, expected in zip(ours, theirs, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if found.dtype.kind == "f":
            finite = expected[np.isfinite(expected)]
            bound = rtol * float(np.abs(finite).max(initial=1e-3))
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=bound)
        else:
            np.testing.assert_array_equal(found, expected)


def normal(seed: int, *shape: int) -> Array:
    """Normally distributed f32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(*entries: int) -> Array:
    """A list of i64, as shapes and axes are."""
    return np.array(entries, dtype=np.int64)
