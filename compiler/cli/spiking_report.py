"""The numbers of a spiking artefact as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .console import bytes_text, count_text, print_facts, print_table

_ACTIVITY = {
    "data": "measured on the given samples",
    "build": "measured on the samples of the build",
    "input": "measured on the given samples",
    "assumed": "random samples, a fifth of the inputs on (give real ones: --calibrate)",
}


def print_summary(title: str, numbers: Mapping[str, Any], file_bytes: int) -> None:
    """The end summary of a build."""
    options, choices = numbers["options"], numbers["choices"]
    routing = numbers["routing_entries"]
    print_facts(
        f"{title}  {bytes_text(file_bytes)}",
        [
            ("target", f"{numbers['target']}, machine {numbers['machine']}"),
            ("weights", f"{options['weights']}, {options['rounding']}, scale {options['weight_scale']}"),
            ("biases", {"chain": "bias neurons", "offset": "offsets", "threshold": "thresholds"}[options["bias"]]),
            *(("input", _port(port)) for port in numbers["inputs"]),
            *(("output", _port(port)) for port in numbers["outputs"]),
            *(("decoded", _port(port)) for port in numbers["decoded_outputs"]),
            ("tile", f"{numbers['tile_neurons']:,} neurons on {numbers['tile_cores']} cores, {_tile_memory(numbers)}"),
            ("tiles", f"{numbers['tiles']}: {numbers['neurons']:,} neurons, {numbers['bias_neurons']:,} bias neurons"),
            ("cores", f"{numbers['cores']} of {numbers['cores_available']}, on {_chips(numbers)}"),
            ("data memory", f"{_share(numbers['dtcm_high_water_bytes'], numbers['dtcm_bytes'])} in the fullest core"),
            ("routing", f"{routing['most_of_a_chip']} of {routing['limit']} entries in the fullest table"),
            ("steps", _steps(numbers)),
            ("latency", seconds_text(numbers["latency_s"])),
            ("throughput", f"{rate_text(numbers['throughput_per_s'])} samples/s"),
            ("load", _ACTIVITY[numbers["activity"]]),
            *(("why" if number == 0 else "", reason) for number, reason in enumerate(choices["reasons"])),
        ],
    )


def _tile_memory(numbers: Mapping[str, Any]) -> str:
    return f"{bytes_text(numbers['tile_sdram_bytes'])} of SDRAM"


def _chips(numbers: Mapping[str, Any]) -> str:
    return f"{numbers['chips']} of {numbers['chips_available']} chips"


def _share(part: int, whole: int) -> str:
    return f"{bytes_text(part)} of {bytes_text(whole)}"


def _steps(numbers: Mapping[str, Any]) -> str:
    interval, latency = numbers["sample_interval_steps"], numbers["latency_steps"]
    return f"{seconds_text(numbers['tick_s'])} each, {interval} from sample to sample, {latency} through the network"


def _port(port: Mapping[str, Any]) -> str:
    return f"{port['name']} {port['dtype']} {port['shape']}"


def print_populations(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of populations."""
    print_table(
        ["#", "population", "kind", "neurons", "cores", "a core", "delay slots", "shifts"],
        [
            (
                index,
                row["name"],
                row["kind"],
                neurons_text(row),
                row["cores"],
                row["neurons_per_core"],
                row["delay_slots"] if row["kind"] == "neuron" else "-",
                f"{row['shift_exc']}, {row['shift_inh']}" if row["kind"] == "neuron" else "-",
            )
            for index, row in enumerate(rows)
        ],
        right=(0, 3, 4, 5, 6, 7),
    )


def print_profile(title: str, found: Mapping[str, Any]) -> None:
    """The profile: populations, then the whole."""
    print_table(
        ["population", "neurons", "synapses", "cores", "spikes", "packets", "late", "lost", "longest step", "busy"],
        [
            (
                row["name"],
                neurons_text(row),
                count_text(row["synapses"]),
                row["cores"],
                f"{row['spikes_per_sample']:.1f}",
                f"{row['packets_per_sample']:.1f}",
                count_text(row["late_spikes"]),
                count_text(row["lost_spikes"]),
                seconds_text(row["step_s"]),
                f"{row['busy']:.0%}",
            )
            for row in found["populations"]
        ],
        right=range(1, 10),
    )
    load, routing, energy = found["load"], found["routing_entries"], found["energy"]
    clean = not (found["late_spikes"] or found["lost_spikes"])
    print_facts(
        title,
        [
            ("machine", f"{found['target']}, {found['machine']}: {found['boards']} board(s), {found['chips']} chips"),
            ("tiles", f"{found['tiles']} with {found['tile']['neurons']:,} neurons on {found['tile']['cores']} cores"),
            ("neurons", f"{found['neurons']:,}, and {found['bias_neurons']:,} bias neurons"),
            ("synapses", f"{found['synapses']:,}"),
            ("cores", f"{found['cores']} of {found['cores_available']}"),
            ("routing", f"{routing['most_of_a_chip']} of {routing['limit']} entries in the fullest table"),
            ("step", f"{seconds_text(found['tick_s'])}: {_factor(found)}"),
            ("shortest step", f"{seconds_text(found['smallest_tick_s'])}, because of {found['limited_by']}"),
            ("latency", f"{seconds_text(found['latency_s'])}, {found['latency_steps']} steps"),
            ("throughput", f"{rate_text(found['throughput_per_s'])} samples/s, {_interval(found)}"),
            ("energy", f"{seconds_text(found['energy_j'], 'J')} a sample, within {energy['uncertainty_percent']:g} %"),
            ("energy by", energy["source"]),
            ("busiest", ", ".join(f"{name} {share:.1%}" for name, share in load.items())),
            ("samples", f"{found['samples']}, {_ACTIVITY[found['samples_from']]}"),
            ("spikes", "all in time" if clean else _losses(found)),
            ("saturations", f"{found['saturations']:,}"),
        ],
    )


def _factor(found: Mapping[str, Any]) -> str:
    return f"{found['time_scale_factor']:g} times {seconds_text(found['timestep_s'])}"


def _interval(found: Mapping[str, Any]) -> str:
    return f"one every {found['sample_interval_steps']} steps in each tile"


def _losses(found: Mapping[str, Any]) -> str:
    return f"{found['late_spikes']:,} late, {found['lost_spikes']:,} lost (snc run --congestion leaves them out)"


def neurons_text(row: Mapping[str, Any]) -> str:
    """Neurons of a population, bias neurons apart."""
    return f"{row['neurons']:,}{' + 1' if row['bias_neurons'] else ''}"


def seconds_text(value: float, unit: str = "s") -> str:
    """An amount with a prefix that suits it, three or four digits."""
    for scale, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")):
        if value >= scale:
            return f"{value / scale:.4g} {prefix}{unit}"
    return f"0 {unit}" if value == 0 else f"{value:.3g} {unit}"


def rate_text(value: float) -> str:
    """A rate; whole numbers above 1,000."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
