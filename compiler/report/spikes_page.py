"""The page of a network for SpiNNaker1."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from ..evaluation.record import Evaluation
from ..spinn1.executable import SpikingExecutable
from .board import Board, board
from .figures import Fact, Figure, assumed, computed, decimal, modelled, number, quantity, rate, seconds, share, size
from .frame import Head, Section, notes_of, sources_of
from .measured import Progress
from .names import elided
from .pareto import Pareto, pareto
from .populations import PopulationRow, population_names, population_rows
from .raster import Raster, SampleTimeline, raster, sample_timeline
from .schedule_page import port_text, score_fact
from .spiking_measured import Array, SpikingMeasured, measure_spikes
from .sweep_file import Sweep
from .waterfall import Findings, Waterfall, layer_findings, waterfall

SAMPLES = {
    "input": "the given samples",
    "build": "the samples of the build",
    "assumed": "random samples, a fifth of the inputs on",
}
MACHINE_PARTS = {
    "machine": "machine",
    "board": "board",
    "core": "cores",
    "costs": "cycles of the cores",
    "router": "routers and links",
    "sdram": "SDRAM",
    "energy": "energy",
}


@frozen
class SpikesPage:
    """All that the template shows; `load` is the origin of what depends on the samples."""

    head: Head
    layers: tuple[PopulationRow, ...]
    findings: Findings
    board: Board | None
    raster: Raster
    timeline: SampleTimeline | None
    waterfall: Waterfall | None
    pareto: Pareto | None
    tiles: int
    samples: str
    load: str


def spikes_page(
    executable: SpikingExecutable,
    title: str,
    inputs: Sequence[Array] | None,
    evaluation: Evaluation | None,
    sweep: Sweep | None,
    progress: Progress,
) -> SpikesPage:
    """Everything that is shown of an executable; raises UsageError when an input does not fit."""
    found = measure_spikes(executable, inputs, progress)
    progress("drawings")
    names = population_names(found)
    named = tuple((label, tuple(name.split(" + "))) for label, name in zip(found.netlist.labels, names, strict=True))
    is_assumed = found.profile["samples_from"] == "assumed"
    page = SpikesPage(
        head=_head(found, title, evaluation),
        layers=population_rows(found),
        findings=layer_findings(evaluation, named) if evaluation else Findings((), {}),
        board=board(found),
        raster=raster(found),
        timeline=sample_timeline(found),
        waterfall=waterfall(evaluation, named) if evaluation else None,
        pareto=pareto(sweep) if sweep else None,
        tiles=found.netlist.tiles,
        samples=SAMPLES[found.profile["samples_from"]],
        load="assumed" if is_assumed else "modelled",
    )
    return evolve(page, head=evolve(page.head, sections=_sections(page)))


def _sections(page: SpikesPage) -> tuple[Section, ...]:
    shown = [Section("summary", "Summary")]
    shown += [Section("loss", "Accuracy")] if page.waterfall else []
    shown += [Section("layers", "Layers")]
    shown += [Section("machine", "Board and traffic")]
    shown += [Section("time", "A sample's steps")] if page.timeline else []
    shown += [Section("spikes", "Spikes")]
    shown += [Section("sweep", "Sweep")] if page.pareto else []
    return (*shown, Section("sources", "Sources"))


def _head(found: SpikingMeasured, title: str, evaluation: Evaluation | None) -> Head:
    profile = found.profile
    late, lost = profile["late_spikes"], profile["lost_spikes"]
    keys = [
        Fact("latency", modelled(seconds(profile["latency_s"])), f"{profile['latency_steps']} steps"),
        Fact("throughput", modelled(f"{rate(profile['throughput_per_s'])}\xa0/s"), "samples, all tiles together"),
        Fact("energy", assumed(quantity(profile["energy_j"], "J")), _within(found)),
        Fact(
            "step", modelled(seconds(profile["tick_s"])), f"at least {seconds(profile['smallest_tick_s'])} are needed"
        ),
        Fact("cores", computed(number(profile["cores"])), f"of {profile['cores_available']:,}"),
        Fact("late or lost", _by_load(found, number(late + lost)), f"spikes in {profile['samples']:,} samples"),
    ]
    if evaluation is not None:
        keys.insert(0, score_fact(evaluation))
    return Head(
        title=elided(title, 120),
        target=found.executable.target,
        machine=elided(found.machine.machine.title),
        keys=tuple(keys),
        facts=_facts(found),
        reasons=tuple(map(elided, found.summary["choices"]["reasons"])),
        notes=notes_of(found.executable.notes),
        sources=sources_of(found.machine, MACHINE_PARTS),
        sections=(),
    )


def _by_load(found: SpikingMeasured, text: str) -> Figure:
    """A figure of the clock model that also depends on the samples."""
    return assumed(text) if found.profile["samples_from"] == "assumed" else modelled(text)


def _within(found: SpikingMeasured) -> str:
    return f"a sample, within {found.profile['energy']['uncertainty_percent']:g} %"


def _facts(found: SpikingMeasured) -> tuple[Fact, ...]:
    profile, counted = found.profile, found.summary
    options, choices, tile = counted["options"], counted["choices"], profile["tile"]
    routing, load = profile["routing_entries"], profile["load"]
    return (
        Fact(
            "machine", elided(str(profile["machine"])), f"{profile['boards']} board(s), {profile['chips']} chips used"
        ),
        Fact("weights", elided(f"{options['weights']}, {options['rounding']}, scale {options['weight_scale']}")),
        *(Fact("input", port_text(port)) for port in counted["inputs"]),
        *(Fact("output", port_text(port)) for port in counted["outputs"]),
        *(Fact("decoded", port_text(port)) for port in counted["decoded_outputs"]),
        Fact("tiles", computed(number(profile["tiles"])), f"of {tile['cores']} cores and {tile['neurons']:,} neurons"),
        Fact("neurons", computed(number(profile["neurons"])), f"and {profile['bias_neurons']:,} bias neurons"),
        Fact("synapses", computed(number(profile["synapses"])), f"{size(tile['sdram_bytes'])} of SDRAM a tile"),
        Fact("temporal groups", computed(number(choices["groups"]))),
        Fact("sample interval", computed(f"{profile['sample_interval_steps']} steps"), "in each tile"),
        Fact(
            "time-scale factor", computed(decimal(profile["time_scale_factor"])), f"of {seconds(profile['timestep_s'])}"
        ),
        Fact("limited by", elided(str(profile["limited_by"]))),
        Fact("routing", computed(number(routing["most_of_a_chip"])), f"of {routing['limit']} entries, fullest table"),
        Fact("busiest link", _by_load(found, share(load["link"])), "of what it can pass"),
        Fact("busiest router", _by_load(found, share(load["router"])), "of what it can pass"),
        Fact("busiest memory", _by_load(found, share(load["sdram"])), "of what it can pass"),
        Fact("clamped sums", computed(number(profile["saturations"]))),
        Fact("load judged by", SAMPLES[profile["samples_from"]], f"{profile['samples']:,} of them"),
        Fact("model", f"sha256 {found.executable.source_sha256[:16]}"),
    )
