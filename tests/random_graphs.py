"""Random graphs of elementwise, reducing and data-moving operations; `strategies.any_nn_modules` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import (
    BINARY_OPS,
    UNARY_OPS,
    ArgReduceOp,
    CastOp,
    CompareOp,
    ConcatOp,
    ExpandOp,
    GatherOp,
    LogicalOp,
    NotOp,
    PadOp,
    PowOp,
    PReluOp,
    ReduceOp,
    ReshapeOp,
    ResizeNearestOp,
    SelectOp,
    SliceOp,
    SoftmaxOp,
    TransposeOp,
)
from snc.ir.location import Location
from snc.ir.types import F16, F32, I1, I32, I64, FloatType, TensorType

FLOAT_UNARY = tuple(op for op in UNARY_OPS if op not in (CastOp, NotOp))
ARITHMETIC: tuple[type[Operation], ...] = (*BINARY_OPS, PowOp, PReluOp)
REDUCTIONS = ("sum", "mean", "prod", "max", "min", "l1", "l2", "sum_square", "log_sum_exp")
MAX_ELEMENTS = 256
"""Results beyond this many elements are not expanded, padded or joined further."""


class Graph:
    """Adds operations on values drawn from those that exist; remembers them by element kind."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        shapes = [self._shape() for _ in range(self._int(1, 2))]
        self._body = Block([TensorType(shape, F32) for shape in shapes], ["a", "b"][: len(shapes)])
        self._build = Builder(self._body)
        self._floats: list[Value] = [*self._body.arguments, self._constant(self._normal(self._shape()))]
        self._truths: list[Value] = []
        self._integers: list[Value] = [self._constant(self._rng.integers(1, 5, self._int(1, 3)))]
        self._others: list[Value] = []

    def operation(self) -> None:
        """Adds an operation of a drawn kind."""
        kinds = (self._unary, self._binary, self._compare, self._logic, self._move, self._grow, self._reduce)
        self._draw(st.sampled_from((*kinds, self._shape_arithmetic, self._cast, self._lookup)))()

    def module(self) -> ModuleOp:
        """The graph as a module that returns some of its values."""
        everything = [*self._floats, *self._truths, *self._integers, *self._others]
        returned = tuple(self._draw(st.lists(st.sampled_from(everything), min_size=1, max_size=3)))
        self._build.insert(ReturnOp(values=returned))
        module = ModuleOp(body=Block())
        Builder(module.body).insert(FuncOp(sym_name="main", body=self._body))
        return module

    def _int(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def _bool(self) -> bool:
        return self._draw(st.booleans())

    def _pick(self, values: list[Value]) -> Value:
        return self._draw(st.sampled_from(values))

    def _shape(self) -> tuple[int, ...]:
        return tuple(self._draw(st.lists(st.integers(1, 4), max_size=4)))

    def _normal(self, shape: tuple[int, ...]) -> NDArray[Any]:
        return np.asarray(self._rng.standard_normal(shape), np.float32)

    def _constant(self, array: NDArray[Any]) -> Value:
        return self._build.insert(ConstantOp(value=array)).out

    def _insert(self, op: Operation) -> Value:
        value = self._build.insert(op).results[0]
        op.location = Location((f"/{op.name}_{sum(1 for _ in self._body.ops)}",))
        if value.element == I1:
            self._truths.append(value)
        elif value.element == I64:
            self._integers.append(value)
        else:
            (self._floats if value.element == F32 else self._others).append(value)
        return value

    def _partner(self, x: Value) -> Value:
        """A value that broadcasts to x: itself, or a constant with some axes of size 1 or left out."""
        if self._bool():
            return x
        kept = x.shape[self._int(0, len(x.shape)) :]
        return self._constant(self._normal(tuple(1 if self._bool() else size for size in kept)))

    def _unary(self) -> None:
        self._insert(self._draw(st.sampled_from(FLOAT_UNARY)).create([self._pick(self._floats)], {}))

    def _binary(self) -> None:
        x = self._pick(self._floats)
        op_class = self._draw(st.sampled_from(ARITHMETIC))
        operands = [x, self._partner(x)]
        swap = op_class is not PReluOp and self._bool()
        self._insert(op_class.create(operands[::-1] if swap else operands, {}))

    def _compare(self) -> None:
        x = self._pick(self._floats)
        predicate = self._draw(st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge")))
        condition = self._insert(CompareOp(lhs=x, rhs=self._partner(x), predicate=predicate))
        if self._bool():
            self._insert(SelectOp(condition=condition, on_true=x, on_false=self._partner(x)))

    def _logic(self) -> None:
        if not self._truths:
            self._truths.append(self._constant(self._rng.integers(0, 2, self._shape()).astype(bool)))
        x = self._pick(self._truths)
        if self._bool():
            self._insert(NotOp(x=x))
        else:
            self._insert(LogicalOp(lhs=x, rhs=x, kind=self._draw(st.sampled_from(("and", "or", "xor")))))

    def _move(self) -> None:
        """Reshape, transpose, slice or nearest-neighbour resize."""
        x = self._pick([*self._floats, *self._others])
        rank = len(x.shape)
        match self._int(0, 3):
            case 0:
                factor = self._draw(st.sampled_from([n for n in (1, 2, 3) if x.tensor.size % n == 0]))
                self._insert(ReshapeOp(x=x, shape=(factor, x.tensor.size // factor)))
            case 1:
                self._insert(TransposeOp(x=x, permutation=tuple(self._draw(st.permutations(range(rank))))))
            case 2 if rank >= 2:
                rows = tuple(int(row) for row in self._rng.integers(0, x.shape[-2], self._int(1, 4)))
                self._insert(ResizeNearestOp(x=x, rows=rows, columns=tuple(range(x.shape[-1]))))
            case _:
                self._insert(self._slice(x))

    def _slice(self, x: Value) -> SliceOp:
        starts, counts, steps = [], [], []
        for size in x.shape:
            step = self._draw(st.sampled_from((1, 2, -1)))
            start = self._int(0, size - 1)
            most = (size - 1 - start) // step + 1 if step > 0 else start + 1
            starts.append(start)
            counts.append(self._int(1, most))
            steps.append(step)
        return SliceOp(x=x, starts=tuple(starts), counts=tuple(counts), steps=tuple(steps))

    def _grow(self) -> None:
        """Concatenation, padding or expansion of a value that is still small."""
        x = self._pick([value for value in self._floats if value.tensor.size <= MAX_ELEMENTS])
        rank = len(x.shape)
        match self._int(0, 2):
            case 0 if rank:
                self._insert(ConcatOp(inputs=(x,) * self._int(1, 3), axis=self._int(-rank, rank - 1)))
            case 1 if rank:
                before, after = (tuple(self._int(0, 1) for _ in range(rank)) for _ in range(2))
                mode = self._draw(st.sampled_from(("constant", "edge", "wrap")))
                self._insert(PadOp(x=x, before=before, after=after, mode=mode, value=0.5))
            case _:
                self._insert(ExpandOp(x=x, shape=(2, *x.shape) if rank < 5 else x.shape))

    def _reduce(self) -> None:
        x = self._pick(self._floats)
        rank = len(x.shape)
        keep_dims = self._bool()
        if rank and self._bool():
            axis = self._int(-rank, rank - 1)
            match self._int(0, 1):
                case 0:
                    kind = self._draw(st.sampled_from(("max", "min")))
                    self._insert(ArgReduceOp(x=x, kind=kind, axis=axis, keep_dims=keep_dims, last_index=self._bool()))
                case _:
                    self._insert(SoftmaxOp(x=x, axis=axis, log=self._bool()))
            return
        axes = tuple(sorted(self._draw(st.sets(st.integers(0, rank - 1))))) if rank else ()
        kind = self._draw(st.sampled_from(REDUCTIONS))
        self._insert(ReduceOp(x=x, kind=kind, axes=axes, keep_dims=keep_dims))

    def _shape_arithmetic(self) -> None:
        """What exporters compute on shapes: integer arithmetic on constants."""
        x = self._pick(self._integers)
        other = self._constant(np.asarray(self._int(1, 4), np.int64))
        self._insert(self._draw(st.sampled_from(BINARY_OPS)).create([x, other], {}))

    def _cast(self) -> None:
        x = self._pick([*self._floats, *self._integers, *self._truths])
        kinds = (F16, F32, I1) if isinstance(x.element, FloatType) else (F32, I1, I32, I64)
        self._insert(CastOp(x=x, to=self._draw(st.sampled_from(kinds))))

    def _lookup(self) -> None:
        x = self._pick([value for value in self._floats if value.tensor.size <= MAX_ELEMENTS])
        if not x.shape:
            self._insert(ExpandOp(x=x, shape=(2,)))
            return
        axis = self._int(0, len(x.shape) - 1)
        size = x.shape[axis]
        indices = self._constant(self._rng.integers(-size, size, self._int(1, 3)))
        self._insert(GatherOp(x=x, indices=indices, axis=axis))
