"""Runs of binary networks: inputs of zeros and ones, and waves through populations, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snc.ir.clone import clone_module
from snc.ir.core import Value
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.spiking import EncodeOp, PopulationOp, delays, due_steps, interval_of, latency_of
from snc.passes.base import PassContext
from snc.passes.pipeline import parse_pipeline
from snc.runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]

LOWERED = "binarize-activations,quantize-weights{weights=q8.12},lower-to-spiking"


def run(module: ModuleOp, pipeline: str, context: PassContext | None = None) -> ModuleOp:
    """A copy of the module behind a pipeline."""
    copy = clone_module(module)
    parse_pipeline(pipeline).run(copy, context)
    return copy


def binary_inputs(module: ModuleOp, seed: int, count: int = 3) -> list[Array]:
    """Samples of zeros and ones for the one input."""
    rng = np.random.default_rng(seed)
    (argument,) = module.main.body.arguments
    return [(rng.random(argument.shape) < 0.5).astype(argument.element.dtype) for _ in range(count)]


def assert_same_outputs(before: ModuleOp, after: ModuleOp, inputs: Sequence[Array]) -> None:
    """Both give the same outputs, bit for bit."""
    for x in inputs:
        for expected, found in zip(evaluate(before, [x]), evaluate(after, [x]), strict=True):
            assert expected.dtype == found.dtype
            np.testing.assert_array_equal(found, expected)


def spikes_of(module: ModuleOp, x: Array) -> dict[Value, Array]:
    """The spikes of every population in one wave, by the interpreter, flat."""
    found: dict[Value, Array] = {}

    def observe(value: Value, array: Array) -> None:
        if isinstance(value.owner, EncodeOp | PopulationOp):
            found[value] = array.reshape(-1)

    evaluate(module, [x], observe=observe)
    return found


def run_waves(module: ModuleOp, inputs: Sequence[Array]) -> dict[Value, Array]:
    """Waves through the scheduled populations of a module: every neuron in every step, every spike by its delay.

    Returns what fired, [steps, neurons] for each population, bias neurons included. Receptors do not saturate here.
    """
    main = module.main
    interval = interval_of(main)
    steps = (len(inputs) - 1) * interval + latency_of(main)
    neurons = [op for op in main.body.ops if isinstance(op, EncodeOp | PopulationOp)]
    fired = {op.out: np.zeros((steps, op.neurons), bool) for op in neurons}
    arriving = {op.out: np.zeros((steps, op.neurons), np.int64) for op in neurons}
    wires = []
    for op in neurons:
        if isinstance(op, EncodeOp):
            for wave, x in enumerate(inputs):
                on = np.append(spikes_of(module, x)[op.out], np.ones(op.bias_neurons, bool))
                due = wave * interval + due_steps(op)
                chosen = on & (due < steps)
                fired[op.out][due[chosen], chosen] = True
        else:
            for projection in op.projections:
                synapses = projection.synapses()
                waits = delays(projection.source, op, synapses)
                assert waits.min(initial=1) >= 1
                wires.append((projection.source.out, op.out, synapses, waits))
    for step in range(steps):
        for op in neurons:
            if isinstance(op, PopulationOp):
                fired[op.out][step] = arriving[op.out][step] >= _thresholds(op)
        for source, target, synapses, waits in wires:
            active = fired[source][step][synapses.pre] & (step + waits < steps)
            places = (step + waits[active], synapses.post[active])
            np.add.at(arriving[target], places, synapses.weight[active])
    return fired


def _thresholds(op: PopulationOp) -> Array:
    """What the receptors must bring for each neuron, offsets subtracted, bias neuron last."""
    offset = 0 if op.offset is None else op.offset.astype(np.int64)
    own = np.broadcast_to(op.threshold.astype(np.int64) - offset, op.size)
    return np.append(own, [] if op.bias_threshold is None else [op.bias_threshold])
