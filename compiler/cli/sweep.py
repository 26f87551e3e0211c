"""snc sweep: many builds of a network, and which of them are worth having."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, json_option

EPILOG = """\b
Examples:
  snc sweep precision.toml --jobs 2
  snc sweep precision.toml -o results --parquet
  snc sweep precision.toml --scheduler tcp://192.168.0.5:8786
\b
A specification:
  model = "net.onnx"
  data = "digits.npz"
  target = "spinn1"
  [axes]
  weights = ["q4.8", "q4.6", "code16"]
  groups = [1, 2, 4]
"""


@click.command(epilog=EPILOG)
@click.argument("spec", type=FILE, metavar="SPEC.toml")
@click.option("-o", "out", type=FILE, metavar="DIR", help="The results.  [default: SPEC.results in this folder]")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes of this computer that work at once.  [default: one for each processor]",
)
@click.option(
    "--scheduler", metavar="tcp://HOST:PORT", help="Work on a running dask.distributed cluster instead (snc[cluster])."
)
@click.option("--parquet", is_flag=True, help="Write the table as Parquet too (snc[parquet]).")
@click.option("--retry", is_flag=True, help="Measure points again that failed or crashed.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def sweep(
    spec: Path,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    parquet: bool,
    retry: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Build a network in many ways, measure each, and show those that no other beats.

    Any option of `snc build` may be varied: models, targets, machines, number formats, groups, tiles and so on. Every
    point becomes a row of DIR/table.csv: accuracy, latency, throughput, energy, cores. An interrupted sweep goes on
    where it was; a point that is refused or does not fit is a row that says why.
    """
    from ..sweep.sweep import sweep as run
    from .console import print_diagnostics, print_json
    from .progress_bar import progress_bar
    from .sweep_report import print_sweep

    with progress_bar("sweep", unit="points", quiet=quiet) as advance:
        result = run(spec, out=out, jobs=jobs, scheduler=scheduler, parquet=parquet, retry=retry, advance=advance)
    print_diagnostics(result.notes)
    if as_json:
        print_json("sweep", result.as_json(), notes=result.notes)
    elif not quiet:
        print_sweep(result)
    return 0
