"""The fixed-point dialect: integer operations with every number that decides a bit written out.

A tensor of `!quant.uniform<i8:f32, scale:zero>` holds integers q that stand for scale * (q - zero). Accumulators are
plain i32 tensors. `round_shift(v, s)` is (v + 2^(s-1)) >> s for s > 0 and v for s = 0, formed in 64 bit: ties go
towards plus infinity. `clamp` limits to [low, high]. The meaning of each operation is the equation in its docstring;
the reference interpreter computes it literally.
"""

from ...context import Dialect
from .binarize import BINARIZE_OPS, SPIKE, BinarizeOp
from .compute import COMPUTE_OPS, AvgPool2dOp, Conv2dOp, LrnOp, MatMulOp, MaxPool2dOp, SoftmaxOp
from .conversion import CONVERSION_OPS, DequantizeOp, QuantizeOp, RescaleFloatOp, RescaleOp, StorageCastOp
from .pointwise import POINTWISE_OPS, AddFloatOp, AddOp, ExtremumOp, LimitedPair, MulOp, TableOp
from .types import UNIFORM_TENSOR, Limited, UniformType, along_axis, parse_uniform, round_shift, uniform

QUANT = Dialect("quant", (*CONVERSION_OPS, *POINTWISE_OPS, *COMPUTE_OPS, *BINARIZE_OPS), {"uniform": parse_uniform})

__all__ = [
    "QUANT",
    "SPIKE",
    "UNIFORM_TENSOR",
    "AddFloatOp",
    "AddOp",
    "AvgPool2dOp",
    "BinarizeOp",
    "Conv2dOp",
    "DequantizeOp",
    "ExtremumOp",
    "Limited",
    "LimitedPair",
    "LrnOp",
    "MatMulOp",
    "MaxPool2dOp",
    "MulOp",
    "QuantizeOp",
    "RescaleFloatOp",
    "RescaleOp",
    "SoftmaxOp",
    "StorageCastOp",
    "TableOp",
    "UniformType",
    "along_axis",
    "round_shift",
    "uniform",
]
