"""Convolutions and poolings agree with onnxruntime in every combination of window attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.diagnostics import UnsupportedOperator

from .graphs import assert_agrees, normal, run, single

LAW = settings(deadline=None, max_examples=40)


@st.composite
def windows(draw: st.DrawFn, *, rank: int = 2, dilate: bool = True) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A spatial size and window attributes that fit it."""
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) if dilate else 1 for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = tuple(r + draw(st.integers(0, 5)) for r in reach)
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if dilate:
        attributes["dilations"] = dilations
    auto_pad = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    # onnxruntime takes SAME padding only for windows without gaps inside or between them.
    if auto_pad == "NOTSET" or (auto_pad != "VALID" and dilate and max(dilations) > 1):
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    else:
        attributes["auto_pad"] = auto_pad
        attributes["strides"] = [min(pair) for pair in zip(strides, kernel, strict=True)]
    return size, attributes


class TestConv:
    @LAW
    @given(st.data())
    def test_agrees_in_two_dimensions(self, data: st.DataObject) -> None:
        size, attributes = data.draw(windows())
        groups, per_group, filters = (data.draw(st.integers(1, 3)) for _ in range(3))
        seed = data.draw(st.integers(0, 2**16))
        x = normal(seed, data.draw(st.integers(1, 2)), groups * per_group, *size)
        weight = normal(seed + 1, groups * filters, per_group, *attributes["kernel_shape"])
        bias = data.draw(st.sampled_from([None, normal(seed + 2, groups * filters)]))
        proto, inputs = single(
            "Conv", [x, weight, bias], opset=data.draw(st.sampled_from([7, 11, 22])), group=groups, **attributes
        )
        assert_agrees(proto, inputs)

    @LAW
    @given(windows(rank=1))
    def test_agrees_in_one_dimension(self, window: tuple[tuple[int, ...], dict[str, Any]]) -> None:
        size, attributes = window
        proto, inputs = single(
            "Conv", [normal(0, 2, 4, *size), normal(1, 6, 2, *attributes["kernel_shape"])], group=2, **attributes
        )
        assert_agrees(proto, inputs)

    def test_takes_weights_computed_at_run_time(self) -> None:
        proto, inputs = single("Conv", [normal(0, 1, 2, 5, 5), normal(1, 3, 2, 3, 3)], constant_from=2)
        assert_agrees(proto, inputs)

    def test_refuses_three_axes(self) -> None:
        proto, inputs = single("Conv", [normal(0, 1, 1, 4, 4, 4), normal(1, 1, 1, 3, 3, 3)])
        with pytest.raises(UnsupportedOperator, match="more than two axes"):
            run(proto, inputs)


class TestConvTranspose:
    @LAW
    @given(st.data())
    def test_agrees(self, data: st.DataObject) -> None:
        rank = data.draw(st.integers(1, 2))
        kernel = [data.draw(st.integers(2, 3)) for _ in range(rank)]
        strides = [data.draw(st.integers(1, 3)) for _ in range(rank)]
        attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
        form = data.draw(st.sampled_from(["pads", "output_shape", "SAME_UPPER", "SAME_LOWER"]))
        size = [data.draw(st.integers(3, 5)) for _ in range(rank)]
        if form == "pads":
            attributes["pads"] = [data.draw(st.integers(0, 1)) for _ in range(2 * rank)]
            attributes["output_padding"] = [data.draw(st.integers(0, stride - 1)) for stride in strides]
            attributes["dilations"] = [data.draw(st.integers(1, 2)) for _ in range(rank)]
        elif form == "output_shape":
            full = [(n - 1) * s + k for n, s, k in zip(size, strides, kernel, strict=True)]
            attributes["output_shape"] = [extent - data.draw(st.integers(0, 1)) for extent in full]
        else:
            attributes["auto_pad"] = form
            attributes["kernel_shape"] = kernel = [max(k, s) for k, s in zip(kernel, strides, strict=True)]
        groups = data.draw(st.integers(1, 2))
        x, weight = normal(0, 2, 2 * groups, *size), normal(1, 2 * groups, 3, *kernel)
        bias = data.draw(st.sampled_from([None, normal(2, 3 * groups)]))
        proto, inputs = single("ConvTranspose", [x, weight, bias], group=groups, **attributes)
        assert_agrees(proto, inputs)


class TestPool:
    @LAW
    @given(st.data())
    def test_maxima_agree(self, data: st.DataObject) -> None:
        size, attributes = data.draw(windows(rank=data.draw(st.integers(1, 3))))
        if "pads" in attributes:
            attributes["ceil_mode"] = data.draw(st.integers(0, 1))
        proto, inputs = single("MaxPool", [normal(0, 2, 3, *size)], opset=12, **attributes)
        assert_agrees(proto, inputs)

    @LAW
    @given(st.data())
    def test_means_agree(self, data: st.DataObject) -> None:
        size, attributes = data.draw(windows(rank=data.draw(st.integers(1, 3)), dilate=False))
        attributes["count_include_pad"] = data.draw(st.integers(0, 1))
        if "pads" in attributes:
            attributes["ceil_mode"] = data.draw(st.integers(0, 1))
        opset = data.draw(st.sampled_from([11, 19]))
        proto, inputs = single("AveragePool", [normal(0, 2, 3, *size)], opset=opset, **attributes)
        assert_agrees(proto, inputs)

    @LAW
    @given(windows(dilate=False), st.integers(1, 3))
    def test_norms_agree(self, window: tuple[tuple[int, ...], dict[str, Any]], order: int) -> None:
        size, attributes = window
        proto, inputs = single("LpPool", [normal(0, 2, 3, *size)], opset=11, p=order, **attributes)
        assert_agrees(proto, inputs)

    @pytest.mark.parametrize("dtype", [np.int8, np.uint8])
    def test_maxima_of_bytes_agree(self, dtype: type[np.integer[Any]]) -> None:
        x = np.random.default_rng(0).integers(0, 128, (1, 2, 7, 7)).astype(dtype)
        proto, inputs = single("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        assert_agrees(proto, inputs)

    @pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
    def test_global_pooling_agrees(self, op_type: str) -> None:
        proto, inputs = single(op_type, [normal(0, 2, 3, 5, 7)])
        assert_agrees(proto, inputs)

    def test_indices_are_refused_only_when_used(self) -> None:
        proto, inputs = single("MaxPool", [normal(0, 1, 1, 4, 4)], outputs=2, kernel_shape=[2, 2])
        with pytest.raises(UnsupportedOperator, match="indices"):
            run(proto, inputs)
        del proto.graph.output[1]
        assert_agrees(proto, inputs)
