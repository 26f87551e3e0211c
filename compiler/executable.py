"""A compiled network: what `snc.compile` gives, `snc run` runs and the `.snc` artefact holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from ..backends.spinn2.clocks import clocks_of
from ..backends.spinn2.machine import Machine, parse_machine
from ..backends.spinn2.ports import network_inputs, network_outputs
from ..ir.attributes import DenseAttr
from ..ir.core import Value
from ..ir.diagnostics import Diagnostic, UsageError, VerifyError
from ..ir.dialects.builtin import FuncOp, ModuleOp
from ..ir.dialects.quant import DequantizeOp, QuantizeOp
from ..ir.dialects.spinn2_tables import OFFSET, TABLES
from ..ir.parser import parse_module
from ..ir.printer import print_module, resources
from ..ir.types import FloatType
from ..runtime.interpreter import quant as host
from ..runtime.interpreter.evaluate import evaluate
from ..runtime.spinn2.clocks import Clocks
from ..runtime.spinn2.executor import Executor
from ..runtime.spinn2.program import Program, ProgramError
from .artefact import Artefact, read_artefact, unsound, whole_number, write_artefact
from .artefact_arrays import Json, json_bytes
from .profile_record import Profile

if TYPE_CHECKING:
    from .evaluation.record import Evaluation

Array = NDArray[Any]

PROGRAM_TEXT = "program.snir"
MACHINE_TEXT = "machine.toml"
LAYOUT = "program.json"


@frozen
class Port:
    """An input or output of the network as the user sees it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.name}: {list(self.shape)} {self.dtype}"


@define(eq=False)
class Executable:
    """A network compiled for SpiNNaker2.

    `module` is the network in fixed point, whose meaning the program must keep; `program` holds the tables; `options`
    are those of the build. Calling it takes arrays in the shape of the model's inputs, or a batch of samples where the
    model has a batch of 1, and gives floats (dequantized) in the model's order.
    """

    module: ModuleOp
    program: Program
    machine_text: str
    target: str
    mapping: str
    options: Mapping[str, Json]
    source_sha256: str
    notes: tuple[Diagnostic, ...] = ()
    _executor: Executor | None = field(default=None, init=False)

    @property
    def machine(self) -> Machine:
        """The machine that the program was made for."""
        return parse_machine(self.machine_text, MACHINE_TEXT)

    @property
    def clocks(self) -> Clocks:
        """The clocks of that machine under the program's mapping."""
        return clocks_of(self.machine, self.mapping)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The network's inputs."""
        main = self.module.main
        return _ports(main.input_names, main.body.arguments)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The network's outputs."""
        main = self.module.main
        return _ports(main.output_names, main.return_op.values)

    def executor(self, *, jit: str | None = None, threads: int | None = None) -> Executor:
        """The executor over the program's tables; made once for the default modes."""
        if jit is not None or threads is not None:
            return Executor(self.program, jit=jit, threads=threads)
        if self._executor is None:
            self._executor = Executor(self.program)
        return self._executor

    def __call__(self, *inputs: Array) -> Array | tuple[Array, ...]:
        """The outputs for `inputs`: one array, or a tuple where the network has several outputs.

        Raises UsageError when an input has another shape or dtype than the model's.
        """
        results = self.run(inputs)
        return results[0] if len(results) == 1 else tuple(results)

    def run(self, inputs: Sequence[Array], *, integers: bool = False) -> list[Array]:
        """The outputs for `inputs`, dequantized, or with `integers` as the machine holds them."""
        batches = split_samples(self.inputs, inputs)
        parts = [self._run_sample(sample, integers=integers) for sample in batches]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _run_sample(self, sample: Sequence[Array], *, integers: bool) -> list[Array]:
        main = self.module.main
        words = host_inputs(main, sample)
        raw = self.executor().run(words)
        values = network_outputs(main.return_op)
        held = [
            np.ascontiguousarray(data).reshape(-1).view(value.element.dtype).reshape(value.shape)
            for data, value in zip(raw, values, strict=True)
        ]
        return held if integers else host_outputs(main, held)

    def interpret(self, inputs: Sequence[Array], *, integers: bool = False) -> list[Array]:
        """The same outputs from the reference interpreter, which knows nothing of the program."""
        parts = [self._interpret_sample(sample, integers) for sample in split_samples(self.inputs, inputs)]
        return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _interpret_sample(self, sample: Sequence[Array], integers: bool) -> list[Array]:
        values = network_outputs(self.module.main.return_op)
        seen: dict[Value, Array] = {}

        def observe(value: Value, array: Array) -> None:
            if value in values:
                seen[value] = array

        floats = evaluate(self.module, sample, observe=observe)
        return [seen[value] for value in values] if integers else floats

    def profile(self) -> Profile:
        """Times, bytes, memory and energy of one run as JSON (see `compiler/profile.py`)."""
        from .profile import profile

        return profile(self)

    def evaluate(self, data: Any, **options: Any) -> Evaluation:
        """How good the network is on labelled data, and which stage lost what (see `snc.evaluate`)."""
        from .evaluation.evaluate import evaluate

        return evaluate(self, data, **options)

    def save(self, path: str | Path) -> None:
        """Writes the artefact, whole or not at all; the same network and options give the same bytes."""
        arrays = dict(resources(self.module))
        by_digest = {DenseAttr(array).digest: name for name, array in arrays.items()}
        names = []
        for index, array in enumerate(self.program.arrays):
            digest = DenseAttr(array).digest
            name = by_digest.setdefault(digest, f"constant{index}")
            arrays.setdefault(name, array)
            names.append(name)
        layout: dict[str, Json] = {
            "processing_elements": self.program.processing_elements,
            "sram_bytes": self.program.sram_bytes,
            "dram_bytes": list(self.program.dram_bytes),
            "layers": list(self.program.layers),
            "arrays": list(names),
        }
        write_artefact(
            path,
            members={
                PROGRAM_TEXT: print_module(self.module).encode(),
                MACHINE_TEXT: self.machine_text.encode(),
                LAYOUT: json_bytes(layout),
            },
            arrays={name: np.asarray(array) for name, array in arrays.items()},
            tables={name: np.asarray(table) for name, table in self.program.tables().items()},
            manifest={
                "target": self.target,
                "mapping": self.mapping,
                "options": dict(self.options),
                "source_sha256": self.source_sha256,
                "notes": [note.as_json() for note in self.notes],
            },
        )

    def report(self, path: str | Path, **options: Any) -> None:
        """Writes a report as one HTML file, whole or not at all; options are those of `report.page.report_html`."""
        from .report.page import write_report

        write_report(self, path, **options)

    def __repr__(self) -> str:
        ports = ", ".join(map(str, (*self.inputs, *self.outputs)))
        return f"<snc executable for {self.target} ({self.mapping}): {ports}>"

    def _repr_html_(self) -> str:
        from .notebook.views import executable_html

        return executable_html(self)


def _ports(names: Sequence[str], values: Sequence[Value]) -> tuple[Port, ...]:
    labels = list(names) or [value.hint or f"#{index}" for index, value in enumerate(values)]
    return tuple(Port(label, value.shape, value.element.dtype) for label, value in zip(labels, values, strict=True))


def split_samples(ports: Sequence[Port], inputs: Sequence[Array]) -> list[list[Array]]:
    """The inputs as samples: as they are, or one by one where each has more samples than the model's batch of 1."""
    problems = []
    if len(inputs) != len(ports):
        names = ", ".join(port.name for port in ports)
        raise UsageError(
            Diagnostic("SNC0401", "wrong number of inputs", found=str(len(inputs)), expected=f"{len(ports)} ({names})")
        )
    counts = set()
    for port, array in zip(ports, inputs, strict=True):
        batched = port.shape[:1] == (1,) and array.ndim == len(port.shape) and array.shape[1:] == port.shape[1:]
        fits = array.shape == port.shape or (batched and array.shape[0] > 0)
        if not fits or array.dtype != port.dtype:
            problems.append(
                Diagnostic(
                    "SNC0402",
                    f"input {port.name} does not fit the model",
                    node=port.name,
                    found=f"shape {list(array.shape)}, {array.dtype}",
                    expected=f"shape {list(port.shape)}{' or more samples' * (port.shape[:1] == (1,))}, {port.dtype}",
                    help="convert the array; nothing is cast or reshaped silently",
                )
            )
        if array.dtype.kind == "f" and array.size and not np.isfinite(array).all():
            problems.append(
                Diagnostic(
                    "SNC0403",
                    f"input {port.name} holds NaN or infinite values",
                    node=port.name,
                    found=f"{int((~np.isfinite(array)).sum())} such values",
                    expected="finite numbers",
                )
            )
        counts.add(array.shape[0] if batched else 1)
    if not problems and len(counts) > 1:
        problems.append(
            Diagnostic("SNC0402", "the inputs have different numbers of samples", found=str(sorted(counts)))
        )
    if problems:
        raise UsageError(problems)
    number = counts.pop() if counts else 1
    if number == 1:
        return [list(inputs)]
    return [[array[i : i + 1] for array in inputs] for i in range(number)]


def host_inputs(main: FuncOp, sample: Sequence[Array]) -> list[Array]:
    """What the host writes for one sample: quantised where the network quantises, as it is elsewhere."""
    given: dict[Value, Array] = dict(zip(main.body.arguments, sample, strict=True))
    return [
        host.quantize(value.owner, [given[value.owner.x]]) if isinstance(value.owner, QuantizeOp) else given[value]
        for value in network_inputs(main)
    ]


def host_outputs(main: FuncOp, held: Sequence[Array]) -> list[Array]:
    """What the user gets from the integers that the host reads."""
    return [
        host.dequantize(value.owner, [array]) if isinstance(value.owner, DequantizeOp) else array
        for value, array in zip(main.return_op.values, held, strict=True)
    ]


def load(path: str | Path) -> Executable:
    """The executable in an artefact.

    Every table is checked before it is used. Raises UsageError when there is no such file, UnsafeInput when it is no
    artefact, damaged, or holds a program that does not fit its own machine or network.
    """
    return from_artefact(read_artefact(path))


def from_artefact(artefact: Artefact) -> Executable:
    """The executable in an artefact that was read; raises UnsafeInput as `load` does."""
    layout = artefact.json(LAYOUT)
    try:
        arrays = tuple(artefact.arrays[name] for name in layout["arrays"])
        program = Program(
            processing_elements=whole_number(layout["processing_elements"]),
            sram_bytes=whole_number(layout["sram_bytes"]),
            dram_bytes=tuple(whole_number(size) for size in layout["dram_bytes"]),
            layers=tuple(str(name) for name in layout["layers"]),
            arrays=arrays,
            offsets=artefact.table("offsets", OFFSET),
            **{name: artefact.table(name, dtype) for name, dtype in TABLES.items()},
        )
        program.validate()
        module = parse_module(artefact.text(PROGRAM_TEXT), artefact.arrays)
        machine_text = artefact.text(MACHINE_TEXT)
        machine = parse_machine(machine_text, MACHINE_TEXT)
        found = (program.processing_elements, program.sram_bytes)
        if found != (machine.processing_elements, machine.pe.data_bytes):
            raise ValueError(f"the program is for {found[0]} elements of {found[1]} bytes, its machine is another")
        _check_host(module, program)
        manifest = artefact.manifest
        notes = tuple(Diagnostic(**{"code": "", "message": "", **note}) for note in manifest["notes"])
        return Executable(
            module,
            program,
            machine_text,
            str(manifest["target"]),
            str(manifest["mapping"]),
            dict(manifest["options"]),
            str(manifest["source_sha256"]),
            notes,
        )
    except (KeyError, TypeError, ValueError, ProgramError, VerifyError, UsageError) as error:
        raise unsound(artefact, error) from None


def _check_host(module: ModuleOp, program: Program) -> None:
    """Inputs and outputs of the network must be what the program's ports carry."""
    main = module.main
    sizes: dict[tuple[int, int], int] = {}
    for row in program.ports:
        key = (int(row["output"]), int(row["index"]))
        sizes[key] = max(sizes.get(key, 0), int(row["at"]) + int(row["n0"]) * int(row["bytes"]))
    inputs = network_inputs(main)
    expected = {
        (side, index): value.tensor.size * value.element.dtype.itemsize
        for side, values in ((0, inputs), (1, network_outputs(main.return_op)))
        for index, value in enumerate(values)
    }
    for value in inputs:
        if isinstance(value.element, FloatType):
            raise ValueError(f"input {value.hint} is never quantised")
    if sizes != expected:
        raise ValueError(f"the program's ports carry {sizes}, the network needs {expected}")
