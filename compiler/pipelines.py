"""Each target as pipeline text."""

from __future__ import annotations

from attrs import frozen

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
    wander = "true" if options.mapping == "kelber2020" else "false"
    bits = sum_bits if options.bits == 8 else 32
    return (
        f"form-blocks{{fuse={fuse}}},"
        f"split-layers{{sram-bytes={sram_bytes} elements={elements} columns={columns} "
        f"accumulator-bits={bits} reuse={wander}}}"
    )
