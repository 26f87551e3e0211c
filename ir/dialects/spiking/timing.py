"""When neurons fire: temporal groups, due steps and delays.

A neuron of group g of a population with base B is due at step B + g after its wave's start, and a synapse from a neuron
due at step a to one due at step b has delay b - a. Let tau = step - due step be a neuron's own time. A spike at tau of
its source arrives at step (tau + a) + (b - a) = tau + b, which is the same tau of its target. Since a neuron keeps
nothing from one step to the next, what it does at tau is a function of what its sources do at tau alone: by induction
along the layers, of the source populations' spikes at tau. So waves that start `interval` steps apart, whatever the
interval, are separate evaluations at tau = 0, interval, 2 * interval, ... of each neuron; and all other tau see silent
sources.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spec import INT
from ..builtin import FuncOp
from .connectors import Synapses
from .ops import DecodeOp, Neurons, PopulationOp, source_of

Array = NDArray[Any]

INTERVAL = "spiking.interval"
"""Attribute of `@main`: steps from the start of one wave to the start of the next."""


def neuron_groups(population: Neurons) -> Array:
    """The group of each neuron, bias neuron last, u16 [neurons]."""
    return np.zeros(population.neurons, np.uint16) if population.group is None else population.group


def due_steps(population: Neurons) -> Array:
    """The step after the wave's start at which each neuron is due, i32 [neurons]; raises ValueError without a base."""
    if population.base is None:
        raise ValueError(f"the population {population.label!r} has no base step: schedule-temporal-groups has not run")
    return population.base + neuron_groups(population).astype(np.int32)


def delays(source: Neurons, target: PopulationOp, synapses: Synapses) -> Array:
    """The delay of each synapse in steps, i32; at least 1 in a module that schedule-temporal-groups made."""
    return due_steps(target)[synapses.post] - due_steps(source)[synapses.pre]


def interval_of(main: FuncOp) -> int:
    """Steps between waves; raises ValueError when no schedule has set them."""
    stored = main.attributes.get(INTERVAL)
    if stored is None:
        raise ValueError("there is no spiking.interval: schedule-temporal-groups has not run")
    return INT.decode(stored)


def latency_of(main: FuncOp) -> int:
    """Steps from the start of a wave to the end of the step in which its last output neuron is due."""
    outputs = [source_of(op.spikes) for op in main.body.ops if isinstance(op, DecodeOp)]
    last = [int(due_steps(population)[: population.size].max()) for population in outputs]
    return max(last, default=-1) + 1
