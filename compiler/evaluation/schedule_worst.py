"""What is known of each layer of a schedule, which of them lost most, and what to try."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..executable import Executable
from .partial import Partial
from .record import LayerFinding, Worst
from .spiking_worst import decibels
from .subject import FIXED_POINT, SATURATION

Numbers = NDArray[np.float64]
Weights = Sequence[tuple[float, float] | None]
"""For each layer the share of weights that became zero and the power of their errors over that of the weights."""


def layer_findings(
    names: Sequence[tuple[str, tuple[str, ...]]], weights: Weights, known: Sequence[int | None], sums: Partial
) -> tuple[LayerFinding, ...]:
    """What is known of each layer; `known` is None for those without a float counterpart."""
    count = (len(names),)
    held, saturated = sums.total("held", count), sums.total("saturated", count)
    signal, noise = sums.total("signal", count), sums.total("noise", count)
    return tuple(
        LayerFinding(
            name=name,
            onnx=onnx,
            snr_db=decibels(signal[number], noise[number]),
            saturated=float(saturated[number] / held[number]) if known[number] is not None and held[number] else None,
            flushed=None if found is None else found[0],
        )
        for number, ((name, onnx), found) in enumerate(zip(names, weights, strict=True))
    )


def worst_layer(
    stage: str, executable: Executable, weights: Weights, sums: Partial, layers: Sequence[LayerFinding]
) -> Worst | None:
    """The layer that has most to do with what `stage` lost; None where none can be named."""
    count = (len(layers),)
    signal = sums.total("signal", count)
    share = np.divide(1.0, signal, out=np.zeros(count), where=signal > 0)
    clipped, rounded = sums.total("clipped", count) * share, sums.total("rounded", count) * share
    errors = np.array([0.0 if found is None else found[1] for found in weights])
    blame = {SATURATION: clipped, FIXED_POINT: rounded + errors}.get(stage, sums.total("noise", count) * share)
    if not blame.any():
        return None
    number = int(blame.argmax())
    layer = layers[number]
    reason, remedy = _advice(stage, executable, layer, rounded[number] >= errors[number])
    return Worst(stage, layer.name, layer.onnx, reason, remedy)


def _advice(stage: str, executable: Executable, layer: LayerFinding, activations: bool) -> tuple[str, str]:
    method, data = executable.options.get("calibration_method"), executable.options.get("calibration")
    if stage == SATURATION:
        reason = f"{layer.saturated or 0:.2%} of its values lie beyond its range"
        if data == "noise":
            return reason, "build with --calibrate FILE.npz, samples of real data: the ranges were measured on noise"
        if method != "min-max":
            return reason, "build with --calibration-method min-max, which cuts nothing off"
        return reason, "build with --calibrate on more samples, such as these: their values leave the measured ranges"
    if stage == FIXED_POINT:
        what = "its values" if activations else "its weights"
        noise = f"its signal-to-noise ratio is {layer.snr_db:.1f} dB" if layer.snr_db is not None else ""
        reason = f"rounding {what} costs most of all layers{'; ' if noise else ''}{noise}"
        if data == "noise":
            return reason, "build with --calibrate FILE.npz, samples of real data: the ranges were measured on noise"
        if executable.options.get("bits") == 8:
            other = "percentile" if method == "min-max" else "min-max"
            return reason, f"build with --bits 16, or with --calibration-method {other} for another step"
        return reason, "build with --calibration-method mse, which chooses the range with the least error"
    return "its values differ most from the reference", "compare the layers with snc inspect"
