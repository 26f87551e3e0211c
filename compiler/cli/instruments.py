"""The instruments that a user asks for on the command line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from attrs import field, frozen

from ...ir.diagnostics import SncError
from ...ir.dialects.builtin import ModuleOp
from ...passes.instruments import DumpStages, Instrument, PrintIR, Reproducer, Step, Timing
from ...passes.program_file import save_program
from ...passes.registry import load
from .console import remark

ALL = "all"


class DumpRun(DumpStages):
    """Numbers the stages of several pipelines, run one after the other, as one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._count = 0

    def before(self, step: Step, module: ModuleOp) -> None:
        if not self._count:
            super().before(step, module)

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        self._count += 1
        save_program(self.folder / f"{self._count:02}-{step.current.name}.snir", module)


class UnaskedReproducer(Reproducer):
    """A reproducer at a place of our choice: if it cannot be written there, the crash itself is still reported."""

    def failed(self, step: Step, module: ModuleOp, error: Exception) -> None:
        with suppress(OSError, SncError):
            super().failed(step, module, error)


@frozen
class Watch:
    """What the options `watch_options` ask for; `crash_default` is the reproducer's place if the user names none."""

    print_ir_after: tuple[str, ...] = ()
    print_ir_after_changed: bool = False
    dump_stages: Path | None = None
    pass_timing: bool = False
    crash_reproducer: Path | None = None
    crash_default: Path | None = None
    timing: Timing = field(factory=Timing, init=False)

    def instruments(self) -> list[Instrument]:
        """The instruments; raises UsageError when a pass that is named does not exist."""
        names = [name for name in self.print_ir_after if name != ALL]
        for name in names:
            load(name)
        found: list[Instrument] = []
        if self.crash_reproducer is not None:
            found.append(Reproducer(self.crash_reproducer))
        elif self.crash_default is not None:
            found.append(UnaskedReproducer(self.crash_default))
        if self.print_ir_after or self.print_ir_after_changed:
            everywhere = ALL in self.print_ir_after or not names
            found.append(PrintIR(None if everywhere else names, only_changed=self.print_ir_after_changed))
        if self.dump_stages is not None:
            found.append(DumpRun(self.dump_stages))
        if self.pass_timing:
            found.append(self.timing)
        return found

    def report(self) -> None:
        """Prints the times of the passes, if they were asked for."""
        if self.pass_timing:
            remark(str(self.timing))
