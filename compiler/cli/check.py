"""snc check: what stands in the way of a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import FILE, json_option, machine_options, number_options, shape_option, shapes_of
from .target_options import options_for, spiking_options

EPILOG = """\b
Examples:
  snc check net.onnx
  snc check net.onnx --shape image=1,3,224,224 --machine my_machine.toml
  snc check net.onnx --json > findings.json
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE, metavar="NET.onnx")
@machine_options
@shape_option
@number_options
@spiking_options
@json_option
def check(
    model: Path,
    target: str,
    machine: str | None,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    as_json: bool,
    **given: Any,
) -> int:
    """List every node of a model that does not compile, and every layer that does not fit, without building it.

    Value ranges are assumed, not measured, and spikes are not timed (spinn1), so that this takes little time. Exit
    code 0: the model builds; 1: it is refused; 3: it does not fit the machine.
    """
    from ...ir.diagnostics import Diagnostic, DoesNotFit, ModelError
    from ..targets import target_named
    from .console import print_diagnostics, print_json, say

    options = options_for(target, given)
    found: list[Diagnostic] = []
    code = 0
    try:
        target_named(target).find_problems(model, machine=machine, shapes=shapes_of(shapes), found=found, **options)
    except (ModelError, DoesNotFit) as error:
        code = error.exit_code
        found += error.diagnostics
    if as_json:
        print_json("check", {"model": str(model), "target": target}, code=code, notes=found)
        return code
    print_diagnostics(found, product=True)
    errors, warnings = (sum(note.severity == word for note in found) for word in ("error", "warning"))
    verdict = {0: "builds", 1: "is refused", 3: "does not fit"}[code]
    say(f"{model} {verdict} for {target}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return code


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
