"""What a notebook shows of executables, profiles and evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...ir.diagnostics import Diagnostic
from ..units import SHARE, amount_text
from .html import facts, folded, table, titled

if TYPE_CHECKING:
    from ..evaluation.record import Evaluation
    from ..executable import Executable
    from ..spinn1.executable import SpikingExecutable

LOWER_SCORES = ("mse",)


def executable_html(executable: Executable) -> str:
    """An executable for SpiNNaker2: its build, its sizes, its layers."""
    from ..summary import summary

    numbers = summary(executable)
    used, have = numbers["processing_elements_used"], numbers["processing_elements"]
    high, memory = (amount_text(numbers[name], "B") for name in ("sram_high_water_bytes", "sram_bytes"))
    layers = table(
        ["layer", "kind", "result", "largest piece", "pieces", "PEs", "MACs"],
        [
            (
                row["name"],
                row["kind"],
                _extents(row["shape"]),
                _extents(row["piece"]),
                f"{row['pieces']:,}",
                f"{row['processing_elements']:,}",
                f"{row['macs_scheduled']:,}",
            )
            for row in numbers["layers"]
        ],
        right=range(4, 7),
    )
    return titled(
        f"snc executable for {executable.target}",
        facts(
            [
                ("machine", numbers["machine"]),
                ("mapping", numbers["mapping"]),
                *(("input", port) for port in executable.inputs),
                *(("output", port) for port in executable.outputs),
                ("products", amount_text(numbers["macs"], "MACs")),
                ("weights", amount_text(numbers["weight_bytes"], "B")),
                ("DRAM", amount_text(numbers["dram_bytes"], "B")),
                ("SRAM", f"{high} of {memory} in the fullest PE"),
                ("PEs", f"{used} of {have} compute"),
                *_notes(executable.notes),
            ]
        ),
        folded(f"{len(numbers['layers'])} layers", layers),
    )


def spiking_html(executable: SpikingExecutable) -> str:
    """An executable for SpiNNaker1: its build, its sizes, its populations."""
    from ..spinn1.summary import summary

    numbers = summary(executable)
    populations = table(
        ["population", "kind", "neurons", "cores", "neurons a core", "delay slots"],
        [
            (
                row["name"],
                row["kind"],
                *(f"{row[name]:,}" for name in ("neurons", "cores", "neurons_per_core", "delay_slots")),
            )
            for row in numbers["populations"]
        ],
        right=range(2, 6),
    )
    high, memory = (amount_text(numbers[name], "B") for name in ("dtcm_high_water_bytes", "dtcm_bytes"))
    return titled(
        f"snc executable for {executable.target}",
        facts(
            [
                ("machine", numbers["machine"]),
                ("weights", executable.options.weights),
                *(("input", port) for port in executable.inputs),
                *(("output", port) for port in (*executable.outputs, *executable.decoded_outputs)),
                (
                    "tiles",
                    f"{numbers['tiles']:,}, each {numbers['tile_neurons']:,} neurons on {numbers['tile_cores']} cores",
                ),
                ("cores", f"{numbers['cores']:,} of {numbers['cores_available']:,}"),
                ("chips", f"{numbers['chips']:,} of {numbers['chips_available']:,}"),
                ("data memory", f"{high} of {memory} in the fullest core"),
                ("time step", amount_text(numbers["tick_s"], "s")),
                ("latency", f"{amount_text(numbers['latency_s'], 's')}, {numbers['latency_steps']} steps"),
                ("throughput", amount_text(numbers["throughput_per_s"], "samples/s")),
                *_notes(executable.notes),
            ]
        ),
        folded(f"{len(numbers['populations'])} populations of a tile", populations),
    )


def profile_html(found: Mapping[str, Any]) -> str:
    """A profile of either target."""
    energy = found["energy"]
    share = [
        ("machine", found["machine"]),
        ("latency", amount_text(found["latency_s"], "s")),
        ("throughput", amount_text(found["throughput_per_s"], "samples/s")),
        ("energy", f"{amount_text(found['energy_j'], 'J')} a sample, within {energy['uncertainty_percent']:g} %"),
    ]
    own, rows = (_schedule_times if "layers" in found else _spiking_times)(found)
    return titled(f"snc profile for {found['target']}", facts([*share, *own]), rows)


def _schedule_times(found: Mapping[str, Any]) -> tuple[list[tuple[str, str]], str]:
    total, sram = found["total_clocks"] or 1, found["sram"]
    high, memory = (amount_text(sram[name], "B") for name in ("high_water_bytes", "bytes_per_pe"))
    own = [
        ("clocks", f"{found['total_clocks']:,} at {found['clock_hz'] / 1e6:g} MHz"),
        ("roofline", f"{amount_text(found['roofline_s'], 's')}, {found['roofline_share'] or 0:.0%} of the latency"),
        ("DRAM traffic", amount_text(found["bytes"]["dram"], "B")),
        ("NoC traffic", amount_text(found["bytes"]["noc"], "B")),
        ("SRAM", f"{high} of {memory} in the fullest PE"),
    ]
    rows = table(
        ["layer", "from", "to", "clocks", "share"],
        [
            (
                row["name"],
                amount_text(row["start_s"], "s"),
                amount_text(row["end_s"], "s"),
                f"{row['clocks']:,}",
                f"{row['clocks'] / total:.1%}",
            )
            for row in found["layers"]
        ],
        right=range(1, 5),
    )
    return own, rows


def _spiking_times(found: Mapping[str, Any]) -> tuple[list[tuple[str, str]], str]:
    own = [
        ("time step", amount_text(found["tick_s"], "s")),
        ("cores", f"{found['cores']:,} of {found['cores_available']:,}, on {found['chips']:,} chips"),
        ("tiles", f"{found['tiles']:,}"),
        ("samples", f"{found['samples']:,}, {found['samples_from']}"),
        ("late, lost", f"{found['late_spikes']:,} and {found['lost_spikes']:,} packets"),
        ("saturations", f"{found['saturations']:,}"),
        ("limited by", found["limited_by"]),
    ]
    rows = table(
        ["population", "kind", "neurons", "cores", "time of a step", "busy", "spikes a sample", "late", "lost"],
        [
            (
                row["name"],
                row["kind"],
                f"{row['neurons']:,}",
                f"{row['cores']:,}",
                amount_text(row["step_s"], "s"),
                f"{row['busy']:.0%}",
                f"{row['spikes_per_sample']:,.1f}",
                f"{row['late_spikes']:,}",
                f"{row['lost_spikes']:,}",
            )
            for row in found["populations"]
        ],
        right=range(2, 9),
    )
    return own, rows


def evaluation_html(found: Evaluation) -> str:
    """An evaluation: scores, what each stage took, and the worst layer."""
    stages = table(
        ["stage", found.metric, "loss", "samples", ""],
        [
            (
                each.title or each.name,
                score_text(found.metric, each.scores.get(found.metric)),
                score_text(found.metric, each.loss),
                f"{each.samples:,}",
                each.note,
            )
            for each in found.stages
        ],
        right=range(1, 4),
    )
    layers = table(
        ["layer", "SNR", "saturated", "flushed", "ties", "spikes a sample", "late", "lost"],
        [
            (
                each.name,
                _optional(each.snr_db, "dB"),
                *(_optional(share, SHARE) for share in (each.saturated, each.flushed, each.ties)),
                _optional(each.spikes_per_sample, ""),
                _optional(each.late_per_sample, ""),
                _optional(each.lost_per_sample, ""),
            )
            for each in found.layers
        ],
        right=range(1, 8),
    )
    worst = found.worst
    return titled(
        f"snc evaluation for {found.target}",
        facts(
            [
                ("machine", found.machine),
                ("data", f"{found.data}, {found.samples:,} samples"),
                *((name, score_text(name, score)) for name, score in found.scores.items()),
                *(() if worst is None else (("worst", f"{worst.layer} ({worst.stage}): {worst.reason}"),)),
                *(() if worst is None else (("try", worst.remedy),)),
                *_notes(found.notes),
            ]
        ),
        stages,
        folded(f"{len(found.layers)} layers", layers),
    )


def score_text(metric: str, value: float | None) -> str:
    """A score or a loss in its unit: per cent, but for errors."""
    return amount_text(value, "" if metric in LOWER_SCORES else SHARE)


def _optional(value: float | None, unit: str) -> str:
    return "" if value is None else amount_text(value, unit)


def _notes(notes: Iterable[Diagnostic]) -> list[tuple[str, str]]:
    return [(note.severity, f"{note.code}: {note.message}") for note in notes if note.severity != "note"]


def _extents(sizes: Sequence[int] | None) -> str:
    return "x".join(map(str, sizes)) if sizes else ""
