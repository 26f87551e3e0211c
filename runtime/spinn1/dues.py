"""When neurons are due, as far as their synapses tell, and how far back the cause of a spike can lie."""

from __future__ import annotations

import numpy as np

from .checks import Integers, field
from .netlist import Netlist
from .synapses import Synapses


def due_steps(netlist: Netlist, synapses: Synapses) -> Integers:
    """A step after a sample's start for each neuron, int64[neurons]: where a source is due; else behind one of the
    neurons before by the delay of the synapse; 0 without any. In a scheduled network, where all synapses say the same,
    the step in which the neuron is due."""
    due = np.zeros(netlist.neurons, np.int64)
    due[netlist.sources["neuron"]] = netlist.sources["due"]
    post = netlist.vertex_neurons()[synapses.vertex()] + synapses.target
    pre = synapses.neuron()
    chosen = np.full(netlist.neurons, -1, np.int64)
    chosen[post] = np.arange(len(post))
    for population in netlist.populations:
        first = int(population["first_neuron"])
        own = np.arange(first, first + int(population["neurons"]))
        own = own[chosen[own] >= 0]
        due[own] = due[pre[chosen[own]]] + synapses.delay[chosen[own]]
    return due


def history(netlist: Netlist, synapses: Synapses, due: Integers) -> int | None:
    """Steps behind which no spike has a cause (see `streams.py`); None if there is no such number.

    Any numbers h will do that are at least `due` for sources, and at least h + delay of the neuron before for every
    synapse; the greatest of them is the history. In a scheduled network the due steps are such numbers. In others
    vertices have some: the longest ways through the network, unless there is a cycle.
    """
    post = netlist.vertex_neurons()[synapses.vertex()] + synapses.target
    if np.all(due[post] >= due[synapses.neuron()] + synapses.delay):
        return int(due.max(initial=0))
    vertices, rows = len(netlist.vertices), synapses.rows
    owner = np.repeat(np.arange(vertices), netlist.vertices["count"])
    way = np.zeros(vertices, np.int64)
    np.maximum.at(way, owner[netlist.sources["neuron"]], field(netlist.sources, "due"))
    full = np.flatnonzero(rows.synapses)
    slowest = np.maximum.reduceat(synapses.delay, rows.first[full]).astype(np.int64)
    edges, which = np.unique(owner[rows.neuron[full]] * vertices + rows.vertex[full], return_inverse=True)
    delay = np.zeros(len(edges), np.int64)
    np.maximum.at(delay, which, slowest)
    before, after = np.divmod(edges, vertices)
    for _ in range(vertices + 1):
        longer = way.copy()
        np.maximum.at(longer, after, way[before] + delay)
        if np.array_equal(longer, way):
            return int(way.max())
        way = longer
    return None
