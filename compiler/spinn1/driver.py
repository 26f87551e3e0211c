"""From a model file to a spiking executable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...backends.spinn1.machine import Machine, load_machine, machine_text
from ...ir.clone import clone_module
from ...ir.diagnostics import Diagnostic, ModelError, UsageError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ModuleOp
from ...passes.base import PassContext
from ...passes.instruments import Instrument
from ...runtime.interpreter.evaluate import evaluate
from ..driver import run_pipeline
from ..executable import Port
from ..nir import import_nir
from ..onnx.importer import import_model
from ..onnx.loading import load_model
from ..pipelines import FLOAT_GRAPH, binary_pipeline, spiking_pipeline
from .executable import TARGET, SpikingExecutable, input_ports
from .host import DecodeTail, batches, encode_samples
from .options import SpikingOptions
from .samples import checked_samples, samples_by_name, takes_numbers
from .settle import settle

Array = NDArray[Any]
Progress = Callable[[str], None]

DEFAULT_MACHINE = "spinn5"
NIR_SUFFIX = ".nir"
OPTION_NAMES = tuple(SpikingOptions().as_json())
SOFTENED = "SNC0463"
"""What binarize-activations says of a soft activation that became a step."""
ERROR_SAMPLES = 32
"""Samples by which the error of softened activations is measured."""


def compile_spiking(
    model: str | Path | onnx.ModelProto,
    options: SpikingOptions,
    *,
    machine: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress = lambda _stage: None,
) -> SpikingExecutable:
    """Compiles an ONNX model of binary activations, or a chain of thresholds in a .nir file, for SpiNNaker1.

    `calibration` maps input names to arrays of samples: how busy the cores are is measured on them. The rest is as for
    `snc.compile`. Raises the errors of loading and importing, UsageError for options or samples that do not fit,
    ModelError for a network without a spiking form, DoesNotFit for one that is too large for the machine.
    """
    described = chosen_machine(machine, options)
    notes: list[Diagnostic] = []
    context = PassContext(warnings=notes)
    progress("import")
    from_nir = isinstance(model, str | Path) and Path(model).suffix.lower() == NIR_SUFFIX
    module, digest = _imported_nir(Path(str(model)), shapes) if from_nir else _imported(model, shapes, notes)
    progress("binarize")
    asked = numbers_asked(module, options)
    samples = _samples(module, asked, calibration)
    if not from_nir:  # such a chain is binary as it is
        _binarize(module, options, samples, context, notes, instruments)
    progress("populations")
    run_pipeline(spiking_pipeline(options), module, context, instruments)
    _check_host(module)
    numbers = takes_numbers(module.main, asked)
    spikes = None if samples is None else encode_samples(module.main, samples)
    progress("mapping")
    settled = settle(module, described, options, spikes, instruments)
    return SpikingExecutable(
        module=module,
        netlist=settled.netlist,
        machine_text=machine_text(DEFAULT_MACHINE if machine is None else machine),
        options=options,
        choices=settled.choices,
        numbers=numbers,
        activity=settled.activity,
        activity_measured=spikes is not None,
        shapes=dict(shapes or {}),
        source_sha256=digest,
        notes=(*notes, *settled.notes),
    )


def _binarize(
    module: ModuleOp,
    options: SpikingOptions,
    samples: Sequence[Array] | None,
    context: PassContext,
    notes: list[Diagnostic],
    instruments: Sequence[Instrument],
) -> None:
    """Brings an imported model to stage binary; where soft activations became steps, notes say what that changes."""
    before = None
    if options.binarize == "threshold":
        run_pipeline(FLOAT_GRAPH, module, context, instruments)
        before = clone_module(module)
    run_pipeline(binary_pipeline(options), module, context, instruments)
    if before is not None and any(note.code == SOFTENED for note in notes):
        notes.append(softening_error(before, module, samples))


def _imported(
    model: str | Path | onnx.ModelProto, shapes: Mapping[str, Sequence[int]] | None, notes: list[Diagnostic]
) -> tuple[ModuleOp, str]:
    """The module of an ONNX model, and the model's digest."""
    proto = load_model(model) if isinstance(model, str | Path) else model
    return import_model(proto, shapes=shapes, warn=notes.append), model_digest(proto)


def _imported_nir(path: Path, shapes: Mapping[str, Sequence[int]] | None) -> tuple[ModuleOp, str]:
    """The module of a NIR file, and the file's digest; raises UsageError for shapes, which such a file fixes itself."""
    if shapes:
        raise UsageError(
            Diagnostic("SNC0314", "a NIR file has the shapes of its inputs", found=f"--shape {next(iter(shapes))}=...")
        )
    module = import_nir(path)
    return module, hashlib.sha256(path.read_bytes()).hexdigest()


def chosen_machine(machine: str | Path | None, options: SpikingOptions) -> Machine:
    """The machine of a name or a file, with the monitors that the options ask for; raises UsageError."""
    described = load_machine(DEFAULT_MACHINE if machine is None else machine)
    return described if options.monitors is None else described.with_monitors(options.monitors)


def model_digest(proto: onnx.ModelProto) -> str:
    """SHA-256 of a model's bytes; empty when it is larger than protobuf writes."""
    small = proto.ByteSize() < 1 << 31
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest() if small else ""


def numbers_asked(module: ModuleOp, options: SpikingOptions) -> tuple[bool, ...]:
    """For each input of an imported model, whether the user or the model itself wants numbers there.

    The model does when it compares an input with constants before anything else.
    """
    return tuple(
        options.takes_numbers or bool(argument.users and all(isinstance(user, nn.CompareOp) for user in argument.users))
        for argument in module.main.body.arguments
    )


def _samples(module: ModuleOp, numbers: Sequence[bool], calibration: Mapping[str, Array] | None) -> list[Array] | None:
    """The calibration samples in the order of the inputs, checked."""
    if calibration is None:
        return None
    ports = input_ports(module)
    return checked_samples(ports, numbers, samples_by_name(ports, calibration))


def softening_error(before: ModuleOp, after: ModuleOp, samples: Sequence[Array] | None) -> Diagnostic:
    """How far the outputs of the network moved by the steps that stand for its soft activations."""
    ports = input_ports(before)
    if samples is None:
        rng = np.random.default_rng(1)
        inputs = [_random(rng, port) for port in ports]
        data = "random samples of 0 and 1; give real ones: --calibrate"
    else:
        places = np.linspace(0, len(samples[0]) - 1, min(ERROR_SAMPLES, len(samples[0]))).astype(np.int64)
        inputs = [sample[places].astype(port.dtype) for sample, port in zip(samples, ports, strict=True)]
        data = "of the given samples"
    sizes = [port.shape[0] for port in ports]
    parts = [batches(array, size) for array, size in zip(inputs, sizes, strict=True)]
    number = min(map(len, inputs))
    pairs = [(evaluate(before, list(each)), evaluate(after, list(each))) for each in zip(*parts, strict=True)]
    old, new = (
        [np.concatenate(column)[:number].reshape(number, -1) for column in zip(*side, strict=True)]
        for side in zip(*pairs, strict=True)
    )
    distance = max(float(np.abs(a.astype(np.float64) - b).mean()) for a, b in zip(old, new, strict=True))
    same = float(np.mean([a.argmax(axis=1) == b.argmax(axis=1) for a, b in zip(old, new, strict=True)]))
    return Diagnostic(
        "SNC0311",
        "steps in the place of soft activations change what the network computes",
        found=f"outputs differ by {distance:.3g} on average, the greatest output is the same for {same:.1%}",
        expected=f"measured on {number} {data}",
        help="train the network with steps (z >= threshold) to get rid of the difference",
        severity="warning",
    )


def _random(rng: np.random.Generator, port: Port) -> Array:
    return rng.integers(0, 2, (ERROR_SAMPLES, *port.shape[1:])).astype(port.dtype)


def _check_host(module: ModuleOp) -> None:
    """Raises ModelError for an output that does not come from the spikes."""
    try:
        DecodeTail.of(module.main)
    except ValueError:
        raise ModelError(
            Diagnostic(
                "SNC0312",
                f"an output of the network does not come from its spikes for {TARGET}",
                expected="outputs behind the last step: votes, softmax, argmax, or the step itself",
            )
        ) from None


def compile_with(
    model: str | Path | onnx.ModelProto,
    *,
    machine: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress = lambda _stage: None,
    **options: Any,
) -> SpikingExecutable:
    """`compile_spiking` with the options as keyword arguments."""
    return compile_spiking(
        model,
        SpikingOptions(**options),
        machine=machine,
        shapes=shapes,
        calibration=calibration,
        instruments=instruments,
        progress=progress,
    )
