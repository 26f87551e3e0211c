"""Training that can be taken up again: all of its state after an epoch, in one file without code.

The file is an artefact's container: arrays as safetensors, the rest as JSON, each with its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UnsafeInput, UsageError
from ..artefact import read_artefact, write_artefact
from ..artefact_arrays import json_bytes
from .problems import CHECKPOINT

TARGET = "sharpen-checkpoint"
STATE = "training.json"
Array = NDArray[Any]


@frozen(eq=False)
class Checkpoint:
    """`arrays` by name, and all else as JSON in `state`."""

    arrays: Mapping[str, Array]
    state: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        write_artefact(
            path,
            members={STATE: json_bytes(self.state)},
            arrays=self.arrays,
            tables={},
            manifest={"target": TARGET},
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file; raises UsageError when there is none, UnsafeInput for any other content."""
    artefact = read_artefact(path)
    if artefact.manifest.get("target") != TARGET:
        raise UsageError(
            Diagnostic(
                CHECKPOINT,
                "not a checkpoint of snc sharpen",
                found=str(artefact.manifest.get("target"))[:40],
                node=str(path),
            )
        )
    state = artefact.json(STATE)
    if not isinstance(state, dict):
        raise unsound(path, "its state is no table")
    return Checkpoint(artefact.arrays, state)


def unsound(path: Path, found: str) -> UnsafeInput:
    """A checkpoint that no training wrote."""
    return UnsafeInput(Diagnostic(CHECKPOINT, "the checkpoint is not sound", found=found[:200], node=str(path)))


def of_another(path: Path, what: str, found: str, expected: str) -> UsageError:
    """A checkpoint of another training than is asked for."""
    return UsageError(
        Diagnostic(
            CHECKPOINT,
            f"the checkpoint was made with {what}",
            found=found,
            expected=expected,
            help="resume with what training began with, or begin anew without --resume",
            node=str(path),
        )
    )
