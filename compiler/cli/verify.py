"""snc verify: proof that an artefact computes its network."""

from __future__ import annotations

from pathlib import Path

import click

from .errors import FAILED
from .options import FILE, calibrate_option, json_option, samples_of

EPILOG = """\b
Examples:
  snc verify net.snc
  snc verify net.snc --samples 20
  snc verify net.snc --rebuild net.onnx --calibrate samples.npz
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("--samples", type=click.IntRange(1, 100_000), default=3, show_default=True, help="Random samples to run.")
@click.option("--rebuild", type=FILE, metavar="NET.onnx", help="Build again from the model and compare all bytes.")
@calibrate_option
@json_option
def verify(file: Path, samples: int, rebuild: Path | None, calibrate: Path | None, as_json: bool) -> int:
    """Check an artefact's tables, and that its program gives the network's values, bit for bit.

    Every read of every row must find what was written for it; on seeded random samples, the program's integers must be
    those of the reference interpreter, which knows nothing of the program. Exit code 4 when something differs.
    """
    from ..targets import load
    from .console import Progress, print_diagnostics, print_json, say
    from .views import view_of

    if calibrate is not None and rebuild is None:
        raise click.UsageError("--calibrate is for --rebuild.")
    with Progress(verbose=False).running(quiet=False) as progress:
        progress("tables")
        executable = load(file)
        view = view_of(executable)
        results = {"tables": view.check_tables(executable)}
        progress("values")
        results["values"] = view.check_values(executable, samples)
        if rebuild is not None:
            progress("rebuild")
            results["rebuild"] = view.check_rebuild(executable, file, rebuild, samples_of(calibrate))
    found = [note for notes in results.values() for note in notes]
    code = FAILED if found else 0
    if as_json:
        checks = {name: not notes for name, notes in results.items()}
        print_json("verify", {"artefact": str(file), "samples": samples, "checks": checks}, code=code, notes=found)
        return code
    print_diagnostics(found)
    subjects = {**view.subjects(executable, samples), "rebuild": f"building {rebuild} again gives the same bytes"}
    for name, notes in results.items():
        say(f"{'FAILED' if notes else 'ok':<6}  {name}: {subjects[name]}")
    return code
