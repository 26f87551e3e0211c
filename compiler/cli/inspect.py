"""snc inspect: what is inside an artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .options import FILE, json_option, nearest

EPILOG = """\b
Examples:
  snc inspect net.snc
  snc inspect net.snc --layer /conv1/Conv
  snc inspect net.snc --ir | less
  snc inspect net.snc --json | jq .summary.macs
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("--ir", is_flag=True, help="Print the network as IR text: in fixed point, or as populations.")
@click.option(
    "--layer", metavar="NAME", help="Show one layer (population): its number, its name, or an ONNX node in it."
)
@json_option
def inspect(file: Path, ir: bool, layer: str | None, as_json: bool) -> int:
    """Show what is inside an artefact: how it was built, its numbers, its layers."""
    from ..artefact import read_artefact
    from ..executable import PROGRAM_TEXT
    from ..targets import executable_of
    from .console import print_diagnostics, print_json, say
    from .views import view_of

    if ir and (layer is not None or as_json):
        raise click.UsageError("--ir goes with neither --layer nor --json.")
    artefact = read_artefact(file)
    executable = executable_of(artefact)
    view = view_of(executable)
    if ir:
        click.echo(artefact.text(PROGRAM_TEXT), nl=False)
        return 0
    if layer is not None:
        detail = view.detail(executable, part_index(layer, view.parts(executable)))
        if as_json:
            print_json("inspect", {"layer": detail})
        else:
            view.print_detail(detail)
        return 0
    numbers = view.summary(executable)
    if as_json:
        print_json("inspect", {"manifest": _plain(artefact.manifest), "summary": numbers}, notes=executable.notes)
        return 0
    view.print_summary(str(file), numbers, file.stat().st_size)
    say(f"  built by snc {artefact.manifest['snc_version']} from a model with SHA-256 {executable.source_sha256[:16]}")
    say()
    view.print_parts(numbers)
    print_diagnostics(executable.notes)
    return 0


def _plain(value: Any) -> Any:
    """Read-only views as what json takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


def part_index(name: str, layers: Sequence[str]) -> int:
    """The number of the layer (or population) that a number, a name or one of its ONNX nodes tells."""
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
