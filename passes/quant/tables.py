"""Functions of one 8 bit value as tables; softmax and normalisation, which are built on tables."""

from __future__ import annotations

import math

import numpy as np

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.quant import UniformType
from ...ir.shapes import normal_axis
from ...ir.types import I8, U8
from .lowering import Array, Lowering, Unfit, constant_value, integers, single
from .numerics import fixed_multiplier
from .quantize import per_channel

LRN_ENTRIES = 1024
EXPONENTIAL_BITS = 20


def eight_bits(x: Value, lowering: Lowering) -> Value:
    """`x` in 8 bits over the same range, as tables need it.

    Networks of 16 bits therefore have activations other than clamps, and softmax, with the accuracy of 8 bits at their
    inputs: half a step of the range in 255 parts. Their results have 16 bits again.
    """
    kind = quant.uniform(x)
    if kind.storage.width == 8:
        return x
    storage = I8 if kind.storage.signed else U8
    step = 2 ** (kind.storage.width - 8)
    zero = min(max(round(kind.zero_point / step), storage.low), storage.high)
    narrow = UniformType(storage, kind.scale * step, zero)
    multiplier, shift = fixed_multiplier(np.array(1 / step))
    rescale = quant.RescaleOp(x=x, multiplier=multiplier, shift=shift, to=narrow, low=storage.low, high=storage.high)
    return lowering.insert(rescale).out


def lower_to_table(op: Operation, activation: int, lowering: Lowering) -> Value:
    """Any function of one activation element and constants, as 256 entries per tensor or per channel."""
    x = eight_bits(integers(op.operands[activation]), lowering)
    kind = quant.uniform(x)
    steps = np.arange(kind.storage.low, kind.storage.high + 1)
    real = ((steps - kind.zero_point).astype(np.float32) * np.float32(kind.scale)).astype(np.float32)
    operands: list[Array] = []
    per_index = 1
    for index, value in enumerate(op.operands):
        if index == activation:
            operands.append(real[None, :])
            continue
        constant = constant_value(value)
        if constant is None or not per_channel(value.tensor, op.results[0].tensor):
            raise Unfit("its other operand is neither one number nor one per channel")
        operands.append(constant.astype(np.float32).reshape(-1, 1))
        per_index = max(per_index, constant.size)
    if per_index > 1 and math.prod(x.shape[2:]) != 1:
        single(op.operands[activation])
    values = op.fold(operands)
    if values is None:
        raise Unfit("the operation has no elementwise rule")
    target = lowering.target
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        quotient = np.nan_to_num(np.rint(values.astype(np.float32) / np.float32(target.scale)), nan=0.0)
    entries = np.clip(quotient.astype(np.float64) + target.zero_point, lowering.low, lowering.high)
    table = np.broadcast_to(entries.astype(target.dtype), (per_index, steps.size))
    return lowering.insert(
        quant.TableOp(x=x, table=np.array(table if per_index > 1 else table[0]), axis=1, **lowering.limits)
    ).out


def lower_softmax(op: nn.SoftmaxOp, lowering: Lowering) -> Value:
    if op.log:
        raise Unfit("the logarithm of a softmax")
    scale = round(1 / lowering.target.scale)
    if not 1 <= scale < 1 << 31:
        raise Unfit(f"probabilities in steps of {lowering.target.scale:g}")
    x = eight_bits(integers(op.x), lowering)
    axis = normal_axis(op.axis, x.tensor.rank)
    others = tuple(other for other in range(x.tensor.rank) if other != axis)
    moved = math.prod(x.shape[axis + 1 :]) != 1
    if moved:
        # Rows of neighbouring elements are what a processing element normalises.
        x = lowering.insert(nn.TransposeOp(x=x, permutation=(*others, axis))).out
    exponentials = np.rint(np.exp(-np.arange(256) * quant.uniform(x).scale) * (1 << EXPONENTIAL_BITS))
    rows = lowering.insert(
        quant.SoftmaxOp(
            x=x,
            exponentials=exponentials.astype(np.int32),
            scale=scale,
            axis=x.tensor.rank - 1 if moved else axis,
            **lowering.limits,
        )
    ).out
    if not moved:
        return rows
    back = tuple(int(place) for place in np.argsort((*others, axis)))
    return lowering.insert(nn.TransposeOp(x=rows, permutation=back)).out


def lower_lrn(op: nn.LrnOp, lowering: Lowering) -> Value:
    if op.x.tensor.rank != 4:
        raise Unfit(f"local response normalisation of {op.x.type}, expected [N, C, H, W]")
    x = eight_bits(single(op.x), lowering)
    kind = quant.uniform(x)
    reach = max(kind.storage.high - kind.zero_point, kind.zero_point - kind.storage.low)
    in_shift = max(0, (op.size * reach * reach).bit_length() - 10)
    middle = (np.arange(LRN_ENTRIES) + (0.5 if in_shift else 0.0)) * 2.0**in_shift
    real = (op.bias + op.alpha / op.size * middle * kind.scale**2) ** -op.beta * kind.scale / lowering.target.scale
    out_shift = max(0, min(30 - math.ceil(math.log2(float(real.max()))), 46))
    return lowering.insert(
        quant.LrnOp(
            x=x,
            size=op.size,
            factors=np.rint(np.ldexp(real, out_shift)).astype(np.int32),
            in_shift=in_shift,
            out_shift=out_shift,
            **lowering.limits,
        )
    ).out
