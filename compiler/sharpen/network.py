"""A module of the graph dialect as a network that torch trains: its constants are the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, ReturnOp
from ...passes.graph.matching import only_user
from .activations import bounded_relu, sigmoid, step, straight_through
from .stepped import Stepped
from .trainable import constant_names, learning

Array = NDArray[Any]
Values = dict[Value, Tensor]
Run = Callable[["Network", Values, "Mode"], Tensor]

MOMENTUM = 0.1
"""How much the mean and variance of a batch count beside those of the batches before."""


@frozen
class Mode:
    """How activations and normalisations act: the sharpness of each activation, and whether layers learn.

    In training, layers are normalised by their batch, and steps have the slope of the straight-through estimator: a
    layer that has become a step goes on learning.
    """

    sharpness: tuple[float, ...]
    training: bool = False


class Network:
    """Runs a network of steps on batches [N, ...] with any sharpness of its activations.

    `tensors` are its constants by name; `trained` are the names of those that learn.
    """

    def __init__(self, network: Stepped, *, soft: str = "relu") -> None:
        self.soft = {"relu": bounded_relu, "sigmoid": sigmoid}[soft]
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[Value, str] = {}
        self.trained: list[str] = []
        self._arguments = network.module.main.body.arguments
        self._output = network.module.main.return_op.values[0]
        self._index: dict[Operation, int] = {each.compare: index for index, each in enumerate(network.activations)}
        self._levels = tuple(each.level for each in network.activations)
        self._add_constants(network)
        self._ops = self._compiled(network)
        self._dying = _last_uses([op for op, _ in self._ops], self._output)

    def __call__(
        self, inputs: Sequence[Tensor], mode: Mode, observe: Callable[[Value, Tensor], None] | None = None
    ) -> Tensor:
        """The output for inputs [N, ...] in the order of the module's; `observe` sees every value."""
        values: Values = dict(zip(self._arguments, inputs, strict=True))
        for op, run in self._ops:
            value = op.result
            values[value] = run(self, values, mode)
            if observe is not None:
                observe(value, values[value])
            for dead in self._dying[op]:
                values.pop(dead, None)
        return values[self._output]

    def arrays(self) -> dict[str, Array]:
        """Copies of all constants by name."""
        return {name: tensor.detach().numpy().copy(order="C") for name, tensor in self.tensors.items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Takes over constants, by name."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def parameters(self) -> list[Tensor]:
        """The constants that learn."""
        return [self.tensors[name] for name in self.trained]

    def constant(self, value: Value) -> Tensor:
        """The tensor of a constant."""
        return self.tensors[self.names[value]]

    def tensor(self, values: Values, value: Value) -> Tensor:
        """A value of this run, or a constant."""
        name = self.names.get(value)
        return values[value] if name is None else self.tensors[name]

    def activate(self, z: Tensor, index: int, mode: Mode) -> Tensor:
        """Activation `index` of z."""
        sharpness = mode.sharpness[index]
        if self._levels[index] != 0.5:
            z = z + (0.5 - self._levels[index])
        if sharpness < 1:
            return self.soft(z, sharpness)
        return straight_through(z) if mode.training else step(z)

    def _add_constants(self, network: Stepped) -> None:
        trained = learning(network.module)
        for value, name in constant_names(network.module).items():
            assert isinstance(value.owner, ConstantOp)
            array = value.owner.value
            tensor = torch.from_numpy(np.array(array))
            tensor = tensor.contiguous(memory_format=layout_of(tensor))
            if value in trained:
                tensor.requires_grad_()
                self.trained.append(name)
            self.names[value] = name
            self.tensors[name] = tensor

    def _compiled(self, network: Stepped) -> list[tuple[Operation, Run]]:
        runs: list[tuple[Operation, Run]] = []
        pooled = _pooled_steps(network)
        for op in network.module.main.body.ops:
            if isinstance(op, ConstantOp | ReturnOp | nn.CompareOp):
                continue
            if isinstance(op, nn.CastOp) and op.x.owner in self._index:
                if op not in pooled.values():
                    runs.append((op, _activation(op, self._index)))
            elif op in pooled:
                runs.append((op, _pooled_activation(op, pooled[op], self._index)))
            else:
                runs.append((op, _RUNS[type(op)](op)))
        return runs


def layout_of(tensor: Tensor) -> torch.memory_format:
    """How a constant lies in memory: on processors, convolutions are fastest with the channels last."""
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def _pooled_steps(network: Stepped) -> dict[Operation, nn.CastOp]:
    """Max poolings of an activation that nobody else reads.

    Pooling what the activation is taken of is the same, as activations only rise, and cheaper; and the gradient goes to
    the greatest sum under the window, where the step has many alike.
    """
    found: dict[Operation, nn.CastOp] = {}
    for each in network.activations:
        user = only_user(each.cast.out)
        if isinstance(user, nn.MaxPool2dOp):
            found[user] = each.cast
    return found


def _last_uses(ops: Sequence[Operation], output: Value) -> dict[Operation, list[Value]]:
    """The values that nobody needs after each operation."""
    last: dict[Value, Operation] = {}
    for op in ops:
        for value in op.operands:
            # A pooled activation reads what its comparison does.
            owner = value.owner
            if isinstance(owner, nn.CastOp) and isinstance(owner.x.owner, nn.CompareOp):
                last[owner.x.owner.lhs] = op
            if isinstance(owner, nn.CompareOp):
                last[owner.lhs] = op
            last[value] = op
    dying: dict[Operation, list[Value]] = {op: [] for op in ops}
    for value, op in last.items():
        if value is not output:
            dying[op].append(value)
    return dying


def _activation(op: nn.CastOp, index: Mapping[Operation, int]) -> Run:
    compare = op.x.owner
    assert isinstance(compare, nn.CompareOp)
    number, source = index[compare], compare.lhs
    return lambda network, values, mode: network.activate(values[source], number, mode)


def _pooled_activation(op: Operation, cast: nn.CastOp, index: Mapping[Operation, int]) -> Run:
    assert isinstance(op, nn.MaxPool2dOp)
    compare = cast.x.owner
    assert isinstance(compare, nn.CompareOp)
    number, source, pool = index[compare], compare.lhs, op
    return lambda network, values, mode: network.activate(max_pool(pool, values[source]), number, mode)


def _batch_norm(op: nn.BatchNormOp) -> Run:
    def run(network: Network, values: Values, mode: Mode) -> Tensor:
        x = network.tensor(values, op.x)
        mean, variance = network.tensor(values, op.mean), network.tensor(values, op.variance)
        scale, bias = network.tensor(values, op.scale), network.tensor(values, op.bias)
        return functional.batch_norm(x, mean, variance, scale, bias, mode.training, MOMENTUM, op.epsilon)

    return run


def _conv(op: nn.Conv2dOp) -> Run:
    top, left, bottom, right = op.pads
    even = top == bottom and left == right
    padding = (top, left) if even else (0, 0)
    strides, dilations, groups = op.strides, op.dilations, op.groups

    def run(network: Network, values: Values, mode: Mode) -> Tensor:
        x = network.tensor(values, op.x)
        bias = None if op.bias is None else network.tensor(values, op.bias)
        if not even:
            x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, network.tensor(values, op.weight), bias, strides, padding, dilations, groups)

    return run


def max_pool(op: nn.MaxPool2dOp, x: Tensor) -> Tensor:
    """The greatest element under each window."""
    top, left, bottom, right = op.pads
    if any(op.pads):
        x = functional.pad(x, (left, right, top, bottom), value=-torch.inf)
    return functional.max_pool2d(x, op.kernel, op.strides, 0, op.dilations, op.ceil)


def _average_pool(op: nn.AvgPool2dOp) -> Run:
    top, left, _, _ = op.pads

    def run(network: Network, values: Values, mode: Mode) -> Tensor:
        x = network.tensor(values, op.x)
        return functional.avg_pool2d(x, op.kernel, op.strides, (top, left), op.ceil, op.count_pads)

    return run


def _reduce(op: nn.ReduceOp) -> Run:
    axes, keep = op.axes, op.keep_dims
    function = torch.mean if op.kind == "mean" else torch.sum if op.kind == "sum" else torch.amax
    return lambda network, values, mode: function(network.tensor(values, op.x), dim=axes, keepdim=keep)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any], Run]:
    def make(op: Any) -> Run:
        return lambda network, values, mode: function(
            network.tensor(values, op.operands[0]), network.tensor(values, op.operands[1])
        )

    return make


def _unary(function: Callable[[Any, Tensor], Tensor]) -> Callable[[Any], Run]:
    def make(op: Any) -> Run:
        return lambda network, values, mode: function(op, network.tensor(values, op.operands[0]))

    return make


def _slice(op: nn.SliceOp, x: Tensor) -> Tensor:
    ends = (start + count * step for start, count, step in zip(op.starts, op.counts, op.steps, strict=True))
    where = [slice(*bounds) for bounds in zip(op.starts, ends, op.steps, strict=True)]
    return x[(slice(None), *where[1:])]


def _pad(op: nn.PadOp, x: Tensor) -> Tensor:
    widths = [width for pair in zip(op.before, op.after, strict=True) for width in reversed(pair)]
    return functional.pad(x, widths[::-1], value=op.value)


def _concat(op: nn.ConcatOp) -> Run:
    return lambda network, values, mode: torch.cat([network.tensor(values, each) for each in op.inputs], dim=op.axis)


_RUNS: Mapping[type[Operation], Callable[[Any], Run]] = {
    nn.Conv2dOp: _conv,
    nn.BatchNormOp: _batch_norm,
    nn.MatMulOp: _binary(torch.matmul),
    nn.AddOp: _binary(torch.add),
    nn.SubOp: _binary(torch.sub),
    nn.MulOp: _binary(torch.mul),
    nn.DivOp: _binary(torch.div),
    nn.MaxPool2dOp: _unary(max_pool),
    nn.AvgPool2dOp: _average_pool,
    nn.ReduceOp: _reduce,
    nn.ReshapeOp: _unary(lambda op, x: x.reshape(len(x), *op.shape[1:])),
    nn.TransposeOp: _unary(lambda op, x: x.permute(op.permutation)),
    nn.ConcatOp: _concat,
    nn.SliceOp: _unary(_slice),
    nn.PadOp: _unary(_pad),
    nn.CastOp: _unary(lambda op, x: x.float()),
}
