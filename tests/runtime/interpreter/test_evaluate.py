"""Running a module: inputs are checked, values observed and freed, outputs independent."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Value
from snc.ir.diagnostics import UsageError
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AbsOp, AddOp, NegOp, ReshapeOp
from snc.ir.types import F32, I64, TensorType
from snc.runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]
VECTOR = TensorType((3,), F32)


def module(body: Block, *results: Value, names: tuple[str, ...] = ()) -> ModuleOp:
    Builder(body).insert(ReturnOp(values=results))
    top = Block()
    Builder(top).insert(FuncOp(sym_name="main", input_names=names, body=body))
    return ModuleOp(body=top)


def vector(*entries: float) -> Array:
    return np.array(entries, np.float32)


class TestInputs:
    @pytest.fixture
    def program(self) -> ModuleOp:
        body = Block([VECTOR, TensorType((), I64)])
        return module(body, body.arguments[0], names=("image", "count"))

    def test_the_number_is_checked(self, program: ModuleOp) -> None:
        with pytest.raises(UsageError, match=r"found: 1\n  expected: 2 \(image, count\)"):
            evaluate(program, [vector(1, 2, 3)])

    def test_every_wrong_input_is_named(self, program: ModuleOp) -> None:
        with pytest.raises(UsageError) as error:
            evaluate(program, [np.zeros(3), np.zeros((1,), np.int64)])
        assert [(entry.node, entry.found) for entry in error.value.diagnostics] == [
            ("image", "shape [3], float64"),
            ("count", "shape [1], int64"),
        ]
        assert error.value.exit_code == 2

    def test_a_fitting_call_is_taken(self, program: ModuleOp) -> None:
        assert evaluate(program, [vector(1, 2, 3), np.array(4)])[0].tolist() == [1, 2, 3]


class TestValues:
    def test_operations_run_in_order(self) -> None:
        body = Block([VECTOR])
        builder = Builder(body)
        one = builder.insert(ConstantOp(value=vector(1, 1, 1))).result
        total = builder.insert(AddOp(lhs=body.arguments[0], rhs=one)).result
        negative = builder.insert(NegOp(x=total)).result
        assert [array.tolist() for array in evaluate(module(body, negative, total), [vector(1, 2, 3)])] == [
            [-2, -3, -4],
            [2, 3, 4],
        ]

    def test_outputs_share_no_memory_with_inputs_or_constants(self) -> None:
        body = Block([VECTOR])
        constant = Builder(body).insert(ConstantOp(value=vector(1, 1, 1))).result
        view = Builder(body).insert(ReshapeOp(x=body.arguments[0], shape=(1, 3))).result
        x = vector(1, 2, 3)
        for array in evaluate(module(body, body.arguments[0], constant, view), [x]):
            array[...] = 9
        assert x.tolist() == [1, 2, 3]
        assert evaluate(module_of_constant(), [])[0].tolist() == [5]

    def test_every_value_is_observed_in_order(self) -> None:
        body = Block([VECTOR])
        doubled = Builder(body).insert(AddOp(lhs=body.arguments[0], rhs=body.arguments[0])).result
        unused = Builder(body).insert(AbsOp(x=doubled)).result
        seen: list[tuple[Value, list[float]]] = []
        evaluate(
            module(body, doubled), [vector(-1, 2, 3)], observe=lambda value, array: seen.append((value, array.tolist()))
        )
        assert seen == [(body.arguments[0], [-1, 2, 3]), (doubled, [-2, 4, 6]), (unused, [2, 4, 6])]

    def test_values_are_freed_after_their_last_use(self) -> None:
        body = Block([VECTOR])
        builder = Builder(body)
        first = builder.insert(NegOp(x=body.arguments[0])).result
        second = builder.insert(NegOp(x=first)).result
        third = builder.insert(NegOp(x=second)).result
        alive: dict[Value, weakref.ref[Array]] = {}
        still_there = []

        def observe(value: Value, array: Array) -> None:
            if value is third:
                gc.collect()
                still_there.extend(alive[earlier]() is not None for earlier in (first, second))
            alive[value] = weakref.ref(array)

        evaluate(module(body, third), [vector(1, 2, 3)], observe=observe)
        assert still_there == [False, True]


def module_of_constant() -> ModuleOp:
    body = Block()
    return module(body, Builder(body).insert(ConstantOp(value=vector(5))).result)
