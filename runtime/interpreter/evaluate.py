"""Runs a module operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from . import nn, quant, spiking
from .kernel import Array, Kernel

KERNELS: Mapping[type[Operation], Kernel] = {**nn.KERNELS, **quant.KERNELS, **spiking.KERNELS}
"""Operations whose meaning is not their `fold`."""

Observer = Callable[[Value, Array], None]


def evaluate(module: ModuleOp, inputs: Sequence[Array], *, observe: Observer | None = None) -> list[Array]:
    """The values that `@main` returns for `inputs`.

    Inputs have exactly the shape and the storage dtype of the arguments; UsageError says which does not. `observe` is
    called with every value as soon as it is known, arguments first. Quantised tensors are arrays of their integers.
    """
    function = module.main
    check_inputs(function, inputs)
    values: dict[Value, Array] = dict(zip(function.body.arguments, inputs, strict=True))
    if observe is not None:
        for value, array in values.items():
            observe(value, array)
    dying = _last_uses(function)
    for op in function.body.ops:
        if isinstance(op, ReturnOp):
            return [np.array(values[value], order="C") for value in op.values]
        array = _run(op, [values[operand] for operand in op.operands])
        values[op.result] = array
        if observe is not None:
            observe(op.result, array)
        for value in dying[op]:
            del values[value]
    raise ValueError("a function ends with return")


def check_inputs(function: FuncOp, inputs: Sequence[Array]) -> None:
    """Raises UsageError with one diagnostic for every input that does not fit the function."""
    arguments = function.body.arguments
    names = function.input_names or tuple(argument.hint or f"#{argument.index}" for argument in arguments)
    if len(inputs) != len(arguments):
        expected = f"{len(arguments)} ({', '.join(names)})" if arguments else "none"
        raise UsageError(Diagnostic("SNC0401", "wrong number of inputs", found=str(len(inputs)), expected=expected))
    found = [
        Diagnostic(
            "SNC0402",
            f"input {name} does not fit the model",
            found=f"shape {list(np.shape(array))}, {np.asarray(array).dtype}",
            expected=f"shape {list(argument.shape)}, {argument.element.dtype}",
            help="convert the array; nothing is cast or reshaped silently",
            node=name,
        )
        for name, argument, array in zip(names, arguments, inputs, strict=True)
        if np.shape(array) != argument.shape or np.asarray(array).dtype != argument.element.dtype
    ]
    if found:
        raise UsageError(found)


def _run(op: Operation, operands: Sequence[Array]) -> Array:
    kernel = KERNELS.get(type(op))
    array = op.fold(operands) if kernel is None else kernel(op, operands)
    if array is None:
        raise NotImplementedError(f"the interpreter has no meaning for {op.name}")
    expected = op.result.tensor
    assert array.shape == expected.shape and array.dtype == expected.element.dtype, (
        f"{op!r} gave {array.shape} {array.dtype}, its type is {expected}"
    )
    return array


def _last_uses(function: FuncOp) -> dict[Operation, list[Value]]:
    """For every operation, the values that nobody needs once it has run (its own unused results too)."""
    dying: dict[Operation, list[Value]] = {}
    needed: set[Value] = set()
    for op in reversed(list(function.body.ops)):
        last = [value for value in dict.fromkeys((*op.operands, *op.results)) if value not in needed]
        dying[op] = last
        needed.update(last)
        needed.difference_update(op.results)
    return dying
