"""snc export: hand a network over to other tools."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from .options import FILE, json_option

EPILOG = """\b
Examples:
  snc export spikes.snc --to pynn -o folder
  python folder/run_pynn.py spiNNaker --input x.npy --output y.npy
  snc export spikes.snc --to nir -o net.nir
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option(
    "--to", "form", type=click.Choice(["pynn", "nir"]), required=True, help="A PyNN script with its data, or NIR."
)
@click.option(
    "-o",
    "out",
    type=FILE,
    metavar="DIR|FILE.nir",
    help="A folder for pynn, a file for nir.  [default: named after FILE]",
)
@json_option
def export(file: Path, form: str, out: Path | None, as_json: bool) -> int:
    """Write the network of an artefact for spinn1 as other tools take it.

    The PyNN script runs unchanged on pyNN.spiNNaker (a board, or a virtual one) and on pyNN.nest; its data are read
    back from the words that the cores are loaded with. NIR holds the static network, without cores and delays.
    """
    from ..executable import Executable
    from ..spinn1.export import exported_files
    from ..targets import load
    from .console import bytes_text, print_json, say
    from .output_files import check_outputs, new_folder, write_files

    executable = load(file)
    if isinstance(executable, Executable):
        raise click.UsageError(f"{file} is for {executable.target}; only networks for spinn1 are exported.")
    place = out if out is not None else Path(f"{file.stem}_pynn" if form == "pynn" else f"{file.stem}.nir")
    contents = exported_files(executable, form, place)
    with new_folder(place) if form == "pynn" else nullcontext():
        check_outputs(list(contents), [file])
        write_files(contents)
    if as_json:
        print_json("export", {"to": form, "files": [str(path) for path in contents]})
    else:
        for path, content in contents.items():
            say(f"{path}  {bytes_text(len(content))}")
    return 0
