"""The pass that writes value ranges into the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from attrs import frozen

from ...ir.core import Value
from ...ir.diagnostics import Diagnostic, ModelError, UsageError
from ...ir.dialects.builtin import FuncOp, ModuleOp
from ...ir.rewriter import Rewriter
from ...ir.spec import FLOATS
from ..base import Pass, PassContext, option
from .values import check_constants, needs_range

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
        check_constants(main)
        ranges = context.calibration.ranges(module, self.method)
        self._check_finite(main, ranges)
        rewriter = Rewriter()
        for value in wanted:
            if value.owner is not None:
                rewriter.set_attribute(value.owner, RANGE, FLOATS.encode(ranges.get(value, (0.0, 0.0))))
        pairs = [bound for argument in arguments for bound in ranges.get(argument, (0.0, 0.0))]
        rewriter.set_attribute(main, ARGUMENT_RANGES, FLOATS.encode(tuple(pairs)))

    @staticmethod
    def _check_finite(main: FuncOp, ranges: Mapping[Value, tuple[float, float]]) -> None:
        """Raises ModelError for the values that overflow or are not defined on the samples."""
        problems = [
            Diagnostic(
                "SNC0424",
                "a value is NaN or infinite on the calibration samples",
                node=str(op.location),
                found=f"a range of {ranges[result][0]:g} .. {ranges[result][1]:g}",
                expected="finite numbers",
                help="give samples of real data (snc build --calibrate data.npz)",
            )
            for op in main.body.ops
            for result in op.results
            if needs_range(result) and not np.isfinite(ranges.get(result, (0.0, 0.0))).all()
        ]
        if problems:
            raise ModelError(problems)
