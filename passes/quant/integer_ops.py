"""One rule per float operation: which integer operation stands for it between dequantize and quantize."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType
from ...ir.location import Location, fuse
from ...ir.rewriter import Rewriter
from ...ir.shapes import normal_axis
from ...ir.traits import Trait
from ...ir.types import I8, U8
from .numerics import fixed_multiplier
from .quantize import per_channel
from .values import is_bias

Array = NDArray[Any]
OpT = TypeVar("OpT", bound=Operation)

LRN_ENTRIES = 1024
EXPONENTIAL_BITS = 20


class Unfit(Exception):
    """The operation cannot be lowered; the message says why, `help` what to do about it."""

    def __init__(self, reason: str, *, help: str = "") -> None:
        super().__init__(reason)
        self.help = help


@frozen
class Lowering:
    """Where the integer operations go, what the result must be, and how lower-qdq was asked to rescale."""

    rewriter: Rewriter
    anchor: QuantizeOp
    target: UniformType
    low: int
    high: int
    location: Location
    rounding: str = "multiplier"

    def insert(self, op: OpT) -> OpT:
        """Inserts an operation that stands for the float one."""
        op.location = self.location
        return self.rewriter.insert_before(self.anchor, op)

    @property
    def limits(self) -> dict[str, Any]:
        """Type and limits of the result, as every operation that rounds takes them."""
        return {"to": self.target, "low": self.low, "high": self.high}

    def rescale(self, x: Value, scale: float, weights: Array | None = None, axis: int = 1) -> Value:
        """The rescale of `x`, whose unit is `scale` (times one of `weights` per index of `axis`), to the target.

        With float rounding the ratio is formed in f32, factor by factor, as onnxruntime forms it. Raises Unfit for a
        ratio that is no power of two where there are shifts alone.
        """
        factors = np.array(1.0) if weights is None else weights
        if factors.ndim and np.all(factors == factors.flat[0]):
            factors = factors.reshape(-1)[0]
        if self.rounding == "float":
            single = np.float32(scale) * np.asarray(factors, np.float32) / np.float32(self.target.scale)
            return self.insert(
                quant.RescaleFloatOp(x=x, scale=np.asarray(single, np.float32), axis=axis, **self.limits)
            ).out
        ratio = scale * np.asarray(factors, np.float64) / self.target.scale
        if self.rounding == "shift" and np.any(np.frexp(ratio)[0] != 0.5):
            raise Unfit(
                f"a ratio of {float(ratio.flat[0]):g} between scales, which is no power of two",
                help="build with --rescale multiplier, or give the model scales that are powers of two",
            )
        multiplier, shift = fixed_multiplier(ratio)
        return self.insert(quant.RescaleOp(x=x, multiplier=multiplier, shift=shift, axis=axis, **self.limits)).out

    def adapt(self, x: Value) -> Value:
        """`x` (quantised) in the type and limits of the result; `x` itself where nothing changes."""
        kind = quant.uniform(x)
        free = self.low == self.target.storage.low and self.high == self.target.storage.high
        if kind == self.target and free:
            return x
        return self.rescale(x, kind.scale)


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
        low, high = _limits(source, lowering.target)
        core = source.x.owner
        inner = evolve(lowering, low=low, high=high, location=fuse([core.location, source.location]))
        return lower_float_op(core, inner)
    return lower_float_op(source, evolve(lowering, location=source.location))


def _limits(clamp: nn.ClampOp, target: UniformType) -> tuple[int, int]:
    """The limits of a float clamp in steps of the target, within its storage."""

    def steps(limit: float, otherwise: int) -> int:
        if not np.isfinite(limit):
            return otherwise
        step = float(np.rint(np.float32(limit) / np.float32(target.scale))) + target.zero_point
        return int(min(max(step, target.storage.low), target.storage.high))

    low = steps(clamp.low, target.storage.low)
    return low, max(steps(clamp.high, target.storage.high), low)


def lower_float_op(op: Operation, lowering: Lowering) -> Value:
    """The integer value for `quantize(op)`; raises Unfit or ValueError with the reason when there is none."""
    if isinstance(op, DequantizeOp):
        return lowering.adapt(integers(op.out))
    if is_bias(op):
        return _matmul(op.operands[0].owner, op.operands[1], lowering)
    if isinstance(op, nn.Binary | nn.PowOp) and (taken := _constant_side(op)) is not None:
        return _table(op, taken, lowering)
    rule = RULES.get(type(op))
    if rule is not None:
        return rule(op, lowering)
    if isinstance(op, nn.Unary) and not isinstance(op, nn.CastOp):
        return _table(op, 0, lowering)
    if Trait.MOVEMENT in op.traits:
        return _movement(op, lowering)
    raise Unfit("the operation has no integer rule")


def integers(value: Value) -> Value:
    """The quantised value behind a dequantize; raises Unfit when the value is not quantised."""
    owner = value.owner
    if not isinstance(owner, DequantizeOp):
        raise Unfit(f"its input {value.type} carries no scale")
    if not isinstance(owner.x.element, UniformType):
        raise Unfit(f"its input is {owner.x.type} with more than one scale")
    return owner.x


def _single(value: Value) -> Value:
    """The quantised map behind `value`; raises Unfit when it holds more than one sample."""
    x = integers(value)
    if x.shape[0] != 1:
        raise Unfit(
            f"a batch of {x.shape[0]} samples in {value.type}",
            help="build for one sample (--shape NAME=1,...): a run takes any number of samples, one after the other",
        )
    return x


def _pair(op: nn.Binary, lowering: Lowering) -> tuple[Value, Value]:
    """Both operands as integers, at least one of them in the shape of the result.

    The other may be one number or, for a result [1, C, H, W] or [1, C, L], of size 1 along some axes: tiles can follow
    that. What is broadcast otherwise is expanded first.
    """
    shape = op.out.shape
    followed = len(shape) in (3, 4) and shape[0] == 1

    def shaped(x: Value, *, whole: bool) -> Value:
        if x.shape == shape or (not whole and (followed or x.tensor.size == 1)):
            return x
        return lowering.insert(nn.ExpandOp(x=x, shape=shape)).out

    lhs, rhs = integers(op.lhs), integers(op.rhs)
    return shaped(lhs, whole=rhs.shape != shape), shaped(rhs, whole=False)


def _constant(value: Value) -> Array | None:
    """The float constant behind a value, dequantized if need be."""
    owner = value.owner
    if isinstance(owner, ConstantOp):
        return owner.value
    if isinstance(owner, DequantizeOp):
        source = owner.x.owner
        if isinstance(source, quant.StorageCastOp):
            source = source.x.owner
        if isinstance(source, ConstantOp):
            scale = quant.along_axis(owner.scale.astype(np.float64), owner.axis, source.value.ndim)
            zero = quant.along_axis(owner.zero_point.astype(np.int64), owner.axis, source.value.ndim)
            return (source.value.astype(np.int64) - zero) * scale
    return None


def _constant_side(op: Operation) -> int | None:
    """Which operand of a two-operand op is the activation, when the other is a constant per tensor or channel."""
    for index in (0, 1):
        other = op.operands[1 - index]
        if _constant(other) is None or _constant(op.operands[index]) is not None:
            continue
        if per_channel(other.tensor, op.results[0].tensor) and op.operands[index].shape == op.results[0].shape:
            return index
    return None


def _weight(value: Value, axis: int) -> tuple[Array, Array]:
    """Integer weights and their scales along `axis`; raises Unfit for weights that do not fit 8 or 16 bits."""
    owner = value.owner
    if not isinstance(owner, DequantizeOp):
        raise Unfit("its weights are not constant" if _constant(value) is None else "its weights carry no scale")
    source = owner.x.owner
    if isinstance(source, quant.StorageCastOp):
        source = source.x.owner
    if isinstance(source, QuantizeOp) and isinstance(source.x.owner, ConstantOp):
        steps = _quantize_constant(source, source.x.owner.value)
    elif isinstance(source, ConstantOp):
        steps = source.value
    else:
        raise Unfit("its weights are not constant")
    rank = steps.ndim
    if owner.scale.ndim and owner.axis % rank != axis:
        raise Unfit(f"its weights have one scale per index of axis {owner.axis}, expected axis {axis}")
    centred = steps.astype(np.int64) - quant.along_axis(owner.zero_point.astype(np.int64), owner.axis, rank)
    low, high = int(centred.min(initial=0)), int(centred.max(initial=0))
    fitting = [dtype for dtype in (np.int8, np.int16) if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max]
    if not fitting:
        raise Unfit(f"its weights span {low} .. {high}, beyond 16 bits")
    scale = np.broadcast_to(owner.scale.astype(np.float64), (steps.shape[axis],))
    return centred.astype(fitting[0]), scale


def _quantize_constant(op: QuantizeOp, value: Array) -> Array:
    scale = quant.along_axis(op.scale, op.axis, value.ndim)
    zero = quant.along_axis(op.zero_point.astype(np.int64), op.axis, value.ndim)
    steps = np.rint(value.astype(np.float32) / scale).astype(np.int64) + zero
    return np.clip(steps, op.storage.low, op.storage.high)


ROUNDING_SHARE = 1 / 16
"""Most of an output step that rounding weights to make room in the accumulator may cost."""


def _fit_sums(
    weight: Array, scales: Array, bias: Value | None, kind: UniformType, axis: int, step: float
) -> tuple[Array, Array, Array | None]:
    """Weights, scales and i32 bias for which no sum can leave 32 bits.

    A channel whose bias is too large in units of its tiny scale gets a scale that is a power of two larger; its weights
    are rounded to it. Raises Unfit when that would cost more than ROUNDING_SHARE of an output step (`step`, in real
    units), which means that the weights themselves are too many.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    steps = np.zeros(scales.size)
    if bias is not None:
        constant = _constant(bias)
        if constant is None:
            raise Unfit("its bias is not constant")
        steps = np.rint(constant.astype(np.float64).reshape(-1) / (kind.scale * scales))
    largest = max(kind.storage.high - kind.zero_point, kind.zero_point - kind.storage.low)
    sums = np.abs(weight.astype(np.float64)).sum(axis=others)
    bound = np.abs(steps) + sums * float(largest)
    excess = np.maximum(np.ceil(np.log2(np.maximum(bound, 1) / 2.0**30)), 0).astype(np.int64)
    excess = np.where(bound < 2.0**31, 0, excess)
    if np.any(excess):
        grown = scales * 2.0**excess
        terms = np.count_nonzero(weight, axis=others)
        cost = np.where(excess > 0, 0.5 * terms * largest * grown * kind.scale / step, 0.0)
        if np.any(cost > ROUNDING_SHARE):
            worst = int(cost.argmax())
            raise Unfit(f"the sum of output channel {worst} can reach {bound[worst]:.3g}, beyond 32 bits")
        shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
        weight = np.rint(weight / 2.0 ** excess.reshape(shape)).astype(weight.dtype)
        steps, scales = np.rint(steps / 2.0**excess), grown
    return weight, scales, steps.astype(np.int32) if bias is not None else None


def _conv2d(op: nn.Conv2dOp, lowering: Lowering) -> Value:
    x = _single(op.x)
    kind = quant.uniform(x)
    weight, scale = _weight(op.weight, 0)
    weight, scale, bias = _fit_sums(weight, scale, op.bias, kind, 0, lowering.target.scale)
    constant = lowering.insert(ConstantOp(value=weight))
    product = lowering.insert(
        quant.Conv2dOp(
            x=x,
            weight=constant.out,
            bias=None if bias is None else lowering.insert(ConstantOp(value=bias)).out,
            strides=op.strides,
            pads=op.pads,
            dilations=op.dilations,
            groups=op.groups,
        )
    )
    return lowering.rescale(product.out, kind.scale, scale)


def _matmul(op: Operation | None, bias: Value | None, lowering: Lowering) -> Value:
    if not isinstance(op, nn.MatMulOp):
        raise Unfit("expected a matrix product")
    x = integers(op.lhs)
    kind = quant.uniform(x)
    if op.rhs.tensor.rank != 2:
        raise Unfit(f"its right side is {op.rhs.type}, expected a constant matrix")
    weight, scale = _weight(op.rhs, 1)
    weight, scale, steps = _fit_sums(weight, scale, bias, kind, 1, lowering.target.scale)
    constant = lowering.insert(ConstantOp(value=weight))
    product = lowering.insert(
        quant.MatMulOp(
            x=x,
            weight=constant.out,
            bias=None if steps is None else lowering.insert(ConstantOp(value=steps)).out,
        )
    )
    return lowering.rescale(product.out, kind.scale, scale, axis=product.out.tensor.rank - 1)


def _add(op: nn.AddOp | nn.SubOp, lowering: Lowering) -> Value:
    a, b = _pair(op, lowering)
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
    a, b = _pair(op, lowering)
    ratio = quant.uniform(a).scale * quant.uniform(b).scale / lowering.target.scale
    # 24 bits leave room for the product of two 16 bit operands in 64 bit.
    multiplier, shift = fixed_multiplier(np.array(ratio), bits=24)
    return lowering.insert(
        quant.MulOp(lhs=a, rhs=b, multiplier=int(multiplier), shift=int(shift), **lowering.limits)
    ).out


def _extremum(op: nn.MaximumOp | nn.MinimumOp, lowering: Lowering) -> Value:
    lhs, rhs = (lowering.adapt(side) for side in _pair(op, lowering))
    return lowering.insert(quant.ExtremumOp(lhs=lhs, rhs=rhs, maximum=isinstance(op, nn.MaximumOp))).out


def _eight_bits(x: Value, lowering: Lowering) -> Value:
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


def _table(op: Operation, activation: int, lowering: Lowering) -> Value:
    """Any function of one activation element and constants, as 256 entries per tensor or per channel."""
    x = _eight_bits(integers(op.operands[activation]), lowering)
    kind = quant.uniform(x)
    steps = np.arange(kind.storage.low, kind.storage.high + 1)
    real = ((steps - kind.zero_point).astype(np.float32) * np.float32(kind.scale)).astype(np.float32)
    operands: list[Array] = []
    per_index = 1
    for index, value in enumerate(op.operands):
        if index == activation:
            operands.append(real[None, :])
            continue
        constant = _constant(value)
        if constant is None or not per_channel(value.tensor, op.results[0].tensor):
            raise Unfit("its other operand is neither one number nor one per channel")
        operands.append(constant.astype(np.float32).reshape(-1, 1))
        per_index = max(per_index, constant.size)
    if per_index > 1 and math.prod(x.shape[2:]) != 1:
        _single(op.operands[activation])
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
            x=_single(op.x),
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
    x, pads, counted = _single(op.x), op.pads, op.count_pads
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


def _softmax(op: nn.SoftmaxOp, lowering: Lowering) -> Value:
    if op.log:
        raise Unfit("the logarithm of a softmax")
    scale = round(1 / lowering.target.scale)
    if not 1 <= scale < 1 << 31:
        raise Unfit(f"probabilities in steps of {lowering.target.scale:g}")
    x = _eight_bits(integers(op.x), lowering)
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


def _lrn(op: nn.LrnOp, lowering: Lowering) -> Value:
    if op.x.tensor.rank != 4:
        raise Unfit(f"local response normalisation of {op.x.type}, expected [N, C, H, W]")
    x = _eight_bits(_single(op.x), lowering)
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


def _prelu(op: nn.PReluOp, lowering: Lowering) -> Value:
    return _table(op, 0, lowering)


def _clamp(op: nn.ClampOp, lowering: Lowering) -> Value:
    x = integers(op.x)
    if quant.uniform(x).storage.width == 8:
        return _table(op, 0, lowering)
    low, high = _limits(op, lowering.target)
    return evolve(lowering, low=max(low, lowering.low), high=max(min(high, lowering.high), low)).adapt(x)


def _plain_matmul(op: nn.MatMulOp, lowering: Lowering) -> Value:
    return _matmul(op, None, lowering)


RULES: dict[type[Operation], Callable[[Any, Lowering], Value]] = {
    nn.Conv2dOp: _conv2d,
    nn.MatMulOp: _plain_matmul,
    nn.AddOp: _add,
    nn.SubOp: _add,
    nn.MulOp: _mul,
    nn.MaximumOp: _extremum,
    nn.MinimumOp: _extremum,
    nn.MaxPool2dOp: _max_pool,
    nn.AvgPool2dOp: _avg_pool,
    nn.SoftmaxOp: _softmax,
    nn.LrnOp: _lrn,
    nn.PReluOp: _prelu,
    nn.ClampOp: _clamp,
}
