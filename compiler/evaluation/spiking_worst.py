"""What is known of each population, which of them lost most, and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spiking import PopulationOp
from ...passes.spiking.grid import CODE, parse_format
from ..spinn1.executable import SpikingExecutable
from ..spinn1.options import SpikingOptions
from .partial import Partial
from .record import LayerFinding, Worst
from .rules import RuleChange
from .spiking_layers import LayerObserver
from .subject import ACTIVATION, CONGESTION, FIXED_POINT, SATURATION

Shares = NDArray[np.float64]
RECEPTORS = 2
MOST_BITS = 24
MORE_BITS = 4


def layer_findings(found: Sequence[PopulationOp], observer: LayerObserver, sums: Partial) -> tuple[LayerFinding, ...]:
    """What is known of each population."""
    count = (len(found),)
    samples, congested = sums.count("samples"), sums.count("congested")
    spikes, saturations = sums.total("spikes", count), sums.total("saturations", count)
    ties, seen = sums.total("ties", count), sums.total("sums", count)
    signal, noise = sums.total("signal", count), sums.total("noise", count)
    late, lost = sums.total("late", count), sums.total("lost", count)
    rows = []
    for number, op in enumerate(found):
        rows.append(
            LayerFinding(
                name=op.label,
                onnx=op.location.names,
                snr_db=decibels(signal[number], noise[number]) if number in observer.pairs else None,
                saturated=float(saturations[number]) / (RECEPTORS * op.size * samples),
                flushed=observer.flushed(number),
                ties=float(ties[number] / seen[number]) if seen[number] else None,
                spikes_per_sample=float(spikes[number]) / samples,
                late_per_sample=float(late[number]) / congested if congested else None,
                lost_per_sample=float(lost[number]) / congested if congested else None,
            )
        )
    return tuple(rows)


def decibels(signal: float, noise: float) -> float | None:
    """10 log10(signal / noise); None where nothing differs, or where there is no signal."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def worst_layer(
    stage: str,
    executable: SpikingExecutable,
    observer: LayerObserver,
    sums: Partial,
    layers: Sequence[LayerFinding],
) -> Worst | None:
    """The population that has most to do with what `stage` lost; None where none can be named."""
    count = (len(layers),)
    seen = np.maximum(sums.total("sums", count), 1)
    by_stage: Mapping[str, Shares] = {
        ACTIVATION: sums.total("rule flips", count) / seen + _soft_shares(sums, count),
        FIXED_POINT: sums.total("fixed flips", count) / seen,
        SATURATION: sums.total("clamp flips", count) / seen + np.ldexp(sums.total("saturations", count), -52),
        CONGESTION: sums.total("late", count) + sums.total("lost", count),
    }
    blame = by_stage.get(stage, np.zeros(count))
    if not blame.any():
        blame = sums.total("noise", count) / seen
    if not blame.any():
        return None
    number = int(blame.argmax())
    layer = layers[number]
    reason, remedy = _advice(stage, number, float(blame[number]), executable, observer, sums, layer)
    return Worst(stage, layer.name, layer.onnx, reason, remedy)


def _soft_shares(sums: Partial, count: tuple[int, ...]) -> Shares:
    """How far steps lie from the soft activations that they stand for, over the power of these."""
    signal, noise = sums.total("soft signal", count), sums.total("soft noise", count)
    return np.divide(noise, signal, out=np.zeros(count), where=signal > 0)


def _advice(
    stage: str,
    number: int,
    blame: float,
    executable: SpikingExecutable,
    observer: LayerObserver,
    sums: Partial,
    layer: LayerFinding,
) -> tuple[str, str]:
    if stage == CONGESTION:
        return _late(number, executable, sums)
    if stage == SATURATION:
        reason = f"clamped sums change {blame:.2%} of its spikes"
        return reason, "build with --weights code16, whose shifts no volley of spikes can overflow"
    if stage == FIXED_POINT:
        lost = f", and {layer.flushed:.1%} of its weights became zero" if layer.flushed else ""
        reason = f"rounding alone changes {blame:.2%} of its spikes{lost}"
        return reason, finer_weights(executable.options)
    if stage == ACTIVATION:
        change = next((each for each in _changes(observer) if each.population == number), None)
        if change is None:
            return "a soft activation became a step", "train the network with steps: z >= threshold"
        ties = f"{blame:.2%} of its spikes"
        return f"its thresholds are not those of the reference, which changes {ties}", _rule_remedy(change.kind)
    return f"{blame:.2%} of its spikes differ from the reference", "compare the layers with snc inspect"


def _changes(observer: LayerObserver) -> Sequence[RuleChange]:
    return () if observer.compared is None else observer.compared.changes


def _rule_remedy(kind: str) -> str:
    if kind == "strict":
        return "build from the reference, or write this step as >= (GreaterOrEqual) before the build"
    if kind == "loose":
        return "build from the reference, or write this step as > (Greater) before the build"
    return "build from the reference itself, with snc build"


def finer_weights(options: SpikingOptions) -> str:
    """A build with less rounding than that of `options`."""
    kind = parse_format(options.weights)
    if options.rounding != "nearest":
        return f"build with --rounding nearest instead of {options.rounding}"
    if kind is None:
        if options.weight_scale == "none":
            return "build with --weight-scale layer, which fills the range of each layer's words"
        return "train with weights on the grid: code16 with a scale for each layer is the finest there is"
    bits = min(kind.fraction_bits + MORE_BITS, MOST_BITS - kind.integer_bits)
    finer = f"--weights q{kind.integer_bits}.{bits}" if bits > kind.fraction_bits else f"--weights {CODE}"
    scaled = "--weight-scale layer, or with " if options.weight_scale == "none" else ""
    return f"build with {scaled}{finer}"


def _late(number: int, executable: SpikingExecutable, sums: Partial) -> tuple[str, str]:
    count = max(1, sums.count("congested"))
    late, lost = (float(sums.total(name)[number]) / count for name in ("late", "lost"))
    reason = f"its cores get {late:.4g} packets too late and lose {lost:.4g} for each sample"
    if sums.greatest("lost always"):
        return reason, "build with more temporal groups (--groups auto): some packets are lost however long a step is"
    remedy = f"build with --time-scale-factor {int(sums.greatest('factor'))}"
    if not executable.activity_measured:
        return reason, f"{remedy}, or with --calibrate FILE.npz, samples by which auto chooses it"
    return reason, f"{remedy}, or auto"
