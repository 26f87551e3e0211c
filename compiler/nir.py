"""Import of NIR, the neuromorphic intermediate representation: chains of weights and thresholds.

    Input -> [Flatten] -> (Linear | Affine | Conv2d | SumPool2d | AvgPool2d) [-> Scale] -> Threshold -> ... -> Output

A Threshold of NIR fires where its input is above its value, within one step: that is the step of a binary network. Sums
pool by a depthwise convolution of ones. Spikes enter at Input: 0 or 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.builder import Builder
from ..ir.core import Block, Operation, Value
from ..ir.diagnostics import ModelError
from ..ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from ..ir.dialects.nn import CastOp, Conv2dOp, MatMulOp, ReshapeOp
from ..ir.dialects.quant import BinarizeOp
from ..ir.dialects.spiking import EncodeOp
from ..ir.location import Location
from ..ir.types import F32, TensorType
from .nir_file import NirNode, read_chain

Array = NDArray[Any]

MAX_NEURONS = 1 << 24
"""Neurons of a layer, and weights that are made up for a pooling."""
MAX_KERNEL = 1 << 12


def import_nir(path: str | Path) -> ModuleOp:
    """The network of a .nir file as a module at stage binary: what binarize-activations gives of an ONNX model.

    Its one input has the name of the Input node and takes 0 and 1, [1, ...]; its output are the spikes of the last
    Threshold. Weights are taken as 32 bit floats, thresholds and biases as 64 bit ones. Raises the errors of
    `read_chain`, and ModelError for a chain that is no network of steps.
    """
    first, *nodes, last = read_chain(path)
    chain = _Chain(first)
    for node in nodes:
        chain.add(node)
    return chain.module(last)


class _Chain:
    """The module while it is built; `layer` are the weights behind the last spikes, until a Threshold comes."""

    def __init__(self, first: NirNode) -> None:
        shape = _integers(first, "shape", MAX_NEURONS)
        if not 1 <= len(shape) <= 4 or math.prod(shape) > MAX_NEURONS:
            raise first.error("the input's shape is not taken", found=f"{list(shape)}", expected="1 to 4 axes")
        self._first = first
        self._body = Block([TensorType((1, *shape), F32)])
        self._builder = Builder(self._body)
        encode = EncodeOp(x=self._body.arguments[0], label=first.name)
        spikes = self._insert(encode, first)
        self._map = self._insert(CastOp(x=spikes, to=F32), first)
        self._layer: _Layer | None = None

    def _insert(self, op: Operation, *nodes: NirNode) -> Value:
        op.location = Location(tuple(node.name for node in nodes))
        return self._builder.insert(op).result

    def add(self, node: NirNode) -> None:
        """The next node of the chain."""
        match node.kind:
            case "Flatten":
                self._flatten(node)
            case "Scale":
                self._weighted(node).scale(node)
            case "Threshold":
                self._fire(node)
            case "Input" | "Output":
                raise node.error("a chain has one input and one output", found=node.kind)
            case _:
                if self._layer is not None:
                    found = f"{node.kind} behind {self._layer.node.kind}"
                    raise node.error("weights follow weights", found=found, expected="a Threshold between them")
                self._layer = _windows(node, self._map) if node.kind in WINDOWED else _dense(node, self._map)

    def _weighted(self, node: NirNode) -> _Layer:
        if self._layer is None:
            raise node.error(f"a {node.kind} node has no weights before it", found="spikes", expected="a weighted sum")
        return self._layer

    def _flatten(self, node: NirNode) -> None:
        if self._layer is not None:
            raise node.error("a sum is flattened before it meets its threshold", found="Flatten", expected="Threshold")
        # Shapes of NIR have no batch axis; writers that think of one number the axes from 1. Both mean all axes.
        self._map = self._insert(ReshapeOp(x=self._map, shape=(1, math.prod(self._map.shape))), node)

    def _fire(self, node: NirNode) -> None:
        layer = self._weighted(node)
        weight = self._insert(ConstantOp(value=layer.weight.astype(np.float32)), layer.node)
        try:
            if layer.windows is None:
                op: Operation = MatMulOp(lhs=self._map, rhs=weight)
            else:
                op = Conv2dOp(x=self._map, weight=weight, **layer.windows)
            sums = self._insert(op, layer.node)
            if math.prod(sums.shape) > MAX_NEURONS:
                raise node.error("there are too many neurons", found=f"{sums.shape}", expected=f"at most {MAX_NEURONS}")
            above = np.nextafter(_numbers(node, "threshold", sums.shape[1:]), np.inf)
            bias = np.broadcast_to(layer.bias, sums.shape[1:]) if layer.bias.ndim else layer.bias
            step = BinarizeOp(terms=(sums,), bias=np.ascontiguousarray(bias), threshold=above)
            self._map = self._insert(step, layer.node, node)
        except ValueError as error:
            raise _misfit(layer.node, error) from None
        self._layer = None

    def module(self, last: NirNode) -> ModuleOp:
        """The whole module; raises ModelError when the chain does not end in spikes of the output's shape."""
        if self._layer is not None or not isinstance(self._map.owner, BinarizeOp):
            raise last.error("the output is no spikes", found="no Threshold before it", expected="Threshold")
        shape = _integers(last, "shape", MAX_NEURONS)
        if math.prod(shape) != math.prod(self._map.shape[1:]):
            raise last.error(
                "the output has another shape", found=f"{list(self._map.shape[1:])}", expected=f"{list(shape)}"
            )
        self._builder.insert(ReturnOp(values=(self._map,)))
        main = FuncOp(sym_name="main", input_names=(self._first.name,), output_names=(last.name,), body=self._body)
        module = ModuleOp(body=Block())
        Builder(module.body).insert(main)
        return module


class _Layer:
    """Weights ([inputs, outputs], or filters where `windows` are the attributes of a convolution) and a bias (f64)."""

    def __init__(self, node: NirNode, weight: Array, bias: Array, windows: dict[str, Any] | None = None) -> None:
        self.node = node
        self.weight = weight.astype(np.float64)
        self.bias = bias.astype(np.float64)
        self.windows = windows

    def scale(self, node: NirNode) -> None:
        """Multiplies what the layer gives."""
        factor = node.array("scale").astype(np.float64)
        if self.windows is not None:
            filters = len(self.weight)
            by_filter = (
                factor.reshape(filters, -1) if factor.ndim == 3 and len(factor) == filters else factor[None, None]
            )
            if by_filter.ndim != 2 or (by_filter != by_filter[:, :1]).any():
                expected = "one number for each channel"
                raise node.error(
                    "a scale changes from place to place", found=f"shape {factor.shape}", expected=expected
                )
            factor = by_filter[:, :1]
            self.weight = self.weight * factor[:, :, None, None]
            self.bias = self.bias * factor[:, :, None]
            return
        if factor.shape not in ((), self.weight.shape[1:]):
            raise node.error("a scale has another shape", found=f"{factor.shape}", expected=f"{self.weight.shape[1:]}")
        self.weight, self.bias = self.weight * factor, self.bias * factor


WINDOWED = ("AvgPool2d", "Conv2d", "SumPool2d")


def _dense(node: NirNode, map_: Value) -> _Layer:
    weight = node.array("weight")
    if weight.ndim != 2 or map_.shape[1:] != weight.shape[1:]:
        found = f"weights {weight.shape} for inputs {list(map_.shape[1:])}"
        raise node.error("weights do not fit the inputs", found=found, expected="[outputs, inputs] behind a Flatten")
    bias = _numbers(node, "bias", weight.shape[:1]) if node.kind == "Affine" else np.zeros(())
    return _Layer(node, weight.T, bias)


def _windows(node: NirNode, map_: Value) -> _Layer:
    if len(map_.shape) != 4:
        raise node.error(
            "windows need maps", found=f"inputs {list(map_.shape[1:])}", expected="[channels, rows, columns]"
        )
    channels = map_.shape[1]
    if node.kind == "Conv2d":
        weight, dilations = node.array("weight"), _pair(node, "dilation", 1)
        groups = int(_integers(node, "groups", MAX_NEURONS, scalar=True)[0])
        bias = _numbers(node, "bias", weight.shape[:1])[:, None, None]
    else:
        kernel, dilations, groups, bias = _pair(node, "kernel_size", 1), (1, 1), channels, np.zeros((channels, 1, 1))
        if math.prod(kernel) * channels > MAX_NEURONS:
            raise node.error("a window is too large", found=f"{kernel}", expected=f"at most {MAX_NEURONS} weights")
        each = 1.0 if node.kind == "SumPool2d" else 1.0 / math.prod(kernel)
        weight = np.full((channels, 1, *kernel), each)
    if weight.ndim != 4:
        raise node.error("filters have four axes", found=f"shape {weight.shape}")
    strides = _pair(node, "stride", 1)
    pads = _pads(node, weight.shape[2:], dilations, strides)
    if node.kind == "AvgPool2d" and any(pads):
        raise node.error("an average over padding is ambiguous", found=f"pads {list(pads)}", expected="none")
    windows = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    return _Layer(node, weight, bias, windows)


def _pads(
    node: NirNode, kernel: tuple[int, ...], dilations: tuple[int, int], strides: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    given = node.fields["padding"]
    reach = [dilations[axis] * (kernel[axis] - 1) for axis in range(2)]
    if isinstance(given, str):
        if given == "valid":
            return 0, 0, 0, 0
        if given != "same" or strides != (1, 1):
            raise node.error("the padding is not taken", found=f"{given}, strides {list(strides)}", expected="numbers")
        return reach[0] // 2, reach[1] // 2, reach[0] - reach[0] // 2, reach[1] - reach[1] // 2
    rows, columns = _pair(node, "padding", 0)
    if rows > reach[0] or columns > reach[1]:
        raise node.error(
            "windows lie in the padding alone", found=f"pads {rows}, {columns}", expected=f"at most {reach}"
        )
    return rows, columns, rows, columns


def _pair(node: NirNode, field: str, low: int) -> tuple[int, int]:
    """One number, or one for rows and one for columns."""
    found = _integers(node, field, MAX_KERNEL, low=low, scalar=True)
    if len(found) > 2:
        raise node.error(f"{field} has too many numbers", found=f"{list(found)}", expected="one or two")
    return found[0], found[-1]


def _integers(node: NirNode, field: str, high: int, *, low: int = 1, scalar: bool = False) -> tuple[int, ...]:
    """A list of whole numbers from `low` to `high`."""
    found = node.array(field)
    flat = found.reshape(-1)
    whole = found.ndim <= 1 and 0 < flat.size <= 8 and bool(((flat >= low) & (flat <= high) & (flat % 1 == 0)).all())
    if not whole or (found.ndim == 0 and not scalar):
        raise node.error(
            f"{field} is not taken", found=f"{found!s:.60}", expected=f"whole numbers from {low} to {high}"
        )
    return tuple(int(each) for each in flat)


def _numbers(node: NirNode, field: str, shape: tuple[int, ...]) -> Array:
    """Numbers of this shape, or one for all, in 64 bits."""
    found = node.array(field).astype(np.float64)
    if found.size == 1:
        return np.asarray(found.reshape(()) if not shape else np.full(shape, found.reshape(())))
    if found.shape != shape:
        raise node.error(f"{field} does not fit", found=f"shape {found.shape}", expected=f"{shape}")
    return found


def _misfit(node: NirNode, error: ValueError) -> ModelError:
    return node.error("the node does not fit what comes before it", found=str(error))
