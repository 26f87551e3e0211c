"""What the evaluation asks of each target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic
from ...ir.dialects import nn, quant
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spiking import ProjectOp
from ..data.dataset import Array
from .batched import dependent
from .feed import Feed
from .partial import Partial
from .record import LayerFinding, Worst

IMPORT = "float import"
FOLD = "batch-norm fold"
ACTIVATION = "activation change"
FIXED_POINT = "fixed point"
SATURATION = "saturation"
SCHEDULE = "schedule"
CONGESTION = "late or lost"

Run = Callable[[Sequence[Array]], Array]
"""From inputs [N, ...] to the outputs that are scored, [N, ...]."""


@frozen(eq=False)
class StageRun:
    """The network after one stage. `work` are its multiplications for a sample, or what costs as much."""

    name: str
    title: str
    run: Run
    work: int
    note: str = ""


@frozen(eq=False)
class Executed:
    """A run of the artefact: outputs that are scored, what it returned itself, and sums for the findings.

    `settled` are the integer stages that give the same outputs for these samples, each with the reason.
    """

    outputs: Array
    raw: Array
    sums: Mapping[str, Any]
    settled: Mapping[str, str]


class Subject(Protocol):
    """An executable with the stages that lead to it."""

    feed: Feed
    floats: list[StageRun]
    """Stages of the reference network: import, fold, activation change; empty without one."""
    integers: list[StageRun]
    """Stages between these and the artefact: fixed point, saturation."""
    schedule: StageRun
    congestion: StageRun | None
    """The artefact with packets that are late or lost left out."""
    notes: list[Diagnostic]
    observed_work: int
    """Like `StageRun.work`, of looking at the layers."""

    def execute(self, inputs: Sequence[Array]) -> Executed:
        """The artefact on samples."""

    def execute_congested(self, inputs: Sequence[Array]) -> tuple[Array, Mapping[str, Any]]:
        """Outputs that are scored, and sums for the findings."""

    def observe(self, inputs: Sequence[Array], raw: Array) -> Mapping[str, Any]:
        """Sums over the layers for some samples; `raw` is what the artefact gave for them.

        `mismatches` are the samples for which the reference interpreter gives anything else.
        """

    def layers(self, sums: Partial) -> tuple[LayerFinding, ...]:
        """What is known of each layer."""

    def worst(self, stage: str, sums: Partial, layers: Sequence[LayerFinding]) -> Worst | None:
        """The layer that has most to do with what a stage lost, and what to try."""


def work_of(module: ModuleOp) -> int:
    """Multiplications that a sample takes in the reference interpreter, or what costs as much."""
    known = dependent(module)
    return sum(_work(op) for op in module.main.body.ops if op.results and op.results[0] in known)


def _work(op: Operation) -> int:
    outputs = int(np.prod(op.results[0].shape))
    match op:
        case nn.Conv2dOp():
            return outputs * int(np.prod(op.weight.shape[1:]))
        case nn.MatMulOp():
            return outputs * op.lhs.shape[-1]
        case quant.Conv2dOp():
            return INTEGERS_COST * outputs * int(np.prod(op.weight.shape[1:]))
        case quant.MatMulOp():
            return INTEGERS_COST * outputs * op.weight.shape[0]
        case ProjectOp():
            taps = {"all-to-all": int(np.prod(op.inputs[1:])), "conv2d": int(np.prod(op.weight.shape[1:]))}
            return INTEGERS_COST * outputs * taps.get(op.connector, int(np.prod(op.kernel)))
    return ELEMENT_COST * outputs


INTEGERS_COST = 6
"""Time of an exact product of integers, over that of one of floats."""
ELEMENT_COST = 8
"""Time of an element of any other operation, over that of a multiplication in a large product."""
