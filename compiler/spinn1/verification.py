"""Proofs about a spiking executable: sound words and routes, right spikes, the same bytes again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic
from ..executable import MACHINE_TEXT, Port
from ..verification import SEED, difference, samples_missing
from .driver import compile_spiking
from .executable import SpikingExecutable

Array = NDArray[Any]


def check_tables(executable: SpikingExecutable) -> list[Diagnostic]:
    """Decodes all words and follows the packets of all tiles; raises NetlistError for what breaks the contract."""
    executable.executor()
    return []


def check_values(executable: SpikingExecutable, samples: int) -> list[Diagnostic]:
    """Findings where spikes of the netlist differ from the reference interpreter's, on seeded random samples."""
    rng = np.random.default_rng(SEED)
    inputs = [
        random_samples(rng, port, samples, plain=plain)
        for port, plain in zip(executable.inputs, executable.numbers, strict=True)
    ]
    ours, reference = executable(*inputs), executable.interpret(inputs)
    wrong = (ours != reference).sum(axis=1)
    return [
        Diagnostic(
            "SNC0721",
            f"the netlist differs from the network on sample {number}",
            found=f"{wrong[number]} of {ours.shape[1]} output spikes differ",
            expected="no difference",
        )
        for number in np.flatnonzero(wrong).tolist()
    ]


def random_samples(rng: np.random.Generator, port: Port, samples: int, *, plain: bool) -> Array:
    """Samples [samples, ...] of 0 and 1, or, where `plain`, of numbers around the range from 0 to 1."""
    shape = (samples, *port.shape[1:])
    if plain and port.dtype.kind == "f":
        return rng.uniform(-0.25, 1.25, shape).astype(port.dtype)
    if plain and port.dtype.kind in "iu":
        limits = np.iinfo(port.dtype)
        return rng.integers(max(limits.min, -256), min(limits.max, 256), shape, port.dtype, endpoint=True)
    return rng.integers(0, 2, shape).astype(port.dtype)


def check_rebuild(
    executable: SpikingExecutable, path: Path, model: Path, calibration: Mapping[str, Array] | None
) -> list[Diagnostic]:
    """Findings where a new build, with the options that the artefact names, gives other bytes.

    Raises UsageError when the artefact was judged by samples and none are given, and the errors of compiling.
    """
    if executable.activity_measured and calibration is None:
        raise samples_missing(path)
    with tempfile.TemporaryDirectory() as folder:
        machine = Path(folder) / MACHINE_TEXT
        machine.write_text(executable.machine_text, encoding="utf-8")
        again = Path(folder) / "again.snc"
        compile_spiking(
            model,
            executable.options,
            machine=machine,
            shapes=executable.shapes,
            calibration=calibration,
        ).save(again)
        return [] if again.read_bytes() == path.read_bytes() else difference(path, again, model)
