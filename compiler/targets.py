"""The targets: what the rest of the compiler asks of each of them, and the functions that serve any."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import attrs
import onnx
from attrs import frozen
from numpy.typing import NDArray

from ..backends.spinn1 import machine as spinn1_machine
from ..backends.spinn2 import machine as spinn2_machine
from ..backends.spinn2.schedule import MAPPINGS
from ..ir.diagnostics import Diagnostic, UnsafeInput, UsageError
from ..passes.instruments import Instrument
from . import driver as spinn2_driver
from . import executable as spinn2_executable
from .artefact import Artefact, read_artefact
from .dry_run import findings as spinn2_findings
from .executable import Executable
from .pipelines import Spinn2Options
from .spinn1 import driver as spinn1_driver
from .spinn1 import executable as spinn1_executable
from .spinn1.dry_run import findings as spinn1_findings
from .spinn1.executable import SpikingExecutable
from .spinn1.options import AIMS

Array = NDArray[Any]
Compiled: TypeAlias = Executable | SpikingExecutable
Machine: TypeAlias = spinn1_machine.Machine | spinn2_machine.Machine
Progress = Callable[[str], None]


@frozen
class Target:
    """One target.

    `options` are the keyword arguments that its `compile` has for itself; `find_problems` takes those of the command
    `check` and appends warnings to its `found`. `choices` are the words of its chief option, `plural` what they are.
    """

    name: str
    default_machine: str
    options: frozenset[str]
    compile: Callable[..., Compiled]
    find_problems: Callable[..., None]
    from_artefact: Callable[[Artefact], Compiled]
    machine_names: Callable[[], Sequence[str]]
    machine_text: Callable[[str | Path], str]
    parse_machine: Callable[[str, str], Machine]
    machine_class: type[Any]
    machine_facts: Callable[[Any], Mapping[str, int]]
    plural: str
    choices: tuple[str, ...]


def _spinn2_problems(
    model: str | Path, *, bits: int, activations: str, rescale: str, mapping: str, **common: Any
) -> None:
    options = Spinn2Options(bits, activations, rescale, mapping=mapping)
    spinn2_findings(model, target="spinn2", options=options, **common)


def _spinn2_facts(machine: spinn2_machine.Machine) -> dict[str, int]:
    return {"processing_elements": machine.processing_elements, "sram_bytes": machine.pe.data_bytes}


def _spinn1_facts(machine: spinn1_machine.Machine) -> dict[str, int]:
    return {"chips": len(machine.chips), "cores": machine.application_cores, "dtcm_bytes": machine.core.dtcm_bytes}


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="spinn2",
            default_machine=spinn2_driver.DEFAULT_MACHINES["spinn2"],
            options=frozenset({"mapping", "level", "calibration_method", "bits", "activations", "rescale"}),
            compile=spinn2_driver.compile,
            find_problems=_spinn2_problems,
            from_artefact=spinn2_executable.from_artefact,
            machine_names=spinn2_machine.machine_names,
            machine_text=spinn2_machine.machine_text,
            parse_machine=spinn2_machine.parse_machine,
            machine_class=spinn2_machine.Machine,
            machine_facts=_spinn2_facts,
            plural="mappings",
            choices=MAPPINGS,
        ),
        Target(
            name="spinn1",
            default_machine=spinn1_driver.DEFAULT_MACHINE,
            options=frozenset(spinn1_driver.OPTION_NAMES),
            compile=spinn1_driver.compile_with,
            find_problems=spinn1_findings,
            from_artefact=spinn1_executable.from_artefact,
            machine_names=spinn1_machine.machine_names,
            machine_text=spinn1_machine.machine_text,
            parse_machine=spinn1_machine.parse_machine,
            machine_class=spinn1_machine.Machine,
            machine_facts=_spinn1_facts,
            plural="aims",
            choices=AIMS,
        ),
    )
}
"""Every target by name; the first one is the default."""


def target_named(name: str) -> Target:
    """The target called `name`; raises UsageError when there is none."""
    if name not in TARGETS:
        raise UsageError(Diagnostic("SNC0315", f"there is no target {name}", expected=f"one of {', '.join(TARGETS)}"))
    return TARGETS[name]


@overload
def compile(
    model: str | Path | onnx.ModelProto,
    *,
    target: Literal["spinn2"] = "spinn2",
    machine: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress = ...,
    mapping: str = ...,
    level: int = ...,
    calibration_method: str = ...,
    bits: int = ...,
    activations: str = ...,
    rescale: str = ...,
) -> Executable: ...


@overload
def compile(
    model: str | Path | onnx.ModelProto,
    *,
    target: Literal["spinn1"],
    machine: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Array] | None = None,
    instruments: Sequence[Instrument] = (),
    progress: Progress = ...,
    weights: str = ...,
    rounding: str = ...,
    weight_scale: str = ...,
    bias: str = ...,
    groups: int | str = ...,
    neurons_per_core: int | str = ...,
    tiles: int | str = ...,
    time_scale_factor: int | str = ...,
    sample_interval: int | str = ...,
    optimize: str = ...,
    binarize: str = ...,
    monitors: bool | None = ...,
    input_threshold: float | None = ...,
    input_bits: int = ...,
) -> SpikingExecutable: ...


@overload
def compile(model: str | Path | onnx.ModelProto, *, target: str, **options: Any) -> Compiled: ...


def compile(model: str | Path | onnx.ModelProto, *, target: str = "spinn2", **options: Any) -> Compiled:
    """Compiles an ONNX model for a target.

    For all targets: `machine` is a preset's name or a TOML file; `shapes` fixes free dimensions by input name;
    `calibration` maps input names to arrays of samples, which give every value its range (spinn2) or say how busy the
    cores are (spinn1); without it seeded noise takes their place. `progress` is called with the name of each stage.

    spinn2: `bits`, `activations`, `rescale` say how values are quantised, `calibration_method` how outliers count,
    `mapping` how layers lie on the machine, and `level` (0 to 3) how hard the mapping `optimized` searches.
    spinn1: see `SpikingOptions`.

    Raises the errors of loading and importing, UsageError for options or samples that do not fit, ModelError for a
    network without a form for the target, DoesNotFit for one that is too large for the machine.
    """
    chosen = target_named(target)
    common = {"machine", "shapes", "calibration", "instruments", "progress"}
    unknown = sorted(options.keys() - chosen.options - common)
    if unknown:
        raise UsageError(
            Diagnostic(
                "SNC0313",
                f"{target} has no option {', '.join(unknown)}",
                expected=", ".join(sorted(chosen.options | common)),
            )
        )
    return chosen.compile(model, **options)


def load(path: str | Path) -> Compiled:
    """The executable in an artefact, of the class that its target has.

    Every table is checked before it is used. Raises UsageError when there is no such file, UnsafeInput when it is no
    artefact, damaged, or holds a program that does not fit its own machine or network.
    """
    return executable_of(read_artefact(path))


def executable_of(artefact: Artefact) -> Compiled:
    """The executable in an artefact that was read; raises UnsafeInput."""
    name = artefact.manifest.get("target")
    if not isinstance(name, str) or name not in TARGETS:
        raise UnsafeInput(
            Diagnostic(
                "SNC0611",
                "the artefact is for a target that is not known",
                node=artefact.path,
                found=str(name)[:40],
                expected=", ".join(TARGETS),
            )
        )
    return TARGETS[name].from_artefact(artefact)


def machine_target(name_or_path: str) -> Target:
    """The target that a machine is for: that of the preset, or the one that knows most tables of the user's file."""
    for target in TARGETS.values():
        if name_or_path in target.machine_names():
            return target
    text = TARGETS["spinn2"].machine_text(name_or_path)
    try:
        tables = set(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        tables = set()
    return max(
        TARGETS.values(), key=lambda each: len(tables & {field.name for field in attrs.fields(each.machine_class)})
    )
