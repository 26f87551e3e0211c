"""Populations of a spiking network, and the layers of the binary network that they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Operation
from ...ir.dialects import nn
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.dialects.spiking import PopulationOp
from ...ir.dialects.spiking.ops import RAW_MAX
from .batched import dependent

Array = NDArray[Any]
Integers = NDArray[np.int64]


@frozen(eq=False)
class Sums:
    """The sums of a population's neurons, i64 [N, neurons]: `wide`, and as its receptors hold them; `threshold`."""

    wide: Integers
    held: Integers
    threshold: Integers

    @classmethod
    def of(cls, op: PopulationOp, currents: Sequence[Array]) -> Sums:
        """The sums for currents [2, N, ...]."""
        exc, inh = np.add.reduce(list(currents)).astype(np.int64)
        held = [
            np.minimum(side >> shift, RAW_MAX) << shift for side, shift in ((exc, op.shift_exc), (inh, op.shift_inh))
        ]
        offset = 0 if op.offset is None else op.offset.astype(np.int64).reshape(exc.shape[1:] if op.offset.ndim else ())
        count = len(exc)
        wide, clamped = exc - inh + offset, held[0] - held[1] + offset
        threshold = np.broadcast_to(op.threshold.astype(np.int64), (op.size,))
        return cls(wide.reshape(count, -1), clamped.reshape(count, -1), threshold)

    @property
    def wide_spikes(self) -> NDArray[np.bool_]:
        """The spikes that there would be if receptors held any sum."""
        return np.asarray(self.wide >= self.threshold)

    @property
    def spikes(self) -> NDArray[np.bool_]:
        """The spikes."""
        return np.asarray(self.held >= self.threshold)


def populations(module: ModuleOp) -> list[PopulationOp]:
    """The populations of a module in order."""
    return [op for op in module.main.body.ops if isinstance(op, PopulationOp)]


def binary_layers(module: ModuleOp) -> list[Operation]:
    """The operations of a binary network that become populations: steps, and max poolings of maps."""
    known = dependent(module)
    kinds = (BinarizeOp, nn.MaxPool2dOp)
    return [op for op in module.main.body.ops if isinstance(op, kinds) and op.results[0] in known]


def matched_layers(found: Sequence[PopulationOp], layers: Sequence[Operation]) -> dict[int, int]:
    """The number of the layer for the number of each population: by the names of ONNX nodes, else by order.

    Layers whose sizes differ are never matched.
    """
    sizes = [math.prod(layer.results[0].shape[1:]) for layer in layers]
    by_names: dict[tuple[str, ...], list[int]] = {}
    for number, layer in enumerate(layers):
        by_names.setdefault(layer.location.names, []).append(number)
    pairs: dict[int, int] = {}
    for number, population in enumerate(found):
        candidates = by_names.get(population.location.names, []) if population.location.names else []
        if len(candidates) == 1 and sizes[candidates[0]] == population.size:
            pairs[number] = candidates[0]
    if len(pairs) < len(found) and len(found) == len(layers):
        taken = set(pairs.values())
        for number, population in enumerate(found):
            if number not in pairs and number not in taken and sizes[number] == population.size:
                pairs[number] = number
    return pairs
