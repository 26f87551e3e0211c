"""snc inspect: what is inside an artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, json_option, nearest

if TYPE_CHECKING:
    from ..executable import Executable

EPILOG = """\b
Examples:
  snc inspect net.snc
  snc inspect net.snc --layer /conv1/Conv
  snc inspect net.snc --ir | less
  snc inspect net.snc --json | jq .summary.macs
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("--ir", is_flag=True, help="Print the network in fixed point as IR text.")
@click.option("--layer", metavar="NAME", help="Show one layer: its number, its name, or an ONNX node in it.")
@json_option
def inspect(file: Path, ir: bool, layer: str | None, as_json: bool) -> int:
    """Show what is inside an artefact: how it was built, its numbers, its layers."""
    from ..artefact import read_artefact
    from ..executable import PROGRAM_TEXT, load
    from ..summary import summary
    from .console import print_diagnostics, print_json, say
    from .report import print_layers, print_summary

    if ir and (layer is not None or as_json):
        raise click.UsageError("--ir goes with neither --layer nor --json.")
    artefact = read_artefact(file)
    executable = load(file)
    if ir:
        click.echo(artefact.text(PROGRAM_TEXT), nl=False)
        return 0
    if layer is not None:
        index = _layer_index(layer, executable.program.layers)
        detail = _layer_detail(executable, index)
        if as_json:
            print_json("inspect", {"layer": detail})
        else:
            _print_layer(detail)
        return 0
    numbers = summary(executable)
    if as_json:
        print_json("inspect", {"manifest": _plain(artefact.manifest), "summary": numbers}, notes=executable.notes)
        return 0
    print_summary(str(file), numbers, file.stat().st_size)
    say(f"  built by snc {artefact.manifest['snc_version']} from a model with SHA-256 {executable.source_sha256[:16]}")
    say()
    print_layers(numbers["layers"])
    print_diagnostics(executable.notes)
    return 0


def _plain(value: Any) -> Any:
    """Read-only views as what json takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


def _layer_index(name: str, layers: Sequence[str]) -> int:
    if name in layers:
        return layers.index(name)
    if name.isascii() and name.isdecimal() and len(name) < 6 and int(name) < len(layers):
        return int(name)
    found = [index for index, layer in enumerate(layers) if name in layer.split(" + ")]
    if len(found) == 1:
        return found[0]
    nodes = dict.fromkeys(node for layer in layers for node in layer.split(" + "))
    hint = f"layers {', '.join(map(str, found))} hold it" if found else nearest(name, nodes)
    raise click.UsageError(f"{'more than one layer is' if found else 'there is no layer'} {name}: {hint}")


def _layer_detail(executable: Executable, index: int) -> dict[str, Any]:
    """The row of the layer, with its tasks by kernel and its transfers by phase."""
    import numpy as np

    from ...ir.dialects.spinn2_tables import Kernel, Phase
    from ..summary import layer_rows, transfer_bytes

    program = executable.program
    tasks = program.tasks[program.tasks["layer"] == index]
    own = program.transfers["layer"] == index
    phases, sizes = program.transfers["phase"][own], transfer_bytes(program)[own]
    kernels = np.bincount(program.shapes["kernel"][tasks["shape"]], minlength=max(Kernel) + 1)
    steps = np.concatenate([tasks["step"], program.transfers["step"][own]])
    return {
        "index": index,
        **layer_rows(executable)[index],
        "first_step": int(steps.min(initial=0xFFFF_FFFF)) if len(steps) else 0,
        "last_step": int(steps.max(initial=0)),
        "tasks_by_kernel": {kernel.name.lower(): int(kernels[kernel]) for kernel in Kernel if kernels[kernel]},
        "bytes_by_phase": {
            phase.name.lower(): int(sizes[phases == phase].sum()) for phase in Phase if (phases == phase).any()
        },
    }


def _print_layer(detail: Mapping[str, Any]) -> None:
    from .console import bytes_text, count_text, print_facts
    from .report import extents

    kernels = ", ".join(f"{count} {name}" for name, count in detail["tasks_by_kernel"].items())
    phases = ", ".join(f"{bytes_text(size)} {name}" for name, size in detail["bytes_by_phase"].items())
    print_facts(
        f"layer {detail['index']}  {detail['kind']}",
        [
            *(("node", node) for node in detail["name"].split(" + ")),
            ("result", extents(detail["shape"])),
            ("pieces", f"{detail['pieces']} of at most {extents(detail['piece'])}"),
            ("PEs", str(detail["processing_elements"])),
            ("steps", f"{detail['first_step']} to {detail['last_step']}"),
            ("tasks", f"{detail['tasks']}: {kernels}" if kernels else "0"),
            ("MACs", count_text(detail["macs_scheduled"])),
            ("transfers", str(detail["transfers"])),
            ("moved", f"{bytes_text(detail['bytes_moved'])} ({phases})" if phases else "0 B"),
        ],
    )
