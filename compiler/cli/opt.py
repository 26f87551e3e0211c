"""snc opt: passes on IR text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, calibrate_option, is_model, json_option, samples_of, shape_option, shapes_of, watch_options

if TYPE_CHECKING:
    from ...ir.diagnostics import Diagnostic
    from ...ir.dialects.builtin import ModuleOp

RUN_LINE = "// RUN:"
MAX_STDIN_BYTES = 1 << 28

EPILOG = """\b
Examples:
  snc opt net.onnx --pipeline fold-constants,fold-batch-norm
  snc opt net.onnx --pipeline spinn2 --calibrate samples.npz -o net.snir
  snc opt net.snir --pipeline 'quantize{bits=16}' --print-ir-after all
  snc opt net.crash.snir
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snir|NET.onnx|-", default="-")
@click.option(
    "--pipeline",
    metavar="TEXT",
    help="Passes, such as 'fold-constants,quantize{bits=16}', or a pipeline of `snc passes`.  "
    f"[default: what the first line of the file says behind {RUN_LINE}]",
)
@click.option("-o", "out", type=FILE, metavar="OUT.snir", help="Where text and arrays go.  [default: print the text]")
@click.option("--emit", type=click.Choice(["snir"]), default="snir", show_default=True, help="What to write.")
@click.option("--verify-each/--no-verify-each", default=True, show_default=True, help="Check the IR after each pass.")
@shape_option
@calibrate_option
@watch_options
@json_option
def opt(
    file: Path,
    pipeline: str | None,
    out: Path | None,
    emit: str,
    verify_each: bool,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    calibrate: Path | None,
    as_json: bool,
    **watched: Any,
) -> int:
    """Run passes on IR text, or on an imported model, and print the result.

    Large arrays lie beside a text: FILE.npz for FILE.snir, read and written with it.
    """
    from ...ir.printer import print_module
    from ...passes.manager import PassManager
    from ...passes.pipeline import parse_pipeline
    from ...passes.program_file import arrays_path, save_program
    from ..driver import calibration_context
    from ..named_pipelines import named_pipelines
    from .console import print_diagnostics, print_json
    from .instruments import Watch
    from .output_files import check_outputs

    if out is not None:
        check_outputs([out, arrays_path(out)], [file, arrays_path(file), *([calibrate] if calibrate else [])])
    notes: list[Diagnostic] = []
    module, first_line = _read(file, shapes, notes)
    if pipeline is None:
        pipeline = first_line.removeprefix(RUN_LINE).strip() if first_line.startswith(RUN_LINE) else ""
        if not pipeline:
            raise click.UsageError(f"{file} does not begin with {RUN_LINE}; say what to run with --pipeline.")
    passes = parse_pipeline(pipeline, aliases=named_pipelines()).passes
    watch = Watch(**watched)
    instruments = watch.instruments()
    context, _ = calibration_context(module, samples_of(calibrate), notes)
    PassManager(passes, instruments, checks=verify_each).run(module, context)
    watch.report()
    print_diagnostics(notes)
    if out is not None:
        save_program(out, module)
    if as_json:
        content = {"file": str(out)} if out is not None else {"ir": print_module(module)}
        print_json("opt", {"pipeline": ",".join(map(str, passes)), **content}, notes=notes)
    elif out is None:
        click.echo(print_module(module), nl=False)
    return 0


def _read(file: Path, shapes: tuple[tuple[str, tuple[int, ...]], ...], notes: list[Diagnostic]) -> tuple[ModuleOp, str]:
    """The module and the first line of its text."""
    from ...ir.diagnostics import Diagnostic, LimitExceeded, ModelError, UnsafeInput, VerifyError
    from ...ir.parser import parse_module
    from ...ir.verifier import verify
    from ...passes.program_file import load_program
    from ..onnx.importer import import_model
    from ..onnx.loading import load_model

    if is_model(file):
        return import_model(load_model(file), shapes=shapes_of(shapes), warn=notes.append), ""
    if shapes:
        raise click.UsageError("--shape is for models; the shapes of IR text are fixed.")
    if str(file) == "-":
        data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
        if len(data) > MAX_STDIN_BYTES:
            raise LimitExceeded(
                Diagnostic("SNC0707", "the text is too long", expected=f"at most {MAX_STDIN_BYTES} bytes", node="-")
            )
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise UnsafeInput(Diagnostic("SNC0392", "the text is not UTF-8", node="-")) from None
        module = parse_module(text, name="<stdin>")
    else:
        module = load_program(file)
        with file.open(encoding="utf-8") as lines:
            text = lines.readline(1 << 16)
    try:
        verify(module)
    except VerifyError as error:
        raise ModelError(error.diagnostics) from None
    return module, text.partition("\n")[0]
