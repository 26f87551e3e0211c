"""Each target as pipeline text."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from .spinn1.options import SpikingOptions

GRAPH = "fold-constants,fold-batch-norm,fuse-activations,fold-constants"
"""From what exporters write to few spellings of few operations; every target starts with it."""


@frozen
class Spinn2Options:
    """What a user chooses for SpiNNaker2."""

    bits: int = 8
    activations: str = "int"
    rescale: str = "multiplier"
    calibration: str = "min-max"
    mapping: str = "optimized"


def graph_pipeline() -> str:
    """The float part."""
    return GRAPH


def fixed_point_pipeline(options: Spinn2Options) -> str:
    """From the graph to integer operations."""
    scales = "shift" if options.rescale == "shift" else "multiplier"
    return ",".join(
        [
            GRAPH,
            f"calibrate{{method={options.calibration}}}",
            f"quantize{{bits={options.bits} activations={options.activations} rescale={scales}}}",
            f"lower-qdq{{rescale={options.rescale}}}",
        ]
    )


def tiling_pipeline(options: Spinn2Options, *, sram_bytes: int, elements: int, columns: int, sum_bits: int) -> str:
    """From integer operations to split blocks.

    `sum_bits` limits sums of 8 bit products; pairs of units that form 16 bit products carry 32 bits.
    """
    fuse = "false" if options.mapping == "baseline" else "true"
    bits = sum_bits if options.bits == 8 else 32
    wander = "false" if options.mapping == "optimized" else "true"
    return (
        f"form-blocks{{fuse={fuse}}},"
        f"split-layers{{sram-bytes={sram_bytes} elements={elements} columns={columns} "
        f"accumulator-bits={bits} reuse={wander}}}"
    )


FLOAT_GRAPH = "fold-constants,fold-batch-norm"
"""The float part for SpiNNaker1; activations stay as they were written, since a step has many spellings."""


def binary_pipeline(options: SpikingOptions) -> str:
    """From the graph to 0/1 maps; `options` are those of SpiNNaker1."""
    wanted: dict[str, str | None] = {"soft": "threshold" if options.binarize == "threshold" else None}
    if options.input_threshold is not None:
        wanted["input-threshold"] = repr(float(options.input_threshold))
    if options.input_bits > 1:
        wanted["input-bits"] = str(options.input_bits)
    return f"{FLOAT_GRAPH},binarize-activations{_braces(wanted)}"


def spiking_pipeline(options: SpikingOptions) -> str:
    """From 0/1 maps to populations and projections."""
    weights = {
        "weights": options.weights.lower(),
        "rounding": options.rounding,
        "weight-scale": options.weight_scale,
    }
    return f"quantize-weights{_braces(weights)},lower-to-spiking{_braces({'bias': options.bias})}"


def groups_pipeline(
    groups: int, neurons_per_core: int | None, interval: int | None, *, most_neurons: int, ring_bits: int
) -> str:
    """When neurons fire, and how many of them a core holds; None is left to the pass."""
    wanted = {
        "groups": str(groups),
        "neurons-per-core": None if neurons_per_core is None else str(neurons_per_core),
        "interval": None if interval is None else str(interval),
        "most-neurons": str(most_neurons),
        "ring-bits": str(ring_bits),
    }
    return f"schedule-temporal-groups{_braces(wanted)}"


def _braces(options: Mapping[str, str | None]) -> str:
    """Options of a pass as text; those that are None stay at their defaults."""
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return f"{{{' '.join(given)}}}" if given else ""
