"""Value ranges of a network on sample inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.core import Value
from ..ir.dialects.builtin import FuncOp, ModuleOp
from ..ir.types import FloatType
from ..runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]

SEED = 20201
NOISE_SAMPLES = 4
KEPT_PER_SAMPLE = 8192
"""Values of each tensor that percentile and mse look at, evenly strided, per sample."""
PERCENTILE = 99.99
CANDIDATES = 64


class SampleCalibration:
    """Runs the network on samples (one list of arrays, an array per input, for each) and measures every value."""

    def __init__(self, samples: Sequence[Sequence[Array]]) -> None:
        self.samples = samples

    def ranges(self, module: ModuleOp, method: str) -> Mapping[Value, tuple[float, float]]:
        """Least and greatest value of each float value, by `method` (min-max, percentile, mse)."""
        bounds: dict[Value, tuple[float, float]] = {}
        kept: dict[Value, list[Array]] = {}

        def observe(value: Value, array: Array) -> None:
            if not isinstance(value.element, FloatType) or not array.size:
                return
            low, high = float(array.min()), float(array.max())
            before = bounds.get(value, (low, high))
            bounds[value] = (min(low, before[0]), max(high, before[1]))
            if method != "min-max":
                flat = array.reshape(-1)
                kept.setdefault(value, []).append(flat[:: max(1, flat.size // KEPT_PER_SAMPLE)].copy())

        for sample in self.samples:
            evaluate(module, sample, observe=observe)
        if method == "min-max":
            return bounds
        trim = _percentile if method == "percentile" else _least_squares
        return {value: trim(np.concatenate(kept[value]), bounds[value]) for value in bounds}


def _percentile(values: Array, bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(values, [100 - PERCENTILE, PERCENTILE])
    return max(float(low), bounds[0]), min(float(high), bounds[1])


def _least_squares(values: Array, bounds: tuple[float, float]) -> tuple[float, float]:
    """The share of the range for which rounding and saturation to 8 bits together cost the least squared error."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    best = (np.inf, (low, high))
    for share in np.linspace(1.0, 0.3, CANDIDATES):
        step = (high - low) * share / 255 or 1.0
        error = np.clip(np.rint(values / step), np.rint(low * share / step), np.rint(high * share / step)) * step
        cost = float(np.mean((error - values) ** 2))
        if cost < best[0]:
            best = (cost, (low * share, high * share))
    return best[1]


def noise_samples(main: FuncOp) -> list[list[Array]]:
    """Seeded normal noise in the shape of the inputs, for models that come without data."""
    rng = np.random.default_rng(SEED)
    return [[_noise(rng, argument) for argument in main.body.arguments] for _ in range(NOISE_SAMPLES)]


def _noise(rng: np.random.Generator, argument: Value) -> Array:
    dtype = argument.element.dtype
    if dtype.kind == "f":
        return rng.standard_normal(argument.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, argument.shape).astype(bool)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -128), min(info.max, 255), argument.shape, endpoint=True).astype(dtype)
