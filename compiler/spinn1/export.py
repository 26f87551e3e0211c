"""Hand-over of a spiking executable to other tools, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...backends.spinn1.export.nir import export_nir
from ...backends.spinn1.export.pynn import export_pynn
from .executable import SpikingExecutable

FORMATS = ("pynn", "nir")


def exported_files(executable: SpikingExecutable, form: str, place: Path) -> Mapping[Path, bytes]:
    """Paths and contents: for `pynn` the folder `place` with a script and its data, for `nir` the file `place`.

    Raises UsageError when the package nir is missing, ModelError for a network that NIR cannot express, NetlistError.
    """
    if form == "nir":
        return {place: export_nir(executable.module)}
    return {place / name: content for name, content in export_pynn(executable.netlist).items()}
