"""The interpreter's kernels against direct loops over their definitions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AvgPool2dOp, BatchNormOp, Conv2dOp, ConvTranspose2dOp, LrnOp, MatMulOp, MaxPool2dOp
from snc.ir.types import tensor_of
from snc.runtime.interpreter import nn
from snc.runtime.interpreter.evaluate import evaluate

Array = NDArray[Any]
LAW = settings(deadline=None, max_examples=60)


def whole(seed: int, *shape: int) -> Array:
    """Small whole numbers in f64, so that sums in any order are equal."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


def arguments(*arrays: Array) -> tuple[Value, ...]:
    return Block([tensor_of(array) for array in arrays]).arguments


def value_of(op: Operation, *arrays: Array) -> Array:
    """The value of an operation whose operands are arguments of one block."""
    return nn.KERNELS[type(op)](op, arrays)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, dilations = draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = tuple(draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4))
    size = tuple(draw(st.integers((k - 1) * d + 1, 8)) for k, d in zip(kernel, dilations, strict=True))
    return {"size": size, "kernel": kernel, "strides": draw(pair), "dilations": dilations, "pads": pads}


def taps(op: Any, i: int, j: int, kernel: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(k, l, row, column) of every tap of the window at (i, j); rows and columns may lie outside."""
    return [
        (
            k,
            m,
            i * op.strides[0] + k * op.dilations[0] - op.pads[0],
            j * op.strides[1] + m * op.dilations[1] - op.pads[1],
        )
        for k, m in itertools.product(range(kernel[0]), range(kernel[1]))
    ]


class TestConv2d:
    @LAW
    @given(windows(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
    def test_equals_direct_loops(
        self, window: dict[str, tuple[int, ...]], batch: int, groups: int, per_group: int, filters: int
    ) -> None:
        x = whole(0, batch, groups * per_group, *window.pop("size"))
        weight = whole(1, groups * filters, per_group, *(kernel := window.pop("kernel")))
        bias = whole(2, groups * filters)
        vx, vw, vb = arguments(x, weight, bias)
        op = Conv2dOp(x=vx, weight=vw, bias=vb, groups=groups, **window)
        expected = np.zeros(op.result.shape)
        for n, o, i, j in np.ndindex(*op.result.shape):
            first = o // filters * per_group
            expected[n, o, i, j] = bias[o] + sum(
                x[n, first + c, row, column] * weight[o, c, k, m]
                for k, m, row, column in taps(op, i, j, kernel)
                for c in range(per_group)
                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
            )
        np.testing.assert_array_equal(value_of(op, x, weight, bias), expected)

    def test_bands_of_rows_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, weight = whole(0, 2, 3, 9, 7), whole(1, 4, 3, 3, 3)
        vx, vw = arguments(x, weight)
        op = Conv2dOp(x=vx, weight=vw, strides=(2, 1), pads=(1, 0, 2, 1))
        at_once = value_of(op, x, weight)
        monkeypatch.setattr(nn, "COLUMN_ELEMENTS", 1)
        np.testing.assert_array_equal(value_of(op, x, weight), at_once)

    def test_half_precision_is_rounded_once(self) -> None:
        x, weight = np.full((1, 512, 1, 1), 0.1, np.float16), np.full((1, 512, 1, 1), 0.1, np.float16)
        vx, vw = arguments(x, weight)
        found = value_of(Conv2dOp(x=vx, weight=vw), x, weight)
        exact = np.float16(512 * float(np.float16(0.1)) ** 2)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, np.full((1, 1, 1, 1), exact))


class TestConvTranspose2d:
    @LAW
    @given(windows(), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), st.integers(0, 1))
    def test_scatters_every_input(
        self, window: dict[str, tuple[int, ...]], groups: int, per_group: int, filters: int, extra: int
    ) -> None:
        kernel = window.pop("kernel")
        x, weight = whole(0, 1, groups * per_group, *window.pop("size")), whole(1, groups * per_group, filters, *kernel)
        vx, vw = arguments(x, weight)
        op = ConvTranspose2dOp(x=vx, weight=vw, groups=groups, output_padding=(extra, 0), **window)
        expected = np.zeros(op.result.shape)
        for c, i, j, f, k, m in itertools.product(
            *(range(n) for n in (x.shape[1], x.shape[2], x.shape[3], filters, kernel[0], kernel[1]))
        ):
            row = i * op.strides[0] + k * op.dilations[0] - op.pads[0]
            column = j * op.strides[1] + m * op.dilations[1] - op.pads[1]
            if 0 <= row < expected.shape[2] and 0 <= column < expected.shape[3]:
                expected[0, c // per_group * filters + f, row, column] += x[0, c, i, j] * weight[c, f, k, m]
        np.testing.assert_array_equal(value_of(op, x, weight), expected)


class TestPool:
    @LAW
    @given(windows(), st.booleans())
    def test_maximum_equals_direct_loops(self, window: dict[str, tuple[int, ...]], ceil: bool) -> None:
        x = whole(0, 1, 2, *window.pop("size"))
        (vx,) = arguments(x)
        op = MaxPool2dOp(x=vx, ceil=ceil, **window)
        expected = np.full(op.result.shape, -np.inf)
        for n, c, i, j in np.ndindex(*op.result.shape):
            for _, _, row, column in taps(op, i, j, op.kernel):
                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                    expected[n, c, i, j] = max(expected[n, c, i, j], x[n, c, row, column])
        np.testing.assert_array_equal(value_of(op, x), expected)

    @LAW
    @given(windows(), st.booleans(), st.booleans())
    def test_mean_equals_direct_loops(self, window: dict[str, tuple[int, ...]], ceil: bool, count_pads: bool) -> None:
        window["dilations"] = (1, 1)
        x = whole(0, 1, 2, *window.pop("size"))
        (vx,) = arguments(x)
        op = AvgPool2dOp(x=vx, ceil=ceil, count_pads=count_pads, **window)
        top, left, bottom, right = op.pads
        expected = np.zeros(op.result.shape)
        for n, c, i, j in np.ndindex(*op.result.shape):
            seen = [(row, column) for _, _, row, column in taps(op, i, j, op.kernel)]
            inside = [(r, q) for r, q in seen if 0 <= r < x.shape[2] and 0 <= q < x.shape[3]]
            padded = [(r, q) for r, q in seen if -top <= r < x.shape[2] + bottom and -left <= q < x.shape[3] + right]
            expected[n, c, i, j] = sum(x[n, c, r, q] for r, q in inside) / len(padded if count_pads else inside)
        np.testing.assert_allclose(value_of(op, x), expected, rtol=1e-15)


class TestMatMul:
    def test_integers_wrap_as_their_type(self) -> None:
        a = np.full((2, 3), 2**31 - 1, np.int32)
        b = np.full((3, 2), 3, np.int32)
        va, vb = arguments(a, b)
        np.testing.assert_array_equal(value_of(MatMulOp(lhs=va, rhs=vb), a, b), np.matmul(a, b))

    def test_large_integers_are_exact(self) -> None:
        a, b = np.full((1, 2), 2**40 + 1, np.int64), np.full((2, 1), 2**20 + 1, np.int64)
        va, vb = arguments(a, b)
        assert value_of(MatMulOp(lhs=va, rhs=vb), a, b).item() == 2 * (2**40 + 1) * (2**20 + 1)


class TestNormalization:
    def test_batch_norm_has_epsilon_inside_the_root(self) -> None:
        x, parameters = whole(0, 2, 3, 4), [np.array([1.0, 2, 3]) for _ in range(4)]
        vx, *values = arguments(x, *parameters)
        op = BatchNormOp(x=vx, scale=values[0], bias=values[1], mean=values[2], variance=values[3], epsilon=0.25)
        scale, bias, mean, variance = (entry.reshape(1, 3, 1) for entry in parameters)
        expected = (x - mean) * scale / np.sqrt(variance + 0.25) + bias
        np.testing.assert_allclose(value_of(op, x, *parameters), expected, rtol=1e-15)

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 50])
    def test_lrn_sums_neighbouring_channels(self, size: int) -> None:
        x = whole(0, 1, 5, 2, 2)
        (vx,) = arguments(x)
        op = LrnOp(x=vx, size=size, alpha=0.5, beta=0.75, bias=2.0)
        expected = np.empty_like(x)
        for c in range(5):
            near = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
            expected[:, c] = x[:, c] / (2.0 + 0.5 / size * np.square(near).sum(axis=1)) ** 0.75
        np.testing.assert_allclose(value_of(op, x), expected, rtol=1e-14)


class TestKernelTable:
    def test_every_compute_operation_has_a_kernel(self) -> None:
        from snc.ir.dialects.nn import COMPUTE_OPS

        assert set(nn.KERNELS) == set(COMPUTE_OPS)

    def test_kernels_run_inside_a_module(self) -> None:
        x, weight = whole(0, 1, 1, 3, 3), whole(1, 1, 1, 2, 2)
        body = Block([tensor_of(x), tensor_of(weight)])
        builder = Builder(body)
        conv = builder.insert(Conv2dOp(x=body.arguments[0], weight=body.arguments[1]))
        builder.insert(ReturnOp(values=(conv.result,)))
        top = Block()
        Builder(top).insert(FuncOp(sym_name="main", body=body))
        assert evaluate(ModuleOp(body=top), [x, weight])[0].shape == (1, 1, 2, 2)
