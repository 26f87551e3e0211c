"""The numbers of a compiled network, counted in the tables of its program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.spinn2.build import WITHOUT_ROWS
from ..ir.clone import clone_module
from ..ir.core import Operation, Value
from ..ir.dialects.quant import Conv2dOp, MatMulOp
from ..ir.dialects.spinn2_tables import MAC_KERNELS, NO_BUFFER, Copy, Kernel, Phase
from ..passes.base import PassContext
from ..runtime.spinn2.program import Program
from .artefact_arrays import Json
from .driver import NOISE_CODE, run_pipeline
from .executable import Executable, Port

Integers = NDArray[np.int64]

KINDS = {
    Kernel.CONV: "conv",
    Kernel.DEPTHWISE: "depthwise",
    Kernel.MATMUL: "matmul",
    Kernel.SOFTMAX: "softmax",
    Kernel.LRN: "lrn",
    Kernel.MAX_POOL: "max pool",
    Kernel.AVG_POOL: "average pool",
    Kernel.ADD: "add",
    Kernel.MUL: "multiply",
    Kernel.MAXIMUM: "maximum",
    Kernel.MINIMUM: "minimum",
    Kernel.TABLE: "table",
    Kernel.REQUANTIZE: "rescale",
}
"""What a layer is called after the first of these kernels that it has."""
LAYOUT = "layout"
"""A layer without kernels: it only moves data."""


def summary(executable: Executable) -> dict[str, Any]:
    """Everything that is counted, as JSON: bytes, counts, names; units stand in the keys.

    `macs` are multiply-accumulates of the network, `macs_scheduled` those that the MAC arrays do, pieces that are
    computed twice included. `weight_bytes` are those of the network, `constant_bytes` those of weights, biases and
    tables as they lie in memory. `sram_high_water_bytes` is the end of the highest buffer of the processing element
    that is filled most. `bytes_moved` counts what transfers write, by the memories between which they go.
    """
    program = executable.program
    transfers = transfer_bytes(program)
    return {
        "target": executable.target,
        "machine": str(executable.options.get("machine", "")),
        "mapping": executable.mapping,
        "options": dict(executable.options),
        "calibration": calibration_source(executable),
        "inputs": [_port(port) for port in executable.inputs],
        "outputs": [_port(port) for port in executable.outputs],
        "layer_kinds": _tally(layer_kinds(program)),
        "layers": layer_rows(executable),
        "macs": network_macs(executable),
        "macs_scheduled": int(task_macs(program).sum()),
        "parameters": network_parameters(executable),
        "weight_bytes": sum(value.tensor.size * value.element.dtype.itemsize for value in _weights(executable)),
        **_memory_numbers(program),
        "tasks": len(program.tasks),
        "transfers": len(program.transfers),
        "steps": step_count(program),
        "bytes_moved": int(transfers.sum()),
        "bytes_moved_by_route": _by_route(program, transfers),
        "bytes_moved_by_phase": _by_phase(program, transfers),
    }


def calibration_source(executable: Executable) -> str:
    """Where value ranges come from: `data`, `noise`, or the `model` itself."""
    if any(note.code == NOISE_CODE for note in executable.notes):
        return "noise"
    return "data" if executable.options.get("calibration") == "data" else "model"


def layer_kinds(program: Program) -> list[str]:
    """The kind of each layer."""
    used = np.zeros((len(program.layers), max(Kernel) + 1), bool)
    used[program.tasks["layer"], program.shapes["kernel"][program.tasks["shape"]]] = True
    order = [int(kernel) for kernel in KINDS]
    first = np.where(used.any(axis=1), used[:, order].argmax(axis=1), len(order))
    names = [*KINDS.values(), LAYOUT]
    return [names[index] for index in first]


def layer_rows(executable: Executable) -> list[dict[str, Any]]:
    """A row for each layer: name, kind, the shape of its result, its largest piece, counts of work."""
    program = executable.program
    count = len(program.layers)
    tasks, moved = program.tasks, transfer_bytes(program)
    macs = _sums(tasks["layer"], task_macs(program), count)
    bytes_moved = _sums(program.transfers["layer"], moved, count)
    shapes = _result_shapes(executable)
    pairs = np.unique(tasks["layer"].astype(np.int64) * program.processing_elements + tasks["pe"])
    elements = np.bincount(pairs // program.processing_elements, minlength=count)
    task_counts = np.bincount(tasks["layer"], minlength=count)
    transfer_counts = np.bincount(program.transfers["layer"], minlength=count)
    kinds = layer_kinds(program)
    pieces, counts = _pieces(program, kinds)
    return [
        {
            "name": name,
            "kind": kinds[index],
            "shape": shapes[index] if shapes is not None else None,
            "piece": pieces[index] if kinds[index] != LAYOUT else None,
            "pieces": int(counts[index]),
            "processing_elements": int(elements[index]),
            "tasks": int(task_counts[index]),
            "transfers": int(transfer_counts[index]),
            "macs_scheduled": int(macs[index]),
            "bytes_moved": int(bytes_moved[index]),
        }
        for index, name in enumerate(program.layers)
    ]


def _pieces(program: Program, kinds: Sequence[str]) -> tuple[list[list[int]], Integers]:
    """For each layer, the largest extents (channels, rows, columns) that its main kernel computes, and how often."""
    codes = {name: int(kernel) for kernel, name in KINDS.items()}
    main = np.array([codes.get(kind, -1) for kind in kinds])
    shape, layer = program.shapes[program.tasks["shape"]], program.tasks["layer"]
    chosen = shape["kernel"] == main[layer]
    extents = np.zeros((len(kinds), 3), np.int64)
    for axis, name in enumerate(("channels", "height", "width")):
        np.maximum.at(extents[:, axis], layer[chosen], shape[name][chosen].astype(np.int64))
    return extents.tolist(), np.bincount(layer[chosen], minlength=len(kinds))


def _result_shapes(executable: Executable) -> list[list[int]] | None:
    """The shape of each layer's result; None when the layers are not those that the network is made into today."""
    module = clone_module(executable.module)
    fuse = "false" if executable.mapping == "baseline" else "true"
    run_pipeline(f"form-blocks{{fuse={fuse}}}", module, PassContext(), ())
    layers = executable.program.layers
    shapes: list[list[int]] = []
    for op in module.main.body.ops:
        is_next = len(shapes) < len(layers) and str(op.location) == layers[len(shapes)]
        if is_next and not isinstance(op, WITHOUT_ROWS):
            shapes.append(list(op.results[0].shape))
    return shapes if len(shapes) == len(layers) else None


def network_macs(executable: Executable) -> int:
    """Multiply-accumulates of the network for one run, by its shapes."""
    return sum(_operation_macs(op) for op in executable.module.main.body.ops)


def _operation_macs(op: Operation) -> int:
    if isinstance(op, Conv2dOp):
        return op.out.tensor.size * int(np.prod(op.weight.shape[1:]))
    if isinstance(op, MatMulOp):
        return op.out.tensor.size * op.weight.shape[0]
    return 0


def network_parameters(executable: Executable) -> int:
    """Weights and biases of the network, those that several layers share once."""
    held = {*_weights(executable), *_biases(executable)}
    return sum(value.tensor.size for value in held)


def _weights(executable: Executable) -> set[Value]:
    return {op.weight for op in executable.module.main.body.ops if isinstance(op, Conv2dOp | MatMulOp)}


def _biases(executable: Executable) -> set[Value]:
    ops = [op for op in executable.module.main.body.ops if isinstance(op, Conv2dOp | MatMulOp)]
    return {op.bias for op in ops if op.bias is not None}


def task_macs(program: Program) -> Integers:
    """Multiply-accumulates of each task; 0 for what the ARM core does."""
    shape = program.shapes
    wide = {name: shape[name].astype(np.int64) for name in ("channels", "height", "width", "channels_in")}
    taps = shape["kernel_h"].astype(np.int64) * shape["kernel_w"]
    outputs = wide["height"] * wide["width"]
    macs = np.select(
        [shape["kernel"] == kernel for kernel in MAC_KERNELS],
        [
            wide["channels"] * outputs * wide["channels_in"] * taps,
            wide["channels"] * outputs * taps,
            outputs * wide["channels_in"],
        ],
        0,
    )
    found: Integers = macs[program.tasks["shape"]]
    return found


def transfer_bytes(program: Program) -> Integers:
    """Bytes that each transfer writes."""
    boxes = program.boxes
    each = boxes["n0"].astype(np.int64) * boxes["n1"] * boxes["bytes"]
    each = np.where(boxes["copy"] == Copy.GATHER, each * boxes["n2"], each)
    found: Integers = each[program.transfers["box"]]
    return found


def step_count(program: Program) -> int:
    """The number of steps."""
    steps = [int(table["step"].max()) for table in (program.tasks, program.transfers) if len(table)]
    return max(steps, default=0)


def _by_route(program: Program, sizes: Integers) -> dict[str, Json]:
    """Bytes by the kinds of memory between which they go; fills come from nowhere."""
    memory = np.append(program.buffers["memory"].astype(np.int64), 0)
    source = program.transfers["src"]
    filled = source == NO_BUFFER
    src = memory[np.where(filled, len(memory) - 1, source)]
    dst = memory[program.transfers["dst"]]
    src_dram, dst_dram = src >= program.processing_elements, dst >= program.processing_elements
    routes = {
        "fill": filled,
        "dram_to_sram": ~filled & src_dram & ~dst_dram,
        "sram_to_dram": ~filled & ~src_dram & dst_dram,
        "dram_to_dram": ~filled & src_dram & dst_dram,
        "within_sram": ~filled & ~src_dram & ~dst_dram & (src == dst),
        "sram_to_sram": ~filled & ~src_dram & ~dst_dram & (src != dst),
    }
    return {name: int(sizes[chosen].sum()) for name, chosen in routes.items()}


def _by_phase(program: Program, sizes: Integers) -> dict[str, Json]:
    sums = _sums(program.transfers["phase"], sizes, len(Phase))
    return {phase.name.lower(): int(sums[phase]) for phase in Phase if sums[phase]}


def _memory_numbers(program: Program) -> dict[str, Json]:
    buffers = program.buffers
    memory = buffers["memory"].astype(np.int64)
    ends = buffers["address"].astype(np.int64) + buffers["bytes"]
    high = np.zeros(int(memory.max(initial=program.processing_elements)) + 1, np.int64)
    np.maximum.at(high, memory, ends)
    high = high[: program.processing_elements]
    constant = np.unique(program.constants["buffer"])
    return {
        "constant_bytes": int(buffers["bytes"][constant].astype(np.int64).sum()),
        "dram_bytes": sum(program.dram_bytes),
        "dram_bytes_by_port": list(program.dram_bytes),
        "sram_bytes": program.sram_bytes,
        "sram_high_water_bytes": int(high.max(initial=0)),
        "sram_high_water_element": int(high.argmax()) if len(high) else 0,
        "processing_elements": program.processing_elements,
        "processing_elements_used": len(np.unique(program.tasks["pe"])),
    }


def _sums(keys: NDArray[Any], values: Integers, count: int) -> Integers:
    """Exact sums of integers by key."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, keys, values)
    return sums


def _tally(kinds: Sequence[str]) -> dict[str, Json]:
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _port(port: Port) -> dict[str, Json]:
    return {"name": port.name, "shape": list(port.shape), "dtype": str(port.dtype)}
