"""Activation functions."""

from __future__ import annotations

import math

import numpy as np

from ...ir.core import Value
from ...ir.dialects.nn import (
    ArgReduceOp,
    CastOp,
    ClampOp,
    CompareOp,
    EluOp,
    GeluOp,
    HardSigmoidOp,
    HardSwishOp,
    LeakyReluOp,
    MishOp,
    MulOp,
    PReluOp,
    SeluOp,
    SigmoidOp,
    SoftmaxOp,
    SoftplusOp,
    SoftsignOp,
    TanhOp,
    ThresholdedReluOp,
)
from ...ir.shapes import normal_axis
from .elementwise import unary
from .emit import flattened, reshape
from .node import Node
from .problems import malformed

SIGMOID, TANH, SOFTPLUS, SOFTSIGN = map(unary, (SigmoidOp, TanhOp, SoftplusOp, SoftsignOp))
MISH, HARD_SWISH = map(unary, (MishOp, HardSwishOp))


def relu(node: Node) -> Value:
    """Relu."""
    return node.add(ClampOp(x=node.input(0), low=0.0))


def leaky_relu(node: Node) -> Value:
    """LeakyRelu."""
    return node.add(LeakyReluOp(x=node.input(0), alpha=node.attr_float("alpha", 0.01)))


def prelu(node: Node) -> Value:
    """PRelu; the slope broadcasts to x."""
    return node.add(PReluOp(x=node.input(0), slope=node.input(1)))


def elu(node: Node) -> Value:
    """Elu."""
    return node.add(EluOp(x=node.input(0), alpha=node.attr_float("alpha", 1.0)))


def celu(node: Node) -> Value:
    """Celu."""
    alpha = node.attr_float("alpha", 1.0)
    if alpha == 0 or not math.isfinite(alpha):
        raise malformed("alpha of Celu must be a number other than 0", found=str(alpha))
    return node.add(EluOp(x=node.input(0), alpha=alpha, scale=alpha))


def selu(node: Node) -> Value:
    """Selu."""
    return node.add(
        SeluOp(
            x=node.input(0),
            alpha=node.attr_float("alpha", 1.6732632423543772),
            gamma=node.attr_float("gamma", 1.0507009873554805),
        )
    )


def thresholded_relu(node: Node) -> Value:
    """ThresholdedRelu."""
    return node.add(ThresholdedReluOp(x=node.input(0), alpha=node.attr_float("alpha", 1.0)))


def hard_sigmoid(node: Node) -> Value:
    """HardSigmoid."""
    x = node.input(0)
    return node.add(HardSigmoidOp(x=x, alpha=node.attr_float("alpha", 0.2), beta=node.attr_float("beta", 0.5)))


def gelu(node: Node) -> Value:
    """Gelu."""
    return node.add(GeluOp(x=node.input(0), approximate=node.attr_str("approximate", "none")))


def swish(node: Node) -> Value:
    """Swish: x * sigmoid(alpha * x)."""
    x, alpha = node.input(0), node.attr_float("alpha", 1.0)
    inner = x if alpha == 1 else node.add(MulOp(lhs=x, rhs=node.scalar(alpha, x)))
    return node.add(MulOp(lhs=x, rhs=node.add(SigmoidOp(x=inner))))


def softmax(node: Node) -> Value:
    """Softmax."""
    return _softmax(node, log=False)


def log_softmax(node: Node) -> Value:
    """LogSoftmax."""
    return _softmax(node, log=True)


def hardmax(node: Node) -> Value:
    """Hardmax: 1 at the first maximum, 0 elsewhere."""
    x = node.input(0)
    matrix, axis = _normalised_axis(node, x)
    first = node.add(ArgReduceOp(x=matrix, kind="max", axis=axis, keep_dims=True))
    shape = [1] * matrix.tensor.rank
    shape[axis] = matrix.shape[axis]
    places = node.literal(np.arange(matrix.shape[axis], dtype=np.int64).reshape(shape))
    hit = node.add(CompareOp(lhs=places, rhs=first, predicate="eq"))
    return reshape(node, node.add(CastOp(x=hit, to=x.element)), x.shape)


def _softmax(node: Node, *, log: bool) -> Value:
    x = node.input(0)
    matrix, axis = _normalised_axis(node, x)
    return reshape(node, node.add(SoftmaxOp(x=matrix, axis=axis, log=log)), x.shape)


def _normalised_axis(node: Node, x: Value) -> tuple[Value, int]:
    """The tensor and axis to normalise: before opset 13 all axes from `axis` on count as one."""
    rank = x.tensor.rank
    if node.opset >= 13:
        return x, normal_axis(node.attr_int("axis", -1), rank)
    axis = node.attr_int("axis", 1)
    axis = rank if axis == rank else normal_axis(axis, rank)
    if axis < rank and math.prod(x.shape[axis + 1 :]) == 1:
        return x, axis
    return reshape(node, x, flattened(x.shape, axis)), 1
