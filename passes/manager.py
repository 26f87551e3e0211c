"""Runs passes one after the other and lets instruments look on."""

from __future__ import annotations

from collections.abc import Iterable

from ..ir.core import Value
from ..ir.dialects.builtin import ModuleOp
from .base import Pass, PassContext
from .instruments import CheckLegality, Instrument, Step, VerifyEach


class PassManager:
    """A pipeline.

    Unless `checks` is False, the module is verified before the first pass and after each, and the legality list of the
    stage that a pass establishes is checked. Instruments nest: the last one stands closest to the pass, and the checks
    stand around all of them, so that a printed or dumped module may be the one that a check then refuses.
    """

    def __init__(self, passes: Iterable[Pass], instruments: Iterable[Instrument] = (), *, checks: bool = True) -> None:
        self.passes: tuple[Pass, ...] = tuple(passes)
        self.instruments: tuple[Instrument, ...] = tuple(instruments)
        self.checks = checks

    def run(self, module: ModuleOp, context: PassContext | None = None) -> PassContext:
        """Rewrites `module` in place and returns the context, which holds the warnings of the passes.

        Whatever a pass or a check raises goes on to the caller, with a note that names the pass.
        """
        context = PassContext() if context is None else context
        instruments = (*((VerifyEach(), CheckLegality()) if self.checks else ()), *self.instruments)
        before = _snapshot(module)
        for index, current in enumerate(self.passes):
            step = Step(index, len(self.passes), current, self.passes[index:])
            for instrument in instruments:
                instrument.before(step, module)
            try:
                current.run(module, context)
                after = _snapshot(module)
                changed = after != before
                for instrument in reversed(instruments):
                    instrument.after(step, module, changed)
            except Exception as error:
                error.add_note(f"in pass {index + 1} of {len(self.passes)}: {current}")
                for instrument in reversed(instruments):
                    instrument.failed(step, module, error)
                raise
            before = after
        return context

    def __str__(self) -> str:
        return ",".join(map(str, self.passes))


def _snapshot(module: ModuleOp) -> list[tuple[object, ...]]:
    """The structure of a module as plain data, equal for equal modules.

    Attributes are shared, not copied or hashed: they are immutable and equal themselves, so that comparing two
    snapshots costs one look at each operation, whatever the size of the weights.
    """
    numbers: dict[Value, int] = {}
    entries: list[tuple[object, ...]] = []
    for op in module.walk():
        for value in (*op.results, *(argument for block in op.regions for argument in block.arguments)):
            numbers[value] = len(numbers)
        entries.append(
            (
                op.name,
                tuple(numbers.get(value, -1) for value in op.operands),
                dict(op.attributes),
                tuple(value.type for value in op.results),
                tuple(tuple(argument.type for argument in block.arguments) for block in op.regions),
                tuple(sum(1 for _ in block.ops) for block in op.regions),
                op.location,
            )
        )
    return entries
