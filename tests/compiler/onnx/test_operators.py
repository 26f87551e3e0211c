"""Operators agree with onnxruntime, in each form that the opsets gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from attrs import field, frozen

from snc.ir.diagnostics import ModelError, UnsupportedOperator

from .graphs import Array, assert_agrees, integers, normal, run, single

X = normal(0, 2, 3, 4, 5)
SIGNED = np.random.default_rng(1).integers(-9, 10, (2, 3)).astype(np.int64)
ODD = np.array([[1, -2, 3], [-4, 5, -6]], dtype=np.int64)
FLAGS = SIGNED > 0
POSITIVE = np.abs(X) + 0.1


@frozen
class Case:
    """One node: its inputs, opset and attributes."""

    op_type: str
    inputs: Sequence[Array | None]
    opset: int = 17
    outputs: int = 1
    attributes: dict[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        shown = ",".join(f"{name}={entry}" for name, entry in self.attributes.items())
        return f"{self.op_type}-{self.opset}({shown})".replace(" ", "")


def case(op_type: str, *inputs: Array | None, opset: int = 17, outputs: int = 1, **attributes: Any) -> Case:
    """A case in the order in which a call would be written."""
    return Case(op_type, inputs, opset, outputs, attributes)


def scalar(number: float, dtype: type[np.generic] = np.float32) -> Array:
    """An array of rank 0."""
    return np.array(number, dtype=dtype)


ELEMENTWISE = [
    *(case(name, X) for name in ("Abs", "Neg", "Ceil", "Floor", "Round", "Sign", "Exp", "Erf", "Reciprocal")),
    *(case(name, POSITIVE) for name in ("Log", "Sqrt")),
    *(case(name, X, normal(2, 3, 1, 5)) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")),
    *(case(name, SIGNED, ODD) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod")),
    *(case(name, SIGNED, ODD, opset=12) for name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    case("Mod", SIGNED, ODD, fmod=1),
    case("Max", X, normal(2, 5), normal(3, 1)),
    case("Mean", X, normal(2, 5), normal(3, 1)),
    case("Pow", POSITIVE, normal(4, 4, 5)),
    case("Pow", SIGNED, scalar(2.0)),
    case("Pow", np.array([1, -1, 2, -3], np.int64), np.array([-3, -3, -1, 2], np.int64)),
    *(case(name, FLAGS, FLAGS[:, ::-1].copy()) for name in ("And", "Or", "Xor")),
    case("Not", FLAGS),
    case("Where", FLAGS, normal(5, 2, 3), normal(6, 3)),
    *(case("Cast", X * 3, to=to) for to in (1, 6, 7, 9, 10, 11)),
    case("Cast", SIGNED, to=1),
    case("CastLike", X, scalar(0, np.int32)),
    case("Clip", X, opset=10, min=-0.5, max=0.5),
    case("Clip", X, opset=7),
    case("Clip", X, scalar(-0.5), scalar(0.5)),
    case("Clip", X, None, scalar(0.5)),
    case("Clip", X, scalar(0.5), scalar(-0.5)),
    case("Clip", SIGNED, scalar(-3, np.int64), scalar(4, np.int64)),
]
ACTIVATIONS = [
    *(case(name, X * 3) for name in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "HardSigmoid")),
    *(case(name, X * 3) for name in ("LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu")),
    case("LeakyRelu", X, alpha=0.3),
    case("Elu", X, alpha=0.3),
    case("Selu", X, alpha=1.5, gamma=0.7),
    case("Celu", X, alpha=0.3),
    case("ThresholdedRelu", X, alpha=0.3),
    case("HardSigmoid", X, alpha=0.4, beta=0.3),
    case("PRelu", X, normal(7, 3, 1, 1)),
    case("PRelu", X, normal(7, 5)),
    case("Mish", X, opset=18),
    case("Gelu", X, opset=20),
    case("Gelu", X, opset=20, approximate="tanh"),
    *(case(name, X, opset=opset) for name in ("Softmax", "LogSoftmax", "Hardmax") for opset in (7, 11, 13)),
    *(
        case(name, X, opset=opset, axis=axis)
        for name in ("Softmax", "LogSoftmax", "Hardmax")
        for opset in (7, 11, 13)
        for axis in (0, 2, 3)
    ),
    case("Softmax", normal(8, 1, 10, 1, 1), opset=9),
]
PARAMETERS = [normal(9, 3), normal(10, 3), normal(11, 3), np.abs(normal(12, 3)) + 0.1]
NORMALIZATIONS = [
    *(case("BatchNormalization", X, *PARAMETERS, opset=opset, epsilon=0.01) for opset in (7, 9, 14, 15)),
    case("BatchNormalization", normal(1, 4, 3), *PARAMETERS),
    case("LRN", X, size=3),
    case("LRN", X, size=5, alpha=0.5, beta=0.6, bias=2.0),
    case("InstanceNormalization", X, normal(9, 3), normal(10, 3), epsilon=0.01),
    case("LayerNormalization", X, normal(9, 5), normal(10, 5), outputs=3),
    case("LayerNormalization", X, normal(9, 4, 5), None, axis=2),
    case("GroupNormalization", normal(0, 2, 6, 3, 3), normal(9, 6), normal(10, 6), opset=21, num_groups=3),
    case("MeanVarianceNormalization", X),
    case("MeanVarianceNormalization", X, axes=[0, 3]),
]
PRODUCTS = [
    case("Gemm", normal(0, 3, 4), normal(1, 4, 5), normal(2, 5), alpha=0.5, beta=2.0),
    case("Gemm", normal(0, 4, 3), normal(1, 5, 4), normal(2, 3, 1), transA=1, transB=1),
    case("Gemm", normal(0, 3, 4), normal(1, 4, 5), opset=11),
    *(case("Gemm", normal(0, 3, 4), normal(1, 4, 5), normal(2, 5), opset=opset) for opset in (7, 9, 11)),
    *(
        case("MatMul", normal(0, *left), normal(1, *right))
        for left, right in (((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4,)))
    ),
    *(
        case("Einsum", normal(0, 2, 3, 4), normal(1, 2, 4, 5), equation=equation)
        for equation in ("bij,bjk->bik", "bij,bjk->ki", "bij,cjk->bcik", "bij, bjk", "...ij,...jk->...ik")
    ),
    case("Einsum", normal(0, 2, 3, 4), equation="abc->ca"),
]
REDUCTIONS = [
    *(
        case(name, POSITIVE, opset=opset, axes=[1, -1], keepdims=keep)
        for name in ("ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")
        for opset, keep in ((11, 1), (13, 0))
    ),
    *(case(name, POSITIVE, axes=[0]) for name in ("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")),
    *(
        case(name, POSITIVE, integers(1, 2), opset=18, keepdims=0)
        for name in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceLogSumExp")
    ),
    case("ReduceSum", X, opset=11, axes=[1]),
    case("ReduceSum", X),
    case("ReduceSum", X, integers(-2)),
    case("ReduceSum", X, noop_with_empty_axes=1),
    case("ReduceMean", X, opset=18, keepdims=0),
    case("ReduceSum", SIGNED, integers(0)),
    *(
        case(name, np.round(X), opset=opset, axis=axis, keepdims=keep)
        for name in ("ArgMax", "ArgMin")
        for opset, axis, keep in ((7, 0, 1), (11, -1, 0), (13, 2, 1))
    ),
    case("ArgMax", np.round(X), axis=3, select_last_index=1),
]
MOVEMENTS = [
    case("Reshape", X, integers(0, -1, 2)),
    case("Reshape", normal(0, 0, 3), integers(3, 0), opset=14, allowzero=1),
    *(case("Flatten", X, axis=axis) for axis in (0, 1, 3, 4, -1)),
    case("Squeeze", normal(0, 1, 3, 1, 2), opset=11, axes=[0]),
    case("Squeeze", normal(0, 1, 3, 1, 2), integers(-2)),
    case("Squeeze", normal(0, 1, 3, 1, 2)),
    case("Unsqueeze", X, opset=11, axes=[0, 5]),
    case("Unsqueeze", X, integers(-1, 1)),
    case("Transpose", X),
    case("Transpose", X, perm=[0, 2, 3, 1]),
    case("Concat", X, normal(2, 2, 1, 4, 5), normal(3, 2, 2, 4, 5), axis=1),
    case("Split", X, opset=11, outputs=2, axis=3, split=[2, 3]),
    case("Split", X, opset=7, outputs=3, axis=1),
    case("Split", X, integers(1, 4), outputs=2, axis=-1),
    case("Split", X, opset=18, outputs=3, axis=3, num_outputs=3),
    case("Slice", X, opset=9, starts=[1, -3], ends=[100, -1], axes=[1, 3]),
    case("Slice", X, opset=7, starts=[0, 1], ends=[1, 100]),
    case("Slice", X, integers(4, 0), integers(-100, 3), integers(3, 2), integers(-2, 2)),
    case("Slice", X, integers(3), integers(1)),
    case("Gather", X, np.array([[0, -1], [2, 1]]), axis=1),
    case("Gather", X, scalar(2, np.int64), axis=3),
    case("Expand", normal(0, 3, 1), integers(2, 1, 5)),
    case("Tile", normal(0, 2, 3), integers(2, 3)),
    case("Pad", X, opset=7, pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="constant", value=1.5),
    *(
        case("Pad", X, integers(0, 0, 1, 2, 0, 0, 3, 0), opset=opset, mode=mode)
        for opset in (11, 19)
        for mode in ("constant", "edge", "reflect")
    ),
    case("Pad", X, integers(0, 1, -1, 2, 0, 0, 3, -2), scalar(0.5), opset=13),
    case("Pad", X, integers(1, 2), scalar(0.5), integers(-1), opset=18),
    case("Pad", X, integers(0, 0, 1, 2, 0, 0, 3, 0), opset=19, mode="wrap"),
    case("DepthToSpace", normal(0, 2, 8, 2, 3), blocksize=2),
    case("DepthToSpace", normal(0, 2, 8, 2, 3), blocksize=2, mode="CRD"),
    case("SpaceToDepth", normal(0, 2, 2, 4, 6), blocksize=2),
]
SHAPES = [
    case("Shape", X),
    case("Shape", X, start=1, end=-1),
    case("Size", X),
    case("Identity", X),
    case("Dropout", X, opset=7),
    case("Dropout", X, opset=10),
    case("Dropout", X, scalar(0.3), scalar(False, np.bool_), outputs=2),
]
RESIZES = [
    case("Upsample", X, opset=7, scales=[1.0, 1.0, 2.0, 3.0]),
    case("Upsample", X, np.array([1, 1, 2, 2], np.float32), opset=9, mode="linear"),
    case("Resize", X, np.array([1, 1, 2, 1.5], np.float32), opset=10),
    *(
        case("Resize", X, None, np.array([1, 1, 1.6, 2.4], np.float32), opset=13, mode=mode, **how)
        for mode in ("nearest", "linear", "cubic")
        for how in (
            {"coordinate_transformation_mode": "asymmetric"},
            {"coordinate_transformation_mode": "half_pixel"},
            {"coordinate_transformation_mode": "pytorch_half_pixel"},
        )
    ),
    *(
        case(
            "Resize",
            X,
            None,
            None,
            integers(2, 3, 7, 9),
            opset=13,
            mode=mode,
            coordinate_transformation_mode="align_corners",
        )
        for mode in ("nearest", "linear", "cubic")
    ),
    *(
        case("Resize", X, None, None, integers(2, 3, 3, 4), opset=13, nearest_mode=nearest)
        for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    case("Resize", X, None, None, integers(6, 3), opset=18, axes=[2, 3], mode="linear", antialias=1),
    case("Resize", X, None, None, integers(6, 9), opset=18, axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
]
ALL = [*ELEMENTWISE, *ACTIVATIONS, *NORMALIZATIONS, *PRODUCTS, *REDUCTIONS, *MOVEMENTS, *SHAPES, *RESIZES]


class TestOperator:
    @pytest.mark.parametrize("form", ALL, ids=str)
    def test_agrees_with_onnxruntime(self, form: Case) -> None:
        proto, inputs = single(form.op_type, form.inputs, opset=form.opset, outputs=form.outputs, **form.attributes)
        assert_agrees(proto, inputs)

    @pytest.mark.parametrize(
        "form",
        [case("Clip", X, scalar(-0.5), scalar(0.5)), case("Where", FLAGS, X[0, 0, 0, :3], X[0, 0, 1, :3])],
        ids=str,
    )
    def test_agrees_when_every_input_is_computed(self, form: Case) -> None:
        proto, inputs = single(form.op_type, form.inputs, opset=form.opset, constant_from=9, **form.attributes)
        assert_agrees(proto, inputs)


class TestRefusal:
    """What is valid but not taken names the node and the reason."""

    @pytest.mark.parametrize(
        ("form", "reason"),
        [
            (case("Reshape", X, integers(6, 20)), "not constant"),
            (case("Pad", X, integers(0, 0, 1, 1, 0, 0, 1, 1)), "not constant"),
            (case("Dropout", X, scalar(0.3), scalar(True, np.bool_)), "not constant"),
            (case("Mod", X, X, fmod=1), "integers only"),
        ],
        ids=str,
    )
    def test_names_the_reason(self, form: Case, reason: str) -> None:
        proto, inputs = single(form.op_type, form.inputs, opset=form.opset, constant_from=9, **form.attributes)
        with pytest.raises(UnsupportedOperator, match=f"node: {form.op_type}.*{reason}"):
            run(proto, inputs)

    def test_training_is_refused(self) -> None:
        proto, inputs = single("Dropout", [X, scalar(0.3), scalar(True, np.bool_)])
        with pytest.raises(UnsupportedOperator, match="training mode"):
            run(proto, inputs)
        proto, inputs = single("BatchNormalization", [X, *PARAMETERS], opset=15, outputs=3, training_mode=1)
        with pytest.raises(UnsupportedOperator, match="training mode"):
            run(proto, inputs)


class TestMalformedNode:
    """What breaks a rule of ONNX is an error that names the node, never a traceback."""

    @pytest.mark.parametrize(
        "form",
        [
            case("Reshape", X, integers(7, -1)),
            case("Reshape", X, integers(-1, -1)),
            case("Concat", X, normal(1, 2, 3, 4), axis=1),
            case("Add", X, SIGNED),
            case("Gemm", normal(0, 3, 4), normal(1, 5, 6)),
            case("Conv", X, normal(0, 4, 2, 3, 3)),
            case("Conv", X, normal(0, 4, 3, 3, 3), strides=[0, 1]),
            case("Conv", X, normal(0, 4, 3, 3, 3), pads=[1, 1]),
            case("Conv", X, normal(0, 4, 3, 3, 3), auto_pad="SAME"),
            case("MaxPool", X, kernel_shape=[9, 9]),
            case("Squeeze", X, integers(1)),
            case("Transpose", X, perm=[0, 0, 1, 2]),
            case("Gather", X, integers(3), axis=1),
            case("Softmax", X, axis=4),
            case("Split", X, integers(1, 1), outputs=2, axis=1),
            case("Flatten", X, axis=1.0),
            case("Relu", X, alpha=1.0),
            case("Relu", X, X),
            case("Concat", X, X),
        ],
        ids=str,
    )
    def test_is_reported(self, form: Case) -> None:
        proto, inputs = single(form.op_type, form.inputs, opset=form.opset, outputs=form.outputs, **form.attributes)
        with pytest.raises(ModelError) as error:
            run(proto, inputs)
        assert not isinstance(error.value, UnsupportedOperator)
        assert [entry.node for entry in error.value.diagnostics] == ["node"]
