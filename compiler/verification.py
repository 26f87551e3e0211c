"""Proofs about an executable: sound tables, right values, the same bytes again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.core import Value
from ..ir.diagnostics import Diagnostic, UsageError
from ..ir.dialects.quant import QuantizeOp
from ..runtime.spinn2.dataflow import unordered
from ..runtime.spinn2.verify import verify as shadow
from .artefact import MANIFEST, read_artefact
from .driver import compile
from .executable import MACHINE_TEXT, Executable

Array = NDArray[Any]

SEED = 20202
DEFAULT_LEVEL = 2
"""Of artefacts that do not name theirs."""


def check_tables(executable: Executable) -> list[Diagnostic]:
    """A finding for each row that reads what was not written for it, and one for steps that need an order."""
    found = [Diagnostic("SNC0720", str(finding)) for finding in shadow(executable.program)]
    pairs = unordered(executable.program)
    if pairs:
        before, after = pairs[0]
        found.append(
            Diagnostic(
                "SNC0724",
                "steps touch the same bytes and neither waits for the other",
                found=f"{len(pairs)} pairs of steps, the first of them {before} and {after}",
                expected="a dependence between the two",
            )
        )
    return found


def check_values(executable: Executable, samples: int) -> list[Diagnostic]:
    """Findings where the program's integers differ from the reference interpreter's, on seeded random samples."""
    rng = np.random.default_rng(SEED)
    arguments = executable.module.main.body.arguments
    found = []
    for number in range(samples):
        inputs = [random_input(rng, argument) for argument in arguments]
        ours = executable.run(inputs, integers=True)
        reference = executable.interpret(inputs, integers=True)
        for port, left, right in zip(executable.outputs, ours, reference, strict=True):
            wrong = int((left != right).sum()) if left.shape == right.shape else left.size
            if wrong:
                found.append(
                    Diagnostic(
                        "SNC0721",
                        f"the program differs from the network on sample {number}",
                        node=port.name,
                        found=f"{wrong} of {left.size} integers differ",
                        expected="no difference",
                    )
                )
    return found


def random_input(rng: np.random.Generator, argument: Value) -> Array:
    """Numbers that reach every integer of the argument's range, and a little beyond."""
    dtype = argument.element.dtype
    quantized = [op for op in argument.users if isinstance(op, QuantizeOp)]
    if quantized:
        integers = np.iinfo(quantized[0].out.element.dtype)
        scale, zero = float(quantized[0].scale.max()), float(quantized[0].zero_point.reshape(-1)[0])
        low, high = (integers.min - zero - 1) * scale, (integers.max - zero + 1) * scale
        return rng.uniform(low, high, argument.shape).astype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(argument.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, argument.shape).astype(bool)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, argument.shape, dtype=dtype, endpoint=True)


def check_rebuild(
    executable: Executable, path: Path, model: Path, calibration: Mapping[str, Array] | None
) -> list[Diagnostic]:
    """Findings where a new build, with the options that the artefact names, gives other bytes.

    Raises UsageError when the artefact was calibrated on samples and none are given, and the errors of compiling.
    """
    options: Mapping[str, Any] = executable.options
    if options.get("calibration") == "data" and calibration is None:
        raise samples_missing(path)
    with tempfile.TemporaryDirectory() as folder:
        machine = Path(folder) / MACHINE_TEXT
        machine.write_text(executable.machine_text, encoding="utf-8")
        again = Path(folder) / "again.snc"
        compile(
            model,
            target=executable.target,
            machine=machine,
            mapping=executable.mapping,
            shapes=options["shapes"],
            calibration=calibration,
            calibration_method=options["calibration_method"],
            bits=options["bits"],
            activations=options["activations"],
            rescale=options["rescale"],
            level=options.get("level", DEFAULT_LEVEL),
        ).save(again)
        if again.read_bytes() == path.read_bytes():
            return []
        return difference(path, again, model)


def samples_missing(path: Path) -> UsageError:
    """The error of a rebuild without the samples of the build."""
    return UsageError(
        Diagnostic(
            "SNC0723",
            "the artefact was calibrated on samples, which it does not hold",
            node=str(path),
            help="give the same samples: --calibrate FILE.npz",
        )
    )


def difference(path: Path, again: Path, model: Path) -> list[Diagnostic]:
    """One finding that names what differs between two artefacts, the second of which was built anew from `model`."""
    old, new = (read_artefact(each).manifest for each in (path, again))
    members = sorted(old["members"].keys() | new["members"].keys())
    differing = [name for name in members if old["members"].get(name) != new["members"].get(name)]
    keys = sorted(old.keys() | new.keys())
    differing += [f"{MANIFEST} ({key})" for key in keys if key != "members" and old.get(key) != new.get(key)]
    other_model = old["source_sha256"] != new["source_sha256"]
    return [
        Diagnostic(
            "SNC0722",
            "a new build gives other bytes",
            node=str(path),
            found=f"other {', '.join(differing[:10])}",
            expected="the same bytes",
            help=f"{model} is not the model that the artefact was built from" if other_model else "",
        )
    ]
