"""snc targets: what can be built for."""

from __future__ import annotations

import click

from .options import json_option

EPILOG = """\b
Examples:
  snc targets
  snc targets show spinn2-2020 > my_machine.toml
  snc build net.onnx --machine my_machine.toml
"""


@click.group(invoke_without_command=True, epilog=EPILOG)
@json_option
@click.pass_context
def targets(context: click.Context, as_json: bool) -> int:
    """List the targets and their machines, or show a machine file."""
    from ...backends.spinn2.machine import load_machine, machine_names
    from ...backends.spinn2.schedule import MAPPINGS
    from ..driver import DEFAULT_MACHINES
    from .console import print_json, print_table, say

    if context.invoked_subcommand is not None:
        return 0
    default = DEFAULT_MACHINES["spinn2"]
    machines = [load_machine(name) for name in machine_names()]
    if as_json:
        listed = [
            {
                "name": each.name,
                "title": each.machine.title,
                "default": each.name == default,
                "processing_elements": each.processing_elements,
                "sram_bytes": each.pe.data_bytes,
            }
            for each in machines
        ]
        print_json("targets", {"targets": [{"name": "spinn2", "mappings": list(MAPPINGS), "machines": listed}]})
        return 0
    print_table(
        ["target", "machine", "PEs", "SRAM", "what it is"],
        [
            (
                "spinn2",
                f"{each.name}{' (default)' if each.name == default else ''}",
                each.processing_elements,
                f"{each.pe.data_bytes // 1024} KiB",
                each.machine.title,
            )
            for each in machines
        ],
        right=(2, 3),
    )
    say()
    say(f"mappings of spinn2: {', '.join(MAPPINGS)}")
    return 0


@targets.command()
@click.argument("name", metavar="NAME|FILE")
@json_option
def show(name: str, as_json: bool) -> int:
    """Print a machine as TOML; a file of your own is checked first."""
    import attrs

    from ...backends.spinn2.machine import machine_text, parse_machine
    from .console import print_json

    text = machine_text(name)
    machine = parse_machine(text, name)
    if as_json:
        print_json("targets show", {"machine": attrs.asdict(machine)})
    else:
        click.echo(text, nl=False)
    return 0
