"""snc build: from a model to an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import (
    FILE,
    METHODS,
    WATCH_NAMES,
    calibrate_option,
    json_option,
    level_option,
    machine_options,
    number_options,
    samples_of,
    shape_option,
    shapes_of,
    watch_options,
)
from .target_options import options_for, spiking_options

EPILOG = """\b
Examples:
  snc build net.onnx --calibrate samples.npz
  snc build net.onnx --shape image=1,3,224,224 --bits 16 -o net16.snc
  snc build net.onnx --machine my_machine.toml --mapping baseline
  snc build net.onnx --print-ir-after quantize --pass-timing
  snc build --target spinn1 steps.onnx --calibrate samples.npz
  snc build --target spinn1 steps.onnx --weights q4.8 --groups 20 --tiles 1 --time-scale-factor 14
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE, metavar="NET.onnx")
@click.option("-o", "out", type=FILE, metavar="OUT.snc", help="The artefact.  [default: NET.snc in this folder]")
@machine_options
@level_option
@shape_option
@calibrate_option
@click.option(
    "--calibration",
    type=click.Choice(METHODS),
    default="min-max",
    show_default=True,
    help="How outliers of the samples count.",
)
@number_options
@spiking_options
@watch_options
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Name each stage as it begins.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def build(
    model: Path,
    out: Path | None,
    target: str,
    machine: str | None,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    calibrate: Path | None,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Compile an ONNX model into an artefact that `snc run` runs.

    Without --calibrate, value ranges are measured on noise and the accuracy means little; models that carry their own
    scales (QDQ) need no samples. For spinn1 the samples say how busy the cores are. The same model and options give
    the same bytes.
    """
    from ..targets import compile
    from .console import Progress, print_diagnostics, print_json, remark
    from .instruments import Watch
    from .output_files import check_outputs
    from .views import view_of

    chosen = options_for(target, given)
    watched = {name: given[name] for name in WATCH_NAMES}
    path = Path(f"{model.stem}.snc") if out is None else out
    check_outputs([path], [model, *([calibrate] if calibrate else [])])
    watch = Watch(**watched, crash_default=path.with_name(f"{path.stem}.crash.snir"))
    with Progress(verbose=verbose).running(quiet=quiet) as progress:
        executable = compile(
            model,
            target=target,
            machine=machine,
            shapes=shapes_of(shapes),
            calibration=samples_of(calibrate),
            instruments=watch.instruments(),
            progress=progress,
            **chosen,
        )
        progress("write")
        executable.save(path)
    watch.report()
    print_diagnostics(note for note in executable.notes if verbose or note.severity != "note")
    file_bytes = path.stat().st_size
    view = view_of(executable)
    if as_json:
        passes = [{"pass": text, "seconds": seconds} for text, seconds in watch.timing.rows]
        content = {
            "artefact": {"path": str(path), "bytes": file_bytes},
            "summary": view.summary(executable),
            **({"passes": passes} if passes else {}),
        }
        print_json("build", content, notes=executable.notes)
    elif not quiet:
        view.print_summary(str(path), view.summary(executable), file_bytes)
    elif verbose:
        remark("done")
    return 0
