"""Modules that are made for one sample, run on many at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from attrs import frozen

from ...ir.attributes import Attribute
from ...ir.builder import Builder
from ...ir.core import Block, Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.spiking import ProjectOp
from ...ir.spec import INTS
from ...ir.types import TensorType
from ...runtime.interpreter.evaluate import KERNELS
from ..data.dataset import Array

Visit = Callable[[Operation, Sequence[Array], Array], Array]
"""Called with each operation, its operands and its result; gives what takes the result's place."""

MOST_SAMPLES = 256
"""Samples in one pass of a module: more are not faster, as their maps leave the caches."""
MOST_ELEMENTS = 1 << 20
"""Elements of the largest map of a pass."""
SMALLER = 4
"""How many times smaller the next smaller pass is, for few samples."""
BATCHED_ATTRIBUTES: dict[type[Operation], tuple[str, ...]] = {
    nn.ReshapeOp: ("shape",),
    nn.ExpandOp: ("shape",),
    nn.SliceOp: ("counts",),
    ProjectOp: ("shape", "input_shape"),
}
"""Shapes among attributes whose first extent is that of the samples."""


def walk(module: ModuleOp, inputs: Sequence[Array], visit: Visit) -> list[Array]:
    """What `@main` returns, where `visit` may put another array of the same shape in the place of any result."""
    function = module.main
    values: dict[Value, Array] = dict(zip(function.body.arguments, inputs, strict=True))
    last = {value: op for op in function.body.ops for value in op.operands}
    for op in function.body.ops:
        operands = [values[value] for value in op.operands]
        if isinstance(op, ReturnOp):
            return operands
        kernel = KERNELS.get(type(op))
        array = op.fold(operands) if kernel is None else kernel(op, operands)
        assert array is not None, f"the interpreter has no meaning for {op.name}"
        values[op.result] = visit(op, operands, array)
        for value in dict.fromkeys(op.operands):
            if last[value] is op:
                del values[value]
    raise ValueError("a function ends with return")


def plain(_op: Operation, _operands: Sequence[Array], array: Array) -> Array:
    """The visit that changes nothing."""
    return array


class BatchedModule:
    """A module run on any number of samples [N, ...], many at a time.

    A module whose batch is 1 is made anew for more samples where all its operations treat samples alike; where they do
    not, or the batch is fixed, it runs as it is. A last pass that is not full is filled up with zeros.
    """

    def __init__(self, module: ModuleOp) -> None:
        arguments = module.main.body.arguments
        sizes = {argument.shape[0] if argument.tensor.rank else 0 for argument in arguments}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError("the inputs have no common number of samples")
        (self._fixed,) = sizes
        self._module = module
        self._most = self._fixed
        self._made: dict[int, ModuleOp] = {self._fixed: module}
        if self._fixed == 1:
            largest = max(math.prod(value.shape) for value in dependent(module))
            wanted = 1 << (max(1, min(MOST_SAMPLES, MOST_ELEMENTS // max(1, largest))).bit_length() - 1)
            made = rebatched(module, wanted) if wanted > 1 else None
            if made is not None:
                self._most, self._made[wanted] = wanted, made

    def __call__(self, inputs: Sequence[Array], visit: Visit = plain) -> list[Array]:
        """The outputs [N, ...] for inputs [N, ...] of the arguments' types."""
        parts = [[array[: each.count] for array in each.walk(visit)] for each in self.passes(inputs)]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def passes(self, inputs: Sequence[Array]) -> Iterator[Pass]:
        """The passes in which these inputs are run."""
        number = len(inputs[0])
        for first in range(0, number, self._most):
            count = min(self._most, number - first)
            module = self._for(count)
            filled = []
            for argument, array in zip(module.main.body.arguments, inputs, strict=True):
                part = np.zeros(argument.shape, argument.element.dtype)
                part[:count] = array[first : first + count]
                filled.append(part)
            yield Pass(module, first, count, filled)

    def _for(self, count: int) -> ModuleOp:
        """The smallest module of those that are made that takes `count` samples."""
        size = self._most
        while self._fixed == 1 and size % SMALLER == 0 and size // SMALLER >= count:
            size //= SMALLER
        if size not in self._made:
            made = rebatched(self._module, size)
            assert made is not None, "what is made for many samples is made for fewer"
            self._made[size] = made
        return self._made[size]


@frozen(eq=False)
class Pass:
    """One pass of a module: the module made for it, and the inputs of `count` samples from number `first` on.

    Operation i of the module, and argument i, is that of the module that was given.
    """

    module: ModuleOp
    first: int
    count: int
    inputs: list[Array]

    def walk(self, visit: Visit) -> list[Array]:
        """The outputs, filling included."""
        return walk(self.module, self.inputs, visit)


def dependent(module: ModuleOp) -> dict[Value, None]:
    """The values that depend on the inputs, these first, in order."""
    found: dict[Value, None] = dict.fromkeys(module.main.body.arguments)
    for op in module.main.body.ops:
        if any(value in found for value in op.operands):
            found.update(dict.fromkeys(op.results))
    return found


def rebatched(module: ModuleOp, batch: int) -> ModuleOp | None:
    """A module for one sample as a module for `batch` of them; None where an operation mixes samples.

    Locations and the order of operations stay, so that operation i of one is operation i of the other.
    """
    function = module.main
    types = [_wider(argument.tensor, batch) for argument in function.body.arguments]
    body = Block(types, [argument.hint for argument in function.body.arguments])
    copies: dict[Value, Value] = dict(zip(function.body.arguments, body.arguments, strict=True))
    follows = dependent(module)
    builder = Builder(body)
    for op in function.body.ops:
        free = any(value in follows for value in op.operands)
        attributes = dict(op.attributes)
        if free and not _keeps_samples_apart(op):
            return None
        if free:
            _set_batch(op, attributes, batch)
        try:
            copy = type(op).create([copies[value] for value in op.operands], attributes, [], op.location)
        except (ValueError, TypeError):
            return None
        builder.insert(copy)
        for old, new in zip(op.results, copy.results, strict=True):
            expected = _wider(old.tensor, batch) if free else old.tensor
            if new.type != expected and not (isinstance(op, ProjectOp) and new.shape[1] == batch):
                return None
            new.hint = old.hint
            copies[old] = new
    top = Block()
    Builder(top).insert(
        FuncOp(sym_name="main", input_names=function.input_names, output_names=function.output_names, body=body)
    )
    return ModuleOp(body=top)


def _wider(kind: TensorType, batch: int) -> TensorType:
    return kind.with_shape((batch, *kind.shape[1:])) if kind.rank and kind.shape[0] == 1 else kind


def _keeps_samples_apart(op: Operation) -> bool:
    """Whether axis 0 is no axis along which `op` computes, as far as its shapes do not tell."""
    axis, rank = getattr(op, "axis", None), op.operands[0].tensor.rank
    return not (isinstance(axis, int) and rank and axis % rank == 0)


def _set_batch(op: Operation, attributes: dict[str, Attribute], batch: int) -> None:
    for name in BATCHED_ATTRIBUTES.get(type(op), ()):
        shape = getattr(op, name)
        if shape is not None and shape[:1] == (1,):
            attributes[name] = INTS.encode((batch, *shape[1:]))
