"""Matrix products."""

from __future__ import annotations

from ...ir.core import Value
from ...ir.dialects.nn import AddOp, CastOp, MatMulOp, MulOp, SubOp
from ...ir.shapes import broadcast
from ...ir.types import I32, FloatType
from .emit import reshape, transpose
from .node import Node
from .problems import malformed, unsupported


def matmul(node: Node) -> Value:
    """MatMul."""
    return node.add(MatMulOp(lhs=node.input(0), rhs=node.input(1)))


def gemm(node: Node) -> Value:
    """Gemm: alpha * A' @ B' + beta * C."""
    a, b, c = node.input(0), node.input(1), node.optional(2)
    if a.tensor.rank != 2 or b.tensor.rank != 2:
        raise malformed("Gemm takes matrices", found=f"{a.type} and {b.type}")
    if node.attr_int("transA", 0):
        a = transpose(node, a, (1, 0))
    if node.attr_int("transB", 0):
        b = transpose(node, b, (1, 0))
    product = _scaled(node, node.add(MatMulOp(lhs=a, rhs=b)), node.attr_float("alpha", 1.0))
    beta = node.attr_float("beta", 1.0)
    if c is None or beta == 0:
        return product
    if broadcast(product.shape, c.shape) != product.shape:
        raise malformed(f"C does not broadcast to {product.type}", found=str(c.type))
    return node.add(AddOp(lhs=product, rhs=_scaled(node, c, beta)))


def matmul_integer(node: Node) -> Value:
    """MatMulInteger: (A - a_zero) @ (B - b_zero) in i32."""
    a = _centred(node, node.input(0), node.optional(2), axis=-2)
    b = _centred(node, node.input(1), node.optional(3), axis=-1)
    return node.add(MatMulOp(lhs=a, rhs=b))


def _scaled(node: Node, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    if not isinstance(x.element, FloatType) and factor != int(factor):
        raise unsupported("a fraction of integers is not taken", found=str(factor))
    return node.add(MulOp(lhs=x, rhs=node.scalar(factor, x)))


def _centred(node: Node, x: Value, zero_point: Value | None, axis: int) -> Value:
    wide = node.add(CastOp(x=x, to=I32))
    if zero_point is None:
        return wide
    if zero_point.tensor.rank == 1 and x.tensor.rank > 1:
        shape = [1] * x.tensor.rank
        shape[axis] = zero_point.tensor.size
        zero_point = reshape(node, zero_point, shape)
    return node.add(SubOp(lhs=wide, rhs=node.add(CastOp(x=zero_point, to=I32))))
