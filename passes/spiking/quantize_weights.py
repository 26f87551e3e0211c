"""quantize-weights: weights, biases and thresholds become integers on one grid for each layer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.dialects.quant import SPIKE, BinarizeOp
from ...ir.dialects.spiking import EncodeOp
from ...ir.dialects.spiking.ops import MAX_SHIFT, RAW_MAX
from ...ir.rewriter import Rewriter, apply_patterns
from ...ir.traits import Trait
from ..base import Pass, PassContext, option
from ..graph.matching import EraseDead
from .grid import (
    CODE,
    LARGEST,
    WORD_FRACTION,
    FixedFormat,
    largest_power,
    on_grid,
    parse_format,
    threshold_on_grid,
)
from .layers import LayerTerm, flat_bias, layer_terms, volleys

Array = NDArray[Any]


@frozen(eq=False)
class Rounded:
    """A layer in integers: weights of each term and bias in units of 2^-fraction."""

    weights: tuple[Array, ...]
    bias: Array
    fraction: int
    saturated: int = 0


@frozen
class QuantizeWeights(Pass):
    """Rounds weights and biases of every layer to integers; 0/1 maps become integers too, and sums exact.

        binarize(conv2d(s, w)) {bias = b, threshold = c}  becomes  binarize(conv2d(s, w')) {bias = b', threshold = c'}
        w' = round(w * 2^f), b' = round(b * 2^f), c' = ceil(c * 2^f)

    `weights` = qM.F has f = F, and weights limited to M bits before the point; biases are not limited. `code16` has a
    grid of its own for each receptor, the finest in which no volley of spikes can overflow 16 bits: f = 15, and w' is a
    multiple of 2^shift. With `weight-scale` = layer, f changes layer by layer such that the largest weight (of code16:
    the largest volley) fills the range; a step does not notice.

    Keeps: nothing exactly; a sum moves by at most half a unit (nearest) for each weight and the bias. The threshold is
    exact: n * 2^-f >= c if and only if n >= c'.
    """

    name: ClassVar[str] = "quantize-weights"
    establishes: ClassVar[str | None] = "binary-fixed-point"
    weights: str = option(CODE, help="code16, or a fixed-point format qM.F such as q4.8")
    rounding: str = option("nearest", help="how weights are rounded", choices=("nearest", "truncate", "floor"))
    weight_scale: str = option(
        "none",
        help="none: as trained; layer: each layer times the power of two that suits it",
        choices=("none", "layer"),
    )
    overflow: str = option(
        "error",
        help="weights outside qM.F: an error, or saturated with a warning that counts them",
        choices=("error", "saturate"),
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        kind = parse_format(self.weights)
        rewriter = Rewriter()
        integers: dict[Value, Value] = {}
        used: dict[Operation, None] = {}
        problems: list[Diagnostic] = []
        for op in module.main.body.ops:
            if isinstance(op, BinarizeOp):
                terms = layer_terms(op.terms)
                used.update(dict.fromkeys((*(term.op for term in terms), op)))
                rounded = self._fixed(op, terms, kind, problems) if kind else self._code(op, terms, problems)
                if rounded.saturated:
                    context.warnings.append(_saturated(op, rounded.saturated, str(kind)))
                integers[op.out] = _write(op, terms, rounded, integers, rewriter)
            else:
                moved = _moved(op, integers, rewriter)
                if moved is not None:
                    integers[op.results[0]] = moved
                    used[op] = None
        if problems:
            raise ModelError(problems)
        _give_to_host(integers, used, rewriter)
        apply_patterns(module, [EraseDead()])

    def _fixed(
        self, op: BinarizeOp, terms: tuple[LayerTerm, ...], kind: FixedFormat, problems: list[Diagnostic]
    ) -> Rounded:
        scale = 0
        if self.weight_scale == "layer":
            largest = max(float(np.abs(term.weight).max(initial=0)) for term in terms)
            scale = largest_power(kind.high / (1 << kind.fraction_bits), largest)
        fraction = kind.fraction_bits + scale
        saturated, weights = 0, []
        for term in terms:
            steps = on_grid(term.weight, fraction, self.rounding)
            beyond = np.maximum(steps - kind.high, kind.low - steps)
            # What only rounding brings beyond the end of the range is the nearest number inside.
            if self.overflow == "error" and (beyond > 1).any():
                problems.append(_outside(op, term, beyond, kind))
            saturated += int((beyond > 0).sum())
            weights.append(np.clip(steps, kind.low, kind.high).astype(np.int32))
        bias = on_grid(op.bias, fraction, self.rounding)
        largest_sums = np.maximum(*volleys(terms, weights, flat_bias(bias, op.out.shape[1:])))
        if largest_sums.max() > LARGEST:
            problems.append(_too_large(op, np.ldexp(largest_sums, -fraction), np.ldexp(LARGEST, -fraction)))
            bias = np.zeros_like(bias)
        return Rounded(tuple(weights), bias.astype(np.int32), fraction, saturated)

    def _code(self, op: BinarizeOp, terms: tuple[LayerTerm, ...], problems: list[Diagnostic]) -> Rounded:
        shape = op.out.shape[1:]
        numbers = [term.weight.astype(np.float64) for term in terms]
        both = volleys(terms, numbers, flat_bias(op.bias, shape))
        finest, coarsest = (RAW_MAX * 2.0 ** (shift - WORD_FRACTION) for shift in (0, MAX_SHIFT))
        largest, scale = np.maximum(*both), 0
        if self.weight_scale == "layer":
            most = float(largest.max())
            scale = max(0, largest_power(finest, most)) + min(0, largest_power(coarsest, most))
        fraction = WORD_FRACTION + scale
        weights, bias = [np.zeros(number.shape, np.int64) for number in numbers], np.zeros(op.bias.shape, np.int64)
        if np.ldexp(largest.max(), scale) > coarsest:
            problems.append(_too_large(op, largest, coarsest))
            return Rounded(tuple(weight.astype(np.int32) for weight in weights), bias.astype(np.int32), fraction)
        for receptor, sign in enumerate((1, -1)):
            room = np.ldexp(RAW_MAX, -fraction)
            shift = max(0, -largest_power(room, float(both[receptor].max())))
            while True:
                raw = [self._side(sign, number, fraction - shift) for number in (*numbers, op.bias)]
                if volleys(terms, raw[:-1], flat_bias(raw[-1], shape))[receptor].max() <= RAW_MAX:
                    break
                shift += 1
            for total, part in zip((*weights, bias), raw, strict=True):
                total += part.astype(np.int64) << shift
        return Rounded(tuple(weight.astype(np.int32) for weight in weights), bias.astype(np.int32), fraction)

    def _side(self, sign: int, numbers: Array, fraction: int) -> Array:
        """The numbers of one sign on the grid, 0 for the others."""
        return np.where(sign * numbers > 0, on_grid(numbers, fraction, self.rounding), 0)


def _write(
    op: BinarizeOp, terms: tuple[LayerTerm, ...], rounded: Rounded, integers: dict[Value, Value], rewriter: Rewriter
) -> Value:
    """The layer in integers, before `op`."""
    found = []
    for term, weight in zip(terms, rounded.weights, strict=True):
        constant = rewriter.insert_before(op, ConstantOp(value=weight, location=term.op.location)).out
        attributes = term.op.attributes
        integer_op = quant.MatMulOp if isinstance(term.op, nn.MatMulOp) else quant.Conv2dOp
        made = integer_op.create([integers[term.map], constant], attributes, location=term.op.location)
        value: Value = rewriter.insert_before(op, made).result
        if value.shape != op.out.shape:
            value = rewriter.insert_before(op, nn.ReshapeOp(x=value, shape=op.out.shape, location=op.location)).out
        found.append(value)
    threshold = threshold_on_grid(op.threshold, rounded.fraction)
    binarize = BinarizeOp(terms=tuple(found), bias=rounded.bias, threshold=threshold, fraction=rounded.fraction)
    binarize.location = op.location
    return rewriter.insert_before(op, binarize).out


def _moved(op: Operation, integers: dict[Value, Value], rewriter: Rewriter) -> Value | None:
    """The integers of a 0/1 map that an encoder, a pooling or a move makes; None for another operation."""
    new: Operation
    if isinstance(op, nn.CastOp) and isinstance(op.x.owner, EncodeOp):
        new = nn.CastOp(x=op.x, to=SPIKE)
    elif not op.operands or op.operands[0] not in integers:
        return None
    elif isinstance(op, nn.MaxPool2dOp):
        new = quant.MaxPool2dOp.create([integers[op.x]], op.attributes)
    elif Trait.MOVEMENT in op.traits:
        new = type(op).create([integers.get(value, value) for value in op.operands], op.attributes)
    else:
        return None
    new.location = op.location
    return rewriter.insert_before(op, new).result


def _give_to_host(integers: dict[Value, Value], used: dict[Operation, None], rewriter: Rewriter) -> None:
    """Every other reader of a map reads its integers as floats."""
    one, zero = np.array(1.0, np.float32), np.array(0, np.int32)
    for value, integer in integers.items():
        for user, index in list(value.uses):
            if user not in used:
                floats = quant.DequantizeOp(x=integer, scale=one, zero_point=zero, location=user.location)
                rewriter.set_operand(user, index, rewriter.insert_before(user, floats).out)


def _saturated(op: BinarizeOp, count: int, kind: str) -> Diagnostic:
    return Diagnostic(
        "SNC0465",
        "weights were saturated",
        found=f"{count} outside {kind}",
        help="use more bits before the point, or --weight-scale layer",
        node=str(op.location),
        severity="warning",
    )


def _outside(op: BinarizeOp, term: LayerTerm, beyond: Array, kind: FixedFormat) -> Diagnostic:
    """The weight that lies farthest outside the format."""
    place = np.unravel_index(int(beyond.argmax()), beyond.shape)
    # The outputs of a convolution come first, those of a matrix product last.
    neuron = place[0] if term.weight.ndim == 4 else place[-1]
    largest = float(np.abs(term.weight).max())
    step = 2.0**-kind.fraction_bits
    bits = max(1, int(np.ceil(np.log2(largest / step + 1)))) - kind.fraction_bits + 1
    return Diagnostic(
        "SNC0466",
        f"weights lie outside {kind}",
        found=f"{float(term.weight[place]):g} at neuron (or channel) {int(neuron)}, {float(beyond[place] * step):g} "
        f"beyond the range; {int((beyond > 1).sum())} such weights",
        expected=f"{kind.low * step:g} .. {kind.high * step:g}",
        help=f"take q{bits}.{kind.fraction_bits}, or --weight-scale layer, which divides this layer by "
        f"{2.0 ** -largest_power(kind.high * step, largest):g}",
        node=str(op.location),
    )


def _too_large(op: BinarizeOp, sums: Array, room: float) -> Diagnostic:
    neuron = int(sums.argmax())
    most = float(sums[neuron])
    return Diagnostic(
        "SNC0467",
        "the weights of a neuron add up to more than its words hold",
        found=f"{most:g} at neuron {neuron}, {most - room:g} beyond the range",
        expected=f"at most {room:g}",
        help=f"scale the layer by {2.0 ** largest_power(room, most):g}: --weight-scale layer with code16 does",
        node=str(op.location),
    )
