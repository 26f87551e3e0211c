"""Declarations of operations: how operands split, what attributes take, what a constructor demands."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.ir.attributes import Attribute, DenseAttr, DictAttr, FloatAttr, IntAttr, StringAttr, SymbolAttr
from snc.ir.constraints import ANY_TENSOR, FLOAT_TENSOR, INTEGER_TENSOR, element, ranked
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import ConstantOp
from snc.ir.dialects.nn import ClampOp, Conv2dOp, MaxPool2dOp
from snc.ir.spec import (
    BOOL,
    DENSE,
    DICT,
    FLOAT,
    FLOATS,
    INT,
    INTS,
    STR,
    STRS,
    SYMBOL,
    TYPE,
    Codec,
    attribute,
    choice,
    ints,
    operand,
    operands,
    result,
)
from snc.ir.types import F32, I8, FloatType, IntegerType, TensorType, Type

VECTOR = TensorType((2,), F32)


class MiddleOp(Operation):
    """A variadic operand between two single ones."""

    name: ClassVar[str] = "test.middle"
    first: Value = operand()
    many: tuple[Value, ...] = operands()
    last: Value = operand()
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.first.type,)


class MaybeOp(Operation):
    """An optional operand before a required one, attributes with and without defaults."""

    name: ClassVar[str] = "test.maybe"
    maybe: Value | None = operand(default=None)
    last: Value = operand()
    count: int = attribute(INT)
    scale: float = attribute(FLOAT, default=1.0)
    note: str | None = attribute(STR, default=None)

    def infer(self) -> tuple[Type, ...]:
        return ()


def values(count: int) -> tuple[Value, ...]:
    return Block([VECTOR] * count).arguments


class TestOperands:
    @given(st.integers(0, 4))
    def test_variadic_ones_take_what_single_ones_leave(self, count: int) -> None:
        first, *many, last = values(count + 2)
        op = MiddleOp(first=first, many=tuple(many), last=last)
        assert op.operands == (first, *many, last)
        assert (op.first, op.many, op.last) == (first, tuple(many), last)

    def test_optional_one_is_none_when_absent(self) -> None:
        one, two = values(2)
        assert (MaybeOp(last=two, count=1).maybe, MaybeOp(last=two, count=1).last) == (None, two)
        assert (MaybeOp(maybe=one, last=two, count=1).maybe, MaybeOp(maybe=one, last=two, count=1).last) == (one, two)

    def test_remember_each_use_in_order(self) -> None:
        (x,) = values(1)
        first, second = MiddleOp(first=x, many=(), last=x), ClampOp(x=x)
        assert x.uses == ((first, 0), (first, 1), (second, 0))
        assert x.users == (first, second)

    def test_cannot_be_assigned(self) -> None:
        (x,) = values(1)
        with pytest.raises(AttributeError, match="set_operand"):
            ClampOp(x=x).x = x

    def test_required_one_must_be_given(self) -> None:
        with pytest.raises(TypeError, match=r"nn\.clamp needs the operand x"):
            ClampOp()  # type: ignore[call-arg]

    def test_at_most_one_field_is_optional_or_variadic(self) -> None:
        with pytest.raises(TypeError, match="at most one optional or variadic operand, found a, b"):
            type("TwoOp", (Operation,), {"a": operand(default=None), "b": operands()})


class TestAttributes:
    def test_defaults_are_stored_and_absent_optional_ones_are_not(self) -> None:
        op = MaybeOp(last=values(1)[0], count=3)
        assert op.attributes == {"count": IntAttr(3), "scale": FloatAttr(1.0)}
        assert (op.count, op.scale, op.note) == (3, 1.0, None)

    def test_created_from_flat_parts_have_the_same_defaults(self) -> None:
        (x,) = values(1)
        assert ClampOp.create([x], {}).attributes == ClampOp(x=x).attributes

    def test_without_default_must_be_given(self) -> None:
        with pytest.raises(TypeError, match=r"test\.maybe needs the attribute count"):
            MaybeOp(last=values(1)[0])  # type: ignore[call-arg]

    def test_unknown_names_are_refused(self) -> None:
        with pytest.raises(TypeError, match="has no field colour"):
            MaybeOp(last=values(1)[0], count=1, colour=2)  # type: ignore[call-arg]

    def test_are_inherited_before_own_ones(self) -> None:
        assert [entry.name for entry in MaxPool2dOp.spec.attributes] == [
            *("strides", "pads", "dilations", "kernel", "ceil"),
        ]

    def test_float_zeros_differ_and_nans_are_equal(self) -> None:
        assert FloatAttr(0.0) != FloatAttr(-0.0)
        assert FloatAttr(float("nan")) == FloatAttr(-math.nan)
        assert hash(FloatAttr(float("nan"))) == hash(FloatAttr(math.nan))


CODECS: list[tuple[Codec[Any], Any, Attribute]] = [
    (INT, 3, StringAttr("3")),
    (BOOL, True, IntAttr(1)),
    (FLOAT, 0.5, IntAttr(1)),
    (STR, "a", SymbolAttr("a")),
    (SYMBOL, "a", StringAttr("a")),
    (INTS, (1, 2), IntAttr(1)),
    (FLOATS, (0.5, 1.0), FloatAttr(0.5)),
    (STRS, ("a", ""), StringAttr("a")),
    (TYPE, VECTOR, StringAttr("tensor<2xf32>")),
    (DICT, DictAttr((("a", IntAttr(1)),)), IntAttr(1)),
    (DENSE, np.arange(3), IntAttr(1)),
]


class TestCodec:
    @pytest.mark.parametrize(("codec", "value", "wrong"), CODECS, ids=lambda entry: getattr(entry, "kind", ""))
    def test_reads_back_what_it_stored_and_refuses_another_kind(
        self, codec: Codec[Any], value: Any, wrong: Attribute
    ) -> None:
        assert np.array_equal(codec.decode(codec.encode(value)), value)
        with pytest.raises(TypeError, match=r"expected .*, found "):
            codec.decode(wrong)

    def test_choice_takes_its_words_only(self) -> None:
        assert choice("a", "b").check("b") is None
        assert choice("a", "b").check("c") == "expected one of a, b, found 'c'"

    def test_ints_counts_and_bounds(self) -> None:
        codec = ints(2, low=0)
        assert codec.check((0, 5)) is None
        assert codec.check((1,)) == "expected 2 integers, found 1"
        assert codec.check((1, -1)) == "expected integers of at least 0, found [1, -1]"

    def test_arrays_are_read_only(self) -> None:
        stored = ConstantOp(value=np.zeros(3)).value
        with pytest.raises(ValueError, match="read-only"):
            stored[0] = 1

    def test_arrays_are_compared_by_type_shape_and_bytes(self) -> None:
        assert DenseAttr(np.array([math.nan])) == DenseAttr(np.array([math.nan]))
        assert DenseAttr(np.zeros(2, "f4")) != DenseAttr(np.zeros(2, "i4"))
        assert DenseAttr(np.zeros((1, 2))) != DenseAttr(np.zeros((2, 1)))
        assert DenseAttr(np.array([0.0])) != DenseAttr(np.array([-0.0]))


class TestConstraint:
    def test_and_or_combine(self) -> None:
        both = FLOAT_TENSOR & ranked(1, 2)
        assert both.check(VECTOR) is None
        assert (
            both.check(TensorType((), F32)) == "expected a tensor of floats, a tensor of rank 1 or 2, found tensor<f32>"
        )
        assert (FLOAT_TENSOR | INTEGER_TENSOR).check(TensorType((), I8)) is None

    def test_looks_at_elements(self) -> None:
        assert element(FloatType, IntegerType).check(VECTOR) is None
        assert element(IntegerType).check(VECTOR) == "expected elements of IntegerType, found tensor<2xf32>"
        assert ANY_TENSOR.check(F32) == "expected a tensor, found f32"


class TestInference:
    def test_gives_the_result_types(self) -> None:
        x, weight = Block([TensorType((1, 3, 8, 8), F32), TensorType((4, 3, 3, 3), F32)]).arguments
        op = Conv2dOp(x=x, weight=weight, strides=(2, 2), pads=(0, 0, 1, 1))
        assert op.out.type == TensorType((1, 4, 4, 4), F32)

    def test_refuses_what_does_not_fit(self) -> None:
        x, weight = Block([TensorType((1, 3, 8, 8), F32), TensorType((4, 2, 3, 3), F32)]).arguments
        with pytest.raises(ValueError, match="do not fit 3 channels"):
            Conv2dOp(x=x, weight=weight)
