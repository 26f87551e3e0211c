"""Quantised operators: each becomes dequantize, a float operation and quantize with the model's own numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.dialects.nn import (
    AddOp,
    CastOp,
    ClampOp,
    CompareOp,
    DivOp,
    MatMulOp,
    MaximumOp,
    MinimumOp,
    ReduceOp,
    RoundOp,
    SelectOp,
    SubOp,
)
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType
from ...ir.types import F16, F32, I8, I16, I32, U8, U16, ElementType, FloatType, IntegerType, element_of
from .conv import convolution
from .emit import cast
from .node import Node
from .problems import ELEMENT_TYPE, NodeProblem, malformed, unsupported
from .tensors import data_type_name, element_of_onnx

_STORAGE: tuple[ElementType, ...] = (I8, U8, I16, U16)


def quantize_linear(node: Node) -> Value:
    """QuantizeLinear."""
    x, scale = cast(node, node.input(0), F32), node.constant(1, "scale")
    zero_point = node.optional_constant(2, "zero point")
    storage = _quantized_type(node, zero_point)
    _refuse_blocks(node, scale, x)
    if scale.dtype == np.float16:
        raise unsupported("dividing by a scale in half precision is not taken", found=str(scale.dtype))
    zeros = np.zeros(scale.shape, storage.dtype) if zero_point is None else zero_point
    return quantize(node, x, scale, zeros, node.attr_int("axis", 1))


def dequantize_linear(node: Node) -> Value:
    """DequantizeLinear."""
    x, scale = node.stored(0), node.constant(1, "scale")
    zero_point = node.optional_constant(2, "zero point")
    _refuse_blocks(node, scale, x)
    zeros = np.zeros(scale.shape, x.element.dtype) if zero_point is None else zero_point
    target = element_of(scale.dtype)
    if node.opset >= 23 and node.attr_int("output_dtype", 0):
        target = _float_type(node.attr_int("output_dtype"))
    real = dequantize(node, x, scale, zeros, node.attr_int("axis", 1))
    if target == F16 and x.element.dtype.itemsize > 1:
        raise unsupported("half precision from more than 8 bits is not taken", found=str(x.type))
    return cast(node, real, target)


def dynamic_quantize_linear(node: Node) -> tuple[Value, Value, Value]:
    """DynamicQuantizeLinear: u8 over the range of x and 0, spelt out; zeros alone have scale 0 and zero point 0."""
    x = node.input(0)
    axes, zero = tuple(range(x.tensor.rank)), node.scalar(0, x)
    low = node.add(MinimumOp(lhs=node.add(ReduceOp(x=x, kind="min", axes=axes, keep_dims=False)), rhs=zero))
    high = node.add(MaximumOp(lhs=node.add(ReduceOp(x=x, kind="max", axes=axes, keep_dims=False)), rhs=zero))
    width = node.add(SubOp(lhs=high, rhs=low))
    scale = node.add(DivOp(lhs=width, rhs=node.scalar(255, x)))
    empty = node.add(CompareOp(lhs=scale, rhs=zero, predicate="eq"))
    divisor = node.add(SelectOp(condition=empty, on_true=node.scalar(1, x), on_false=scale))
    start = node.add(DivOp(lhs=node.add(SubOp(lhs=zero, rhs=low)), rhs=divisor))
    zero_point = node.add(RoundOp(x=node.add(ClampOp(x=start, low=0.0, high=255.0))))
    steps = node.add(RoundOp(x=node.add(DivOp(lhs=x, rhs=divisor))))
    levels = node.add(ClampOp(x=node.add(AddOp(lhs=steps, rhs=zero_point)), low=0.0, high=255.0))
    return node.add(CastOp(x=levels, to=U8)), scale, node.add(CastOp(x=zero_point, to=U8))


def qlinear_conv(node: Node) -> Value:
    """QLinearConv; its i32 bias counts in units of the input's scale times the weights'."""
    x_scale, w_scale = node.constant(1, "x_scale"), node.constant(4, "w_scale")
    x = dequantize(node, node.stored(0), x_scale, node.constant(2, "x_zero_point"), 1)
    weight = dequantize(node, node.stored(3), w_scale, node.constant(5, "w_zero_point"), 0)
    bias = None
    if node.optional_stored(8) is not None:
        bias_scale = (x_scale.reshape(()) if x_scale.size == 1 else x_scale) * w_scale
        bias = dequantize(node, node.stored(8), bias_scale, np.zeros(bias_scale.shape, np.int32), 0)
    result = convolution(node, x, weight, bias)
    return quantize(node, result, node.constant(6, "y_scale"), node.constant(7, "y_zero_point"), 1)


def qlinear_matmul(node: Node) -> Value:
    """QLinearMatMul; scales by row of a or by column of b are taken."""
    lhs = dequantize(node, node.stored(0), node.constant(1, "a_scale"), node.constant(2, "a_zero_point"), -2)
    rhs = dequantize(node, node.stored(3), node.constant(4, "b_scale"), node.constant(5, "b_zero_point"), -1)
    product = node.add(MatMulOp(lhs=lhs, rhs=rhs))
    return quantize(node, product, node.constant(6, "y_scale"), node.constant(7, "y_zero_point"), -1)


def quantize(node: Node, x: Value, scale: NDArray[np.floating], zero_point: NDArray[np.integer], axis: int) -> Value:
    """The operation for parameters as ONNX gives them: one number, or one per index of `axis`."""
    storage = element_of(zero_point.dtype)
    if storage not in _STORAGE:
        raise NodeProblem(ELEMENT_TYPE, f"quantising to {storage} is not taken", expected="8 or 16 bits")
    scale, zero_point = _parameters(scale, zero_point)
    return node.add(QuantizeOp(x=x, scale=scale, zero_point=zero_point, axis=_axis(x, axis), to=storage))


def dequantize(node: Node, x: Value, scale: NDArray[np.floating], zero_point: NDArray[np.integer], axis: int) -> Value:
    """The operation for parameters as ONNX gives them; integers quantised otherwise are taken as plain integers."""
    storage = x.element.storage if isinstance(x.element, UniformType) else x.element
    if storage not in (*_STORAGE, I32):
        raise NodeProblem(ELEMENT_TYPE, f"dequantising {storage} is not taken", expected="8, 16 or 32 bits")
    if element_of(zero_point.dtype) != storage:
        raise malformed("zero point and input differ in type", found=f"{zero_point.dtype} and {storage}")
    scale, zero_point = _parameters(scale, zero_point)
    if isinstance(x.element, UniformType):
        kind = x.element
        if scale.ndim or (float(scale), int(zero_point)) != (kind.scale, kind.zero_point):
            x = node.plain(x)
    return node.add(DequantizeOp(x=x, scale=scale, zero_point=zero_point, axis=_axis(x, axis)))


def _axis(x: Value, axis: int) -> int:
    return axis + x.tensor.rank if axis < 0 else axis


def _parameters(
    scale: NDArray[np.floating], zero_point: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Scale in f32 and zero point of rank 0 where they are one number, else of rank 1."""
    scale = scale.astype(np.float32)
    if scale.size == 1 and zero_point.size == 1:
        return scale.reshape(()), zero_point.reshape(())
    if scale.ndim == 1 and zero_point.size == 1:
        return scale, np.full(scale.shape, zero_point.reshape(()), zero_point.dtype)
    if scale.ndim != 1 or scale.shape != zero_point.shape:
        raise unsupported("scale and zero point must be one number or one per channel", found=f"{scale.shape}")
    return scale, zero_point


def _refuse_blocks(node: Node, scale: NDArray[np.floating], x: Value) -> None:
    if node.opset >= 21 and node.attr_int("block_size", 0):
        raise unsupported("blocked quantization is not taken", expected="one scale per tensor or per channel")


def _quantized_type(node: Node, zero_point: NDArray[np.integer] | None) -> IntegerType:
    wanted = node.attr_int("output_dtype", 0) if node.opset >= 21 else 0
    storage = element_of(zero_point.dtype) if zero_point is not None else element_of_onnx(wanted) if wanted else U8
    if not isinstance(storage, IntegerType):
        raise NodeProblem(ELEMENT_TYPE, f"quantising to {data_type_name(wanted)} is not taken")
    return storage


def _float_type(data_type: int) -> ElementType:
    element = element_of_onnx(data_type)
    if not isinstance(element, FloatType):
        raise NodeProblem(ELEMENT_TYPE, f"dequantising to {data_type_name(data_type)} is not taken")
    return element
