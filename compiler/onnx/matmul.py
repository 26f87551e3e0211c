"""Matrix products."""

from __future__ import annotations

import math

from ...ir.core import Value
from ...ir.dialects.nn import AddOp, CastOp, MatMulOp, MulOp, ReduceOp, SubOp
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


def einsum(node: Node) -> Value:
    """Einsum of one or two tensors: diagonals are refused, sums come first, then one batched product."""
    inputs = [node.plain(value) for value in node.every_stored()]
    terms, wanted = _equation(node.attr_str("equation"), [value.tensor.rank for value in inputs])
    if not set(wanted) <= {axis for term in terms for axis in term}:
        raise malformed("the equation's result has an axis that no input has", found=node.attr_str("equation"))
    if len(inputs) > 2 or any(len(set(term)) != len(term) for term in (*terms, wanted)):
        raise unsupported("Einsum is taken for one or two tensors without diagonals")
    kept = [
        _summed(node, value, term, {*wanted, *(axis for other in terms if other is not term for axis in other)})
        for value, term in zip(inputs, terms, strict=True)
    ]
    if len(kept) == 1:
        value, term = kept[0]
        return transpose(node, value, [term.index(axis) for axis in wanted])
    (lhs, left), (rhs, right) = kept
    batch = [axis for axis in wanted if axis in left and axis in right]
    inner = [axis for axis in left if axis in right and axis not in wanted]
    rows, columns = ([axis for axis in term if axis in wanted and axis not in batch] for term in (left, right))
    sizes = dict(zip(left, lhs.shape, strict=True))
    for axis, size in zip(right, rhs.shape, strict=True):
        if sizes.setdefault(axis, size) != size:
            raise malformed("Einsum gives one axis two sizes", found=f"{sizes[axis]} and {size}")

    def ordered(value: Value, term: list[str], order: list[str]) -> Value:
        return transpose(node, value, [term.index(axis) for axis in order])

    def extent(axes: list[str]) -> int:
        return math.prod(sizes[axis] for axis in axes)

    batch_sizes = [sizes[axis] for axis in batch]
    a = reshape(node, ordered(lhs, left, [*batch, *rows, *inner]), (*batch_sizes, extent(rows), extent(inner)))
    b = reshape(node, ordered(rhs, right, [*batch, *inner, *columns]), (*batch_sizes, extent(inner), extent(columns)))
    product = node.add(MatMulOp(lhs=a, rhs=b))
    order = [*batch, *rows, *columns]
    return ordered(reshape(node, product, [sizes[axis] for axis in order]), order, wanted)


def _equation(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """The axis letters of each input and of the result; an ellipsis becomes the letters 0, 1, ..."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise malformed("the equation has another number of inputs", found=equation, expected=str(len(ranks)))
    dots = max((rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)), default=0)
    terms = []
    for part, rank in zip(parts, ranks, strict=True):
        own = rank - len(part.replace("...", ""))
        if ("..." in part and own != dots) or ("..." not in part and own):
            raise unsupported("ellipses of several sizes are not taken", found=equation)
        terms.append(_letters(part, dots))
    if arrow:
        return terms, _letters(right, dots)
    every = [axis for term in terms for axis in term]
    once = sorted(axis for axis in set(every) if every.count(axis) == 1 and axis.isalpha())
    return terms, [*(str(i) for i in range(dots if "..." in left else 0)), *once]


def _letters(part: str, dots: int) -> list[str]:
    before, ellipsis, after = part.partition("...")
    if not (before + after).replace("_", "a").isalpha() and before + after:
        raise malformed("the equation is not one of letters", found=part)
    return [*before, *(str(i) for i in range(dots if ellipsis else 0)), *after]


def _summed(node: Node, value: Value, term: list[str], needed: set[str]) -> tuple[Value, list[str]]:
    """The value without the axes that nobody needs."""
    axes = [index for index, axis in enumerate(term) if axis not in needed]
    if not axes:
        return value, term
    summed = node.add(ReduceOp(x=value, kind="sum", axes=tuple(axes), keep_dims=False))
    return summed, [axis for axis in term if axis in needed]
