"""One rule per float operation: which integer operation stands for it between dequantize and quantize."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import evolve

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.quant import DequantizeOp, QuantizeOp
from ...ir.location import fuse
from ...ir.traits import Trait
from .lowering import Lowering, Unfit, constant_side, integers, limits_of, pair, single
from .numerics import fixed_multiplier
from .sums import lower_conv2d, lower_matmul
from .tables import lower_lrn, lower_softmax, lower_to_table
from .values import is_bias


def lower_value(value: Value, lowering: Lowering) -> Value:
    """The integers of `quantize(value)`; a clamp on the way becomes the limits of what it clamps.

    An input of the network is quantised by the host.
    """
    source = value.owner
    if source is None:
        kind = lowering.target
        scale, zero_point = np.array(kind.scale, np.float32), np.array(kind.zero_point, np.int32)
        return lowering.insert(QuantizeOp(x=value, scale=scale, zero_point=zero_point, to=kind.storage)).out
    if isinstance(source, nn.ClampOp) and source.x.owner is not None:
        low, high = limits_of(source, lowering.target)
        core = source.x.owner
        inner = evolve(lowering, low=low, high=high, location=fuse([core.location, source.location]))
        return lower_float_op(core, inner)
    return lower_float_op(source, evolve(lowering, location=source.location))


def lower_float_op(op: Operation, lowering: Lowering) -> Value:
    """The integer value for `quantize(op)`; raises Unfit or ValueError with the reason when there is none."""
    if isinstance(op, DequantizeOp):
        return lowering.adapt(integers(op.out))
    if is_bias(op):
        return lower_matmul(op.operands[0].owner, op.operands[1], lowering)
    if isinstance(op, nn.Binary | nn.PowOp) and (taken := constant_side(op)) is not None:
        return lower_to_table(op, taken, lowering)
    rule = RULES.get(type(op))
    if rule is not None:
        return rule(op, lowering)
    if isinstance(op, nn.Unary) and not isinstance(op, nn.CastOp):
        return lower_to_table(op, 0, lowering)
    if Trait.MOVEMENT in op.traits:
        return _movement(op, lowering)
    raise Unfit("the operation has no integer rule")


def _add(op: nn.AddOp | nn.SubOp, lowering: Lowering) -> Value:
    a, b = pair(op, lowering)
    if lowering.rounding == "float":
        return _add_float(a, b, isinstance(op, nn.SubOp), lowering)
    ratios = np.array([quant.uniform(a).scale, quant.uniform(b).scale]) / lowering.target.scale
    # One shift for both sides; 20 bits of fraction leave room for 16 bit operands in 64 bit sums.
    shift = max(0, min(30 - math.ceil(math.log2(float(ratios.max()))), 40))
    if ratios.max() >= 2.0**30:
        raise Unfit(f"a ratio of {float(ratios.max()):g} between scales")
    multipliers = np.rint(np.ldexp(ratios, shift)).astype(np.int64)
    if isinstance(op, nn.SubOp):
        multipliers[1] = -multipliers[1]
    exact = [math.log2(ratio).is_integer() for ratio in ratios]
    if all(exact):
        while shift > 0 and not np.any(multipliers & 1):
            multipliers, shift = multipliers >> 1, shift - 1
    return lowering.insert(
        quant.AddOp(
            lhs=a, rhs=b, multipliers=(int(multipliers[0]), int(multipliers[1])), shift=shift, **lowering.limits
        )
    ).out


def _add_float(a: Value, b: Value, subtract: bool, lowering: Lowering) -> Value:
    kinds = quant.uniform(a), quant.uniform(b)
    scales = np.array([kind.scale for kind in kinds], np.float32) / np.float32(lowering.target.scale)
    zeros = np.array([kind.zero_point for kind in kinds], np.float32)
    signed = scales * np.array([1, -1 if subtract else 1], np.float32)
    offset = np.float32(lowering.target.zero_point) - (signed[0] * zeros[0] + signed[1] * zeros[1])
    return lowering.insert(
        quant.AddFloatOp(lhs=a, rhs=b, scales=signed, offset=np.asarray(offset, np.float32), **lowering.limits)
    ).out


def _mul(op: nn.MulOp, lowering: Lowering) -> Value:
    a, b = pair(op, lowering)
    ratio = quant.uniform(a).scale * quant.uniform(b).scale / lowering.target.scale
    # 24 bits leave room for the product of two 16 bit operands in 64 bit.
    multiplier, shift = fixed_multiplier(np.array(ratio), bits=24)
    return lowering.insert(
        quant.MulOp(lhs=a, rhs=b, multiplier=int(multiplier), shift=int(shift), **lowering.limits)
    ).out


def _extremum(op: nn.MaximumOp | nn.MinimumOp, lowering: Lowering) -> Value:
    lhs, rhs = (lowering.adapt(side) for side in pair(op, lowering))
    return lowering.insert(quant.ExtremumOp(lhs=lhs, rhs=rhs, maximum=isinstance(op, nn.MaximumOp))).out


def _movement(op: Operation, lowering: Lowering) -> Value:
    """Moves the integers, then changes their scale if the result asks for another.

    What is not quantised yet is quantised before it moves: the same elements either way.
    """
    moving = op.operands[:1] if isinstance(op, nn.GatherOp) else op.operands
    inputs = [
        integers(value) if isinstance(value.owner, DequantizeOp) else lower_value(value, lowering) for value in moving
    ]
    if len({value.element for value in inputs}) > 1:
        inputs = [lowering.adapt(value) for value in inputs]
    moved = lowering.insert(type(op).create((*inputs, *op.operands[len(inputs) :]), op.attributes))
    return lowering.adapt(moved.results[0])


def _max_pool(op: nn.MaxPool2dOp, lowering: Lowering) -> Value:
    pooled = lowering.insert(
        quant.MaxPool2dOp(
            x=single(op.x),
            kernel=op.kernel,
            strides=op.strides,
            pads=op.pads,
            dilations=op.dilations,
            ceil=op.ceil,
        )
    )
    return lowering.adapt(pooled.out)


def _avg_pool(op: nn.AvgPool2dOp, lowering: Lowering) -> Value:
    if op.dilations != (1, 1):
        raise Unfit("average pooling with dilation")
    rows, columns = op.out.shape[2:]
    hangs_over = any(
        (count - 1) * op.strides[i] + op.kernel[i] > op.x.shape[2 + i] + op.pads[i] + op.pads[i + 2]
        for i, count in enumerate((rows, columns))
    )
    x, pads, counted = single(op.x), op.pads, op.count_pads
    if counted and hangs_over:
        # The padding counts, but what lies behind it does not.
        widths = (0, 0, *pads[:2]), (0, 0, *pads[2:])
        x = lowering.insert(nn.PadOp(x=x, before=widths[0], after=widths[1])).out
        pads, counted = (0, 0, 0, 0), False
    # Leaves room in 64 bit for the sum of a whole feature map, and for its number of elements at this shift.
    ratio = np.array(quant.uniform(x).scale / lowering.target.scale)
    multiplier, shift = fixed_multiplier(ratio, bits=24, max_shift=40)
    return lowering.insert(
        quant.AvgPool2dOp(
            x=x,
            kernel=op.kernel,
            strides=op.strides,
            pads=pads,
            rows=rows,
            columns=columns,
            count=op.kernel[0] * op.kernel[1] if counted else 0,
            multiplier=int(multiplier),
            shift=int(shift),
            **lowering.limits,
        )
    ).out


def _prelu(op: nn.PReluOp, lowering: Lowering) -> Value:
    return lower_to_table(op, 0, lowering)


def _clamp(op: nn.ClampOp, lowering: Lowering) -> Value:
    x = integers(op.x)
    if quant.uniform(x).storage.width == 8:
        return lower_to_table(op, 0, lowering)
    low, high = limits_of(op, lowering.target)
    return evolve(lowering, low=max(low, lowering.low), high=max(min(high, lowering.high), low)).adapt(x)


def _plain_matmul(op: nn.MatMulOp, lowering: Lowering) -> Value:
    return lower_matmul(op, None, lowering)


RULES: dict[type[Operation], Callable[[Any, Lowering], Value]] = {
    nn.Conv2dOp: lower_conv2d,
    nn.MatMulOp: _plain_matmul,
    nn.AddOp: _add,
    nn.SubOp: _add,
    nn.MulOp: _mul,
    nn.MaximumOp: _extremum,
    nn.MinimumOp: _extremum,
    nn.MaxPool2dOp: _max_pool,
    nn.AvgPool2dOp: _avg_pool,
    nn.SoftmaxOp: lower_softmax,
    nn.LrnOp: lower_lrn,
    nn.PReluOp: _prelu,
    nn.ClampOp: _clamp,
}
