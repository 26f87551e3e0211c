"""snc profile: how long an artefact takes, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, json_option

if TYPE_CHECKING:
    from ..executable import Executable
    from ..spinn1.executable import SpikingExecutable

EPILOG = """\b
Examples:
  snc profile net.snc
  snc profile net.snc --json | jq .profile.latency_s
  snc profile net.snc --trace trace.json     (opens in ui.perfetto.dev)
  snc profile spikes.snc --input x.npy
"""
PHASES = ("weights", "inputs", "migration", "compute", "results", "post", "layout")


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("--trace", type=FILE, metavar="OUT.json", help="spinn2: write the timeline as a Chrome trace.")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]FILE",
    help="spinn1: samples by which the load is judged, as for `snc run`.  [default: those of the build]",
)
@json_option
def profile(file: Path, trace: Path | None, given: tuple[str, ...], as_json: bool) -> int:
    """Show how long a network takes on the machine, layer by layer, and what the parts of the machine do meanwhile."""
    from ..executable import Executable
    from ..targets import load

    executable = load(file)
    if isinstance(executable, Executable):
        if given:
            raise click.UsageError("--input: an option of spinn1; the times of a schedule do not depend on values.")
        return _profile_schedule(executable, file, trace, as_json=as_json)
    if trace is not None:
        raise click.UsageError("--trace: an option of spinn2.")
    return _profile_spikes(executable, file, given, as_json=as_json)


def _profile_schedule(executable: Executable, file: Path, trace: Path | None, *, as_json: bool) -> int:
    from .. import profile as measured
    from ..trace import write_trace
    from .console import print_json, remark
    from .output_files import check_outputs

    if trace is not None:
        check_outputs([trace], [file])
    times = measured.timeline(executable)
    found = measured.profile(executable, times)
    if trace is not None:
        left_out = write_trace(trace, executable.program, times, executable.clocks)
        if left_out:
            remark(f"{trace} holds the first tasks only: {left_out:,} events are left out")
    if as_json:
        print_json("profile", {"profile": found})
        return 0
    _print_layers(found)
    _print_facts(str(file), found)
    return 0


def _profile_spikes(executable: SpikingExecutable, file: Path, given: Sequence[str], *, as_json: bool) -> int:
    from ..spinn1.profile import profile as measure
    from .console import print_json
    from .run import input_arrays
    from .spiking_report import print_profile

    arrays = input_arrays(given, executable.inputs)[0] if given else None
    found = measure(executable, arrays)
    if as_json:
        print_json("profile", {"profile": found})
    else:
        print_profile(str(file), found)
    return 0


def _print_layers(found: Mapping[str, Any]) -> None:
    from .console import print_table
    from .schedule_report import short_name

    total = found["total_clocks"] or 1
    print_table(
        ["layer", "clocks", "share", *PHASES],
        [
            (
                short_name(row["name"]),
                f"{row['clocks']:,}",
                f"{row['clocks'] / total:.1%}",
                *(f"{row['phases'][phase]:,}" for phase in PHASES),
            )
            for row in found["layers"]
        ],
        right=range(1, 3 + len(PHASES)),
    )


def _print_facts(title: str, found: Mapping[str, Any]) -> None:
    from .console import bytes_text, print_facts

    energy, sram, moved = found["energy"], found["sram"], found["bytes"]
    rate, share = found["throughput_per_s"], found["roofline_share"]
    total = found["total_clocks"] or 1
    ports = ", ".join(bytes_text(size) for size in moved["dram_by_port"])
    parts = ", ".join(f"{name[:-2]} {_milli(energy[name])}J" for name in ("mac_j", "arm_j", "dram_j", "idle_j"))
    print_facts(
        title,
        [
            (
                "machine",
                f"{found['target']}, {found['machine']} at {found['clock_hz'] / 1e6:g} MHz, {found['mapping']}",
            ),
            ("latency", f"{_milli(found['latency_s'])}s, {found['total_clocks']:,} clocks"),
            ("throughput", f"{rate:.1f} a second" if rate is not None else "no work"),
            ("roofline", f"{_milli(found['roofline_s'])}s, {share or 0:.0%} of the latency"),
            ("phases", ", ".join(f"{name} {found['phases'][name] / total:.0%}" for name in PHASES)),
            ("busy", ", ".join(f"{name.replace('_', ' ')} {value:.0%}" for name, value in found["busy"].items())),
            ("DRAM", f"{bytes_text(moved['dram'])} moved ({ports} by port)"),
            ("NoC", f"{bytes_text(moved['noc'])} moved"),
            ("SRAM", f"{bytes_text(sram['high_water_bytes'])} of {bytes_text(sram['bytes_per_pe'])} in the fullest PE"),
            ("energy", f"{_milli(energy['total_j'])}J within {energy['uncertainty_percent']:g} % ({parts})"),
            ("energy by", energy["source"]),
        ],
    )


def _milli(value: float) -> str:
    return f"{value * 1e3:.3f} m"
