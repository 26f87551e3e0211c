"""The quantisers of QONNX and Brevitas."""

from __future__ import annotations

import math

import numpy as np

from ...ir.core import Value
from ...ir.dialects.nn import ClampOp, CompareOp, MaximumOp, MinimumOp, SelectOp
from ...ir.types import F32, I8, U8, IntegerType
from .node import Array, Node
from .problems import malformed, unsupported
from .quantized import dequantize, quantize

_ROUNDING = ("ROUND", "HALF_EVEN")


def quant(node: Node) -> Value:
    """Quant(x, scale, zero point, bit width): rounds x to the grid and gives the real numbers.

    Becomes quantize and dequantize over 8 bits; fewer bits, or `narrow`, clamp x to their range first. A constant of
    more bits (biases have 32) is rounded here and now.
    """
    x = node.input(0)
    scale, zero, width = node.constant(1, "scale"), node.constant(2, "zero point"), node.constant(3, "bit width")
    signed, narrow = bool(node.attr_int("signed", 1)), bool(node.attr_int("narrow", 0))
    rounding = node.attr_str("rounding_mode", "ROUND")
    if x.element != F32 or scale.dtype != np.float32:
        raise unsupported("Quant is taken in f32", found=f"{x.type}, scale {scale.dtype}")
    if rounding.upper() not in _ROUNDING:
        raise unsupported(f"rounding mode {rounding} is not taken", expected="ROUND")
    if width.size != 1 or width.item() != int(width.item()) or not 2 <= width.item() <= 32:
        raise unsupported("this bit width is not taken", found=str(width.tolist()), expected="2 to 8")
    if not bool(np.all(zero == np.round(zero))):
        raise unsupported("a zero point between two integers is not taken", found=str(zero.tolist()))
    bits = int(width.item())
    low = -(1 << (bits - 1)) + narrow if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
    known = node.known(x)
    if bits > 8 and known is not None:
        levels = np.clip(np.round(known / scale.astype(np.float64)) + zero, low, high)
        return node.literal(np.broadcast_to((levels - zero) * scale, x.shape).astype(np.float32))
    if bits > 8:
        raise unsupported("activations of more than 8 bits are not taken", found=f"{bits} bits")
    return _on_grid(node, x, scale, zero, (low, high), I8 if signed else U8)


def bipolar_quant(node: Node) -> Value:
    """BipolarQuant(x, scale): scale where x >= 0, else -scale; a constant is settled here and now."""
    x, scale = node.input(0), node.constant(1, "scale")
    if x.element != F32 or scale.dtype != np.float32:
        raise unsupported("BipolarQuant is taken in f32", found=f"{x.type}, scale {scale.dtype}")
    if not bool((scale > 0).all()):
        raise unsupported("scales above 0 are taken", found=str(scale.tolist()))
    try:
        levels = np.broadcast_to(scale, x.shape)
    except ValueError:
        raise malformed("the scale does not fit", found=f"{list(scale.shape)} for {x.type}") from None
    known = node.known(x)
    if known is not None:
        return node.literal(np.where(known >= 0, levels, -levels))
    condition = node.add(CompareOp(lhs=x, rhs=node.literal(np.zeros((), np.float32)), predicate="ge"))
    return node.add(SelectOp(condition=condition, on_true=node.literal(scale), on_false=node.literal(-scale)))


def _on_grid(node: Node, x: Value, scale: Array, zero: Array, limits: tuple[int, int], storage: IntegerType) -> Value:
    if zero.size and not (storage.low <= zero.min() and zero.max() <= storage.high):
        raise malformed("the zero point leaves the integers", found=str(zero.tolist()))
    if limits != (storage.low, storage.high):
        low, high = ((scale * (limit - zero)).astype(np.float32) for limit in limits)
        if low.size == 1:
            x = node.add(ClampOp(x=x, low=low.item(), high=high.item()))
        else:
            x = node.add(MaximumOp(lhs=x, rhs=node.literal(low)))
            x = node.add(MinimumOp(lhs=x, rhs=node.literal(high)))
    flat_scale, axis = _by_axis(scale, x)
    flat_zero, _ = _by_axis(zero, x)
    zero_point = np.broadcast_to(flat_zero, flat_scale.shape).astype(storage.dtype)
    return dequantize(node, quantize(node, x, flat_scale, zero_point, axis), flat_scale, zero_point, axis)


def _by_axis(parameter: Array, x: Value) -> tuple[Array, int]:
    """A parameter that varies along one axis at most, as rank 0 or 1, and that axis."""
    if parameter.size == 1:
        return parameter.reshape(()), 0
    shape = (1,) * (x.tensor.rank - parameter.ndim) + parameter.shape
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or len(shape) != x.tensor.rank or math.prod(shape) != x.shape[long[0]]:
        raise unsupported("scales along several axes are not taken", found=str(parameter.shape))
    return parameter.reshape(-1), long[0]
