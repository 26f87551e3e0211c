"""A network compiled for SpiNNaker1: what `snc.compile` gives, `snc run` runs and the `.snc` artefact holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import asdict, define, field, frozen
from numpy.typing import NDArray

from ...backends.spinn1.costs import timer_costs
from ...backends.spinn1.machine import Machine, parse_machine
from ...ir.core import Value
from ...ir.diagnostics import Diagnostic, UsageError, VerifyError
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spinn1_tables import TABLES, WORD, WORD_TABLES
from ...ir.parser import parse_module
from ...ir.printer import print_module, resources
from ...ir.verifier import verify
from ...runtime.interpreter.evaluate import evaluate
from ...runtime.spinn1.events import EventResult
from ...runtime.spinn1.executor import Executor
from ...runtime.spinn1.netlist import SCALARS, Netlist
from ...runtime.spinn1.reference import Result
from ...runtime.spinn1.timer import Timing, time_netlist
from ..artefact import Artefact, unsound, whole_number, write_artefact
from ..artefact_arrays import Json, json_bytes
from ..executable import MACHINE_TEXT, PROGRAM_TEXT, Port
from ..profile_record import Profile
from .host import DecodeTail, batches, decoders, encode_samples, encoders
from .options import SpikingOptions
from .samples import checked_samples

if TYPE_CHECKING:
    from ..evaluation.record import Evaluation

Array = NDArray[Any]

LAYOUT = "netlist.json"
ACTIVITY = "activity"
TARGET = "spinn1"
SPIKES = "spikes"


@frozen
class Choices:
    """What a build settled on, asked for or chosen, and why; `neurons_per_core` is the most of all populations."""

    groups: int
    neurons_per_core: int
    tiles: int
    time_scale_factor: float
    sample_interval: int
    reasons: tuple[str, ...]


@define(eq=False)
class SpikingExecutable:
    """A network compiled for SpiNNaker1.

    `module` is the network at stage spiking, whose meaning the netlist must keep. `options` are those that were asked
    for, `choices` what became of those that were left open. `numbers` says for each input whether it takes numbers that
    the host encodes; all others take 0 and 1. `activity` are spikes of the sources, uint8 [samples, elements], by which
    the load of the cores is judged: `activity_measured` on given samples, or assumed.
    """

    module: ModuleOp
    netlist: Netlist
    machine_text: str
    options: SpikingOptions
    choices: Choices
    numbers: tuple[bool, ...]
    activity: Array
    activity_measured: bool
    shapes: Mapping[str, Sequence[int]]
    source_sha256: str
    notes: tuple[Diagnostic, ...] = ()
    _executor: Executor | None = field(default=None, init=False)
    _tail: DecodeTail | None = field(default=None, init=False)

    target: ClassVar[str] = TARGET

    @property
    def machine(self) -> Machine:
        """The machine that the netlist was made for, with the monitors that were asked for."""
        return described_machine(self.machine_text, self.options)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The network's inputs."""
        return input_ports(self.module)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The one output of the netlist: its spikes."""
        return (Port(SPIKES, (1, len(self.netlist.outputs)), np.dtype(np.uint8)),)

    @property
    def decoded_outputs(self) -> tuple[Port, ...]:
        """The model's own outputs, which `decode` makes of the spikes."""
        main = self.module.main
        names = main.output_names or [f"output{index}" for index, _ in enumerate(main.return_op.values)]
        values = main.return_op.values
        return tuple(Port(name, value.shape, value.element.dtype) for name, value in zip(names, values, strict=True))

    @property
    def tail(self) -> DecodeTail:
        """What the host computes behind the spikes."""
        if self._tail is None:
            self._tail = DecodeTail.of(self.module.main)
        return self._tail

    def executor(self, *, jit: str | None = None, threads: int | None = None) -> Executor:
        """The executor over the netlist's words; made once for the default modes. Raises NetlistError."""
        if jit is not None or threads is not None:
            return Executor(self.netlist, jit=jit, threads=threads)
        if self._executor is None:
            self._executor = Executor(self.netlist)
        return self._executor

    def __call__(self, *inputs: Array) -> Array:
        """The output spikes, uint8 [N, outputs], for inputs [N, ...] of 0 and 1 (numbers, where the host encodes).

        Raises UsageError when an input does not fit.
        """
        return self.execute(inputs).outputs

    def elements(self, inputs: Sequence[Array]) -> Array:
        """The spikes of the sources for inputs [N, ...], uint8 [N, elements]; raises UsageError for wrong inputs."""
        return encode_samples(self.module.main, checked_samples(self.inputs, self.numbers, inputs))

    def execute(self, inputs: Sequence[Array]) -> Result:
        """A run of the netlist: outputs, and spikes and saturations by population."""
        return self.executor().run(self.elements(inputs))

    def execute_congested(self, inputs: Sequence[Array], *, tick_us: int | None = None) -> EventResult:
        """A run in which spikes that come too late, or are lost, have no effect; for a step of `tick_us`."""
        return self.executor().run_congested(self.elements(inputs), timer_costs(self.machine), tick_us=tick_us)

    def interpret(self, inputs: Sequence[Array]) -> Array:
        """The same spikes from the reference interpreter, which knows nothing of the netlist."""
        arrays = checked_samples(self.inputs, self.numbers, inputs)
        main = self.module.main
        parts = [
            batches(array.astype(argument.element.dtype), argument.shape[0])
            for array, argument in zip(arrays, main.body.arguments, strict=True)
        ]
        read = [op.out for op in decoders(main)]
        found = []
        for sample in zip(*parts, strict=True):
            seen: dict[Value, Array] = {}

            def keep(value: Value, array: Array, seen: dict[Value, Array] = seen) -> None:
                if value in read:
                    seen[value] = array

            evaluate(self.module, list(sample), observe=keep)
            found.append(np.concatenate([seen[value].reshape(len(seen[value]), -1) for value in read], axis=1))
        return np.concatenate(found)[: len(arrays[0])].astype(np.uint8)

    def decode(self, spikes: Array) -> list[Array]:
        """The model's own outputs for output spikes [N, outputs]: votes, softmax, argmax, whatever stands behind."""
        return self.tail.run(np.asarray(spikes))

    def labels(self, spikes: Array) -> NDArray[np.int64]:
        """The class of each sample by the model's decode tail, int64 [N]: its greatest vote, or the number it gives.

        Raises UsageError when the model ends in spikes, or has several outputs.
        """
        outputs = self.decoded_outputs
        if not self.tail.computes or len(outputs) != 1:
            raise UsageError(
                Diagnostic(
                    "SNC0405",
                    "the model does not say which class its output spikes mean",
                    found=f"outputs {', '.join(map(str, outputs))}",
                    expected="votes, softmax or argmax behind the last step",
                    help="count the spikes of each class yourself, as the network was trained",
                )
            )
        (found,) = self.decode(spikes)
        flat = found.reshape(len(found), -1)
        labels = flat.argmax(axis=1) if found.dtype.kind == "f" and flat.shape[1] > 1 else flat[:, 0]
        return labels.astype(np.int64)

    def timing(self, inputs: Sequence[Array] | None = None) -> Timing:
        """Clocks, loads and energy for inputs [N, ...], without them for `activity`."""
        spikes = self.activity if inputs is None else self.elements(inputs)
        return time_netlist(self.executor(), timer_costs(self.machine), spikes)

    def profile(self) -> Profile:
        """Neurons, cores, times, energy, late and lost spikes as JSON (see `compiler/spinn1/profile.py`)."""
        from .profile import profile

        return profile(self)

    def report(self, path: str | Path, **options: Any) -> None:
        """Writes a report as one HTML file, whole or not at all; options are those of `report.page.report_html`."""
        from ..report.page import write_report

        write_report(self, path, **options)

    def evaluate(self, data: Any, **options: Any) -> Evaluation:
        """How good the network is on labelled data, and which stage lost what (see `snc.evaluate`)."""
        from ..evaluation.evaluate import evaluate

        return evaluate(self, data, **options)

    def save(self, path: str | Path) -> None:
        """Writes the artefact, whole or not at all; the same network and options give the same bytes."""
        layout: dict[str, Json] = {name: getattr(self.netlist, name) for name in ("machine", *SCALARS)}
        layout["labels"] = list(self.netlist.labels)
        layout["numbers"] = list(self.numbers)
        arrays = {name: np.asarray(array) for name, array in resources(self.module).items()}
        tables = {name: np.asarray(table) for name, table in self.netlist.tables().items()}
        write_artefact(
            path,
            members={
                PROGRAM_TEXT: print_module(self.module).encode(),
                MACHINE_TEXT: self.machine_text.encode(),
                LAYOUT: json_bytes(layout),
            },
            arrays=arrays,
            tables={**tables, ACTIVITY: np.packbits(self.activity, axis=1).reshape(-1)},
            manifest={
                "target": TARGET,
                "options": self.options.as_json(),
                "choices": asdict(self.choices),
                "activity_measured": self.activity_measured,
                "shapes": {name: list(shape) for name, shape in sorted(self.shapes.items())},
                "source_sha256": self.source_sha256,
                "notes": [note.as_json() for note in self.notes],
            },
        )

    def __repr__(self) -> str:
        ports = ", ".join(map(str, (*self.inputs, *self.outputs)))
        return f"<snc executable for {TARGET} ({self.choices.tiles} tiles): {ports}>"

    def _repr_html_(self) -> str:
        from ..notebook.views import spiking_html

        return spiking_html(self)


def input_ports(module: ModuleOp) -> tuple[Port, ...]:
    """The arguments of a module as ports."""
    main = module.main
    names = list(main.input_names) or [argument.hint for argument in main.body.arguments]
    arguments = main.body.arguments
    return tuple(Port(name, each.shape, each.element.dtype) for name, each in zip(names, arguments, strict=True))


def described_machine(text: str, options: SpikingOptions) -> Machine:
    """The machine of a TOML text, with the monitors that the options ask for; raises UsageError."""
    machine = parse_machine(text, MACHINE_TEXT)
    return machine if options.monitors is None else machine.with_monitors(options.monitors)


def from_artefact(artefact: Artefact) -> SpikingExecutable:
    """The executable in an artefact for SpiNNaker1.

    Tables are checked here, words when they are decoded for the first run. Raises UnsafeInput when the artefact holds a
    netlist that does not fit its own machine or network.
    """
    try:
        executable = _read(artefact)
        executable.netlist.validate()
        _check_fit(executable)
    except (KeyError, TypeError, ValueError, VerifyError, UsageError) as error:
        raise unsound(artefact, error) from None
    return executable


def _read(artefact: Artefact) -> SpikingExecutable:
    manifest, layout = artefact.manifest, artefact.json(LAYOUT)
    module = parse_module(artefact.text(PROGRAM_TEXT), artefact.arrays)
    verify(module)
    elements = sum(op.size for op, _ in encoders(module.main))
    packed = artefact.table(ACTIVITY, np.dtype(np.uint8)).reshape(-1, max(1, -(-elements // 8)))
    parts: dict[str, Any] = {name: whole_number(layout[name]) for name in SCALARS}
    parts |= {name: artefact.table(name, dtype) for name, dtype in TABLES.items()}
    parts |= {name: artefact.table(name, WORD) for name in WORD_TABLES}
    labels = tuple(_text(label) for label in layout["labels"])
    netlist = Netlist(machine=_text(layout["machine"]), labels=labels, **parts)
    choices = dict(manifest["choices"])
    reasons = tuple(_text(reason) for reason in choices.pop("reasons"))
    factor = choices.pop("time_scale_factor")
    if not isinstance(factor, float):
        raise ValueError(f"expected a number, found {factor!r}")
    return SpikingExecutable(
        module=module,
        netlist=netlist,
        machine_text=artefact.text(MACHINE_TEXT),
        options=SpikingOptions(**manifest["options"]),
        choices=Choices(
            **{name: whole_number(value) for name, value in choices.items()}, time_scale_factor=factor, reasons=reasons
        ),
        numbers=tuple(_flag(each) for each in layout["numbers"]),
        activity=np.unpackbits(packed, axis=1, count=elements),
        activity_measured=_flag(manifest["activity_measured"]),
        shapes={
            _text(name): [whole_number(size) for size in shape] for name, shape in dict(manifest["shapes"]).items()
        },
        source_sha256=_text(manifest["source_sha256"]),
        notes=tuple(Diagnostic(**{"code": "", "message": "", **note}) for note in manifest["notes"]),
    )


def _check_fit(executable: SpikingExecutable) -> None:
    """The netlist must be one of the machine, and its ports those of the network."""
    netlist, machine, main = executable.netlist, executable.machine, executable.module.main
    found = (netlist.machine, netlist.width, netlist.height)
    if found != (machine.name, machine.width, machine.height):
        raise ValueError(f"the netlist is for {found}, its machine is another")
    if len(executable.numbers) != len(main.body.arguments):
        raise ValueError("the inputs are not those of the network")
    if len(executable.activity) == 0 or netlist.elements > executable.activity.shape[1]:
        raise ValueError(f"the netlist reads {netlist.elements} elements of a sample, the network has fewer")
    outputs = sum(int(np.prod(op.out.shape[1:])) for op in decoders(main))
    if len(netlist.outputs) != outputs:
        raise ValueError(f"the netlist has {len(netlist.outputs)} outputs, the network {outputs}")
    if not executable.tail.module.main.return_op.values:
        raise ValueError("the network has no output")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {value!r}")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {value!r}")
    return value
