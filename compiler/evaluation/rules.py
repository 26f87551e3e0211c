"""At which sum each neuron of an artefact fires, beside the sum at which the reference says that it should.

A neuron fires where its weighted inputs reach `threshold - bias`; how a build carries the bias decides nothing. The
reference is brought to the same form by the options of the build, and once more with every threshold moved to the next
number above, and below: so a comparison that became strict, or no longer is, is told from any other change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.clone import clone_module
from ...ir.diagnostics import SncError
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.dialects.spiking import PopulationOp
from ...ir.rewriter import Rewriter
from ...ir.spec import DENSE
from ...passes.base import PassContext
from ..driver import run_pipeline
from ..pipelines import spiking_pipeline
from ..spinn1.options import SpikingOptions
from .populations import binary_layers, matched_layers, populations

Array = NDArray[Any]

STRICT, LOOSE, MOVED = "strict", "loose", "moved"


@frozen(eq=False)
class RuleChange:
    """A layer that fires at other sums than the reference.

    `kind`: strict where the artefact asks for more than the threshold and the reference for as much, loose the other
    way round, else moved. `threshold` are the thresholds of the artefact for the sums of the reference, f64, in the
    shape of a sample's result; `neurons` are those that changed.
    """

    layer: int
    population: int
    kind: str
    threshold: Array
    neurons: int


@frozen(eq=False)
class Compared:
    """What sets the artefact's layers apart from those of a build of the reference.

    `changes` of rules, `other_weights` the numbers of populations that have other weights than such a build, `pairs`
    the number of the layer for each population.
    """

    changes: tuple[RuleChange, ...]
    other_weights: tuple[int, ...]
    pairs: dict[int, int]


def compare_rules(artefact: ModuleOp, binary: ModuleOp, options: SpikingOptions) -> Compared:
    """Compares an artefact's module with the reference's at stage binary, built with the artefact's `options`."""
    ours, layers = populations(artefact), binary_layers(binary)
    pairs = matched_layers(ours, layers)
    built = _built(binary, options, 0)
    if built is None:
        return Compared((), (), pairs)
    as_is = _by_layer(built, layers)
    other_weights = []
    differing: list[tuple[int, int]] = []
    for number, layer in pairs.items():
        theirs = as_is.get(layer)
        if theirs is None:
            continue
        if not same_weights(ours[number], theirs):
            other_weights.append(number)
        elif (fires_at(ours[number]) != fires_at(theirs)).any():
            differing.append((number, layer))
    nudged = [_by_layer(_built(binary, options, way) or binary, layers) for way in (1, -1)] if differing else []
    changes = [_change(ours[number], number, layers, layer, as_is, nudged) for number, layer in differing]
    return Compared(tuple(each for each in changes if each is not None), tuple(other_weights), pairs)


def changed_thresholds(binary: ModuleOp, changes: Sequence[RuleChange]) -> ModuleOp:
    """The binary network with the thresholds of the artefact."""
    copy = clone_module(binary)
    layers = binary_layers(copy)
    for change in changes:
        Rewriter().set_attribute(layers[change.layer], "threshold", DENSE.encode(change.threshold))
    return copy


def fires_at(population: PopulationOp) -> NDArray[np.float64]:
    """The weighted sum of real inputs from which on each neuron fires, [neurons]."""
    total = np.broadcast_to(population.threshold.astype(np.int64), (population.size,)).copy()
    if population.offset is not None:
        total -= population.offset
    for projection in population.projections:
        if projection.bias is not None:
            total -= projection.bias
    return np.ldexp(total.astype(np.float64), -population.fraction)


def same_weights(one: PopulationOp, other: PopulationOp) -> bool:
    """Whether two populations weigh their inputs alike."""
    if len(one.projections) != len(other.projections):
        return False
    return all(
        (left.connector, left.weight.shape) == (right.connector, right.weight.shape)
        and np.array_equal(_real(left.weight, one.fraction), _real(right.weight, other.fraction))
        for left, right in zip(one.projections, other.projections, strict=True)
    )


def _real(weights: Array, fraction: int) -> Array:
    return np.ldexp(weights.astype(np.float64), -fraction)


def _built(binary: ModuleOp, options: SpikingOptions, way: int) -> ModuleOp | None:
    """The reference as populations, with thresholds moved to the next number above (1) or below (-1); None: refused."""
    copy = clone_module(binary)
    if way:
        rewriter = Rewriter()
        for op in copy.main.body.ops:
            if isinstance(op, BinarizeOp):
                rewriter.set_attribute(op, "threshold", DENSE.encode(np.nextafter(op.threshold, way * np.inf)))
    try:
        run_pipeline(spiking_pipeline(options), copy, PassContext(), ())
    except SncError:
        return None
    return copy


def _by_layer(built: ModuleOp, layers: Sequence[Any]) -> dict[int, PopulationOp]:
    """The populations of a build of the reference, by the number of their layer."""
    found = populations(built)
    return {layer: found[number] for number, layer in matched_layers(found, layers).items()}


def _change(
    ours: PopulationOp,
    number: int,
    layers: Sequence[Any],
    layer: int,
    as_is: dict[int, PopulationOp],
    nudged: Sequence[dict[int, PopulationOp]],
) -> RuleChange | None:
    """How the rule of a layer changed; None where its thresholds are not its own, as those of a pooling."""
    op = layers[layer]
    if not isinstance(op, BinarizeOp):
        return None
    shape = op.out.shape[1:]
    mine, theirs = fires_at(ours), fires_at(as_is[layer])
    written = np.broadcast_to(op.threshold, shape).reshape(-1)
    threshold, differs = written.copy(), mine != theirs
    kinds = np.where(differs, MOVED, STRICT)
    threshold[differs] += (mine - theirs)[differs]
    for built, way, kind in zip(nudged, (1, -1), (STRICT, LOOSE), strict=True):
        if layer in built:
            like = differs & (mine == fires_at(built[layer]))
            threshold[like] = np.nextafter(written[like], way * np.inf)
            kinds[like] = kind
    names, counts = np.unique(kinds[differs], return_counts=True)
    kind = str(names[int(counts.argmax())])
    return RuleChange(layer, number, kind, threshold.reshape(shape), int(differs.sum()))
