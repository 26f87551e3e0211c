"""What can look on while passes run: timing, checks, printing, dumps, crash reproducers."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import TextIO

from attrs import frozen

from ..ir.clone import clone_module
from ..ir.diagnostics import SncError, UnsupportedOperator
from ..ir.dialects.builtin import ModuleOp
from ..ir.printer import print_module
from ..ir.verifier import verify
from .base import Pass
from .legality import check_legality
from .program_file import save_program


@frozen
class Step:
    """Where a run stands: pass number `index` (from 0) of `total`; `remaining` starts with the current pass."""

    index: int
    total: int
    current: Pass
    remaining: tuple[Pass, ...]


class Instrument:
    """Looks on; by default at nothing. It never changes the module."""

    def before(self, step: Step, module: ModuleOp) -> None:
        """Called before the pass."""

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        """Called after the pass; `changed` tells whether the module differs from what it was before."""

    def failed(self, step: Step, module: ModuleOp, error: Exception) -> None:
        """Called when the pass, or an instrument after it, raised; the module may be in any state."""


class VerifyEach(Instrument):
    """Verifies the module before the first pass and after each; raises VerifyError."""

    def before(self, step: Step, module: ModuleOp) -> None:
        if step.index == 0:
            verify(module)

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        if changed:
            verify(module)


class CheckLegality(Instrument):
    """Checks the legality list of the stage that a pass establishes.

    Raises UnsupportedOperator with one finding for each operation that may not remain.
    """

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        stage = step.current.establishes
        findings = check_legality(module, stage) if stage is not None else ()
        if findings:
            raise UnsupportedOperator(findings)


class Timing(Instrument):
    """Measures each pass: `rows` holds (text of the pass, seconds) in the order of the run."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []
        self._started = 0.0

    def before(self, step: Step, module: ModuleOp) -> None:
        self._started = time.perf_counter()

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        self.rows.append((str(step.current), time.perf_counter() - self._started))

    def __str__(self) -> str:
        total = sum(seconds for _, seconds in self.rows)
        lines = [f"{seconds:9.4f} s  {text}" for text, seconds in (*self.rows, ("total", total))]
        return "\n".join(lines)


class PrintIR(Instrument):
    """Prints the module before and after the passes of these names, or around every pass where `names` is None.

    With `only_changed` a module is not printed after a pass that left it as it was. `stream` is standard error unless
    another is given.
    """

    def __init__(
        self,
        names: Collection[str] | None = None,
        *,
        before: bool = False,
        after: bool = True,
        only_changed: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self.names = names
        self.print_before = before
        self.print_after = after
        self.only_changed = only_changed
        self.stream = stream

    def before(self, step: Step, module: ModuleOp) -> None:
        if self.print_before:
            self._print("before", step, module)

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        if self.print_after and (changed or not self.only_changed):
            self._print("after", step, module)

    def _print(self, word: str, step: Step, module: ModuleOp) -> None:
        if self.names is None or step.current.name in self.names:
            stream = sys.stderr if self.stream is None else self.stream
            stream.write(f"// {word} {step.current}\n{print_module(module)}\n")


class DumpStages(Instrument):
    """Writes the module to `folder`: `00-input.snir`, then `NN-<pass>.snir` after each pass, arrays beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before(self, step: Step, module: ModuleOp) -> None:
        if step.index == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_program(self.folder / "00-input.snir", module)

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        save_program(self.folder / f"{step.index + 1:02}-{step.current.name}.snir", module)


class Reproducer(Instrument):
    """When a pass crashes, writes what it was given and the pipeline from there on to the file `path`.

    Its first line is `// RUN: <pipeline>`, which `snc opt` runs when it is given the file alone. An SncError is no
    crash: it tells the user what is wrong with the model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._input: ModuleOp | None = None

    def before(self, step: Step, module: ModuleOp) -> None:
        self._input = clone_module(module)

    def failed(self, step: Step, module: ModuleOp, error: Exception) -> None:
        if self._input is None or isinstance(error, SncError):
            return
        pipeline = ",".join(map(str, step.remaining))
        save_program(self.path, self._input, first_line=f"// RUN: {pipeline}")
        error.add_note(f"the input of the pass is in {self.path}")
