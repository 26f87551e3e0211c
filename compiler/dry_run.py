"""Whether a model would build: the stages of the compiler with assumed value ranges instead of measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..backends.spinn2.machine import load_machine
from ..backends.spinn2.schedule import schedule
from ..ir.core import Value
from ..ir.diagnostics import Diagnostic, ModelError, UnsupportedOperator
from ..ir.dialects.builtin import ModuleOp
from ..ir.types import FloatType, TensorType
from ..passes.base import PassContext
from .driver import DEFAULT_MACHINES, machine_pipeline, run_pipeline
from .onnx.importer import check_model, import_model
from .onnx.loading import load_model
from .onnx.problems import UNSUPPORTED
from .pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline

ASSUMED_RANGE = (-1.0, 1.0)


class AssumedRanges:
    """Calibration that runs nothing: every float value is taken to lie in the same range."""

    def ranges(self, module: ModuleOp, method: str) -> Mapping[Value, tuple[float, float]]:
        """The assumed range of each float value, whatever the method."""
        values: list[Value] = [result for op in module.walk() for result in op.results]
        values += module.main.body.arguments
        return {
            value: ASSUMED_RANGE
            for value in values
            if isinstance(value.type, TensorType) and isinstance(value.element, FloatType)
        }


def findings(
    model: str | Path,
    *,
    target: str,
    machine: str | Path | None,
    options: Spinn2Options,
    shapes: Mapping[str, Sequence[int]],
    found: list[Diagnostic],
) -> None:
    """Runs every stage without keeping the program; warnings go to `found`.

    Raises what a build would raise: ModelError and UnsupportedOperator with everything that the first stage in trouble
    finds, DoesNotFit with every layer that does not fit. What depends on real value ranges is not seen.
    """
    described = load_machine(machine if machine is not None else DEFAULT_MACHINES[target])
    proto = load_model(model)
    noted = check_model(proto, shapes=shapes)
    errors = [note for note in noted if note.severity == "error"]
    found += [note for note in noted if note.severity != "error"]
    if errors:
        raise (UnsupportedOperator if all(note.code in UNSUPPORTED for note in errors) else ModelError)(errors)
    module = import_model(proto, shapes=shapes)
    context = PassContext(calibration=AssumedRanges(), warnings=found)
    run_pipeline(graph_pipeline(), module, context, ())
    run_pipeline(fixed_point_pipeline(options), module, context, ())
    run_pipeline(machine_pipeline(options, described), module, context, ())
    schedule(module, described, options.mapping)
