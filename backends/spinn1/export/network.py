"""A netlist read back from its words: populations and lists of synapses, as other tools want them."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ....ir.dialects.spinn1_tables import ONE
from ....runtime.spinn1.netlist import Netlist
from ....runtime.spinn1.reference import neurons_of
from ....runtime.spinn1.routing import follow
from ....runtime.spinn1.synapses import decode

Array = NDArray[Any]


@frozen(eq=False)
class Network:
    """Tile 0 of a netlist.

    Each neuron of the tile: `threshold` and `offset` (float64, exact). Each synapse, in the order of source population,
    target population, receptor, pre, post: `source`, `target` (populations), `pre`, `post` (neurons of them),
    `receptor` (0 excitatory, 1 inhibitory), `weight` (float64 magnitude, exact) and `delay` in steps.
    """

    threshold: Array
    offset: Array
    source: Array
    target: Array
    pre: Array
    post: Array
    receptor: Array
    weight: Array
    delay: Array


def read_back(netlist: Netlist) -> Network:
    """Decodes the words of a netlist; raises NetlistError for one that breaks its contract."""
    netlist.validate()
    synapses = decode(netlist, follow(netlist))
    neurons = neurons_of(netlist)
    first = netlist.populations["first_neuron"].astype(np.int64)
    sender = synapses.neuron()
    receiver = netlist.vertex_neurons()[synapses.vertex()] + synapses.target
    source, target = neurons.population[sender], neurons.population[receiver]
    pre, post = sender - first[source], receiver - first[target]
    receptor = synapses.receptor.astype(np.int64)
    order = np.lexsort((post, pre, receptor, target, source))
    raw = synapses.weight.astype(np.int64) << neurons.shift[receptor, receiver]
    columns = (source, target, pre, post, receptor, raw / ONE, synapses.delay.astype(np.int64))
    source, target, pre, post, receptor, weight, delay = (column[order] for column in columns)
    threshold = np.where(neurons.cells, neurons.threshold / ONE, 0.0)
    return Network(threshold, neurons.offset / ONE, source, target, pre, post, receptor, weight, delay)
