"""From a model file to an executable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..backends.spinn2.build import compute_elements
from ..backends.spinn2.machine import Machine, load_machine, machine_text
from ..backends.spinn2.schedule import schedule
from ..ir.clone import clone_module
from ..ir.diagnostics import Diagnostic, ModelError, UsageError
from ..ir.dialects.builtin import FuncOp, ModuleOp
from ..ir.dialects.quant import QuantizeOp
from ..passes.base import PassContext
from ..passes.instruments import Instrument
from ..passes.manager import PassManager
from ..passes.pipeline import parse_pipeline
from .artefact_arrays import Json
from .calibration import SampleCalibration, noise_samples
from .executable import Executable, Port, split_samples
from .onnx.importer import import_model
from .onnx.limits import MAX_FILE_BYTES
from .onnx.loading import load_model
from .pipelines import Spinn2Options, fixed_point_pipeline, graph_pipeline, tiling_pipeline

Array = NDArray[Any]
Progress = Callable[[str], None]

DEFAULT_MACHINES = {"spinn2": "spinn2-2020"}
NOISE_CODE = "SNC0422"


def compile(
    model: str | Path | onnx.ModelProto,
    *,
    target: str = "spinn2",
    machine: str | Path | None = None,
    mapping: str = "optimized",
    level: int = 2,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    calibration_method: str = "min-max",
    bits: int = 8,
    activations: str = "int",
    rescale: str = "auto",
    instruments: Sequence[Instrument] = (),
    progress: Progress = lambda _stage: None,
) -> Executable:
    """Compiles an ONNX model for a target.

    `shapes` fixes free dimensions by input name. `calibration` maps input names to arrays of samples, which give every
    value its range; without it seeded noise is used and the executable carries a warning (models with their own scales
    need neither). `machine` is a preset's name or a TOML file. `level` (0 to 3) says how hard the mapping `optimized`
    searches. `progress` is called with the name of each stage; during the stage `schedule`, with what it has come to.

    Raises the errors of loading and importing, UsageError for options or samples that do not fit, ModelError for
    operators without an integer form, DoesNotFit for a network too large for the machine.
    """
    if target not in DEFAULT_MACHINES:
        raise UsageError(
            Diagnostic("SNC0315", f"there is no target {target}", expected=f"one of {', '.join(DEFAULT_MACHINES)}")
        )
    named = machine if machine is not None else DEFAULT_MACHINES[target]
    described = load_machine(named)
    notes: list[Diagnostic] = []
    progress("import")
    proto = load_model(model) if isinstance(model, str | Path) else model
    digest = model_digest(proto)
    module = import_model(proto, shapes=shapes, warn=notes.append)
    progress("graph")
    run_pipeline(graph_pipeline(), module, PassContext(warnings=notes), instruments)
    chosen = chosen_rescale(module, rescale)
    options = Spinn2Options(bits, activations, chosen, calibration_method, mapping)
    context, calibrated = calibration_context(module, calibration, notes)
    progress("fixed point")
    run_pipeline(fixed_point_pipeline(options), module, context, instruments)
    fixed = clone_module(module)
    progress("tiling")
    run_pipeline(machine_pipeline(options, described), module, context, instruments)
    progress("schedule")
    program = schedule(module, described, mapping, level, progress)
    settings: dict[str, Json] = {
        "bits": bits,
        "activations": activations,
        "rescale": chosen,
        "calibration": calibrated,
        "calibration_method": calibration_method,
        "machine": described.name,
        "level": level,
        "shapes": {name: list(shape) for name, shape in sorted((shapes or {}).items())},
    }
    return Executable(fixed, program, machine_text(named), target, mapping, settings, digest, tuple(notes))


def model_digest(model: onnx.ModelProto) -> str:
    """SHA-256 of a model's bytes in hexadecimal; empty for one too large to be a message."""
    try:
        message = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        return ""
    return hashlib.sha256(message).hexdigest() if len(message) <= MAX_FILE_BYTES else ""


def chosen_rescale(module: ModuleOp, rescale: str) -> str:
    """What `auto` means: as onnxruntime rounds for models that carry their own scales, else multiplier and shift."""
    if rescale != "auto":
        return rescale
    return "float" if any(isinstance(op, QuantizeOp) for op in module.main.body.ops) else "multiplier"


def machine_pipeline(options: Spinn2Options, machine: Machine) -> str:
    """The tiling pipeline with the numbers of a machine."""
    return tiling_pipeline(
        options,
        sram_bytes=machine.pe.data_bytes,
        elements=len(compute_elements(machine, options.mapping)),
        columns=machine.mac_array.columns,
        sum_bits=machine.mac_array.accumulator_bits,
    )


def run_pipeline(text: str, module: ModuleOp, context: PassContext, instruments: Sequence[Instrument]) -> None:
    """Runs a pipeline given as text."""
    PassManager(parse_pipeline(text).passes, instruments).run(module, context)


class _LazyNoise(SampleCalibration):
    """Noise that is drawn, and complained about, only when a range is asked for."""

    def __init__(self, main: FuncOp, notes: list[Diagnostic]) -> None:
        super().__init__(noise_samples(main))
        self._notes = notes

    def ranges(self, module: ModuleOp, method: str) -> Mapping[Any, tuple[float, float]]:
        self._notes.append(
            Diagnostic(
                NOISE_CODE,
                "value ranges were measured on random noise: the accuracy of this build means little",
                expected="samples of real data",
                help="give some: snc build --calibrate data.npz, an array of samples under each input's name",
                severity="warning",
            )
        )
        return super().ranges(module, method)


def calibration_context(
    module: ModuleOp, calibration: Mapping[str, Array] | None, notes: list[Diagnostic]
) -> tuple[PassContext, str]:
    """The context for calibrate, and the word that the manifest says about it."""
    main = module.main
    if calibration is None:
        return PassContext(calibration=_LazyNoise(main, notes), warnings=notes), "noise"
    samples = calibration_samples(main, calibration)
    return PassContext(calibration=SampleCalibration(samples), warnings=notes), "data"


def calibration_samples(main: FuncOp, data: Mapping[str, Array]) -> list[list[Array]]:
    """Samples in the order of the inputs; raises UsageError when names, shapes or types do not fit."""
    names = list(main.input_names) or [argument.hint for argument in main.body.arguments]
    if len(names) == 1 and len(data) == 1 and names[0] not in data:
        data = {names[0]: next(iter(data.values()))}
    missing = [name for name in names if name not in data]
    if missing:
        raise UsageError(
            Diagnostic(
                "SNC0423",
                "the calibration data lacks inputs of the model",
                found=", ".join(sorted(data)) or "no arrays",
                expected=", ".join(names),
                help="store the samples of each input under its name: numpy.savez('data.npz', image=samples)",
            )
        )
    arrays = []
    for name, argument in zip(names, main.body.arguments, strict=True):
        array = np.asarray(data[name])
        wanted = argument.element.dtype
        arrays.append(array.astype(wanted) if array.dtype.kind == wanted.kind else array)
    ports = [Port(name, a.shape, a.element.dtype) for name, a in zip(names, main.body.arguments, strict=True)]
    return split_samples(ports, arrays)


def interpret_model(
    model: str | Path | onnx.ModelProto,
    *,
    stage: str,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    notes: list[Diagnostic] | None = None,
) -> tuple[ModuleOp, tuple[Port, ...]]:
    """The module of a model at stage `nn` (as imported) or `quant` (in fixed point), and its inputs."""
    if stage not in ("nn", "quant"):
        raise UsageError(Diagnostic("SNC0316", f"there is no stage {stage}", expected="nn or quant"))
    said = notes if notes is not None else []
    proto = load_model(model) if isinstance(model, str | Path) else model
    module = import_model(proto, shapes=shapes, warn=said.append)
    if stage == "quant":
        run_pipeline(graph_pipeline(), module, PassContext(warnings=said), ())
        context, _ = calibration_context(module, calibration, said)
        options = Spinn2Options(rescale=chosen_rescale(module, "auto"))
        run_pipeline(fixed_point_pipeline(options), module, context, ())
    main = module.main
    names = list(main.input_names) or [argument.hint for argument in main.body.arguments]
    ports = tuple(Port(name, a.shape, a.element.dtype) for name, a in zip(names, main.body.arguments, strict=True))
    if len(ports) != len(main.body.arguments):
        raise ModelError(Diagnostic("SNC0317", "the model's inputs have no names"))
    return module, ports
