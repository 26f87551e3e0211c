"""What the layers of a network of steps are: weights, what is added and scaled behind them, steps."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...passes.graph.matching import constant_of, only_user

Array = NDArray[Any]

AFFINE = (nn.AddOp, nn.SubOp, nn.MulOp, nn.DivOp, nn.BatchNormOp)
"""Operations that scale and shift, when what they scale by is constant."""


@frozen(eq=False)
class Activation:
    """A step: `cast` makes numbers of what `compare` finds, value >= level."""

    compare: nn.CompareOp
    cast: nn.CastOp
    level: float

    @property
    def name(self) -> str:
        """The name of the ONNX node."""
        return str(self.compare.location)


def weight_of(op: Operation) -> Array | None:
    """The weights of a convolution or a product with constant weights; None for any other operation."""
    if isinstance(op, nn.Conv2dOp):
        return constant_of(op.weight)
    if isinstance(op, nn.MatMulOp):
        return constant_of(op.rhs)
    return None


def is_average(op: Operation) -> bool:
    """Whether `op` is an average pooling, of windows or of whole maps."""
    if isinstance(op, nn.ReduceOp):
        return op.kind == "mean" and op.x.tensor.rank == 4 and {axis % 4 for axis in op.axes} == {2, 3}
    return isinstance(op, nn.AvgPool2dOp)


def is_affine(op: Operation) -> bool:
    """Whether `op` scales or shifts by constants."""
    if isinstance(op, nn.BatchNormOp):
        return True
    if not isinstance(op, AFFINE):
        return False
    left, right = constant_of(op.operands[0]), constant_of(op.operands[1])
    return (left is None) != (right is None)


def affine_end(layer: Operation) -> tuple[Value, bool]:
    """The value behind all that scales and shifts the result of `layer`, and whether it was normalised on the way."""
    value, normalised = layer.result, False
    while (user := only_user(value)) is not None and is_affine(user):
        normalised = normalised or isinstance(user, nn.BatchNormOp)
        value = user.result
    return value, normalised
