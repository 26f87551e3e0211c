"""Which ONNX operators are taken, in which opsets, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx.defs
from attrs import frozen

from ...ir.core import Value
from . import (
    activation,
    constant,
    conv,
    elementwise,
    matmul,
    movement,
    normalization,
    pool,
    qonnx,
    quantized,
    reduction,
    resize,
    shape,
)
from .node import Node

OLDEST_OPSET = 7
NEWEST_OPSET: int = onnx.defs.onnx_opset_version()
"""The newest opset of the installed ONNX library; a later one may change operators in ways that nobody here knows."""

Importer = Callable[[Node], Value | Sequence[Value | None]]


@frozen
class OnnxOperator:
    """One operator that is taken.

    `versions` are the definitions that the importer understands, each named by the opset that introduced it; custom
    operators have none. `becomes` names the operations that it may turn into, beside constants, casts and
    changes of shape; `note` says what is taken.
    """

    op_type: str
    importer: Importer
    versions: tuple[int, ...]
    becomes: str
    note: str = ""
    domain: str = ""

    @property
    def opsets(self) -> str:
        """The opsets in which the operator is taken, such as `7-28`."""
        if not self.versions:
            return "any"
        later = [version for version in _versions(self.op_type) if version > self.versions[-1]]
        return f"{max(OLDEST_OPSET, self.versions[0])}-{later[0] - 1 if later else NEWEST_OPSET}"


def _versions(op_type: str) -> list[int]:
    """Every opset that changed the operator, ascending."""
    version, found = NEWEST_OPSET, []
    while version > 0 and onnx.defs.has(op_type, version, ""):
        version = onnx.defs.get_schema(op_type, version, "").since_version
        found.append(version)
        version -= 1
    return found[::-1]


_V = tuple[int, ...]
_MATH: _V = (6, 13)
_ARITHMETIC: _V = (7, 13, 14)
_TO_25: _V = (21, 23, 24, 25)

_OPERATORS: tuple[OnnxOperator, ...] = (
    # compute
    OnnxOperator("Conv", conv.conv, (1, 11, 22), "conv2d", "one or two spatial axes"),
    OnnxOperator("ConvTranspose", conv.conv_transpose, (1, 11, 22), "conv_transpose2d", "one or two spatial axes"),
    OnnxOperator("ConvInteger", conv.conv_integer, (10,), "cast, sub, conv2d", "one or two spatial axes"),
    OnnxOperator("Gemm", matmul.gemm, (7, 9, 11, 13), "matmul, mul, add"),
    OnnxOperator("MatMul", matmul.matmul, (1, 9, 13), "matmul"),
    OnnxOperator("MatMulInteger", matmul.matmul_integer, (10,), "cast, sub, matmul"),
    OnnxOperator("Einsum", matmul.einsum, (12, 28), "transpose, reduce, reshape, matmul", "one or two inputs"),
    # quantization
    OnnxOperator(
        "QuantizeLinear",
        quantized.quantize_linear,
        (10, 13, 19, 21, 23, 24, 25, 28),
        "quantize",
        "8 and 16 bit integers; constant scales by tensor or channel",
    ),
    OnnxOperator(
        "DequantizeLinear",
        quantized.dequantize_linear,
        (10, 13, 19, 21, 23, 24, 25, 28),
        "dequantize",
        "8, 16 and 32 bit integers; constant scales by tensor or channel",
    ),
    OnnxOperator(
        "DynamicQuantizeLinear",
        quantized.dynamic_quantize_linear,
        (11,),
        "reduce, minimum, maximum, sub, div, compare, select, round, add, clamp, cast",
    ),
    OnnxOperator("QLinearConv", quantized.qlinear_conv, (10,), "dequantize, conv2d, quantize", "constant scales"),
    OnnxOperator(
        "QLinearMatMul", quantized.qlinear_matmul, (10, 21), "dequantize, matmul, quantize", "constant scales"
    ),
    OnnxOperator(
        "Quant",
        qonnx.quant,
        (),
        "clamp, maximum, minimum, quantize, dequantize",
        "2 to 8 bits; constants up to 32",
        domain="qonnx.custom_op.general",
    ),
    OnnxOperator(
        "Quant",
        qonnx.quant,
        (),
        "clamp, maximum, minimum, quantize, dequantize",
        "2 to 8 bits; constants up to 32",
        domain="onnx.brevitas",
    ),
    OnnxOperator(
        "BipolarQuant",
        qonnx.bipolar_quant,
        (),
        "compare, select",
        "constant scales above 0",
        domain="qonnx.custom_op.general",
    ),
    # pooling
    OnnxOperator("MaxPool", pool.max_pool, (1, 8, 10, 11, 12, 22), "max_pool2d", "no indices"),
    OnnxOperator("AveragePool", pool.average_pool, (7, 10, 11, 19, 22), "avg_pool2d"),
    OnnxOperator("LpPool", pool.lp_pool, (2, 11, 18, 22), "abs, pow, mul, pad, avg_pool2d, sqrt"),
    OnnxOperator("GlobalAveragePool", pool.global_average_pool, (1, 22), "reduce"),
    OnnxOperator("GlobalMaxPool", pool.global_max_pool, (1, 22), "reduce"),
    OnnxOperator("GlobalLpPool", pool.global_lp_pool, (2, 22), "abs, pow, mul, reduce, sqrt"),
    # activation
    OnnxOperator("Relu", activation.relu, (6, 13, 14), "clamp"),
    OnnxOperator("Clip", elementwise.clip, (6, 11, 12, 13), "clamp, maximum, minimum, quantize"),
    OnnxOperator("LeakyRelu", activation.leaky_relu, (6, 16), "leaky_relu"),
    OnnxOperator("PRelu", activation.prelu, (7, 9, 16), "prelu", "floats"),
    OnnxOperator("Elu", activation.elu, (6, 22), "elu"),
    OnnxOperator("Selu", activation.selu, (6, 22), "selu"),
    OnnxOperator("Celu", activation.celu, (12, 28), "elu"),
    OnnxOperator("ThresholdedRelu", activation.thresholded_relu, (10, 22), "thresholded_relu"),
    OnnxOperator("Sigmoid", activation.SIGMOID, _MATH, "sigmoid"),
    OnnxOperator("HardSigmoid", activation.hard_sigmoid, (6, 22), "hard_sigmoid"),
    OnnxOperator("HardSwish", activation.HARD_SWISH, (14, 22), "hard_swish"),
    OnnxOperator("Swish", activation.swish, (24,), "mul, sigmoid"),
    OnnxOperator("Mish", activation.MISH, (18, 22), "mish"),
    OnnxOperator("Gelu", activation.gelu, (20,), "gelu"),
    OnnxOperator("Tanh", activation.TANH, _MATH, "tanh"),
    OnnxOperator("Softplus", activation.SOFTPLUS, (1, 22), "softplus"),
    OnnxOperator("Softsign", activation.SOFTSIGN, (1, 22), "softsign"),
    OnnxOperator("Softmax", activation.softmax, (1, 11, 13), "softmax"),
    OnnxOperator("LogSoftmax", activation.log_softmax, (1, 11, 13), "softmax"),
    OnnxOperator("Hardmax", activation.hardmax, (1, 11, 13), "arg_reduce, compare, cast"),
    # normalization
    OnnxOperator(
        "BatchNormalization", normalization.batch_normalization, (7, 9, 14, 15), "batch_norm", "inference, spatial"
    ),
    OnnxOperator("LRN", normalization.lrn, (1, 13), "lrn"),
    OnnxOperator(
        "InstanceNormalization",
        normalization.instance_normalization,
        (6, 22),
        "reduce, sub, mul, add, sqrt, reciprocal",
    ),
    OnnxOperator(
        "LayerNormalization", normalization.layer_normalization, (17,), "reduce, sub, mul, add, sqrt, reciprocal"
    ),
    OnnxOperator(
        "GroupNormalization", normalization.group_normalization, (18, 21), "reduce, sub, mul, add, sqrt, reciprocal"
    ),
    OnnxOperator("RMSNormalization", normalization.rms_normalization, (23,), "reduce, mul, add, sqrt, reciprocal"),
    OnnxOperator(
        "MeanVarianceNormalization",
        normalization.mean_variance_normalization,
        (9, 13),
        "reduce, sub, mul, sqrt, add, div",
    ),
    # arithmetic
    OnnxOperator("Add", elementwise.ADD, _ARITHMETIC, "add"),
    OnnxOperator("Sub", elementwise.SUB, _ARITHMETIC, "sub"),
    OnnxOperator("Mul", elementwise.MUL, _ARITHMETIC, "mul"),
    OnnxOperator("Div", elementwise.DIV, _ARITHMETIC, "div"),
    OnnxOperator("Mod", elementwise.modulo, (10, 13, 28), "div, mul, sub, add", "integers"),
    OnnxOperator("Pow", elementwise.power, (7, 12, 13, 15), "pow"),
    OnnxOperator("Sum", elementwise.SUM, (6, 8, 13), "add"),
    OnnxOperator("Mean", elementwise.mean, (6, 8, 13), "add, div"),
    OnnxOperator("Max", elementwise.MAX, (6, 8, 12, 13), "maximum"),
    OnnxOperator("Min", elementwise.MIN, (6, 8, 12, 13), "minimum"),
    OnnxOperator("Abs", elementwise.ABS, _MATH, "abs"),
    OnnxOperator("Neg", elementwise.NEG, _MATH, "neg"),
    OnnxOperator("Ceil", elementwise.CEIL, _MATH, "ceil"),
    OnnxOperator("Floor", elementwise.FLOOR, _MATH, "floor"),
    OnnxOperator("Round", elementwise.ROUND, (11, 22), "round"),
    OnnxOperator("Sign", elementwise.SIGN, (9, 13), "sign"),
    OnnxOperator("Exp", elementwise.EXP, _MATH, "exp"),
    OnnxOperator("Log", elementwise.LOG, _MATH, "log"),
    OnnxOperator("Sqrt", elementwise.SQRT, _MATH, "sqrt"),
    OnnxOperator("Reciprocal", elementwise.RECIPROCAL, _MATH, "reciprocal"),
    OnnxOperator("Erf", elementwise.ERF, (9, 13), "erf"),
    OnnxOperator("Cast", elementwise.cast_to, (6, 9, 13, 19, 21, 23, 24, 25, 28), "cast", "integers and f16 to f64"),
    OnnxOperator("CastLike", elementwise.cast_like, (15, 19, *_TO_25), "cast", "integers and f16 to f64"),
    OnnxOperator("Where", elementwise.where, (9, 16), "select"),
    OnnxOperator("Equal", elementwise.compare("eq"), (7, 11, 13, 19), "compare"),
    OnnxOperator("Greater", elementwise.compare("gt"), (7, 9, 13), "compare"),
    OnnxOperator("GreaterOrEqual", elementwise.compare("ge"), (12, 16), "compare"),
    OnnxOperator("Less", elementwise.compare("lt"), (7, 9, 13), "compare"),
    OnnxOperator("LessOrEqual", elementwise.compare("le"), (12, 16), "compare"),
    OnnxOperator("And", elementwise.logical("and"), (7,), "logical"),
    OnnxOperator("Or", elementwise.logical("or"), (7,), "logical"),
    OnnxOperator("Xor", elementwise.logical("xor"), (7,), "logical"),
    OnnxOperator("Not", elementwise.boolean_not, (1,), "not"),
    # reduction
    OnnxOperator("ReduceSum", reduction.reduction("sum", 13), (1, 11, 13), "reduce"),
    OnnxOperator("ReduceMean", reduction.reduction("mean"), (1, 11, 13, 18), "reduce"),
    OnnxOperator("ReduceProd", reduction.reduction("prod"), (1, 11, 13, 18), "reduce"),
    OnnxOperator("ReduceMax", reduction.reduction("max"), (1, 11, 12, 13, 18, 20), "reduce"),
    OnnxOperator("ReduceMin", reduction.reduction("min"), (1, 11, 12, 13, 18, 20), "reduce"),
    OnnxOperator("ReduceL1", reduction.reduction("l1"), (1, 11, 13, 18), "reduce"),
    OnnxOperator("ReduceL2", reduction.reduction("l2"), (1, 11, 13, 18), "reduce"),
    OnnxOperator("ReduceSumSquare", reduction.reduction("sum_square"), (1, 11, 13, 18), "reduce"),
    OnnxOperator("ReduceLogSum", reduction.reduction("sum", log=True), (1, 11, 13, 18, 28), "reduce, log"),
    OnnxOperator("ReduceLogSumExp", reduction.reduction("log_sum_exp"), (1, 11, 13, 18, 28), "reduce"),
    OnnxOperator("ArgMax", reduction.arg_reduction("max"), (1, 11, 12, 13), "arg_reduce"),
    OnnxOperator("ArgMin", reduction.arg_reduction("min"), (1, 11, 12, 13), "arg_reduce"),
    # movement
    OnnxOperator("Reshape", movement.reshape_to, (5, 13, 14, 19, *_TO_25), "reshape", "constant shape"),
    OnnxOperator("Flatten", movement.flatten, (1, 9, 11, 13, *_TO_25), "reshape"),
    OnnxOperator("Squeeze", movement.squeeze, (1, 11, 13, *_TO_25), "reshape", "constant axes"),
    OnnxOperator("Unsqueeze", movement.unsqueeze, (1, 11, 13, *_TO_25), "reshape", "constant axes"),
    OnnxOperator("Transpose", movement.transpose_axes, (1, 13, *_TO_25), "transpose"),
    OnnxOperator("Concat", movement.concat, (4, 11, 13), "concat"),
    OnnxOperator("Split", movement.split, (2, 11, 13, 18), "slice", "constant sizes"),
    OnnxOperator("Slice", movement.slice_axes, (1, 10, 11, 13), "slice", "constant bounds"),
    OnnxOperator("Gather", movement.gather, (1, 11, 13), "gather"),
    OnnxOperator("Expand", movement.expand, (8, 13), "expand", "constant shape"),
    OnnxOperator("Tile", movement.tile, (6, 13), "reshape, expand", "constant repeats"),
    OnnxOperator("Pad", movement.pad, (2, 11, 13, 18, 19, *_TO_25), "slice, pad", "constant pads"),
    OnnxOperator("DepthToSpace", movement.depth_to_space, (1, 11, 13, 28), "reshape, transpose"),
    OnnxOperator("SpaceToDepth", movement.space_to_depth, (1, 13, 28), "reshape, transpose"),
    OnnxOperator(
        "Resize", resize.resize, (10, 11, 13, 18, 19), "resize_nearest, gather, matmul, select", "constant sizes"
    ),
    OnnxOperator("Upsample", resize.upsample, (7, 9), "resize_nearest, gather, matmul, select", "constant scales"),
    # constants and shapes
    OnnxOperator("Constant", constant.constant, (1, 9, 11, 12, 13, 19, *_TO_25), "constant", "no strings, no sparse"),
    OnnxOperator("ConstantOfShape", constant.constant_of_shape, (9, 20, *_TO_25), "constant", "constant shape"),
    OnnxOperator("Identity", constant.identity, (1, 13, 14, 16, 19, *_TO_25), ""),
    OnnxOperator("Dropout", constant.dropout, (7, 10, 12, 13, 22), "", "inference"),
    OnnxOperator("Shape", shape.shape, (1, 13, 15, 19, *_TO_25), "constant"),
    OnnxOperator("Size", shape.size, (1, 13, 19, *_TO_25), "constant"),
    OnnxOperator("Range", shape.value_range, (11, 27), "constant", "constant bounds"),
    OnnxOperator("NonZero", shape.non_zero, (9, 13), "constant", "constant input"),
)

REGISTRY: dict[tuple[str, str], OnnxOperator] = {(entry.domain, entry.op_type): entry for entry in _OPERATORS}
"""Operators by (domain, name); the standard domain is the empty string."""

_CONTROL = "control flow is not taken; export the model without data-dependent branches or loops"
_RECURRENT = "recurrent layers are not taken"
_SEQUENCE = "sequences and optionals are not taken"
_STRING = "strings are not taken"
_TRAINING = "training operators are not taken; export the model for inference"
_RANDOM = "random values are not taken"
_HOST = "this step belongs on the host; cut the model before it"

REASONS: dict[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(
        (
            *("SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength"),
            *("SequenceMap", "SplitToSequence", "ConcatFromSequence"),
            *("Optional", "OptionalGetElement", "OptionalHasElement"),
        ),
        _SEQUENCE,
    ),
    **dict.fromkeys(("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"), _STRING),
    **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "Adam", "Adagrad", "Momentum"), _TRAINING),
    **dict.fromkeys(
        ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"), _RANDOM
    ),
    **dict.fromkeys(("NonMaxSuppression", "RoiAlign", "MaxRoiPool", "TopK", "Unique", "ImageDecoder"), _HOST),
    "Trunc": "QONNX truncation has no importer",
}
"""Why well-known operators are refused, by name."""


def support_table() -> tuple[OnnxOperator, ...]:
    """Every operator that is taken, sorted by domain and name."""
    return tuple(sorted(_OPERATORS, key=lambda entry: (entry.domain, entry.op_type)))
