"""Export to NIR, the neuromorphic intermediate representation: the static network, without cores and delays.

A population becomes a Threshold; its projections become Conv2d, SumPool2d with Scale, or Linear behind a Flatten. A
threshold of NIR fires above its value, ours at it: half a step of the grid is taken off. Offsets and the synapses from
bias neurons, which spike in every wave, are taken off the threshold, too; bias neurons themselves are left out.
"""

from __future__ import annotations

import importlib
import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....ir.diagnostics import Diagnostic, ModelError, UsageError
from ....ir.dialects.builtin import ModuleOp
from ....ir.dialects.spiking import DecodeOp, EncodeOp, PopulationOp, ProjectOp, source_of
from ....ir.dialects.spinn1_tables import ONE

Array = NDArray[Any]

HALF_STEP = 0.5 / ONE


def export_nir(module: ModuleOp) -> bytes:
    """The content of a .nir file (HDF5) for a module at stage spiking.

    Raises UsageError when the nir package is missing, ModelError for a projection that NIR cannot express.
    """
    graph = _Graph(_package())
    for op in module.main.body.ops:
        if isinstance(op, EncodeOp):
            shape = np.array(op.out.shape[1:])
            graph.add(graph.nir.Input(input_type={"input": shape}), _name(op), op)
        elif isinstance(op, PopulationOp):
            graph.population(op)
        elif isinstance(op, DecodeOp):
            shape = np.array(op.out.shape[1:])
            output = graph.add(graph.nir.Output(output_type={"output": shape}), "output", op)
            graph.edges.append((graph.names[id(source_of(op.spikes))], output))
    file = io.BytesIO()
    graph.nir.write(file, graph.nir.NIRGraph(nodes=graph.nodes, edges=graph.edges))
    return file.getvalue()


def _package() -> Any:
    try:
        return importlib.import_module("nir")
    except ImportError:
        raise UsageError(
            Diagnostic(
                "SNC0581",
                "NIR files are written by the package nir, which is not installed",
                help="pip install 'snc[nir]'",
            )
        ) from None


class _Graph:
    """Nodes and edges while they are gathered; `names` of the nodes that stand for operations, by identity."""

    def __init__(self, nir: Any) -> None:
        self.nir = nir
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.names: dict[int, str] = {}

    def add(self, node: Any, wanted: str, op: object = None) -> str:
        name, number = wanted, 1
        while name in self.nodes:
            number += 1
            name = f"{wanted}_{number}"
        self.nodes[name] = node
        if op is not None:
            self.names[id(op)] = name
        return name

    def chain(self, start: str, *nodes: tuple[Any, str]) -> str:
        """Adds nodes one behind the other; the name of the last."""
        for node, wanted in nodes:
            name = self.add(node, wanted)
            self.edges.append((start, name))
            start = name
        return start

    def population(self, op: PopulationOp) -> None:
        label = _name(op)
        threshold = np.broadcast_to(op.threshold, (op.size,)).astype(np.int64)
        if op.offset is not None:
            threshold = threshold - op.offset
        for projection in op.projections:
            if projection.bias is not None:
                threshold = threshold - projection.bias
        level = (threshold / ONE - HALF_STEP).reshape(op.out.shape[1:])
        ends = [self.projection(each, label) for each in op.projections]
        name = self.add(self.nir.Threshold(threshold=level), label, op)
        self.edges += [(end, name) for end in ends]

    def projection(self, op: ProjectOp, label: str) -> str:
        start = self.names[id(op.source)]
        direct = op.index is None and op.inputs == op.spikes.shape
        if op.connector in ("conv2d", "pool") and direct and _padding(op) is not None:
            return self.chain(start, *self.windows(op, label))
        if len(op.shape) != 2:
            raise ModelError(
                Diagnostic(
                    "SNC0582",
                    "NIR has no node for this projection",
                    node=label,
                    found=f"{op.connector} with " + ("rearranged inputs" if not direct else f"pads {list(op.pads)}"),
                    expected="pads that are alike on both sides and give the same number of windows",
                    help="snc export --to pynn takes every projection",
                )
            )
        flat: list[tuple[Any, str]] = []
        if op.spikes.tensor.rank > 2:
            shape = np.array(op.spikes.shape[1:])
            flat = [(self.nir.Flatten(input_type={"input": shape}, start_dim=0), f"{label}_flatten")]
        return self.chain(start, *flat, (self.nir.Linear(weight=_matrix(op)), f"{label}_linear"))

    def windows(self, op: ProjectOp, label: str) -> list[tuple[Any, str]]:
        """The nodes of a conv2d or a pool."""
        padding = _padding(op)
        if op.connector == "conv2d":
            weight = (op.weight / ONE).astype(np.float32)
            node = self.nir.Conv2d(
                input_shape=tuple(op.inputs[2:]),
                weight=weight,
                stride=tuple(op.strides),
                padding=padding,
                dilation=tuple(op.dilations),
                groups=op.groups,
                bias=np.zeros(len(weight), np.float32),
            )
            return [(node, f"{label}_conv2d")]
        pool = self.nir.SumPool2d(
            kernel_size=np.array(op.kernel), stride=np.array(op.strides), padding=np.array(padding)
        )
        scale = np.full(op.shape[1:], op.weight / ONE, np.float32)
        return [(pool, f"{label}_pool"), (self.nir.Scale(scale=scale), f"{label}_scale")]


def _padding(op: ProjectOp) -> tuple[int, int] | None:
    """Rows and columns of padding on either side, if NIR's one number an axis gives the same windows."""
    kernel = op.kernel if op.connector == "pool" else op.weight.shape[2:]
    dilations = (1, 1) if op.connector == "pool" else op.dilations
    if op.connector == "pool" and tuple(op.dilations) != (1, 1):
        return None
    for axis in range(2):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        windows = (op.inputs[2 + axis] + 2 * op.pads[axis] - reach) // op.strides[axis] + 1
        if windows != op.shape[2 + axis]:
            return None
    return op.pads[0], op.pads[1]


def _matrix(op: ProjectOp) -> Array:
    """[outputs, inputs] weights, bias neurons left out."""
    synapses = op.synapses()
    inputs, outputs = int(np.prod(op.spikes.shape[1:])), op.targets
    kept = (synapses.pre < inputs) & (synapses.post < outputs)
    matrix = np.zeros((outputs, inputs), np.int64)
    np.add.at(matrix, (synapses.post[kept], synapses.pre[kept]), synapses.weight[kept])
    return np.asarray(matrix / ONE)


def _name(op: EncodeOp | PopulationOp) -> str:
    """The label in the letters that any reader of NIR takes."""
    fallback = "input" if isinstance(op, EncodeOp) else "population"
    return re.sub(r"[^0-9A-Za-z_]+", "_", op.label).strip("_") or fallback
