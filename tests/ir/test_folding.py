"""Values that follow from constants are computed, others are not."""

from __future__ import annotations

import numpy as np
import pytest

from snc.ir.builder import Builder
from snc.ir.core import Block, Value
from snc.ir.diagnostics import LimitExceeded
from snc.ir.dialects.builtin import ConstantOp
from snc.ir.dialects.nn import AddOp, Conv2dOp, ExpandOp, GatherOp, NegOp
from snc.ir.folding import MAX_ELEMENTS, ConstantFolder, constant_value
from snc.ir.types import F32, TensorType


def constant(block: Block, *entries: float) -> Value:
    return Builder(block).insert(ConstantOp(value=np.array(entries, np.float32))).result


class TestConstantValue:
    def test_follows_operations_back_to_constants(self) -> None:
        block = Block()
        total = Builder(block).insert(AddOp(lhs=constant(block, 1, 2), rhs=constant(block, 10))).result
        found = constant_value(Builder(block).insert(NegOp(x=total)).result)
        assert found is not None and found.tolist() == [-11, -12]

    def test_is_unknown_behind_an_argument(self) -> None:
        block = Block([TensorType((1,), F32)])
        total = Builder(block).insert(AddOp(lhs=block.arguments[0], rhs=constant(block, 1))).result
        assert constant_value(total) is None
        assert constant_value(block.arguments[0]) is None

    def test_is_unknown_behind_an_operation_without_a_rule(self) -> None:
        block = Block()
        ones = Builder(block).insert(ConstantOp(value=np.ones((1, 1, 2, 2), np.float32))).result
        assert constant_value(Builder(block).insert(Conv2dOp(x=ones, weight=ones)).result) is None

    def test_a_long_chain_needs_no_deep_stack(self) -> None:
        block = Block()
        value = constant(block, 1)
        for _ in range(5000):
            value = Builder(block).insert(NegOp(x=value)).result
        found = constant_value(value)
        assert found is not None and found.tolist() == [1]

    def test_is_computed_once(self) -> None:
        block = Block()
        value = Builder(block).insert(NegOp(x=constant(block, 1))).result
        folder = ConstantFolder()
        assert folder.constant_value(value) is folder.constant_value(value)

    def test_too_large_a_value_is_refused_before_it_is_made(self) -> None:
        block = Block()
        huge = Builder(block).insert(ExpandOp(x=constant(block, 1), shape=(MAX_ELEMENTS + 1,))).result
        with pytest.raises(LimitExceeded, match=str(MAX_ELEMENTS + 1)):
            constant_value(huge)

    def test_what_has_no_value_raises(self) -> None:
        block = Block()
        index = Builder(block).insert(ConstantOp(value=np.array([7]))).result
        taken = Builder(block).insert(GatherOp(x=constant(block, 1), indices=index)).result
        with pytest.raises(ValueError, match="leave an axis"):
            constant_value(taken)
