"""Options of one target only: those of SpiNNaker1, and how a verb picks those of the target that it works for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .options import together

AUTO = "auto"


class WholeOrAuto(click.ParamType[int | str]):
    """A whole number from 1 on, or `auto`."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int) or value == AUTO:
            return value
        text = str(value)
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) >= 1):
            self.fail(f"{text!r} is neither a whole number from 1 on nor auto.", param, ctx)
        return int(text)


class FactorOrAuto(click.ParamType[float | str]):
    """A positive number, or `auto`."""

    name = "factor|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if isinstance(value, float) or value == AUTO:
            return value
        try:
            factor = float(value)
        except ValueError:
            factor = 0.0
        if not 0.001 <= factor <= 1 << 20:
            self.fail(f"{value!r} is neither a number from 0.001 to {1 << 20} nor auto.", param, ctx)
        return factor


def _auto(name: str, letter: str, help: str) -> Any:
    return click.option(name, type=WholeOrAuto(), default=AUTO, show_default=True, metavar=f"{letter}|auto", help=help)


spiking_options = together(
    click.option(
        "--weights",
        default="code16",
        show_default=True,
        metavar="FORMAT",
        help="spinn1: the toolchain's 16 bit code, or a fixed-point format such as q4.8.",
    ),
    click.option(
        "--rounding",
        type=click.Choice(["nearest", "truncate", "floor"]),
        default="nearest",
        show_default=True,
        help="spinn1: how weights are rounded.",
    ),
    click.option(
        "--weight-scale",
        type=click.Choice(["none", "layer"]),
        default="none",
        show_default=True,
        help="spinn1: weights as trained, or each layer times the power of two that suits it.",
    ),
    click.option(
        "--bias",
        type=click.Choice(["chain", "offset", "threshold"]),
        default="chain",
        show_default=True,
        help="spinn1: biases as synapses of bias neurons, as offsets of neurons, or in their thresholds.",
    ),
    _auto("--groups", "K", "spinn1: temporal groups, which fire one after the other."),
    _auto("--neurons-per-core", "N", "spinn1: most neurons of a population on one core."),
    _auto("--tiles", "N", "spinn1: copies of the network on the machine, which share the samples."),
    click.option(
        "--time-scale-factor",
        type=FactorOrAuto(),
        default=AUTO,
        show_default=True,
        metavar="F|auto",
        help="spinn1: real time over simulated time; a step is 1 ms of the latter.",
    ),
    _auto(
        "--sample-interval",
        "STEPS",
        "spinn1: steps from one sample to the next in a tile; auto with --groups K: K + 2, or 2 for one group.",
    ),
    click.option(
        "--optimize",
        type=click.Choice(["throughput", "latency", "cores"]),
        default="throughput",
        show_default=True,
        help="spinn1: what the options that are `auto` are chosen for.",
    ),
    click.option(
        "--binarize",
        type=click.Choice(["threshold"]),
        help="spinn1: put a step where a soft activation reaches one half, and report the error that it makes.",
    ),
    click.option(
        "--monitors/--no-monitors",
        default=None,
        help="spinn1: keep cores for the toolchain's monitors, or not.  [default: as the machine file says]",
    ),
    click.option(
        "--input-threshold",
        type=float,
        metavar="LEVEL",
        help="spinn1: inputs are numbers, those of at least LEVEL spikes.  [default: inputs are 0 and 1]",
    ),
    click.option(
        "--input-bits",
        type=click.IntRange(1, 16),
        default=1,
        show_default=True,
        help="spinn1: bits by which inputs in [0, 1] are coded, each a channel of spikes.",
    ),
)


SPINN2 = ("mapping", "level", "calibration", "bits", "activations", "rescale")
SPINN1 = (
    "weights",
    "rounding",
    "weight_scale",
    "bias",
    "groups",
    "neurons_per_core",
    "tiles",
    "time_scale_factor",
    "sample_interval",
    "optimize",
    "binarize",
    "monitors",
    "input_threshold",
    "input_bits",
)
OWN = {"spinn2": SPINN2, "spinn1": SPINN1}
"""Parameters of the command line that one target has for itself."""


def options_for(target: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the parameters of the current command, those of `target`, as `snc.compile` takes them.

    Raises a usage error when the user gave one of another target.
    """
    context = click.get_current_context()
    for name, own in OWN.items():
        typed = [each for each in own if each in given and name != target and _is_typed(context, each)]
        if typed:
            named = ", ".join(_flag(context, each) for each in typed)
            raise click.UsageError(f"{named}: an option of {name}, not of {target}.")
    chosen = {name: given[name] for name in OWN[target] if name in given}
    if "bits" in chosen:
        chosen["bits"] = int(chosen["bits"])
    if "calibration" in chosen:
        chosen["calibration_method"] = chosen.pop("calibration")
    if "binarize" in chosen:
        chosen["binarize"] = chosen["binarize"] or "refuse"
    return chosen


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT)


def _flag(context: click.Context, name: str) -> str:
    return next((each.opts[0] for each in context.command.params if each.name == name), name)
