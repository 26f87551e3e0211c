"""snc passes: which passes there are, and what each target runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import json_option

if TYPE_CHECKING:
    from ...passes.base import Pass

EPILOG = """\b
Examples:
  snc passes
  snc passes quantize
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@json_option
def passes(name: str | None, as_json: bool) -> int:
    """List the passes and the pipelines of the targets, or show one pass with its options."""
    from ...passes.pipeline import parse_pipeline
    from ...passes.registry import PASSES, load
    from ..named_pipelines import named_pipelines
    from .console import print_json, print_paragraphs, print_table, say

    if name is not None:
        described = _described(load(name))
        if as_json:
            print_json("passes", {"passes": [described]})
        else:
            _print_pass(described)
        return 0
    found = [_described(load(each)) for each in PASSES]
    pipelines = named_pipelines()
    if as_json:
        print_json("passes", {"passes": found, "pipelines": pipelines})
        return 0
    print_table(["pass", "what it does"], [(each["name"], each["summary"]) for each in found])
    for title, text in pipelines.items():
        say()
        say(f"pipeline {title}:")
        print_paragraphs(", ".join(map(str, parse_pipeline(text).passes)))
    return 0


def _described(pass_class: type[Pass]) -> dict[str, Any]:
    import inspect

    text = inspect.getdoc(pass_class) or ""
    return {
        "name": pass_class.name,
        "summary": text.split("\n")[0],
        "text": text,
        "establishes": pass_class.establishes,
        "options": [
            {
                "name": option.name,
                "default": option.print(option.default),
                "expected": option.expected,
                "help": option.help,
            }
            for option in pass_class.options()
        ],
    }


def _print_pass(described: dict[str, Any]) -> None:
    from .console import print_paragraphs, print_table, say

    say(described["name"])
    say()
    print_paragraphs(described["text"])
    if described["establishes"]:
        say()
        say(f"Afterwards the rules of the stage {described['establishes']} hold.")
    if described["options"]:
        say()
        rows = [(each["name"], each["default"], each["expected"], each["help"]) for each in described["options"]]
        print_table(["option", "default", "takes", "meaning"], rows)
