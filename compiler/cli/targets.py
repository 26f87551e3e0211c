"""snc targets: what can be built for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import json_option

if TYPE_CHECKING:
    from ..targets import Target

EPILOG = """\b
Examples:
  snc targets
  snc targets show spinn2-2020 > my_machine.toml
  snc build net.onnx --machine my_machine.toml
  snc targets show spinn5 > my_board.toml
"""


@click.group(invoke_without_command=True, epilog=EPILOG)
@json_option
@click.pass_context
def targets(context: click.Context, as_json: bool) -> int:
    """List the targets and their machines, or show a machine file."""
    from ..targets import TARGETS
    from .console import print_json, print_table, say

    if context.invoked_subcommand is not None:
        return 0
    listed: list[dict[str, Any]] = [
        {"name": target.name, target.plural: list(target.choices), "machines": _machines(target)}
        for target in TARGETS.values()
    ]
    if as_json:
        print_json("targets", {"targets": listed})
        return 0
    print_table(
        ["target", "machine", "PEs or cores", "memory of each", "what it is"],
        [
            (
                target["name"],
                f"{each['name']}{' (default)' if each['default'] else ''}",
                each.get("processing_elements", each.get("cores")),
                f"{each.get('sram_bytes', each.get('dtcm_bytes', 0)) // 1024} KiB",
                each["title"],
            )
            for target in listed
            for each in target["machines"]
        ],
        right=(2, 3),
    )
    say()
    for target in TARGETS.values():
        say(f"{target.plural} of {target.name}: {', '.join(target.choices)}")
    return 0


def _machines(target: Target) -> list[dict[str, Any]]:
    found = []
    for name in target.machine_names():
        machine = target.parse_machine(target.machine_text(name), name)
        default = name == target.default_machine
        found.append(
            {"name": name, "title": machine.machine.title, "default": default, **target.machine_facts(machine)}
        )
    return found


@targets.command()
@click.argument("name", metavar="NAME|FILE")
@json_option
def show(name: str, as_json: bool) -> int:
    """Print a machine as TOML; a file of your own is checked first."""
    import tomllib

    from ..targets import machine_target
    from .console import print_json

    target = machine_target(name)
    text = target.machine_text(name)
    target.parse_machine(text, name)
    if as_json:
        print_json("targets show", {"machine": tomllib.loads(text)})
    else:
        click.echo(text, nl=False)
    return 0
