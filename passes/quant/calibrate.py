"""The pass that writes value ranges into the graph."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects.builtin import ModuleOp
from ...ir.rewriter import Rewriter
from ...ir.spec import FLOATS
from ..base import Pass, PassContext, option
from .values import needs_range

RANGE = "quant.range"
"""Attribute of an operation: least and greatest value of its one result."""
ARGUMENT_RANGES = "quant.argument_ranges"
"""Attribute of a function: least and greatest value of each argument, one pair after the other."""


@frozen
class Calibrate(Pass):
    """Notes the least and greatest value of every float value, as seen on the calibration samples.

    The function computed stays the same: only the attributes `quant.range` and `quant.argument_ranges` are added.
    """

    name: ClassVar[str] = "calibrate"
    idempotent: ClassVar[bool] = True
    method: str = option(
        "min-max",
        help="how outliers count: not cut, cut at a percentile, or cut where the squared error is least",
        choices=("min-max", "percentile", "mse"),
    )

    def run(self, module: ModuleOp, context: PassContext) -> None:
        main = module.main
        wanted = [result for op in main.body.ops for result in op.results if needs_range(result)]
        arguments = list(main.body.arguments)
        if not wanted and not any(needs_range(argument) for argument in arguments):
            return
        if context.calibration is None:
            raise UsageError(
                Diagnostic(
                    "SNC0420",
                    "calibrate needs samples",
                    found="no calibration data",
                    expected="inputs of the network to measure value ranges on",
                    help="give samples (snc build --calibrate data.npz) or a model that carries its own scales",
                )
            )
        ranges = context.calibration.ranges(module, self.method)
        rewriter = Rewriter()
        for value in wanted:
            if value.owner is not None:
                rewriter.set_attribute(value.owner, RANGE, FLOATS.encode(ranges[value]))
        pairs = [bound for argument in arguments for bound in ranges.get(argument, (0.0, 0.0))]
        rewriter.set_attribute(main, ARGUMENT_RANGES, FLOATS.encode(tuple(pairs)))
