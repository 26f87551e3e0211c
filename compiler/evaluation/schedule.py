"""A network for SpiNNaker2 with the stages that lead to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.clone import clone_module
from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic
from ...ir.dialects import nn
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.quant import Limited, QuantizeOp, UniformType
from ...ir.rewriter import Rewriter
from ...passes.base import PassContext
from ...passes.quant.lowering import limits_of
from ..data.dataset import Array, DataSet
from ..driver import run_pipeline
from ..executable import Executable
from ..pipelines import FLOAT_GRAPH, graph_pipeline
from .batched import BatchedModule, Pass
from .correspondence import Correspondence, layer_values, lost_weights
from .feed import Feed
from .partial import Partial
from .record import LayerFinding, Worst
from .reference import Reference
from .schedule_worst import layer_findings, worst_layer
from .subject import (
    ACTIVATION,
    FIXED_POINT,
    FOLD,
    IMPORT,
    SATURATION,
    SCHEDULE,
    Executed,
    StageRun,
    work_of,
)
from .widened import widened

Numbers = NDArray[np.float64]


class ScheduleSubject:
    """An executable for SpiNNaker2, its reference brought to the stages of a build, and their sums."""

    congestion: StageRun | None = None

    def __init__(self, executable: Executable, data: DataSet, reference: Reference | None, output: int) -> None:
        self.executable = executable
        self.output = output
        self.feed = Feed.of(data, executable.inputs, [False] * len(executable.inputs), _ranges(executable))
        self._module = BatchedModule(executable.module)
        self.notes: list[Diagnostic] = []
        self.floats: list[StageRun] = []
        self.graph: ModuleOp | None = None
        self.pairs = Correspondence({}, {})
        fixed = executable.module
        why = "as saturation: they are told apart by a reference"
        if reference is not None:
            fixed, why = self._read(reference)
        work = work_of(executable.module)
        self.apart = fixed is not executable.module
        self.integers = [
            StageRun(FIXED_POINT, "integers of any size", self._interpreted(fixed), work, why),
            StageRun(
                SATURATION,
                f"integers of {executable.options.get('bits', 8)} bits",
                self._interpreted(executable.module),
                work,
                "the integers of the schedule, where compared",
            ),
        ]
        self.schedule = StageRun(SCHEDULE, f"the program, mapping {executable.mapping}", self._run_program, 0)
        self.observed_work = work
        self._values = layer_values(executable.module)
        self._graph = None if self.graph is None else BatchedModule(self.graph)
        self._float_number = self._numbers()

    def _read(self, reference: Reference) -> tuple[ModuleOp, str]:
        """Makes the stages of the reference; gives the module of the fixed point, and what is said of it."""
        self.notes += reference.notes
        fold, graph = clone_module(reference.module), clone_module(reference.module)
        run_pipeline(FLOAT_GRAPH, fold, PassContext(), ())
        run_pipeline(graph_pipeline(), graph, PassContext(), ())
        self.graph = graph
        self.pairs = Correspondence.of(self.executable.module, graph)
        changed, notes = changed_limits(self.executable.module, graph, self.pairs)
        self.notes += notes
        stages = (
            (IMPORT, "the network as it was trained", reference.folded),
            (FOLD, "batch normalisation in the weights", fold),
            (ACTIVATION, "activations as the build has them", changed),
        )
        self.floats = [
            StageRun(name, title, self._interpreted(module), work_of(module)) for name, title, module in stages
        ]
        if any(isinstance(op, QuantizeOp) for op in reference.module.main.body.ops):
            return self.executable.module, "as saturation: the reference carries scales of its own"
        return widened(self.executable.module, self.pairs), ""

    def _numbers(self) -> list[int | None]:
        """For each layer value, the number of its float value among those of the graph."""
        if self.graph is None or self._graph is None:
            return [None] * len(self._values)
        place = {value: number for number, value in enumerate(_all_values(self.graph))}
        return [place[self.pairs.floats[value]] if value in self.pairs.floats else None for value in self._values]

    def _interpreted(self, module: ModuleOp) -> Callable[[Sequence[Array]], Array]:
        batched = BatchedModule(module)
        return lambda inputs: batched(inputs)[self.output]

    def _run_program(self, inputs: Sequence[Array]) -> Array:
        return self.execute(inputs).outputs

    def execute(self, inputs: Sequence[Array]) -> Executed:
        outputs = self._program(inputs)[self.output]
        settled = {SATURATION: ""} if self.apart else {SATURATION: "", FIXED_POINT: ""}
        return Executed(outputs, outputs, {}, settled)

    def _program(self, inputs: Sequence[Array]) -> list[Array]:
        """The program on samples [N, ...], in the batch that it was built for."""
        batch = self.executable.inputs[0].shape[0]
        if batch == 1:
            return self.executable.run(inputs)
        parts = []
        for first in range(0, len(inputs[0]), batch):
            part = [array[first : first + batch] for array in inputs]
            filled = [
                np.concatenate([array, np.zeros((batch - len(array), *array.shape[1:]), array.dtype)]) for array in part
            ]
            parts.append([array[: len(part[0])] for array in self.executable.run(filled)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def execute_congested(self, inputs: Sequence[Array]) -> tuple[Array, Mapping[str, Any]]:
        """Never asked for: only spiking netlists have a stage of late packets."""
        raise NotImplementedError("a schedule loses no packets")

    def observe(self, inputs: Sequence[Array], raw: Array) -> Mapping[str, Any]:
        """`mismatches`; for each layer value `held` (elements), and with a reference `signal`, `noise`, `saturated`
        (at the end of the range, and beyond it in float), `clipped` and `rounded`: what limiting and rounding the float
        values themselves costs, as squares."""
        floats = self._float_values(inputs)
        count = len(self._values)
        sums = {name: np.zeros(count) for name in ("held", "signal", "noise", "saturated", "clipped", "rounded")}
        found: list[Array] = []
        for part in self._module.passes(inputs):
            number_of = {value.owner: number for number, value in enumerate(layer_values(part.module))}

            def look(
                op: Operation,
                _operands: Sequence[Array],
                array: Array,
                part: Pass = part,
                number_of: Mapping[Operation | None, int] = number_of,
            ) -> Array:
                number = number_of.get(op)
                if number is not None:
                    real = floats.get(number)
                    own = None if real is None else real[part.first : part.first + part.count]
                    _compare(op, array[: part.count], own, number, sums)
                return array

            found.append(part.walk(look)[self.output][: part.count])
        differing = (np.concatenate(found) != raw).reshape(len(raw), -1).any(axis=1)
        return {**sums, "mismatches": int(differing.sum())}

    def _float_values(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """The float values [N, ...] of each layer that has any, by the layer's number."""
        if self._graph is None:
            return {}
        wanted = {place: number for number, place in enumerate(self._float_number) if place is not None}
        found: dict[int, list[Array]] = {number: [] for number in wanted.values()}
        for part in self._graph.passes(inputs):
            place_of = {value: place for place, value in enumerate(_all_values(part.module))}
            for place, array in enumerate(part.inputs):
                if place in wanted:
                    found[wanted[place]].append(array[: part.count])

            def keep(
                op: Operation,
                _operands: Sequence[Array],
                array: Array,
                kept: int = part.count,
                place_of: Mapping[Value, int] = place_of,
            ) -> Array:
                place = place_of[op.results[0]]
                if place in wanted:
                    found[wanted[place]].append(array[:kept])
                return array

            part.walk(keep)
        return {number: np.concatenate(parts) for number, parts in found.items() if parts}

    def flushed(self) -> list[tuple[float, float] | None]:
        """For each layer value, what `lost_weights` says of the weights behind it."""
        found: list[tuple[float, float] | None] = []
        for value in self._values:
            owner = value.owner
            op = owner.operands[0].owner if owner is not None else None
            layer = self.pairs.weights.get(op) if op is not None else None
            found.append(None if layer is None or op is None else lost_weights(op, layer))  # type: ignore[arg-type]
        return found

    def names(self) -> list[tuple[str, tuple[str, ...]]]:
        """The name of each layer value, and its ONNX nodes."""
        found: list[tuple[str, tuple[str, ...]]] = []
        for value in self._values:
            owner = value.owner
            assert owner is not None
            if isinstance(owner, QuantizeOp) and owner.x.owner is None:
                index = self.executable.module.main.body.arguments.index(owner.x)
                found.append((self.executable.inputs[index].name, ()))
            else:
                found.append((str(owner.location), owner.location.names))
        return found

    def layers(self, sums: Partial) -> tuple[LayerFinding, ...]:
        return layer_findings(self.names(), self.flushed(), self._float_number, sums)

    def worst(self, stage: str, sums: Partial, layers: Sequence[LayerFinding]) -> Worst | None:
        return worst_layer(stage, self.executable, self.flushed(), sums, layers)


def _compare(op: Operation, array: Array, real: Array | None, number: int, sums: Mapping[str, Numbers]) -> None:
    """Adds what one layer's integers are beside its float values."""
    kind = op.results[0].element
    assert isinstance(kind, UniformType)
    sums["held"][number] += array.size
    if real is None:
        return
    wide = real.astype(np.float64)
    least, most = ((end - kind.zero_point) * kind.scale for end in (kind.storage.low, kind.storage.high))
    own = (array.astype(np.float64) - kind.zero_point) * kind.scale
    limited = np.clip(wide, least, most)
    steps = np.rint(limited / kind.scale) * kind.scale
    half = kind.scale / 2
    beyond = ((array == kind.storage.high) & (wide > most + half)) | (
        (array == kind.storage.low) & (wide < least - half)
    )
    sums["signal"][number] += np.square(wide).sum()
    sums["noise"][number] += np.square(own - wide).sum()
    sums["saturated"][number] += np.count_nonzero(beyond)
    sums["clipped"][number] += np.square(wide - limited).sum()
    sums["rounded"][number] += np.square(limited - steps).sum()


def _all_values(module: ModuleOp) -> list[Value]:
    """All values in order, arguments first; the same place is the same value in a module made for more samples."""
    return [*module.main.body.arguments, *(result for op in module.main.body.ops for result in op.results)]


def _ranges(executable: Executable) -> list[tuple[float, float] | None]:
    """The numbers that each input's integers tell apart; None for inputs that are integers themselves."""
    found: list[tuple[float, float] | None] = []
    for argument in executable.module.main.body.arguments:
        kinds = [user.out.element for user in argument.users if isinstance(user, QuantizeOp)]
        uniform = [kind for kind in kinds if isinstance(kind, UniformType)]
        if not uniform:
            found.append(None)
            continue
        kind = uniform[0]
        low, high = kind.storage.low - kind.zero_point, kind.storage.high - kind.zero_point
        found.append((low * kind.scale, high * kind.scale))
    return found


def changed_limits(module: ModuleOp, graph: ModuleOp, pairs: Correspondence) -> tuple[ModuleOp, list[Diagnostic]]:
    """The float network with the limits that the artefact's activations have, where these are other ones."""
    copy = clone_module(graph)
    originals, copies = _all_values(graph), _all_values(copy)
    place = {value: number for number, value in enumerate(originals)}
    notes, rewriter = [], Rewriter()
    for value, real in pairs.floats.items():
        op = value.owner
        if not isinstance(op, Limited):
            continue
        kind, ends = op.target, (op.target.storage.low, op.target.storage.high)
        wanted = limits_of(real.owner, kind) if isinstance(real.owner, nn.ClampOp) else ends
        if (op.low, op.high) == wanted:
            continue
        low, high = (
            (own - kind.zero_point) * kind.scale if own != end else infinite
            for own, end, infinite in zip((op.low, op.high), ends, (-np.inf, np.inf), strict=True)
        )
        target = copies[place[real]]
        if target.owner is None or target.owner.next is None:
            continue
        source = target.owner.x if isinstance(target.owner, nn.ClampOp) else target
        clamp = nn.ClampOp(x=source, low=float(low), high=float(high), location=target.owner.location)
        users = [(user, index) for user, index in target.uses]
        rewriter.insert_before(target.owner.next, clamp)
        for user, index in users:
            rewriter.set_operand(user, index, clamp.out)
        notes.append(
            Diagnostic(
                "SNC0852",
                "an activation has other limits than that of the reference",
                node=str(op.location),
                found=f"{low:.4g} .. {high:.4g}",
                severity="warning",
            )
        )
    return copy, notes
