"""schedule-temporal-groups: neurons fire in turn, and delays bring their effects together again."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.diagnostics import Diagnostic, DoesNotFit, UsageError
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.spiking import INTERVAL, DecodeOp, PopulationOp, due_steps
from ...ir.dialects.spiking.ops import Neurons
from ...ir.rewriter import Rewriter
from ...ir.spec import DENSE, INT
from ..base import Pass, PassContext, option

Array = NDArray[Any]

_NUMBER = re.compile(r"[0-9]{1,5}")


@frozen
class ScheduleTemporalGroups(Pass):
    """Says when each neuron is due: `base` and `group` of every population, and `spiking.interval` of the program.

    A population that is d projections behind the sources at most has base d * groups, and its neurons take turns:
    neuron i is in group i modulo `groups`, and the groups are due one step after the other. So the spikes of each core
    spread over all steps; with groups of neighbours one core would send all of its spikes in a few. Populations that
    only the host reads are all in group 0. A synapse between neighbouring layers then has a delay of at least 1 and at
    most 2 * groups - 1 steps, one that skips layers a longer one. The latency is depth * groups + 1 steps.

    A core that holds n neurons has 2^(ring_bits - bits(n) - type_bits) delay slots; `neurons-per-core` = none takes the
    most neurons, a power of two up to `most-neurons`, whose slots hold the longest delay that arrives there.
    `layers` asks for another number in single populations, by their labels: "conv1=64; fc2=20". Sources have no ring
    buffer and get a number only there.

    Keeps: every output. Each synapse joins neurons at equal distance from their due steps (see the spiking dialect), so
    the grouping and the interval change nothing but time.
    """

    name: ClassVar[str] = "schedule-temporal-groups"
    idempotent: ClassVar[bool] = True
    establishes: ClassVar[str | None] = "spiking"
    groups: int = option(1, low=1, high=4096, help="groups that the neurons of a population form")
    neurons_per_core: int | None = option(None, low=1, high=65536, help="most neurons of a population on one core")
    layers: str = option("", help="neurons on one core for single layers: label=neurons; label=neurons")
    interval: int | None = option(
        None, low=1, high=65536, help="steps between waves; none: 2 for one group, groups + 2 for more"
    )
    most_neurons: int = option(256, low=1, high=65536, help="neurons that one core can hold")
    ring_bits: int = option(14, low=2, high=24, help="a core's ring buffer has 2^ring-bits entries")
    type_bits: int = option(1, low=1, high=4, help="bits of the synapse type in an entry's number")

    def run(self, module: ModuleOp, context: PassContext) -> None:
        main = module.main
        rewriter = Rewriter()
        depth: dict[Value, int] = {}
        problems: list[Diagnostic] = []
        populations = [op for op in main.body.ops if isinstance(op, Neurons)]
        asked = self._asked({op.label for op in populations})
        for op in populations:
            sources = [projection.source for projection in op.projections] if isinstance(op, PopulationOp) else []
            depth[op.out] = 1 + max((depth[source.out] for source in sources), default=-1)
            rewriter.set_attribute(op, "base", INT.encode(depth[op.out] * self.groups))
            only_read = bool(op.out.uses) and all(isinstance(user, DecodeOp) for user in op.out.users)
            groups = np.zeros(op.neurons, np.uint16) if only_read else self._groups(op)
            rewriter.set_attribute(op, "group", DENSE.encode(groups) if groups.any() else None)
            wanted = asked.get(op.label)
            if not isinstance(op, PopulationOp):
                # A source has no ring buffer; how many of them a core holds is the machine's limit alone.
                rewriter.set_attribute(op, "neurons_per_core", None if wanted is None else INT.encode(wanted))
                continue
            longest = _longest_delay(op, sources)
            fitting = self._fitting(longest)
            wanted = wanted or self.neurons_per_core
            per_core = fitting if wanted is None else min(wanted, self.most_neurons)
            if per_core < 1 or self._slots(per_core) < longest:
                problems.append(self._too_long(op, longest, per_core, fitting))
            rewriter.set_attribute(op, "neurons_per_core", INT.encode(max(per_core, 1)))
        if problems:
            raise DoesNotFit(problems)
        interval = self.interval if self.interval is not None else (2 if self.groups == 1 else self.groups + 2)
        rewriter.set_attribute(main, INTERVAL, INT.encode(interval))

    def _groups(self, op: Neurons) -> Array:
        """The neurons in turn, the bias neuron behind them."""
        return (np.arange(op.neurons) % self.groups).astype(np.uint16)

    def _asked(self, labels: set[str]) -> dict[str, int]:
        """Neurons on a core by label. Raises UsageError for what is not `label=neurons`, or no such label."""
        asked: dict[str, int] = {}
        problems: list[Diagnostic] = []
        for entry in filter(None, (part.strip() for part in self.layers.split(";"))):
            label, _, number = (part.strip() for part in entry.rpartition("="))
            if label in labels and _NUMBER.fullmatch(number) and 1 <= int(number) <= 65536:
                asked[label] = int(number)
                continue
            problems.append(
                Diagnostic(
                    "SNC0470",
                    "neurons on one core cannot be set",
                    found=entry,
                    expected=f"label=neurons, 1 to 65536, label one of {', '.join(sorted(labels))}",
                )
            )
        if problems:
            raise UsageError(problems)
        return asked

    def _slots(self, neurons: int) -> int:
        """Delay slots on a core with this many neurons."""
        bits = self.ring_bits - (neurons - 1).bit_length() - self.type_bits
        return 1 << bits if bits >= 0 else 0

    def _fitting(self, delay: int) -> int:
        """The most neurons, a power of two or the limit itself, with slots for a delay; 0 when not even one has."""
        if self._slots(self.most_neurons) >= delay:
            return self.most_neurons
        neurons = 1 << (self.most_neurons.bit_length() - 1)
        while neurons and self._slots(neurons) < delay:
            neurons //= 2
        return neurons

    def _too_long(self, op: Neurons, longest: int, per_core: int, fitting: int) -> Diagnostic:
        slots = self._slots(max(per_core, 1))
        if fitting:
            cores = -(-op.neurons // fitting) - -(-op.neurons // max(per_core, 1))
            remedy = f"put at most {fitting} neurons on a core (--neurons-per-core {fitting}; {cores} cores more here)"
        else:
            remedy = "no number of neurons on a core gives that many"
        fewer = max(1, self.groups * slots // longest)
        return Diagnostic(
            "SNC0469",
            "a delay is longer than the ring buffer of a core",
            found=f"a delay of {longest} steps with {self.groups} groups",
            expected=f"at most {slots} steps for {max(per_core, 1)} neurons on a core",
            help=f"{remedy}, or form fewer groups (--groups {fewer})",
            node=op.label or str(op.location),
        )


def _longest_delay(op: Neurons, sources: list[Neurons]) -> int:
    """No synapse that arrives has a longer delay."""
    return max((int(due_steps(op).max()) - int(due_steps(source).min()) for source in sources), default=1)
