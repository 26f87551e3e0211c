"""From a spiking module to a netlist: what the user left open is chosen, and what follows is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from numpy.typing import NDArray

from ...backends.spinn1.activity import measure
from ...backends.spinn1.machine import Machine
from ...backends.spinn1.tune import Fixed, Goal, Tuned, tune
from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spinn1_tables import PopulationKind
from ...passes.base import PassContext
from ...passes.instruments import Instrument
from ...runtime.spinn1.netlist import Netlist
from ...runtime.spinn1.timer import Timing
from ..driver import run_pipeline
from ..pipelines import groups_pipeline
from .executable import Choices
from .options import SpikingOptions

Array = NDArray[Any]

NOT_IN_TIME = "SNC0585"
SEED = 1
NEAREST_INTERVAL = 2
"""Steps between samples beyond the groups, where a user asks for groups alone: what the slides' networks have."""


@frozen(eq=False)
class Settled:
    """The netlist of a module, which was scheduled in place.

    `activity` are the source spikes that its timing was measured with, uint8 [samples, elements].
    """

    netlist: Netlist
    activity: Array
    choices: Choices
    notes: tuple[Diagnostic, ...]


def settle(
    module: ModuleOp,
    machine: Machine,
    options: SpikingOptions,
    spikes: Array | None,
    instruments: Sequence[Instrument] = (),
) -> Settled:
    """Schedules `module` in place and maps it.

    `spikes`, uint8 [samples, elements], are those of the sources for samples by which the time of a step is judged;
    None: random ones. Raises DoesNotFit.
    """
    _check_neurons(machine, options)
    tuned = tune(module, machine, spikes, seed=SEED, goal=Goal(options.optimize), fixed=_fixed(options))
    # Once more, on the module itself and watched by the instruments.
    run_pipeline(str(tuned.schedule), module, PassContext(), instruments)
    notes = () if tuned.timing.in_time else (_not_in_time(tuned.timing, measured=spikes is not None),)
    activity = measure(module.main, spikes, seed=SEED).stimuli
    return Settled(tuned.netlist, activity, _choices(tuned), notes)


def _fixed(options: SpikingOptions) -> Fixed:
    factor = options.time_scale_factor
    return Fixed(
        groups=options.fixed("groups"),
        interval=_interval(options),
        neurons_per_core=options.fixed("neurons_per_core"),
        tiles=options.fixed("tiles"),
        time_scale_factor=None if isinstance(factor, str) else float(factor),
    )


def _interval(options: SpikingOptions) -> int | None:
    """The interval asked for; with groups asked for and no interval, that of the slides; else None."""
    asked, groups = options.fixed("sample_interval"), options.fixed("groups")
    if asked is not None or groups is None:
        return asked
    return NEAREST_INTERVAL if groups == 1 else groups + NEAREST_INTERVAL


def schedule(module: ModuleOp, machine: Machine, options: SpikingOptions) -> None:
    """Says when each neuron fires, by the plainest choice where none is asked for; raises DoesNotFit."""
    _check_neurons(machine, options)
    text = groups_pipeline(
        options.fixed("groups") or 1,
        options.fixed("neurons_per_core"),
        _interval(options),
        most_neurons=machine.core.neurons_per_core,
        ring_bits=machine.core.ring_buffer_entries.bit_length() - 1,
    )
    run_pipeline(text, module, PassContext(), ())


def _check_neurons(machine: Machine, options: SpikingOptions) -> None:
    asked, limit = options.fixed("neurons_per_core") or 0, machine.core.neurons_per_core
    if asked > limit:
        raise DoesNotFit(
            Diagnostic(
                "SNC0572",
                "too many neurons on a core",
                found=f"{asked}",
                expected=f"at most {limit}",
                help=f"--neurons-per-core {limit}",
            )
        )


def _choices(tuned: Tuned) -> Choices:
    netlist = tuned.netlist
    cells = netlist.populations[netlist.populations["kind"] == PopulationKind.NEURON]
    return Choices(
        groups=tuned.schedule.groups,
        neurons_per_core=int(cells["neurons_per_core"].max(initial=1)),
        tiles=netlist.tiles,
        time_scale_factor=netlist.time_scale_factor,
        sample_interval=netlist.interval,
        reasons=tuned.reasons,
    )


def _not_in_time(timing: Timing, *, measured: bool) -> Diagnostic:
    data = "the given samples" if measured else "random samples (give real ones: --calibrate)"
    if timing.lost_at_any_tick:
        expected = "none: but too many packets reach a core at once, however long a step is"
        help = "more temporal groups (--groups), or --groups auto"
    else:
        expected = f"none: factor {timing.smallest_tick_us / 1000:g} is the smallest without late ones"
        help = f"--time-scale-factor {timing.smallest_time_scale_factor}, or auto"
    return Diagnostic(
        NOT_IN_TIME,
        f"not all spikes arrive in time at time-scale factor {timing.time_scale_factor:g}",
        found=f"{timing.late} late and {timing.lost} lost packets in {timing.samples} samples, on {data}",
        expected=expected,
        help=f"{help}; `snc run --congestion` leaves out what is late or lost",
        severity="warning",
    )
