"""A network for SpiNNaker1 with the stages that lead to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...ir.clone import clone_module
from ...ir.core import Operation
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spiking import EncodeOp, PopulationOp
from ...passes.base import PassContext
from ...runtime.spinn1.event_layout import Count
from ..data.dataset import Array, DataSet
from ..driver import run_pipeline
from ..pipelines import FLOAT_GRAPH, binary_pipeline
from ..spinn1.executable import SpikingExecutable
from ..spinn1.host import encoders
from .batched import BatchedModule
from .feed import Feed
from .partial import Partial
from .populations import Sums, populations
from .record import LayerFinding, Worst
from .reference import Reference
from .rules import Compared, changed_thresholds, compare_rules
from .spiking_layers import LayerObserver
from .spiking_worst import layer_findings, worst_layer
from .subject import (
    ACTIVATION,
    CONGESTION,
    FIXED_POINT,
    FOLD,
    IMPORT,
    INTEGERS_COST,
    SATURATION,
    SCHEDULE,
    Executed,
    StageRun,
    work_of,
)

MOST_SAMPLES = 1 << 12
"""Samples of a batch: a run of the netlist has a way in and out, and more samples share it."""
SOFTENED = "SNC0463"
"""What binarize-activations says of a soft activation that became a step."""


class SpikingSubject:
    """A spiking executable, its reference brought to the stages of a build with the same options, and their sums."""

    def __init__(self, executable: SpikingExecutable, data: DataSet, reference: Reference | None, output: int) -> None:
        self.executable = executable
        self.output = output
        binary_inputs = [not each for each in executable.numbers]
        self.feed = Feed.of(data, executable.inputs, binary_inputs, _ranges(executable), MOST_SAMPLES)
        self._module = BatchedModule(executable.module)
        self._tail = BatchedModule(executable.tail.module)
        self._populations = populations(executable.module)
        self._rows = _netlist_rows(executable)
        self._bias_neurons = executable.netlist.populations["bias_neurons"].astype(np.int64)
        self.notes: list[Diagnostic] = []
        self.floats: list[StageRun] = []
        self.compared: Compared | None = None
        self._soft: ModuleOp | None = None
        self._softened: tuple[str, ...] = ()
        binary = None if reference is None else self._read(reference)
        work = work_of(executable.module)
        self.integers = [
            StageRun(
                FIXED_POINT,
                "weights on their grid, sums of any size",
                self._run_wide,
                work,
                "no sum was clamped: as saturation",
            ),
            StageRun(
                SATURATION,
                "sums as the receptors hold them",
                self._run_module,
                work,
                "the spikes of the schedule, where compared",
            ),
        ]
        self.schedule = StageRun(SCHEDULE, "the netlist, step by step", self._run_netlist, 0)
        self.congestion: StageRun | None = StageRun(
            CONGESTION, f"at a step of {executable.netlist.tick_us} us", self._run_netlist, work // (2 * INTEGERS_COST)
        )
        self.observer = LayerObserver(executable.module, binary, self.compared, self._soft, self._softened)
        self.observed_work = 2 * work

    def _read(self, reference: Reference) -> ModuleOp:
        """Makes the stages of the reference; gives its module at stage binary."""
        self.notes += reference.notes
        fold = clone_module(reference.module)
        run_pipeline(FLOAT_GRAPH, fold, PassContext(), ())
        binary, softened = self._binary(reference)
        self.compared = compared = compare_rules(self.executable.module, binary, self.executable.options)
        changed = changed_thresholds(binary, compared.changes) if compared.changes else binary
        self.notes += _differences(compared, self._populations)
        self._soft, self._softened = fold, softened
        stages = (
            (IMPORT, "the network as it was trained", reference.folded),
            (FOLD, "batch normalisation in the weights", fold),
            (ACTIVATION, _activation_title(compared, softened), changed),
        )
        self.floats = [StageRun(name, title, self._float(module), work_of(module)) for name, title, module in stages]
        return binary

    def _binary(self, reference: Reference) -> tuple[ModuleOp, tuple[str, ...]]:
        """The reference as 0/1 maps, and the nodes of soft activations that became steps.

        A reference that is not the source may have soft activations where the artefact has steps.
        """
        options = self.executable.options
        for chosen in (options, attrs.evolve(options, binarize="threshold")):
            module, notes = clone_module(reference.module), list[Diagnostic]()
            try:
                run_pipeline(binary_pipeline(chosen), module, PassContext(warnings=notes), ())
            except ModelError:
                if reference.is_source or chosen.binarize == "threshold":
                    raise
                continue
            return module, tuple(note.node for note in notes if note.code == SOFTENED)
        raise AssertionError("the second attempt raises or returns")

    def _float(self, module: ModuleOp) -> Any:
        batched = BatchedModule(module)
        return lambda inputs: batched(inputs)[self.output]

    def scored(self, spikes: Array) -> Array:
        """The output of the model that is scored, for output spikes [N, outputs]."""
        parts, first = [], 0
        for argument in self.executable.tail.module.main.body.arguments:
            shape = argument.shape[1:]
            size = int(np.prod(shape))
            parts.append(spikes[:, first : first + size].reshape(len(spikes), *shape))
            first += size
        return self._tail(parts)[self.output]

    def _run_netlist(self, inputs: Sequence[Array]) -> Array:
        return self.scored(self.executable.execute(inputs).outputs)

    def _run_module(self, inputs: Sequence[Array]) -> Array:
        return self._module(inputs)[self.output]

    def _run_wide(self, inputs: Sequence[Array]) -> Array:
        return self._module(inputs, _widen)[self.output]

    def execute(self, inputs: Sequence[Array]) -> Executed:
        result = self.executable.execute(inputs)
        spikes = result.spikes.sum(axis=1) - self._bias_neurons * len(result.outputs)
        sums = {"spikes": spikes[self._rows], "saturations": result.saturations[self._rows]}
        settled = {SATURATION: ""}
        if not result.saturations.any():
            settled[FIXED_POINT] = ""
        return Executed(self.scored(result.outputs), result.outputs, sums, settled)

    def execute_congested(self, inputs: Sequence[Array]) -> tuple[Array, Mapping[str, Any]]:
        executable = self.executable
        result = executable.execute_congested(inputs)
        owner = executable.netlist.vertices["population"].astype(np.int64)
        late, lost = (
            np.bincount(owner, weights=result.counts[:, each], minlength=len(executable.netlist.populations))
            for each in (Count.LATE, Count.LOST)
        )
        sums: dict[str, Any] = {"late": late[self._rows], "lost": lost[self._rows]}
        if late.any() or lost.any():
            timing = executable.timing(inputs)
            sums["factor"] = timing.smallest_time_scale_factor
            sums["lost always"] = timing.lost_at_any_tick
        return self.scored(result.outputs), sums

    def observe(self, inputs: Sequence[Array], raw: Array) -> Mapping[str, Any]:
        return self.observer.observe(inputs, raw)

    def layers(self, sums: Partial) -> tuple[LayerFinding, ...]:
        return layer_findings(self._populations, self.observer, sums)

    def worst(self, stage: str, sums: Partial, layers: Sequence[LayerFinding]) -> Worst | None:
        return worst_layer(stage, self.executable, self.observer, sums, layers)


def _widen(op: Operation, operands: Sequence[Array], array: Array) -> Array:
    if not isinstance(op, PopulationOp):
        return array
    return Sums.of(op, operands).wide_spikes.reshape(array.shape)


def _netlist_rows(executable: SpikingExecutable) -> NDArray[np.int64]:
    """The row of the netlist's populations for each population of the module."""
    kinds = [op for op in executable.module.main.body.ops if isinstance(op, EncodeOp | PopulationOp)]
    return np.array([row for row, op in enumerate(kinds) if isinstance(op, PopulationOp)], np.int64)


def _ranges(executable: SpikingExecutable) -> list[tuple[float, float] | None]:
    """What each input can tell apart, where it takes numbers."""
    found: list[tuple[float, float] | None] = [None] * len(executable.inputs)
    for op, argument in encoders(executable.module.main):
        if executable.numbers[argument]:
            found[argument] = (0.0, 1.0 if op.bits > 1 else max(1.0, 2 * op.threshold))
    return found


def _activation_title(compared: Compared, softened: Sequence[str]) -> str:
    if softened:
        return "steps in the place of soft activations"
    return "the thresholds of the artefact" if compared.changes else "every activation as one step"


def _differences(compared: Compared, found: Sequence[PopulationOp]) -> list[Diagnostic]:
    """What sets the artefact apart from a build of the reference."""
    words = {
        "strict": "fires above the threshold only, where the reference fires at it too",
        "loose": "fires at the threshold, where the reference fires above it only",
        "moved": "fires at another sum than that of the reference",
    }
    notes = [
        Diagnostic(
            "SNC0852",
            f"a layer {words[change.kind]}",
            node=found[change.population].label,
            found=f"{change.neurons} of {found[change.population].size} neurons",
            severity="warning",
        )
        for change in compared.changes
    ]
    notes += [
        Diagnostic(
            "SNC0853",
            "a layer has other weights than the reference",
            node=found[number].label,
            help="what that changes is counted at the fixed point",
            severity="warning",
        )
        for number in compared.other_weights
    ]
    return notes
