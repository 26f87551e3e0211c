"""snc report: one HTML file that shows where a network lies, how long it takes and what it loses."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, json_option

EPILOG = """\b
Examples:
  snc report net.snc -o report.html
  snc report net.snc --evaluation eval.json --sweep results/table.csv
  snc report spikes.snc --input x.npy -o report.html
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("-o", "out", type=FILE, metavar="OUT.html", help="The report.  [default: named after FILE]")
@click.option(
    "--evaluation",
    type=FILE,
    metavar="EVAL.json",
    help="What `snc eval --json` printed for this network: adds what was lost, by stage and layer.",
)
@click.option(
    "--sweep", type=FILE, metavar="TABLE.csv", help="The table of `snc sweep`: adds its builds and their Pareto front."
)
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]FILE",
    help="spinn1: samples by which the load is judged, as for `snc run`.  [default: those of the build]",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
def report(
    file: Path,
    out: Path | None,
    evaluation: Path | None,
    sweep: Path | None,
    given: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Write a report of an artefact: layers, machine map, traffic, timeline, spikes, and what was lost where.

    The file holds all that it shows: it opens without a network, runs no script, follows the system's light or dark
    colours and prints. Every figure says whether it was computed, modelled or assumed.
    """
    from ..executable import Executable
    from ..report.page import report_html
    from ..targets import load
    from .console import Progress, bytes_text, print_json, say
    from .output_files import check_outputs, write_files
    from .run import input_arrays

    place = out if out is not None else Path(f"{file.stem}.html")
    with Progress(verbose=False).running(quiet=quiet) as progress:
        progress("artefact")
        executable = load(file)
        if given and isinstance(executable, Executable):
            raise click.UsageError("--input: an option of spinn1; the times of a schedule do not depend on values.")
        arrays, files = input_arrays(given, executable.inputs) if given else (None, [])
        check_outputs([place], [file, *files, *(each for each in (evaluation, sweep) if each is not None)])
        page = report_html(
            executable, title=file.name, evaluation=evaluation, sweep=sweep, inputs=arrays, progress=progress
        ).encode()
        write_files({place: page})
    if as_json:
        print_json("report", {"artefact": str(file), "file": str(place), "bytes": len(page)})
    else:
        say(f"{place}  {bytes_text(len(page))}")
    return 0
