"""snc diff: what changed from one artefact to another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import FAILED
from .options import EXACT_DIGITS, FILE, ShareType, json_option

if TYPE_CHECKING:
    from ...ir.diagnostics import Diagnostic
    from ..comparison.compare import Amount, Comparison

EPILOG = """\b
Examples:
  snc diff before.snc after.snc
  snc diff before.snc after.snc --json | jq '.diff.amounts[] | select(.percent > 1)'
  snc diff before.snc after.snc --max-slower 2 --max-energy 5
  snc diff before.snc after.snc --evaluation before.json after.json --max-drop 0.5%
"""

PERCENT = click.FloatRange(min=0, max=1e9)


@click.command(epilog=EPILOG)
@click.argument("a", type=FILE, metavar="A.snc")
@click.argument("b", type=FILE, metavar="B.snc")
@click.option(
    "--evaluation",
    "evaluations",
    type=FILE,
    nargs=2,
    metavar="A.json B.json",
    help="What `snc eval --json` printed for each.",
)
@click.option("--fail-on-change", is_flag=True, help="Exit with 4 when anything changed.")
@click.option("--max-slower", type=PERCENT, metavar="P", help="Exit with 4 when the latency grew by more than P %.")
@click.option("--max-energy", type=PERCENT, metavar="P", help="Exit with 4 when the energy grew by more than P %.")
@click.option(
    "--max-drop",
    type=ShareType(),
    metavar="D",
    help="Exit with 4 when the chief score got worse by more than D, such as 0.5% or 0.005.",
)
@json_option
def diff(
    a: Path,
    b: Path,
    evaluations: tuple[Path, Path] | None,
    fail_on_change: bool,
    max_slower: float | None,
    max_energy: float | None,
    max_drop: float | None,
    as_json: bool,
) -> int:
    """Show what changed from artefact A to artefact B: options, weights, layers, memory, clocks, accuracy.

    The largest change comes first. Artefacts of two targets are compared in what they share.
    """
    from ..comparison.compare import compare
    from ..comparison.scores import compared_scores, read_scores
    from ..comparison.sides import read_side
    from .console import Progress, print_diagnostics, print_json

    if max_drop is not None and not evaluations:
        raise click.UsageError("--max-drop needs --evaluation.")
    with Progress(verbose=False).running(quiet=False) as progress:
        progress(f"time {a}")
        first = read_side(a)
        progress(f"time {b}")
        second = read_side(b)
        progress("compare")
        scores: list[Amount] = []
        notes: list[Diagnostic] = []
        if evaluations:
            pair = [read_scores(path, side) for path, side in zip(evaluations, (first, second), strict=True)]
            scores, notes = compared_scores(*pair)
        found = compare(first, second, scores)
    failures = list(_failures(found, fail_on_change, max_slower, max_energy, max_drop))
    code = FAILED if failures else 0
    if as_json:
        print_json("diff", {"diff": found.as_json()}, code=code, notes=[*notes, *failures])
        return code
    from .diff_report import print_comparison

    print_comparison(found)
    print_diagnostics([*notes, *failures])
    return code


def _failures(
    found: Comparison, on_change: bool, slower: float | None, energy: float | None, drop: float | None
) -> Iterable[Diagnostic]:
    """The limits that the change exceeds."""
    from ...ir.diagnostics import Diagnostic

    if on_change and found.changed:
        yield Diagnostic("SNC0670", "the artefacts differ", found=f"{found.a} and {found.b}", expected="no change")
    for name, limit in (("latency", slower), ("energy of a sample", energy)):
        amount = found.amount(name)
        if limit is not None and _grew(amount, limit):
            percent = amount.percent
            more = f"{percent:+.2f} %" if percent is not None else f"{amount.a} to {amount.b} {amount.unit}"
            yield Diagnostic("SNC0671", f"the {name} grew", found=more, expected=f"at most {limit:+g} %")
    if drop is not None:
        chief, *_ = found.scores
        lower = round((chief.a or 0) - (chief.b or 0), EXACT_DIGITS)
        worse = lower if chief.better == "higher" else -lower
        if worse > drop:
            what = f"{chief.a:g} to {chief.b:g}, {worse:g} worse"
            yield Diagnostic("SNC0672", f"the score {chief.name} got worse", found=what, expected=f"at most {drop:g}")


def _grew(amount: Amount, limit: float) -> bool:
    if amount.percent is None:
        return amount.changed
    return amount.percent > limit
