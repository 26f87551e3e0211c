"""lower-to-spiking: layers become populations, and their weights projections in the code of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.dialects.spiking import DecodeOp, EncodeOp, PopulationOp, ProjectOp
from ...ir.dialects.spiking.ops import RAW_MAX
from ...ir.rewriter import Rewriter, apply_patterns
from ...ir.spec import BOOL, DENSE, INT
from ...ir.traits import Trait
from ..base import Pass, PassContext, option
from ..graph.matching import EraseDead
from .code import Coded, encode_population
from .grid import LARGEST, WORD_FRACTION, largest_power
from .layers import flat_bias, layer_terms, volleys
from .moves import Part, moved_parts
from .projecting import bound_shape, pool_projection, project

Array = NDArray[Any]

ONE = 1 << WORD_FRACTION
"""1.0 in the words of a neuron: weight and threshold from bias neuron to bias neuron."""


@frozen
class LowerToSpiking(Pass):
    """Turns every quant.binarize, and every max pooling of a map, into a population with a projection for each term.

        binarize(conv2d(s, w)) {bias = b, threshold = c}
    becomes, with `bias` = offset,
        population(project(s) {connector = "conv2d", weight = w}) {offset = b, threshold = c}

    `bias` = threshold has threshold c - b instead; `bias` = chain has synapses of weight b from a bias neuron in the
    population before, which a chain of such neurons drives from an always-on input. A max pooling is a population with
    weights and threshold of 1: OR. Matrices become all-to-all, depthwise 1 x 1 convolutions one-to-one.

    Keeps: every output, exactly, where the 16 bit code can express the weights in a shift in which no volley overflows.
    Where it cannot, `excess` = round rounds the weights to the code, saturate keeps them and lets receptors stop at
    65535; either way a warning says so. The result does not depend on `bias`.
    """

    name: ClassVar[str] = "lower-to-spiking"
    establishes: ClassVar[str | None] = "spiking"
    bias: str = option(
        "chain",
        help="how biases reach a neuron: as synapses of bias neurons, as its offset, or in its threshold",
        choices=("chain", "offset", "threshold"),
    )
    excess: str = option(
        "round",
        help="weights that fit no shift in which volleys cannot overflow: rounded, or kept with overflow possible",
        choices=("round", "saturate"),
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        lowering = _Lowering(self.excess == "saturate")
        for op in module.main.body.ops:
            match op:
                case nn.CastOp() if isinstance(op.x.owner, EncodeOp):
                    lowering.source(op, op.x.owner)
                case BinarizeOp():
                    lowering.layer(op)
                case quant.MaxPool2dOp():
                    lowering.pooling(op)
                case quant.DequantizeOp() if op.x in lowering.parts:
                    lowering.rewriter.replace(op, lowering.read_by_host(op.x, op))
                case _ if Trait.MOVEMENT in op.traits and op.operands and op.operands[0] in lowering.parts:
                    lowering.parts[op.results[0]] = moved_parts(op, lowering.parts)
        if lowering.problems:
            raise ModelError(lowering.problems)
        lowering.carry_biases(self.bias)
        apply_patterns(module, [EraseDead()])
        context.warnings.extend(lowering.warnings)


class _Lowering:
    """The populations so far; `parts` says of which of them a 0/1 map of the program consists."""

    def __init__(self, saturate: bool) -> None:
        self.rewriter = Rewriter()
        self.parts: dict[Value, tuple[Part, ...]] = {}
        self.problems: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self._saturate = saturate
        self._populations: list[PopulationOp] = []
        self._biases: dict[PopulationOp, Array] = {}
        self._depth: dict[Value, int] = {}
        self._decoded: dict[Value, Value] = {}

    def source(self, op: nn.CastOp, encode: EncodeOp) -> None:
        """A source population."""
        self.parts[op.out] = (Part.whole(encode.out),)
        self._depth[encode.out] = 0

    def layer(self, op: BinarizeOp) -> None:
        """The population of a step."""
        terms = layer_terms(op.terms)
        shape = op.out.shape[1:]
        assert op.fraction is not None

        def most(weights: Sequence[Array], bias: Array) -> tuple[Array, Array]:
            return volleys(terms, weights, flat_bias(bias, shape))

        weights = [term.weight for term in terms]
        coded = encode_population(weights, op.bias, op.threshold, op.fraction, most, saturate=self._saturate)
        if coded is None:
            self.problems.append(_exceeds(op, np.maximum(*most(weights, op.bias))))
            self.parts[op.out] = ()
            return
        if coded.changed or coded.saturates:
            self.warnings.append(_does_not_hold(op, coded))
        bound = {found for term in terms if (found := bound_shape(term)) is not None}
        native = bound.pop() if len(bound) == 1 else op.out.shape
        projections = [
            project(term, weight, part, native)
            for term, weight in zip(terms, coded.weights, strict=True)
            for part in self.parts[term.map]
        ]
        population = self._population(
            op,
            projections,
            threshold=coded.threshold if coded.threshold.ndim == 0 else flat_bias(coded.threshold, shape),
            shifts=coded.shifts,
            fraction=coded.fraction,
            saturates=coded.saturates,
        )
        if population is not None and coded.bias.any():
            self._biases[population] = flat_bias(coded.bias, shape)

    def pooling(self, op: quant.MaxPool2dOp) -> None:
        """The population of a max pooling: OR."""
        projections = [pool_projection(op, ONE, part) for part in self.parts[op.x]]
        shift = max(0, -largest_power(RAW_MAX, ONE * op.kernel[0] * op.kernel[1]))
        self._population(
            op, projections, threshold=np.asarray(ONE, np.int32), shifts=(shift, 0), fraction=WORD_FRACTION
        )

    def _population(
        self,
        op: BinarizeOp | quant.MaxPool2dOp,
        projections: Sequence[ProjectOp],
        *,
        threshold: Array,
        shifts: tuple[int, int],
        fraction: int,
        saturates: bool = False,
    ) -> PopulationOp | None:
        """Inserts a population before `op`, which it stands for."""
        if not projections:
            self.parts[op.out] = ()
            return None
        for projection in projections:
            projection.location = op.location
            self.rewriter.insert_before(op, projection)
        population = PopulationOp(
            currents=tuple(projection.out for projection in projections),
            label=op.location.names[0] if op.location.names else f"layer{len(self._populations) + 1}",
            threshold=np.ascontiguousarray(threshold).reshape(threshold.shape),
            shift_exc=shifts[0],
            shift_inh=shifts[1],
            fraction=fraction,
            saturates=saturates,
            location=op.location,
        )
        self.rewriter.insert_before(op, population)
        self._populations.append(population)
        self._depth[population.out] = 1 + max(self._depth[projection.spikes] for projection in projections)
        whole = Part.whole(population.out)
        self.parts[op.out] = (Part(whole.spikes, whole.index.reshape(op.out.shape[1:])),)
        return population

    def read_by_host(self, value: Value, anchor: Operation) -> Value:
        """A 0/1 map as floats of the host, before `anchor`; moves happen there."""
        if value in self._decoded:
            return self._decoded[value]
        (first, *more) = self.parts[value]
        if not more and first.is_whole:
            floats = self._on_host(DecodeOp(spikes=first.spikes), anchor)
            if floats.shape != value.shape:
                floats = self._on_host(nn.ReshapeOp(x=floats, shape=value.shape), anchor)
        else:
            move = value.owner
            assert move is not None
            operands = [self.read_by_host(x, anchor) if x in self.parts else x for x in move.operands]
            floats = self._on_host(type(move).create(operands, move.attributes), anchor)
        self._decoded[value] = floats
        return floats

    def _on_host(self, op: Operation, anchor: Operation) -> Value:
        op.location = anchor.location
        return self.rewriter.insert_before(anchor, op).result

    def carry_biases(self, how: str) -> None:
        """Gives the biases to their populations; a bias neuron stands only where one is listened to."""
        listened: set[Value] = set()
        for population in reversed(self._populations):
            bias = self._biases.get(population)
            if bias is not None and how == "offset":
                self.rewriter.set_attribute(population, "offset", DENSE.encode(bias))
            elif bias is not None and how == "threshold":
                moved = population.threshold.astype(np.int64) - bias
                limited = np.clip(moved, -LARGEST, LARGEST).astype(np.int32)
                self.rewriter.set_attribute(population, "threshold", DENSE.encode(limited))
            if how != "chain" or (bias is None and population.out not in listened):
                continue
            # The deepest of the populations before it: its bias neuron is due last, so that no synapse waits long.
            carrier = max(population.projections, key=lambda projection: self._depth[projection.spikes])
            listened.add(carrier.spikes)
            if bias is not None:
                self.rewriter.set_attribute(carrier, "bias", DENSE.encode(bias))
            if population.out in listened:
                self.rewriter.set_attribute(carrier, "chain", INT.encode(ONE))
                self.rewriter.set_attribute(population, "bias_threshold", INT.encode(ONE))
        for value in listened:
            if isinstance(value.owner, EncodeOp):
                self.rewriter.set_attribute(value.owner, "bias_neuron", BOOL.encode(True))


def _does_not_hold(op: BinarizeOp, coded: Coded) -> Diagnostic:
    if coded.saturates:
        found = f"a volley of all sources overflows a receptor of shifts {coded.shifts[0]} and {coded.shifts[1]}"
        help_text = "round the weights instead (excess=round), or use a coarser format"
    else:
        found = f"{coded.changed} weights and biases rounded once more, by up to {coded.error:g}"
        help_text = "use a coarser format, or code16, which chooses the finest grid that holds"
    return Diagnostic(
        "SNC0468",
        "the 16 bit code cannot hold the weights without overflow",
        found=found,
        expected=f"sums of at most {RAW_MAX} units of a receptor",
        help=help_text,
        node=str(op.location),
        severity="warning",
    )


def _exceeds(op: BinarizeOp, sums: Array) -> Diagnostic:
    neuron = int(sums.argmax())
    return Diagnostic(
        "SNC0467",
        "the weights of a neuron add up to more than its words hold",
        found=f"{float(sums[neuron]):g} units at neuron {neuron}",
        expected=f"at most {RAW_MAX << 15}",
        help=f"use a coarser format: {-largest_power(RAW_MAX << 15, float(sums[neuron]))} bits less behind the point",
        node=str(op.location),
    )
