"""Batch normalisations or biases behind every layer that lacks them, so that its sums can be moved to its step."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.location import Location
from ...ir.rewriter import Rewriter
from ...passes.graph.matching import constant_of, only_user
from .layers import affine_end, is_average, weight_of

EPSILON = 1e-5
_WEIGHT_ENDINGS = (".weight", "_weight", ".W", "_W", "/kernel")


def add_batch_norms(module: ModuleOp) -> tuple[str, ...]:
    """A batch normalisation behind each layer and each average that has none; the names of these layers."""
    rewriter = Rewriter()
    names = []
    for op in list(module.main.body.ops):
        if weight_of(op) is None and not is_average(op):
            continue
        value, normalised = affine_end(op)
        # A normalisation is by channel, which a product of more than two axes has last.
        if not normalised and (not isinstance(op, nn.MatMulOp) or value.tensor.rank == 2):
            names.append(layer_name(op))
            _insert_norm(value, names[-1], rewriter)
    return tuple(names)


def add_biases(module: ModuleOp) -> None:
    """A bias of zeros for each layer that has neither a bias nor a batch normalisation."""
    rewriter = Rewriter()
    for op in list(module.main.body.ops):
        if weight_of(op) is None or affine_end(op)[1] or bias_of(op) is not None:
            continue
        value = op.result
        channels = value.shape[1] if isinstance(op, nn.Conv2dOp) else value.shape[-1]
        location = Location((f"{layer_name(op)}.bias",))
        zeros = rewriter.insert_before(op, ConstantOp(value=np.zeros(channels, value.element.dtype), location=location))
        if isinstance(op, nn.Conv2dOp):
            made = nn.Conv2dOp.create([op.x, op.weight, zeros.out], op.attributes)
            rewriter.replace_with(op, made)
            continue
        uses = value.uses
        added = rewriter.insert_after(op, nn.AddOp(lhs=value, rhs=zeros.out, location=op.location))
        for user, index in uses:
            rewriter.set_operand(user, index, added.out)


def bias_of(layer: Operation) -> Value | None:
    """The constant bias of a layer; None when it has none."""
    if isinstance(layer, nn.Conv2dOp):
        return layer.bias if layer.bias is not None and constant_of(layer.bias) is not None else None
    user = only_user(layer.result)
    if not isinstance(user, nn.AddOp):
        return None
    other = user.rhs if user.lhs is layer.result else user.lhs
    array = constant_of(other)
    return other if array is not None and array.size == array.shape[-1] == layer.result.shape[-1] else None


def layer_name(layer: Operation) -> str:
    """The name of a layer by that of its weights, without what says that these are weights."""
    if weight_of(layer) is None:
        return str(layer.location)
    constant = layer.operands[1].owner
    assert constant is not None
    name = constant.location.names[0] if constant.location.names else str(layer.location)
    for ending in _WEIGHT_ENDINGS:
        name = name.removesuffix(ending)
    return name


def _insert_norm(value: Value, name: str, rewriter: Rewriter) -> None:
    anchor = value.owner
    assert anchor is not None
    channels, dtype = value.shape[1], value.element.dtype
    uses = value.uses
    numbers = {"weight": 0.5, "bias": 0.5, "mean": 0.0, "variance": 1.0}
    constants = []
    for word, number in numbers.items():
        location = Location((f"{name}.norm.{word}",))
        anchor = rewriter.insert_after(anchor, ConstantOp(value=np.full(channels, number, dtype), location=location))
        constants.append(anchor.out)
    scale, bias, mean, variance = constants
    norm = nn.BatchNormOp(x=value, scale=scale, bias=bias, mean=mean, variance=variance, epsilon=EPSILON)
    norm.location = Location((f"{name}.norm",))
    rewriter.insert_after(anchor, norm)
    for user, index in uses:
        rewriter.set_operand(user, index, norm.out)
