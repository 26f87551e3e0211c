"""Looks at the populations of a spiking network beside the layers of the network that was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.dialects.spiking import DecodeOp, PopulationOp
from ...passes.spiking.layers import layer_terms
from ..data.dataset import Array
from .batched import BatchedModule, Pass
from .populations import Sums, binary_layers, populations
from .rules import Compared

Counts = NDArray[np.int64]


class LayerObserver:
    """Counts, population by population, what happens to some samples.

    `ties`, `sums`: sums that meet the threshold exactly, of how many. `clamp flips`: spikes that are others because a
    sum was clamped. With a reference at stage binary: `signal` and `noise`, its spikes and those that differ from them;
    `fixed flips`, spikes that differ where a population gets the reference's own spikes; `rule flips`, spikes that
    differ where the reference has the thresholds of the artefact; `soft signal` and `soft noise`, the squares of soft
    activations, and of what sets them apart from the steps in their place. `soft` is the reference with these
    activations, `softened` where they stand.
    """

    def __init__(
        self,
        module: ModuleOp,
        binary: ModuleOp | None,
        compared: Compared | None,
        soft: ModuleOp | None = None,
        softened: Sequence[str] = (),
    ) -> None:
        self._module = BatchedModule(module)
        self._populations = populations(module)
        self._binary = None if binary is None else BatchedModule(binary)
        self._layers = [] if binary is None else binary_layers(binary)
        self.pairs = {} if compared is None else compared.pairs
        self.compared = compared
        self._soft = None if soft is None or not softened else BatchedModule(soft)
        self._soft_places = frozenset(softened)
        self._changes = {} if compared is None else {change.layer: change for change in compared.changes}

    @property
    def has_reference(self) -> bool:
        """Whether layers can be compared."""
        return self._binary is not None

    def observe(self, inputs: Sequence[Array], raw: Array) -> Mapping[str, Any]:
        """The counts for samples for which the netlist gave the spikes `raw` [N, outputs]."""
        count = len(self._populations)
        names = ["ties", "sums", "clamp flips"]
        if self.has_reference:
            names += ["signal", "noise", "fixed flips", "rule flips"]
        counts = {name: np.zeros(count, np.int64) for name in names}
        squares = {name: np.zeros(count) for name in ("soft signal", "soft noise")}
        maps = self._reference_maps(inputs, counts)
        mismatches = self._own_run(inputs, raw, maps, counts)
        if maps:
            self._forced_run(inputs, maps, counts)
            self._soft_run(inputs, maps, squares)
        return {**counts, **squares, "mismatches": mismatches}

    def _soft_run(
        self, inputs: Sequence[Array], maps: Mapping[int, Array], squares: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """Compares soft activations with the steps in their place."""
        if self._soft is None:
            return
        for part in self._soft.passes(inputs):

            def look(op: Operation, _operands: Sequence[Array], array: Array, part: Pass = part) -> Array:
                for number in self._softened_by(op):
                    steps = maps.get(number)
                    values = array[: part.count].reshape(part.count, -1).astype(np.float64)
                    if steps is not None and steps.shape[1] == values.shape[1]:
                        apart = values - steps[part.first : part.first + part.count]
                        squares["soft signal"][number] += np.square(values).sum()
                        squares["soft noise"][number] += np.square(apart).sum()
                return array

            part.walk(look)

    def _softened_by(self, op: Operation) -> list[int]:
        """The populations whose step stands for a soft activation."""
        names = op.location.names
        if not names or str(op.location) not in self._soft_places:
            return []
        return [number for number, each in enumerate(self._populations) if set(names).issubset(each.location.names)]

    def _reference_maps(self, inputs: Sequence[Array], counts: Mapping[str, Counts]) -> dict[int, Array]:
        """The spikes [N, neurons] of the reference for each population that has a layer."""
        if self._binary is None:
            return {}
        found: dict[int, list[Array]] = {number: [] for number in range(len(self._layers))}
        owner = {layer: population for population, layer in self.pairs.items()}
        for part in self._binary.passes(inputs):
            number_of = {op: number for number, op in enumerate(binary_layers(part.module))}

            def look(
                op: Operation,
                operands: Sequence[Array],
                array: Array,
                kept: int = part.count,
                number_of: Mapping[Operation, int] = number_of,
            ) -> Array:
                number = number_of.get(op)
                if number is not None:
                    spikes = array[:kept].reshape(kept, -1) != 0
                    found[number].append(spikes)
                    change = self._changes.get(number)
                    if change is not None and isinstance(op, BinarizeOp) and number in owner:
                        total = np.add.reduce([term.astype(np.float64) for term in operands]) + op.bias
                        other = (total >= change.threshold)[:kept].reshape(kept, -1)
                        counts["rule flips"][owner[number]] += np.count_nonzero(other != spikes)
                return array

            part.walk(look)
        return {population: np.concatenate(found[layer]) for population, layer in self.pairs.items() if found[layer]}

    def _own_run(
        self, inputs: Sequence[Array], raw: Array, maps: Mapping[int, Array], counts: Mapping[str, Counts]
    ) -> int:
        """Runs the network as it is; gives the number of samples in which it differs from the netlist."""
        read: list[Array] = []
        for part in self._module.passes(inputs):
            decoded: list[Array] = []
            number_of = _population_numbers(part.module)

            def look(
                op: Operation,
                operands: Sequence[Array],
                array: Array,
                kept: int = part.count,
                first: int = part.first,
                decoded: list[Array] = decoded,
                number_of: Mapping[Operation, int] = number_of,
            ) -> Array:
                if isinstance(op, DecodeOp):
                    decoded.append(array[:kept].reshape(kept, -1) != 0)
                if isinstance(op, PopulationOp):
                    number, sums = number_of[op], Sums.of(op, operands)
                    counts["ties"][number] += np.count_nonzero(sums.held[:kept] == sums.threshold)
                    counts["sums"][number] += kept * op.size
                    changed = sums.wide_spikes[:kept] != sums.spikes[:kept]
                    counts["clamp flips"][number] += np.count_nonzero(changed)
                    if number in maps:
                        wanted = maps[number][first : first + kept]
                        counts["signal"][number] += np.count_nonzero(wanted)
                        counts["noise"][number] += np.count_nonzero(wanted != sums.spikes[:kept])
                return array

            part.walk(look)
            read.append(np.concatenate(decoded, axis=1))
        return int((np.concatenate(read) != (raw != 0)).any(axis=1).sum())

    def _forced_run(self, inputs: Sequence[Array], maps: Mapping[int, Array], counts: Mapping[str, Counts]) -> None:
        """Gives each population the reference's spikes, so that only what it does wrong itself is counted."""
        for part in self._module.passes(inputs):
            number_of = _population_numbers(part.module)

            def force(
                op: Operation,
                operands: Sequence[Array],
                array: Array,
                kept: int = part.count,
                first: int = part.first,
                number_of: Mapping[Operation, int] = number_of,
            ) -> Array:
                if not isinstance(op, PopulationOp) or number_of[op] not in maps:
                    return array
                number = number_of[op]
                wanted = maps[number][first : first + kept]
                own = Sums.of(op, operands).wide_spikes[:kept]
                counts["fixed flips"][number] += np.count_nonzero(own != wanted)
                forced = np.zeros(array.shape, array.dtype).reshape(len(array), -1)
                forced[:kept] = wanted
                return forced.reshape(array.shape)

            part.walk(force)

    def flushed(self, number: int) -> float | None:
        """The share of a layer's weights that became zero, of those that were none; None without a reference."""
        layer = self.pairs.get(number)
        op = None if layer is None else self._layers[layer]
        if not isinstance(op, BinarizeOp):
            return None
        before = [np.asarray(term.weight) for term in layer_terms(op.terms)]
        after = [projection.weight for projection in self._populations[number].projections]
        if [each.shape for each in before] != [each.shape for each in after]:
            return None
        weights = sum(int(np.count_nonzero(each)) for each in before)
        zero = sum(int(np.count_nonzero((old != 0) & (new == 0))) for old, new in zip(before, after, strict=True))
        return zero / weights if weights else 0.0


def _population_numbers(module: ModuleOp) -> dict[Operation, int]:
    return {op: number for number, op in enumerate(populations(module))}
