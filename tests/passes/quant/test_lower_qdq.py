"""Integers instead of floats between dequantize and quantize: the same function up to one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.calibration import SampleCalibration
from snc.ir.core import Value
from snc.ir.diagnostics import ModelError
from snc.ir.dialects import nn, quant
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.quant import DequantizeOp, QuantizeOp
from snc.ir.types import I8, U8, IntegerType
from snc.passes.base import PassContext
from snc.passes.quant.calibrate import Calibrate
from snc.passes.quant.lower_qdq import LowerQdq
from snc.passes.quant.quantize import Quantize
from snc.runtime.interpreter.evaluate import evaluate

from ..nets import Net, after, inputs_of, only, ops_of

MAP = (1, 4, 6, 5)

EXACT_SUMS: Mapping[str, Callable[[Net], Value]] = {
    "conv": lambda net: net(nn.Conv2dOp(x=net.x, weight=net.random(3, 4, 3, 3), bias=net.random(3), pads=(1, 0, 2, 1))),
    "depthwise": lambda net: net(nn.Conv2dOp(x=net.x, weight=net.random(8, 1, 2, 2), groups=4)),
    "conv_relu": lambda net: net(
        nn.ClampOp(x=net(nn.Conv2dOp(x=net.x, weight=net.random(3, 4, 1, 1))), low=0.0, high=math.inf)
    ),
    "add": lambda net: net(nn.AddOp(lhs=net.x, rhs=net.body.arguments[1])),
    "sub": lambda net: net(nn.SubOp(lhs=net.x, rhs=net.body.arguments[1])),
    "mul": lambda net: net(nn.MulOp(lhs=net.x, rhs=net.body.arguments[1])),
    "maximum": lambda net: net(nn.MaximumOp(lhs=net.x, rhs=net.body.arguments[1])),
    "minimum": lambda net: net(nn.MinimumOp(lhs=net.x, rhs=net.body.arguments[1])),
    "add_positions": lambda net: net(nn.AddOp(lhs=net.x, rhs=net.random(1, 4, 6, 5))),
    "mul_rows": lambda net: net(nn.MulOp(lhs=net.random(5), rhs=net.x)),
    "clamp": lambda net: net(nn.ClampOp(x=net.x, low=-0.5, high=1.5)),
    "max_pool": lambda net: net(nn.MaxPool2dOp(x=net.x, kernel=(3, 2), pads=(1, 0, 0, 1), strides=(2, 1))),
    "avg_pool": lambda net: net(nn.AvgPool2dOp(x=net.x, kernel=(3, 2), pads=(1, 0, 0, 1), count_pads=True)),
    "avg_pool_beyond_the_padding": lambda net: net(
        nn.AvgPool2dOp(x=net.x, kernel=(3, 3), pads=(1, 0, 1, 1), strides=(2, 2), ceil=True, count_pads=True)
    ),
    "concat": lambda net: net(nn.ConcatOp(inputs=(net.x, net.body.arguments[1]), axis=1)),
    "concat_constant": lambda net: net(nn.ConcatOp(inputs=(net.random(1, 2, 6, 5), net.x), axis=1)),
    "pad": lambda net: net(nn.PadOp(x=net.x, before=(0, 1, 0, 2), after=(0, 0, 1, 0), value=0.7)),
}
"""Operations that integers of any width compute without a table."""

TABLES: Mapping[str, Callable[[Net], Value]] = {
    "sigmoid": lambda net: net(nn.SigmoidOp(x=net.x)),
    "hard_swish": lambda net: net(nn.HardSwishOp(x=net.x)),
    "prelu": lambda net: net(nn.PReluOp(x=net.x, slope=net.random(4, 1, 1))),
    "affine": lambda net: net(nn.AddOp(lhs=net(nn.MulOp(lhs=net.x, rhs=net.random(4, 1, 1))), rhs=net.random(1))),
    "softmax_rows": lambda net: net(nn.SoftmaxOp(x=net.x, axis=-1)),
    "softmax_channels": lambda net: net(nn.SoftmaxOp(x=net.x, axis=1)),
    "lrn": lambda net: net(nn.LrnOp(x=net.x, size=3, alpha=0.05)),
}
"""Operations that look their results up."""


def quantized(build: Callable[[Net], Value], quantize: Quantize) -> ModuleOp:
    net = Net(MAP, MAP)
    module = net.module(build(net))
    samples = [inputs_of(module, seed) for seed in range(2)]
    return after(module, Calibrate(), quantize, context=PassContext(calibration=SampleCalibration(samples)))


def assert_one_step_apart(module: ModuleOp, lowering: LowerQdq) -> None:
    lowered = after(module, lowering)
    (result,) = module.main.return_op.values
    assert isinstance(result.owner, DequantizeOp)
    step = float(result.owner.scale)
    for seed in range(2):
        inputs = inputs_of(module, seed)
        (expected,), (found,) = evaluate(module, inputs), evaluate(lowered, inputs)
        assert found.shape == expected.shape
        assert float(np.abs(found - expected).max()) <= 1.001 * step


class TestOneStep:
    @pytest.mark.parametrize("rescale", ["multiplier", "float"])
    @pytest.mark.parametrize("activations", ["int", "uint"])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("name", EXACT_SUMS)
    def test_sums_products_and_pools(self, name: str, bits: int, activations: str, rescale: str) -> None:
        module = quantized(EXACT_SUMS[name], Quantize(bits=bits, activations=activations))
        assert_one_step_apart(module, LowerQdq(rescale=rescale))

    @pytest.mark.parametrize("activations", ["int", "uint"])
    @pytest.mark.parametrize("name", TABLES)
    def test_tables_of_8_bits(self, name: str, activations: str) -> None:
        assert_one_step_apart(quantized(TABLES[name], Quantize(activations=activations)), LowerQdq())

    @pytest.mark.parametrize("name", [*EXACT_SUMS, *TABLES])
    def test_shifts_alone(self, name: str) -> None:
        module = quantized({**EXACT_SUMS, **TABLES}[name], Quantize(rescale="shift"))
        assert_one_step_apart(module, LowerQdq(rescale="shift"))
        for op in after(module, LowerQdq(rescale="shift")).walk():
            if isinstance(op, quant.RescaleOp):
                assert (np.frexp(op.multiplier.astype(np.float64))[0] == 0.5).all()

    @pytest.mark.parametrize("name", ["sigmoid", "hard_swish", "prelu", "softmax_rows", "softmax_channels", "lrn"])
    def test_tables_of_16_bits_see_the_upper_8_bits_of_their_input(self, name: str) -> None:
        """Half a step of 8 bits away at the input; none of these functions is steeper than 2.5."""
        module = quantized(TABLES[name], Quantize(bits=16))
        lowered = after(module, LowerQdq())
        inputs = inputs_of(module)
        (expected,), (found,) = evaluate(module, inputs), evaluate(lowered, inputs)
        step_of_8_bits = float(np.ptp(inputs[0])) / 255
        assert float(np.abs(found - expected).max()) <= 2.5 * 0.51 * step_of_8_bits


def qdq(net: Net, x: Value, scale: float, zero_point: int = 0, to: IntegerType = I8) -> Value:
    numbers = np.array(scale, np.float32), np.array(zero_point, np.int32)
    steps = net(QuantizeOp(x=x, scale=numbers[0], zero_point=numbers[1], to=to))
    return net(DequantizeOp(x=steps, scale=numbers[0], zero_point=numbers[1]))


class TestOwnScales:
    @settings(max_examples=40)
    @given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0), st.integers(0, 255), st.integers(0, 255), st.booleans())
    def test_any_scale_and_zero_point(
        self, scale: float, target: float, zero_x: int, zero_y: int, floating: bool
    ) -> None:
        net = Net((1, 3, 4, 4))
        x = qdq(net, net.x, scale, zero_x, U8)
        y = qdq(net, net(nn.AvgPool2dOp(x=x, kernel=(2, 2))), target, zero_y, U8)
        assert_one_step_apart(net.module(y), LowerQdq(rescale="float" if floating else "multiplier"))

    def test_saturation_at_the_zero_point_is_the_activation(self) -> None:
        net = Net((1, 2, 3, 3))
        x = qdq(net, net.x, 0.05, 128, U8)
        y = qdq(net, net(nn.ClampOp(x=x, low=0.0, high=math.inf)), 0.02, 0, U8)
        assert_one_step_apart(net.module(y), LowerQdq())

    def test_an_input_may_be_moved_before_it_is_quantised(self) -> None:
        net = Net((1, 4, 4, 3))
        module = net.module(qdq(net, net(nn.TransposeOp(x=net.x, permutation=(0, 3, 1, 2))), 0.1))
        assert ops_of(after(module, LowerQdq())) == ["quant.quantize", "nn.transpose", "quant.dequantize"]
        assert_one_step_apart(module, LowerQdq())

    def test_a_max_pooling_of_integers_is_taken(self) -> None:
        net = Net((1, 2, 4, 4))
        scale, zero = np.array(0.1, np.float32), np.array(3, np.int32)
        steps = net(QuantizeOp(x=net.x, scale=scale, zero_point=zero, to=I8))
        pooled = net(nn.MaxPool2dOp(x=steps, kernel=(2, 2)))
        module = net.module(net(DequantizeOp(x=pooled, scale=scale, zero_point=zero)))
        assert only(after(module, LowerQdq()), quant.MaxPool2dOp).kernel == (2, 2)


class TestBroadcast:
    @pytest.mark.parametrize(
        ("one", "other", "expanded"),
        [
            ((1, 4, 6, 5), (1, 4, 1, 1), 0),
            ((1, 4, 1, 1), (1, 4, 6, 5), 0),
            ((1, 4, 6, 5), (6, 5), 0),
            ((1, 6, 5), (1, 6, 1), 0),
            ((1, 6, 1), (1, 1, 5), 1),
            ((7, 5), (1, 5), 1),
            ((2, 3, 4), (3, 1), 1),
            ((2, 3, 4), (1,), 0),
        ],
    )
    def test_what_tiles_cannot_follow_is_expanded(
        self, one: tuple[int, ...], other: tuple[int, ...], expanded: int
    ) -> None:
        net = Net(one, other)
        a, b = (qdq(net, argument, 0.1) for argument in net.body.arguments)
        module = net.module(qdq(net, net(nn.AddOp(lhs=a, rhs=b)), 0.2))
        assert_one_step_apart(module, LowerQdq())
        assert ops_of(after(module, LowerQdq())).count("nn.expand") == expanded


class TestRefusal:
    def refusal(self, module: ModuleOp, lowering: LowerQdq | None = None) -> str:
        with pytest.raises(ModelError) as error:
            after(module, lowering or LowerQdq())
        return str(error.value)

    def test_a_batch_of_maps_names_the_remedy(self) -> None:
        net = Net((2, 3, 4, 4))
        x = qdq(net, net.x, 0.1)
        text = self.refusal(net.module(qdq(net, net(nn.MaxPool2dOp(x=x, kernel=(2, 2))), 0.1)))
        assert "a batch of 2 samples" in text and "--shape NAME=1,..." in text

    def test_scales_that_are_no_powers_of_two_where_there_are_shifts_alone(self) -> None:
        net = Net((1, 3, 2, 2))
        moved = net(nn.TransposeOp(x=qdq(net, net.x, 0.1), permutation=(0, 1, 3, 2)))
        text = self.refusal(net.module(qdq(net, moved, 0.07)), LowerQdq(rescale="shift"))
        assert "no power of two" in text and "--rescale multiplier" in text

    def test_every_operation_at_once_and_once_only(self) -> None:
        net = Net((1, 3))
        x = qdq(net, net.x, 0.1)
        first = qdq(net, net(nn.DivOp(lhs=x, rhs=x)), 0.1)
        module = net.module(qdq(net, net(nn.ReduceOp(x=first, kind="prod", axes=(1,))), 0.1))
        with pytest.raises(ModelError) as error:
            after(module, LowerQdq())
        assert [each.message.split()[0] for each in error.value.diagnostics] == ["nn.div", "nn.reduce"]

    def test_the_reason_stands_at_the_operation_and_not_at_what_follows(self) -> None:
        net = Net((1, 3))
        x = qdq(net, net.x, 0.1)
        quotient = net(nn.ClampOp(x=net(nn.DivOp(lhs=x, rhs=x)), low=0.0, high=1.0))
        with pytest.raises(ModelError) as error:
            after(net.module(qdq(net, quotient, 0.1)), LowerQdq())
        (only_one,) = error.value.diagnostics
        assert only_one.message.startswith("nn.div") and "no integer rule" in only_one.found

    def test_tensors_without_elements(self) -> None:
        net = Net((1, 3))
        x = net(nn.SliceOp(x=qdq(net, net.x, 0.1), starts=(0, 0), counts=(1, 0), steps=(1, 1)))
        assert "which has no elements" in self.refusal(net.module(qdq(net, x, 0.1)))

    def test_probabilities_in_absurd_steps(self) -> None:
        net = Net((1, 3))
        module = net.module(qdq(net, net(nn.SoftmaxOp(x=qdq(net, net.x, 0.1), axis=1)), 1e-12))
        assert "probabilities in steps" in self.refusal(module)

    def test_a_sum_whose_scales_lie_too_far_apart(self) -> None:
        net = Net((1, 3))
        x = qdq(net, net.x, 1e20)
        module = net.module(qdq(net, net(nn.AddOp(lhs=x, rhs=x)), 1e-3))
        assert "between scales" in self.refusal(module)
