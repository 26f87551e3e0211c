"""Quantised models: integers agree with onnxruntime bit for bit, or within one step where both round float sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from snc.compiler.onnx.importer import import_model
from snc.ir.diagnostics import ModelError, UnsupportedOperator
from snc.ir.dialects.nn import ClampOp
from snc.ir.dialects.quant import DequantizeOp, QuantizeOp, UniformType

from .graphs import Array, assert_agrees, integers, model, normal, oracle, run, single

X = normal(0, 2, 3, 4, 5)
SIGNS = np.where(np.abs(X) < 0.5, np.copysign(np.float32(0), X), X)
STEP = np.array(0.05, np.float32)
BY_CHANNEL = np.array([0.02, 0.05, 0.1], np.float32)


def zero(number: int, dtype: type[np.integer[Any]] = np.uint8) -> Array:
    return np.array(number, dtype)


def levels(seed: int, *shape: int, dtype: type[np.integer[Any]] = np.uint8) -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, endpoint=True).astype(dtype)


class TestQuantizeLinear:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
    def test_agrees_by_tensor(self, dtype: type[np.integer[Any]]) -> None:
        proto, inputs = single("QuantizeLinear", [X, STEP, zero(7, dtype)], opset=21)
        assert_agrees(proto, inputs)

    def test_agrees_by_channel(self) -> None:
        zeros = np.array([-3, 0, 5], np.int8)
        for opset, axis in ((13, 1), (13, -3)):
            proto, inputs = single("QuantizeLinear", [X, BY_CHANNEL, zeros], opset=opset, axis=axis)
            assert_agrees(proto, inputs)

    def test_has_unsigned_bytes_by_default(self) -> None:
        proto, inputs = single("QuantizeLinear", [X, STEP])
        assert_agrees(proto, inputs)

    def test_refuses_scales_computed_at_run_time(self) -> None:
        proto, inputs = single("QuantizeLinear", [X, STEP, zero(0)], constant_from=2)
        with pytest.raises(UnsupportedOperator, match=r"scale\) is not constant"):
            run(proto, inputs)

    def test_refuses_blocks(self) -> None:
        scale = np.full((2, 3, 4, 1), 0.1, np.float32)
        proto, inputs = single("QuantizeLinear", [X, scale], opset=21, axis=3, block_size=5)
        with pytest.raises(UnsupportedOperator, match="blocked"):
            run(proto, inputs)

    def test_reports_scales_that_are_not_positive(self) -> None:
        proto, inputs = single("QuantizeLinear", [X, np.array(0, np.float32)])
        with pytest.raises(ModelError, match="positive"):
            run(proto, inputs)


class TestDequantizeLinear:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
    def test_agrees_by_tensor(self, dtype: type[np.integer[Any]]) -> None:
        proto, inputs = single("DequantizeLinear", [levels(0, 2, 3, dtype=dtype), STEP, zero(7, dtype)], opset=21)
        assert_agrees(proto, inputs)

    def test_agrees_by_channel_and_for_biases(self) -> None:
        proto, inputs = single("DequantizeLinear", [levels(0, 3, 4, dtype=np.int8), BY_CHANNEL], axis=0)
        assert_agrees(proto, inputs)
        proto, inputs = single("DequantizeLinear", [levels(0, 3, dtype=np.int32), BY_CHANNEL], axis=0)
        assert_agrees(proto, inputs)

    def test_a_pair_of_other_parameters_reads_plain_integers(self) -> None:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "t", "z"], ["y"]),
        ]
        constants = {"s": STEP, "t": np.array(0.1, np.float32), "z": zero(3)}
        assert_agrees(model(nodes, {"x": X}, ["y"], constants), [X])


class TestQLinear:
    @pytest.mark.parametrize("groups", [1, 3])
    def test_convolution_agrees_within_a_step(self, groups: int) -> None:
        weight = levels(1, 3, 3 // groups, 3, 3, dtype=np.int8)
        inputs: list[Array | None] = [
            levels(0, 1, 3, 6, 6), STEP, zero(100), weight, BY_CHANNEL, np.zeros(3, np.int8),
            np.array(6.0, np.float32), zero(120), levels(2, 3, dtype=np.int32) >> 16,
        ]  # fmt: skip
        proto, free = single("QLinearConv", inputs, group=groups, pads=[1, 0, 1, 2], strides=[2, 1])
        ours, theirs = run(proto, free)[0], oracle(proto, free)[0]
        # A sum on the border of two steps may round either way.
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
        assert (ours == theirs).mean() > 0.98

    def test_product_agrees_within_a_step(self) -> None:
        inputs: list[Array | None] = [
            levels(0, 2, 4, 6), STEP, zero(100), levels(1, 2, 6, 5), STEP, zero(90), np.array(0.3, np.float32), zero(80)
        ]  # fmt: skip
        proto, free = single("QLinearMatMul", inputs)
        ours, theirs = run(proto, free)[0], oracle(proto, free)[0]
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
        assert (ours == theirs).mean() > 0.98

    def test_integer_operators_are_exact(self) -> None:
        proto, inputs = single("ConvInteger", [levels(0, 1, 3, 6, 6), levels(1, 4, 3, 3, 3), zero(7), zero(9)])
        assert_agrees(proto, inputs)
        proto, inputs = single(
            "MatMulInteger", [levels(0, 4, 6), levels(1, 6, 5, dtype=np.int8), zero(7), zero(-3, np.int8)]
        )
        assert_agrees(proto, inputs)

    @pytest.mark.parametrize("x", [X, np.abs(X), -np.abs(X)], ids=["both signs", "positive", "negative"])
    def test_dynamic_quantization_agrees(self, x: Array) -> None:
        proto, inputs = single("DynamicQuantizeLinear", [x], outputs=3)
        assert_agrees(proto, inputs)


class TestMovement:
    @pytest.mark.parametrize(
        ("op_type", "more", "attributes"),
        [
            ("MaxPool", (), {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}),
            ("Transpose", (), {"perm": [0, 2, 3, 1]}),
            ("Reshape", (integers(2, -1),), {}),
            ("Pad", (integers(0, 0, 1, 1, 0, 0, 1, 1), zero(9)), {}),
            ("Flatten", (), {}),
            ("Slice", (integers(1), integers(3), integers(2)), {}),
        ],
    )
    def test_keeps_the_quantised_type(self, op_type: str, more: tuple[Array, ...], attributes: dict[str, Any]) -> None:
        names = [f"c{index}" for index in range(len(more))]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node(op_type, ["q", *names], ["r"], **attributes),
            helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ]
        constants = {"s": STEP, "z": zero(3), **dict(zip(names, more, strict=True))}
        proto = model(nodes, {"x": X}, ["y"], constants)
        last = next(op for op in import_model(proto).main.body.ops if isinstance(op, DequantizeOp))
        assert isinstance(last.x.element, UniformType)
        assert_agrees(proto, [X])

    def test_fewer_bits_are_clamped_before_rounding(self) -> None:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("Clip", ["q", "low", "high"], ["r"]),
            helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ]
        constants = {"s": STEP, "z": zero(1, np.int8), "low": zero(-8, np.int8), "high": zero(7, np.int8)}
        proto = model(nodes, {"x": X}, ["y"], constants)
        assert any(
            isinstance(op, ClampOp) and isinstance(op.result.uses[0][0], QuantizeOp)
            for op in import_model(proto).main.body.ops
        )
        assert_agrees(proto, [X])


class TestQuant:
    """QONNX's Quant against its definition."""

    @staticmethod
    def proto(x: Array, scale: Array, bits: int, *, constant: bool = False, **attributes: Any) -> onnx.ModelProto:
        node = helper.make_node("Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general", **attributes)
        fixed = {"s": scale, "z": np.zeros((), np.float32), "b": np.array(bits, np.float32)}
        free = {"e": normal(0, 1)} if constant else {"x": x}
        constants = {**fixed, "x": x} if constant else fixed
        return model([node], free, ["y"], constants, domains={"qonnx.custom_op.general": 1})

    @staticmethod
    def expected(x: Array, scale: Array, bits: int, signed: int, narrow: int) -> Array:
        low = -(2 ** (bits - 1)) + narrow if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        return (np.clip(np.round(x / scale), low, high) * scale).astype(np.float32)

    @pytest.mark.parametrize("bits", [2, 4, 8])
    @pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0)])
    def test_equals_its_definition(self, bits: int, signed: int, narrow: int) -> None:
        for scale in (np.array(0.25, np.float32), np.array([0.25, 0.5, 1], np.float32).reshape(1, 3, 1, 1)):
            proto = self.proto(X * 4, scale, bits, signed=signed, narrow=narrow)
            np.testing.assert_array_equal(run(proto, [X * 4])[0], self.expected(X * 4, scale, bits, signed, narrow))

    def test_wide_constants_are_computed(self) -> None:
        proto = self.proto(X, np.array(2.0**-16, np.float32), 32, constant=True, signed=1, narrow=0)
        found = run(proto, [normal(0, 1)])[0]
        np.testing.assert_array_equal(found, self.expected(X, np.array(2.0**-16, np.float32), 32, 1, 0))

    @pytest.mark.parametrize(
        ("bits", "attributes", "reason"),
        [(16, {}, "more than 8 bits"), (1, {}, "bit width"), (8, {"rounding_mode": "CEIL"}, "rounding mode")],
    )
    def test_refusals_name_the_reason(self, bits: int, attributes: dict[str, str], reason: str) -> None:
        with pytest.raises(UnsupportedOperator, match=reason):
            import_model(self.proto(X, STEP, bits, **attributes))


class TestBipolarQuant:
    """QONNX's BipolarQuant against its definition: scale from 0 on, -scale below."""

    @staticmethod
    def proto(scale: Array, *, constant: bool = False) -> onnx.ModelProto:
        node = helper.make_node("BipolarQuant", ["x", "s"], ["y"], domain="qonnx.custom_op.general")
        free, constants = ({"e": X}, {"s": scale, "x": SIGNS}) if constant else ({"x": X}, {"s": scale})
        return model([node], free, ["y"], constants, domains={"qonnx.custom_op.general": 1})

    @pytest.mark.parametrize("scale", [STEP, np.array([0.25, 0.5, 1], np.float32).reshape(1, 3, 1, 1)])
    def test_equals_its_definition_zeros_of_both_signs_included(self, scale: Array) -> None:
        expected = np.where(SIGNS >= 0, scale, -scale).astype(np.float32)
        np.testing.assert_array_equal(run(self.proto(scale), [SIGNS])[0], expected)
        np.testing.assert_array_equal(run(self.proto(scale, constant=True), [X])[0], expected)

    @pytest.mark.parametrize(("scale", "reason"), [(-STEP, "above 0"), (np.ones((7, 1, 1, 1, 1), np.float32), "fit")])
    def test_refusals_name_the_reason(self, scale: Array, reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            import_model(self.proto(scale))
