"""The spiking dialect: populations of instant-decay threshold neurons and the projections between them.

    %s = spiking.encode %x               the host turns one sample into spikes of a source population
    %c = spiking.project %s {weight}     synapses: what arrives at each neuron of the next population
    %p = spiking.population %c, ..       fires where exc - inh + offset >= threshold
    %y = spiking.decode %p               the host reads the spikes of an output population; what follows is host work

Words. A *population* is what `spiking.encode` or `spiking.population` makes. Its neurons are the elements of its
result, one batch entry, in row-major order: neuron 0 .. size - 1. It may have one more, the *bias neuron*, number
`size`, which is on in every wave and is no element of the result. Spikes are tensors of i1 in the shape of the graph,
[N, F] or [N, C, H, W]; N is the batch and does not multiply neurons.

Numbers. Weights, thresholds and offsets are the integers of the neuron's own arithmetic (s16.15 words on SpiNNaker1:
1.0 is 32768). The number of the trained network behind an integer n of a population is n * 2^-fraction; a unit may be
scaled by any power of two without changing what it does, so each population has its own `fraction`.

Receptors. Positive weights arrive at the excitatory receptor, magnitudes of negative ones at the inhibitory receptor;
a current is therefore i64 [2, N, ...], excitatory sums first. A receptor of shift s sums w >> s in 16 bits and stops
at 65535; every weight that arrives there is a multiple of 2^s:

    v = (min(exc >> shift_exc, 65535) << shift_exc) - (min(inh >> shift_inh, 65535) << shift_inh) + offset
    fires when v >= threshold

Time. A wave is one sample. Neuron i of a population is *due* at step base + group[i] after the wave's start, and a
synapse between neurons due at steps a and b has delay b - a, which is at least 1. Nothing is kept from step to step, so
with tau = step - due step as a neuron's own time, every synapse joins equal tau: at each tau the network is the static
network, applied to what the sources do at that tau. Hence waves never mix, whatever their distance, and a neuron that
fires without input (threshold <= offset) fires off-phase too without disturbing any wave: off-phase its spikes stay at
their tau, where the sources are silent. See timing.py.

Attributes outside the operations: `spiking.interval` on `@main`, steps from one wave's start to the next.
"""

from ...context import Dialect
from .connectors import CONNECTORS, Synapses, conv2d_synapses, merge_synapses, receptor_sums
from .ops import SPIKING_OPS, DecodeOp, EncodeOp, PopulationOp, ProjectOp, source_of
from .timing import INTERVAL, delays, due_steps, interval_of, latency_of, neuron_groups

SPIKING = Dialect("spiking", SPIKING_OPS)

__all__ = [
    "CONNECTORS",
    "INTERVAL",
    "SPIKING",
    "DecodeOp",
    "EncodeOp",
    "PopulationOp",
    "ProjectOp",
    "Synapses",
    "conv2d_synapses",
    "delays",
    "due_steps",
    "interval_of",
    "latency_of",
    "merge_synapses",
    "neuron_groups",
    "receptor_sums",
    "source_of",
]
