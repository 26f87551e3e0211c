"""snc run: values, bit for bit those of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    FILE,
    calibrate_option,
    is_model,
    json_option,
    nearest,
    samples_of,
    shape_option,
    shapes_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...ir.diagnostics import Diagnostic
    from ..executable import Port
    from ..spinn1.executable import SpikingExecutable

    Array = NDArray[Any]
    Runner = Callable[[Sequence[Array]], list[Array]]

EPILOG = """\b
Examples:
  snc run net.snc --input x.npy -o y.npy
  snc run net.snc --input image=x.npy --input mask=m.npy -o boxes.npy -o scores.npy
  snc run net.snc --input samples.npz -o out.npz --integers
  snc run net.onnx --stage quant --calibrate samples.npz --input x.npy -o y.npy
  snc run spikes.snc --input x.npy -o spikes.npy --congestion
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="NET.snc|NET.onnx")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A .npy file for the next input, or for the input NAME, or a .npz file with arrays by name. May be repeated.",
)
@click.option(
    "-o",
    "out",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="A .npy file for each output, in order, or one .npz file for all.  [default: print the values]",
)
@click.option("--integers", is_flag=True, help="Give the integers that the machine holds, not the numbers they mean.")
@click.option("--decoded", is_flag=True, help="spinn1: give the model's own outputs instead of the output spikes.")
@click.option(
    "--congestion", is_flag=True, help="spinn1: leave out spikes that come too late or are lost on the machine."
)
@click.option("--interpret", is_flag=True, help="Use the reference interpreter instead of the program's tables.")
@click.option(
    "--stage",
    type=click.Choice(["nn", "quant"]),
    help="For a model: interpret it as imported (nn) or in fixed point (quant).  [default: nn]",
)
@shape_option
@calibrate_option
@click.option(
    "--threads", type=click.IntRange(1, 256), metavar="N", help="Threads of machine code.  [default: up to 4]"
)
@json_option
def run(
    file: Path,
    given: tuple[str, ...],
    out: tuple[Path, ...],
    integers: bool,
    decoded: bool,
    congestion: bool,
    interpret: bool,
    stage: str | None,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    calibrate: Path | None,
    threads: int | None,
    as_json: bool,
) -> int:
    """Run an artefact, or interpret a model, on arrays.

    Arrays have exactly the shape and type of the model's inputs; where the batch is 1, more samples may be given at
    once. Nothing is cast or reshaped. A network for spinn1 takes samples of 0 and 1, in any type, and gives the spikes
    of its outputs, uint8.
    """
    from .console import print_diagnostics, print_json
    from .output_files import array_content, check_outputs, write_files

    _check_options(file, stage, shapes, calibrate, interpret, threads, integers, spiking=decoded or congestion)
    notes: list[Diagnostic] = []
    if is_model(file):
        ports, names, runner = _model(file, stage or "nn", shapes, calibrate, notes, integers=integers)
    else:
        ports, names, runner = _artefact(
            file, notes, interpret=interpret, threads=threads, integers=integers, decoded=decoded, congestion=congestion
        )
    _check_count(out, names)
    arrays, files = input_arrays(given, ports)
    check_outputs(out, [file, *files, *([calibrate] if calibrate else [])])
    results = runner(arrays)
    held = dict(zip(names, results, strict=True))
    if len(out) == 1 and out[0].suffix == ".npz":
        write_files({out[0]: array_content(held, out[0])})
        places = [str(out[0])] * len(names)
    else:
        write_files({path: array_content({name: held[name]}, path) for name, path in zip(names, out, strict=False)})
        places = [str(path) for path in out] or [""] * len(names)
    print_diagnostics(notes)
    if as_json:
        print_json("run", {"outputs": _described(held, places)}, notes=notes)
    else:
        _print_results(held, places)
    return 0


def _check_options(
    file: Path,
    stage: str | None,
    shapes: Sequence[object],
    calibrate: Path | None,
    interpret: bool,
    threads: int | None,
    integers: bool,
    *,
    spiking: bool,
) -> None:
    """Options that mean nothing for the file are refused, not ignored."""
    if is_model(file):
        wrong = {"--threads": threads is not None, "--interpret": interpret, "--decoded or --congestion": spiking}
        if stage != "quant":
            wrong |= {"--calibrate": calibrate is not None, "--integers": integers}
        kind = f"a model at stage {stage or 'nn'}"
    else:
        wrong = {"--stage": stage is not None, "--shape": bool(shapes), "--calibrate": calibrate is not None}
        kind = "an artefact"
        if interpret:
            wrong["--threads"] = threads is not None
    named = [option for option, stands in wrong.items() if stands]
    if named:
        raise click.UsageError(f"{kind} takes no {', '.join(named)}.")


def _artefact(
    file: Path,
    notes: list[Diagnostic],
    *,
    interpret: bool,
    threads: int | None,
    integers: bool,
    decoded: bool,
    congestion: bool,
) -> tuple[tuple[Port, ...], list[str], Runner]:
    from ..executable import Executable
    from ..targets import load

    executable = load(file)
    if isinstance(executable, Executable):
        if decoded or congestion:
            raise click.UsageError("--decoded, --congestion: options of spinn1.")
        chosen = executable.interpret if interpret else executable.run
        values: Runner = partial(chosen, integers=integers)
        names = [port.name for port in executable.outputs]
    else:
        if integers:
            raise click.UsageError("--integers: an option of spinn2.")
        if interpret and congestion:
            raise click.UsageError("--congestion needs the machine, --interpret leaves it out.")
        spikes = partial(_spikes, executable, notes, interpret=interpret, congestion=congestion)
        values = (lambda arrays: executable.decode(spikes(arrays))) if decoded else (lambda arrays: [spikes(arrays)])
        names = [port.name for port in (executable.decoded_outputs if decoded else executable.outputs)]

    def runner(arrays: Sequence[Array]) -> list[Array]:
        with _threads(threads):
            return values(arrays)

    return executable.inputs, names, runner


def _spikes(
    executable: SpikingExecutable,
    notes: list[Diagnostic],
    arrays: Sequence[Array],
    *,
    interpret: bool,
    congestion: bool,
) -> Array:
    """The output spikes; what was clamped, late or lost on the way is noted."""
    from ..spinn1.losses import late_or_lost, saturated

    if interpret:
        return executable.interpret(arrays)
    if congestion:
        congested = executable.execute_congested(arrays)
        notes.append(late_or_lost(executable.netlist, congested))
        return congested.outputs
    result = executable.execute(arrays)
    notes += saturated(executable.netlist, result)
    return result.outputs


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Lets SNC_THREADS, which the executor reads when it is made, be `number` for a while."""
    before = os.environ.get("SNC_THREADS")
    if number is not None:
        os.environ["SNC_THREADS"] = str(number)
    try:
        yield
    finally:
        if before is not None:
            os.environ["SNC_THREADS"] = before
        else:
            os.environ.pop("SNC_THREADS", None)


def _model(
    file: Path,
    stage: str,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    calibrate: Path | None,
    notes: list[Diagnostic],
    *,
    integers: bool,
) -> tuple[tuple[Port, ...], list[str], Runner]:
    from ..driver import interpret_model
    from ..stage_values import output_names, stage_values

    module, ports = interpret_model(
        file, stage=stage, shapes=shapes_of(shapes), calibration=samples_of(calibrate), notes=notes
    )
    return ports, output_names(module), lambda arrays: stage_values(module, ports, arrays, integers=integers)


def _check_count(out: Sequence[Path], names: Sequence[str]) -> None:
    if out and len(out) != len(names) and not (len(out) == 1 and out[0].suffix == ".npz"):
        listed = ", ".join(names)
        raise click.UsageError(
            f"the network has {len(names)} outputs ({listed}), -o is given {len(out)} times; "
            "give -o once for each, or one .npz file."
        )
    if len(out) > 1 and any(path.suffix == ".npz" for path in out):
        raise click.UsageError("one .npz file holds all outputs; give -o once.")


def input_arrays(given: Sequence[str], ports: Sequence[Port]) -> tuple[list[Array], list[Path]]:
    """An array for each input, and the files that were read."""
    from ...ir.diagnostics import Diagnostic, UsageError
    from ..data.array_files import read_arrays

    names = [port.name for port in ports]
    found: dict[str, Array] = {}
    files: list[Path] = []
    for text in given:
        chosen = max((name for name in names if text.startswith(f"{name}=")), key=len, default=None)
        files.append(Path(text if chosen is None else text[len(chosen) + 1 :]))
        arrays = read_arrays(files[-1])
        if chosen is None and len(names) == len(arrays) == 1 and "" not in arrays:
            chosen = names[0]
        if chosen is not None:
            if len(arrays) != 1:
                raise click.UsageError(f"{files[-1]} holds {len(arrays)} arrays, input {chosen} takes one.")
            arrays = {chosen: next(iter(arrays.values()))}
        elif "" in arrays:
            following = next((name for name in names if name not in found), None)
            if following is None:
                raise click.UsageError(f"{files[-1]} is one array too many: the inputs are {', '.join(names)}.")
            arrays = {following: arrays[""]}
        for name, array in arrays.items():
            if name not in names:
                raise click.UsageError(f"{files[-1]} holds {name}, which is no input: {nearest(name, names)}")
            if name in found:
                raise click.UsageError(f"input {name} is given twice.")
            found[name] = array
    missing = [port for port in ports if port.name not in found]
    if missing:
        raise UsageError(
            Diagnostic(
                "SNC0705",
                f"input {port.name} is not given",
                node=port.name,
                expected=f"shape {list(port.shape)}, {port.dtype}",
                help=f"add --input {port.name}=FILE.npy",
            )
            for port in missing
        )
    return [found[name] for name in names], files


def _described(held: Mapping[str, Array], places: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            **({"file": place} if place else {"values": array.tolist()}),
        }
        for (name, array), place in zip(held.items(), places, strict=True)
    ]


def _print_results(held: Mapping[str, Array], places: Sequence[str]) -> None:
    import numpy as np

    from .console import say

    for (name, array), place in zip(held.items(), places, strict=True):
        say(f"{name} {array.dtype} {list(array.shape)}{f' -> {place}' if place else ''}")
        if not place:
            say(np.array2string(array, threshold=200, edgeitems=5, max_line_width=100))
