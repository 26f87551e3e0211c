"""Whether a model would build for SpiNNaker1: all stages up to the netlist, without the clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...backends.spinn1.netlist import build_netlist
from ...ir.diagnostics import Diagnostic, ModelError, UnsupportedOperator
from ...passes.base import PassContext
from ..driver import run_pipeline
from ..onnx.importer import check_model, import_model
from ..onnx.loading import load_model
from ..onnx.problems import UNSUPPORTED
from ..pipelines import binary_pipeline, spiking_pipeline
from .driver import chosen_machine
from .options import SpikingOptions
from .settle import schedule


def findings(
    model: str | Path,
    *,
    machine: str | Path | None,
    shapes: Mapping[str, Sequence[int]],
    found: list[Diagnostic],
    **given: Any,
) -> None:
    """Runs every stage without keeping the netlist; warnings go to `found`.

    `given` are fields of SpikingOptions. Raises what a build would raise: ModelError and UnsupportedOperator with
    everything that the first stage in trouble finds, DoesNotFit with every layer that does not fit. Whether spikes
    arrive in time is not looked at.
    """
    options = SpikingOptions(**given)
    described = chosen_machine(machine, options)
    proto = load_model(model)
    noted = check_model(proto, shapes=shapes)
    errors = [note for note in noted if note.severity == "error"]
    found += [note for note in noted if note.severity != "error"]
    if errors:
        raise (UnsupportedOperator if all(note.code in UNSUPPORTED for note in errors) else ModelError)(errors)
    module = import_model(proto, shapes=shapes)
    context = PassContext(warnings=found)
    run_pipeline(binary_pipeline(options), module, context, ())
    run_pipeline(spiking_pipeline(options), module, context, ())
    schedule(module, described, options)
    build_netlist(module, described, tiles=options.fixed("tiles") or 1)
