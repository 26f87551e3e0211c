"""Which neurons spike: the network run on samples, or on random inputs where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.dialects.builtin import FuncOp
from ...ir.dialects.spiking import EncodeOp, PopulationOp, ProjectOp
from ...runtime.interpreter.spiking import population, project

Array = NDArray[Any]

MOST_CELLS = 1 << 20
"""Neurons times samples that are looked at: some twenty samples of 50,000 neurons, 256 of 1,000."""
MOST_SAMPLES = 256
DENSITY = 0.2
"""Share of ones in random inputs."""


@frozen(eq=False)
class Activity:
    """Spikes of each population, bool [samples, neurons], bias neurons (always on) last; in the program's order.

    `stimuli` (u8 [samples, elements]) are the same samples as the sources take them. `about` says which they are.
    """

    fired: tuple[Array, ...]
    stimuli: Array
    about: str


def measure(main: FuncOp, stimuli: Array | None, *, seed: int) -> Activity:
    """Runs a function at stage spiking, whose batch is 1, on some of the samples: half of them those with the most
    spikes, which set the shortest step, half at even distances.

    `stimuli` (0 or 1, [samples, elements], at least one sample) are spikes of all sources in the program's order, bias
    neurons left out; None: random ones. Raises ValueError when they do not fit.
    """
    ops = [op for op in main.body.ops if isinstance(op, EncodeOp | PopulationOp)]
    elements = sum(op.size for op in ops if isinstance(op, EncodeOp))
    most = max(2, min(MOST_SAMPLES, MOST_CELLS // max(sum(op.neurons for op in ops), 1)))
    if stimuli is None:
        chosen = (np.random.default_rng(seed).random((most, elements)) < DENSITY).astype(np.uint8)
        about = f"{most} random inputs of which {DENSITY:.0%} spike, because no samples were given"
    else:
        if stimuli.ndim != 2 or stimuli.shape[1] != elements or not len(stimuli):
            raise ValueError(f"samples of shape {stimuli.shape} do not fit {elements} sources")
        chosen = stimuli[_choose(stimuli.sum(axis=1, dtype=np.int64), most)]
        about = (
            f"{len(chosen)} of the {len(stimuli)} samples" if len(chosen) < len(stimuli) else f"{len(chosen)} samples"
        )
    rows: dict[Value, Array] = {op.out: np.ones((len(chosen), op.neurons), bool) for op in ops}
    for number, sample in enumerate(chosen):
        for value, spikes in _wave(main, sample).items():
            rows[value][number, : spikes.size] = spikes.reshape(-1)
    return Activity(tuple(rows[op.out] for op in ops), chosen, about)


def _wave(main: FuncOp, stimulus: Array) -> Mapping[Value, Array]:
    """The spikes of each population for one sample."""
    values: dict[Value, Array] = {}
    spikes: dict[Value, Array] = {}
    element = 0
    for op in main.body.ops:
        if isinstance(op, EncodeOp):
            of = slice(element, element + op.size)
            values[op.out] = spikes[op.out] = stimulus[of].astype(bool).reshape(op.out.shape)
            element += op.size
        elif isinstance(op, ProjectOp):
            values[op.out] = project(op, [values[op.spikes]])
        elif isinstance(op, PopulationOp):
            values[op.out] = spikes[op.out] = population(op, [values.pop(each) for each in dict.fromkeys(op.currents)])
    return spikes


def _choose(spikes: Array, most: int) -> Array:
    """Numbers of at most `most` samples in rising order, by how many spikes they have."""
    if len(spikes) <= most:
        return np.arange(len(spikes))
    fullest = np.argsort(-spikes, kind="stable")[: most // 2]
    others = np.setdiff1d(np.arange(len(spikes)), fullest)
    count = most - len(fullest)
    return np.sort(np.concatenate([fullest, others[np.arange(count) * len(others) // count]]))
