"""From the spiking dialect to slices: the populations of a network cut for its cores, and their synapses as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...ir.dialects.builtin import FuncOp
from ...ir.dialects.spiking import DecodeOp, EncodeOp, PopulationOp, delays, due_steps, merge_synapses, source_of
from ...ir.dialects.spinn1_tables import MAX_RAW_WEIGHT, PopulationKind
from .keys import bits_for
from .machine import Machine

Array = NDArray[Any]
Neurons = EncodeOp | PopulationOp

RECEPTORS = 2
"""Excitatory and inhibitory: the synapse types of a core."""
TYPE_BITS = 1
MOST_SOURCES = 0xFFFF
"""Neurons of a source vertex: the master population table counts them in 16 bits."""


@frozen(eq=False)
class Population:
    """An application vertex; arrays hold one entry for each neuron, the bias neuron last.

    `due` are steps after a sample's start. `threshold` and `offset` are s16.15 (i32), those of sources 0.
    """

    label: str
    kind: PopulationKind
    neurons: int
    bias_neurons: int
    neurons_per_core: int
    index_bits: int
    delay_bits: int
    shifts: tuple[int, int]
    due: Array
    threshold: Array
    offset: Array

    @property
    def vertices(self) -> int:
        """Into how many slices it is cut."""
        return -(-self.neurons // self.neurons_per_core)

    @property
    def counts(self) -> Array:
        """Neurons of each slice."""
        low = np.arange(self.vertices) * self.neurons_per_core
        return np.minimum(self.neurons - low, self.neurons_per_core)


@frozen(eq=False)
class Projection:
    """All synapses, one or more, between two populations (numbers of them), in no special order.

    `pre` and `post` are neurons of their populations; `receptor` is 0 (excitatory) or 1, `raw` the 16 bits that are
    loaded, `delay` at least 1.
    """

    source: int
    target: int
    pre: Array
    post: Array
    receptor: Array
    raw: Array
    delay: Array


@frozen(eq=False)
class Partition:
    """A network in slices. `outputs` are the neurons that are read, as (population, neuron of it), in order."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[tuple[int, Array], ...]

    @property
    def first_vertex(self) -> Array:
        """Number of each population's first vertex; one more entry, the number of all vertices, at the end."""
        return np.concatenate([[0], np.cumsum([each.vertices for each in self.populations])]).astype(np.int64)

    @property
    def first_neuron(self) -> Array:
        """Number of each population's first neuron; one more entry, the number of all neurons, at the end."""
        return np.concatenate([[0], np.cumsum([each.neurons for each in self.populations])]).astype(np.int64)

    @property
    def vertex_population(self) -> Array:
        """The population of each vertex."""
        return np.repeat(np.arange(len(self.populations)), [each.vertices for each in self.populations])


def slot_bits(largest_delay: int) -> int:
    """Bits of the delay in synaptic words, for delays up to `largest_delay`: 2^bits ring-buffer slots.

    A delay of all slots goes once around: its slot is read and cleared before the spike is added to it. So 2^bits slots
    are enough for delays of 1 .. 2^bits; at least one bit is used.
    """
    return max(bits_for(largest_delay), 1)


def partition(main: FuncOp, machine: Machine) -> Partition:
    """The slices of a function at stage spiking, after schedule-temporal-groups.

    A population without a number of neurons per core gets the most that machine and delays allow; a source population
    as many as a core's memory takes. Raises DoesNotFit with everything that breaks a limit of a core.
    """
    ops: list[Neurons] = [op for op in main.body.ops if isinstance(op, EncodeOp | PopulationOp)]
    number = {id(op): i for i, op in enumerate(ops)}
    projections: list[Projection] = []
    for i, op in enumerate(ops):
        if isinstance(op, PopulationOp):
            projections += _projections_to(op, i, number)
    problems: list[Diagnostic] = []
    populations = []
    for i, op in enumerate(ops):
        largest = max(
            (int(each.delay.max()) for each in projections if each.target == i and each.delay.size), default=1
        )
        populations.append(_population(op, slot_bits(largest), largest, machine, problems))
    if problems:
        raise DoesNotFit(problems)
    decoded = [source_of(op.spikes) for op in main.body.ops if isinstance(op, DecodeOp)]
    outputs = tuple((number[id(op)], np.arange(op.size)) for op in decoded)
    return Partition(tuple(populations), tuple(projections), outputs)


def _projections_to(op: PopulationOp, target: int, number: dict[int, int]) -> list[Projection]:
    """The projections that arrive at a population, those from one source joined, in the order of their sources."""
    sources = {id(each.source): each.source for each in op.projections}
    found = []
    for key, source in sorted(sources.items(), key=lambda item: number[item[0]]):
        synapses = merge_synapses([each.synapses() for each in op.projections if id(each.source) == key])
        if not len(synapses):
            continue
        delay = delays(source, op, synapses)
        if int(delay.min()) < 1:
            raise ValueError(f"a delay of {delay.min()} steps to {op.label!r}")
        receptor = (synapses.weight < 0).astype(np.int8)
        raw = np.abs(synapses.weight.astype(np.int64)) >> np.where(receptor, op.shift_inh, op.shift_exc)
        if int(raw.max()) > MAX_RAW_WEIGHT:
            raise ValueError(f"a weight of {raw.max()} to {op.label!r} is wider than 16 bits")
        found.append(Projection(number[key], target, synapses.pre, synapses.post, receptor, raw, delay))
    return found


def _population(op: Neurons, delay_bits: int, delay: int, machine: Machine, problems: list[Diagnostic]) -> Population:
    bias = op.bias_neurons
    if isinstance(op, EncodeOp):
        zeros = np.zeros(op.neurons, np.int32)
        room = (machine.core.dtcm_bytes - machine.dtcm.core_bytes) // max(machine.dtcm.source_neuron_bytes, 1)
        per_core = min(op.neurons_per_core or min(room, MOST_SOURCES), op.neurons)
        return Population(
            op.label, PopulationKind.SOURCE, op.neurons, bias, per_core, 0, 0, (0, 0), due_steps(op), zeros, zeros
        )
    per_core = min(_neurons_per_core(op, delay_bits, delay, machine, problems), op.neurons)
    return Population(
        label=op.label,
        kind=PopulationKind.NEURON,
        neurons=op.neurons,
        bias_neurons=bias,
        neurons_per_core=per_core,
        index_bits=max(bits_for(per_core), 1),
        delay_bits=delay_bits,
        shifts=(op.shift_exc, op.shift_inh),
        due=due_steps(op),
        threshold=_per_neuron(op, op.threshold, [op.bias_threshold] if op.bias_threshold is not None else []),
        offset=_per_neuron(op, op.offset if op.offset is not None else np.int32(0), [0] * bias),
    )


def _per_neuron(op: PopulationOp, values: Array | np.int32, bias: Sequence[int]) -> Array:
    return np.concatenate([np.broadcast_to(values, (op.size,)), bias]).astype(np.int32)


def _neurons_per_core(
    op: PopulationOp, delay_bits: int, delay: int, machine: Machine, problems: list[Diagnostic]
) -> int:
    """How many neurons a core takes: as asked for, or as many as limits allow."""
    entries = machine.core.ring_buffer_entries
    limit = machine.core.neurons_per_core
    room = entries >> (TYPE_BITS + delay_bits)
    asked = op.neurons_per_core
    if room < 2:
        most = entries >> (TYPE_BITS + 1)
        problems.append(
            Diagnostic(
                "SNC0571",
                "the delays to this layer are too long",
                node=op.label,
                found=f"{delay} steps",
                expected=f"at most {most} steps, with 2 neurons a core",
                help="fewer temporal groups (--groups), or no skip connection over so many layers",
            )
        )
        return limit
    if asked is None:
        return min(limit, room)
    if asked > limit:
        problems.append(
            Diagnostic(
                "SNC0572",
                "too many neurons on a core",
                node=op.label,
                found=f"{asked}",
                expected=f"at most {limit}",
                help=f"--neurons-per-core {limit}: {-(-op.neurons // limit)} cores for this layer",
            )
        )
    elif 1 << max(bits_for(min(asked, op.neurons)), 1) > room:
        slots = entries >> (TYPE_BITS + max(bits_for(min(asked, op.neurons)), 1))
        problems.append(
            Diagnostic(
                "SNC0573",
                f"{asked} neurons a core leave too few delay slots",
                node=op.label,
                found=f"delays up to {delay} steps",
                expected=f"at most {slots} steps: {entries} ring-buffer entries over neurons and receptors",
                help=f"--neurons-per-core {room}: {-(-op.neurons // room)} cores for this layer instead of "
                f"{-(-op.neurons // asked)}; or fewer temporal groups (--groups)",
            )
        )
    return asked
