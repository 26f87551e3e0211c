"""Every pass by name; a pass is imported when it is first asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

from ..ir.diagnostics import Diagnostic, UsageError
from .base import Pass

PASSES: Mapping[str, str] = {
    "fold-constants": "graph.fold_constants:FoldConstants",
    "fold-batch-norm": "graph.fold_batch_norm:FoldBatchNorm",
    "fuse-activations": "graph.fuse_activations:FuseActivations",
    "calibrate": "quant.calibrate:Calibrate",
    "quantize": "quant.quantize:Quantize",
    "lower-qdq": "quant.lower_qdq:LowerQdq",
    "binarize-activations": "spiking.binarize_activations:BinarizeActivations",
    "quantize-weights": "spiking.quantize_weights:QuantizeWeights",
    "lower-to-spiking": "spiking.lower_to_spiking:LowerToSpiking",
    "schedule-temporal-groups": "spiking.schedule_temporal_groups:ScheduleTemporalGroups",
    "form-blocks": "tile.form_blocks:FormBlocks",
    "split-layers": "tile.split_layers:SplitLayers",
}
"""Pass name to `module:Class`, the module relative to this package."""


def load(name: str) -> type[Pass]:
    """The pass class called `name`; raises UsageError, with the nearest name, when there is none."""
    entry = PASSES.get(name)
    if entry is None:
        raise UsageError(Diagnostic("SNC0362", f"there is no pass {name}", help=did_you_mean(name, PASSES)))
    module, _, class_name = entry.partition(":")
    pass_class = getattr(importlib.import_module(f".{module}", __package__), class_name)
    if not (isinstance(pass_class, type) and issubclass(pass_class, Pass)):
        raise TypeError(f"{entry} is no pass")
    return pass_class


def did_you_mean(word: str, known: Mapping[str, object]) -> str:
    """The known words nearest to `word`, or all of them, as a hint."""
    near = difflib.get_close_matches(word, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
