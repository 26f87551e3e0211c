"""What breaks a limit of a core, a chip or the machine, said with the need and the remedies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from .machine import Machine
from .partition import RECEPTORS, Partition
from .words import Blocks

Array = NDArray[Any]


def check_rows(cut: Partition, blocks: list[Blocks], machine: Machine) -> None:
    """Raises DoesNotFit for synaptic rows that are longer than a core fetches."""
    problems = []
    limit = machine.core.row_words
    for projection, block in zip(cut.projections, blocks, strict=True):
        longest = int(block.row_words.max())
        if longest > limit:
            matrix = int(np.argmax(block.row_words))
            receptor = "inhibitory" if matrix % RECEPTORS else "excitatory"
            target = cut.populations[projection.target]
            fewer = max(target.neurons_per_core * limit // longest, 1)
            problems.append(
                Diagnostic(
                    "SNC0574",
                    "one neuron has too many synapses on a core",
                    node=target.label,
                    found=f"{longest} {receptor} ones from {cut.populations[projection.source].label!r}",
                    expected=f"at most {limit}",
                    help=f"--neurons-per-core {fewer}: {-(-target.neurons // fewer)} cores for this layer instead of "
                    f"{target.vertices}",
                )
            )
    if problems:
        raise DoesNotFit(problems)


def check_memories(cut: Partition, vertices: Array, machine: Machine) -> None:
    """Raises DoesNotFit for vertices that need more data memory than a core or more SDRAM than a chip has."""
    limits = (
        ("SNC0575", "dtcm_bytes", machine.core.dtcm_bytes, "a core's data memory is too small for a slice"),
        ("SNC0576", "sdram_bytes", machine.sdram.chip_bytes, "a chip's memory is too small for a slice"),
    )
    problems = []
    for code, column, limit, message in limits:
        for number, population in enumerate(cut.populations):
            need = int(vertices[column][vertices["population"] == number].max())
            if need > limit:
                fewer = max(population.neurons_per_core // 2, 1)
                problems.append(
                    Diagnostic(
                        code,
                        message,
                        node=population.label,
                        found=f"{need} bytes for {population.neurons_per_core} neurons",
                        expected=f"at most {limit} bytes",
                        help=f"--neurons-per-core {fewer}: {-(-population.neurons // fewer)} cores for this layer "
                        f"instead of {population.vertices}",
                    )
                )
    if problems:
        raise DoesNotFit(problems)


def no_room(machine: Machine, cut: Partition, vertices: Array, fit: int, asked: int) -> DoesNotFit:
    """The error of `asked` tiles where only `fit` find room: too few cores, or too little memory beside them."""
    cores, free = len(vertices), machine.application_cores
    memory = int(vertices["sdram_bytes"].sum(dtype=np.int64))
    largest = max(cut.populations, key=lambda each: each.vertices)
    tiles = "1 tile needs" if asked == 1 else f"{asked} tiles need"
    remedies = [f"--tiles {fit}"] if fit else []
    if machine.system.monitors:
        freed = machine.with_monitors(False).application_cores - free
        remedies.append(f"switch the monitors off in the machine file: {freed} cores more")
    remedies.append(
        f"more neurons on a core (--neurons-per-core): {largest.label!r} takes {largest.vertices} cores with "
        f"{largest.neurons_per_core} each"
    )
    remedies.append("a machine of more boards (--machine)")
    return DoesNotFit(
        Diagnostic(
            "SNC0577",
            f"{machine.name} is too small",
            node=largest.label,
            found=f"{tiles} {asked * cores} cores and {asked * memory} bytes of SDRAM",
            expected=f"at most {free} cores and {len(machine.chips) * machine.sdram.chip_bytes} bytes, "
            f"{machine.sdram.chip_bytes} to a chip",
            help="; ".join(remedies),
        )
    )
