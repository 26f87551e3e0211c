"""Small networks for the tests of passes, and what it means that a pass kept their values."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.clone import clone_module
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.types import F32, ElementType, TensorType
from snc.passes.base import Pass, PassContext
from snc.passes.manager import PassManager
from snc.runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]
OpT = TypeVar("OpT", bound=Operation)


class Net:
    """A function of inputs of these shapes; calling it adds an operation and returns the operation's result."""

    def __init__(self, *shapes: tuple[int, ...], element: ElementType = F32) -> None:
        self.body = Block([TensorType(shape, element) for shape in shapes])
        self.builder = Builder(self.body)
        self.rng = np.random.default_rng(7)

    @property
    def x(self) -> Value:
        """The first input."""
        return self.body.arguments[0]

    def __call__(self, op: Operation) -> Value:
        return self.builder.insert(op).result

    def constant(self, array: Any, dtype: Any = np.float32) -> Value:
        return self(ConstantOp(value=np.asarray(array, dtype=dtype)))

    def random(self, *shape: int) -> Value:
        """A constant drawn from a fixed seed, of magnitudes around one."""
        return self.constant(self.rng.standard_normal(shape))

    def positive(self, *shape: int) -> Value:
        """A constant with numbers from 0.5 to 1.5."""
        return self.constant(self.rng.uniform(0.5, 1.5, shape))

    def module(self, *results: Value) -> ModuleOp:
        self.builder.insert(ReturnOp(values=results))
        module = ModuleOp()
        Builder(module.body).insert(FuncOp(sym_name="main", body=self.body))
        return module


def ops_of(module: ModuleOp) -> list[str]:
    """The names of the operations of `@main` that are no constants and no return, in order."""
    return [op.name for op in module.main.body.ops if not isinstance(op, ConstantOp | ReturnOp)]


def only(module: ModuleOp, op_class: type[OpT]) -> OpT:
    """The one operation of a class."""
    (found,) = [op for op in module.walk() if isinstance(op, op_class)]
    return found


def inputs_of(module: ModuleOp, seed: int = 0) -> list[Array]:
    """Normally distributed inputs, three wide, so that activations meet their limits."""
    rng = np.random.default_rng(seed)
    arguments = module.main.body.arguments
    return [(3 * rng.standard_normal(a.shape)).astype(a.element.dtype) for a in arguments]


def after(module: ModuleOp, *passes: Pass, context: PassContext | None = None) -> ModuleOp:
    """A copy of the module, rewritten."""
    copy = clone_module(module)
    PassManager(passes).run(copy, context)
    return copy


def assert_same_values(before: ModuleOp, after: ModuleOp, *, rounding: float = 0.0, seed: int = 0) -> None:
    """Both modules give the same outputs: bit for bit, or up to `rounding` times the largest magnitude on the way.

    Every value on the way may be rounded differently, by parts of its own magnitude; the functions in between are
    chosen such that they do not enlarge an error much.
    """
    inputs = inputs_of(before, seed)
    largest = 1.0

    def observe(value: Value, array: Array) -> None:
        nonlocal largest
        if array.dtype.kind == "f" and array.size:
            finite = np.abs(array[np.isfinite(array)])
            largest = max(largest, float(finite.max(initial=0)))

    expected = evaluate(before, inputs, observe=observe)
    found = evaluate(after, inputs)
    assert len(expected) == len(found)
    for old, new in zip(expected, found, strict=True):
        assert old.dtype == new.dtype and old.shape == new.shape
        if rounding == 0.0:
            np.testing.assert_array_equal(old, new)
            if old.dtype.kind == "f":
                numbers = ~np.isnan(old)
                np.testing.assert_array_equal(np.signbit(old[numbers]), np.signbit(new[numbers]))
        else:
            np.testing.assert_allclose(new, old, rtol=0, atol=rounding * largest)
