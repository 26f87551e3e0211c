"""The onnx package's own node cases: none fails, and as many pass as docs/conformance.md says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from attrs import frozen
from onnx import numpy_helper

from snc import onnx_backend
from snc.compiler.onnx.registry import REGISTRY
from snc.ir.diagnostics import UnsupportedOperator
from snc.ir.dialects.builtin import ConstantOp, ReturnOp

from .graphs import Array

DOCUMENT = Path(__file__).parents[3] / "docs" / "conformance.md"

_NAMES = """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape Conv
    ConvInteger ConvTranspose DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp
    Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GroupNormalization
    HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less Log LogSoftmax
    LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mul Neg Not Or PRelu Pad Pow
    QLinearConv QLinearMatMul QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    Relu Reshape Resize Round Selu Shape Sigmoid Sign Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze
    Sub Sum Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where
"""
OPERATORS = frozenset(_NAMES.split())
LEFT_OUT = re.compile(r"_expanded|training|^test_(adam|adagrad|momentum|gradient)")
EXOTIC = re.compile(r"(?i)bfloat16|float8|float4|e4m3|e5m2|e8m0|u?int[24](?![0-9])|string")
GENERAL = frozenset({"cast", "reshape", "transpose"})
"""What any operator may need beside its own operations."""


@frozen
class NodeCase:
    """A model with everything but its first input constant, that input, and the expected outputs."""

    name: str
    model: onnx.ModelProto
    inputs: list[Array]
    outputs: list[Array]
    rtol: float
    atol: float


@frozen
class Outcome:
    """How the cases went."""

    total: int
    passed: int
    failures: list[str]
    became: dict[str, set[str]]


def node_cases() -> Iterator[NodeCase]:
    """The cases of the list, by name."""
    from onnx.backend.test.loader import load_model_tests  # takes seconds: it computes every case

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = sorted(load_model_tests(kind="node"), key=lambda entry: entry.name)
    for entry in cases:
        nodes = entry.model.graph.node
        in_list = {node.op_type for node in nodes} <= OPERATORS and not any(node.domain for node in nodes)
        training = any(attribute.name == "training_mode" and attribute.i for n in nodes for attribute in n.attribute)
        if in_list and not training and not LEFT_OUT.search(entry.name) and not EXOTIC.search(entry.name):
            for inputs, outputs in entry.data_sets:
                model, free = frozen_model(entry.model, [plain(value) for value in inputs])
                yield NodeCase(entry.name, model, free, [plain(value) for value in outputs], entry.rtol, entry.atol)


def plain(value: Any) -> Any:
    """Cases hold arrays, messages and numpy scalars."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def frozen_model(model: onnx.ModelProto, inputs: list[Any]) -> tuple[onnx.ModelProto, list[Any]]:
    """The model with every array but the first input as an initializer, and the inputs that are left."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    free = []
    for index, (info, value) in enumerate(zip(list(result.graph.input), inputs, strict=False)):
        if index == 0 or not isinstance(value, np.ndarray):
            free.append(value)
            continue
        result.graph.initializer.append(numpy_helper.from_array(value, info.name))
        result.graph.input.remove(info)
    return result, free


def complaint(case: NodeCase, found: tuple[Array, ...]) -> str:
    """What is wrong with the outputs; empty when all is well."""
    if len(found) != len(case.outputs):
        return f"{len(found)} outputs, expected {len(case.outputs)}"
    for ours, expected in zip(found, case.outputs, strict=True):
        if ours.shape != expected.shape or ours.dtype != expected.dtype:
            return f"{ours.dtype} {ours.shape}, expected {expected.dtype} {expected.shape}"
        if not np.allclose(ours, expected, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return "values differ"
    return ""


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    total, passed, failures = 0, 0, []
    became: dict[str, set[str]] = {}
    for case in node_cases():
        total += 1
        try:
            representation = onnx_backend.prepare(case.model)
            wrong = complaint(case, representation.run(case.inputs))
        except UnsupportedOperator:
            continue
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        passed += not wrong
        failures += [f"{case.name}: {wrong}"] if wrong else []
        if len(case.model.graph.node) == 1:
            ops = [op for op in representation.module.main.body.ops if not isinstance(op, ConstantOp | ReturnOp)]
            became.setdefault(case.model.graph.node[0].op_type, set()).update(op.name.partition(".")[2] for op in ops)
    return Outcome(total, passed, failures, became)


class TestConformance:
    def test_no_case_fails(self, outcome: Outcome) -> None:
        assert outcome.failures == []

    def test_as_many_cases_pass_as_the_document_says(self, outcome: Outcome) -> None:
        numbers = dict(re.findall(r"^\| (list|passed|failed|refused) \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE))
        assert outcome.total == int(numbers["list"])
        assert outcome.passed >= int(numbers["passed"])
        assert int(numbers["passed"]) + int(numbers["failed"]) + int(numbers["refused"]) == outcome.total

    def test_operators_become_what_the_table_says(self, outcome: Outcome) -> None:
        for op_type, found in outcome.became.items():
            assert found <= {*REGISTRY["", op_type].becomes.split(", "), *GENERAL}, op_type


class TestBackend:
    def test_knows_one_device(self) -> None:
        assert onnx_backend.supports_device("CPU")
        assert not onnx_backend.supports_device("CUDA")

    def test_says_which_operators_it_knows(self) -> None:
        def holds(op_type: str) -> onnx.ModelProto:
            return onnx.parser.parse_model(
                f'<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {{ y = {op_type}(x) }}'
            )

        assert onnx_backend.is_compatible(holds("Relu"))
        assert not onnx_backend.is_compatible(holds("Sin"))
