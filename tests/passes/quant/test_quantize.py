"""Quantised networks stay near the float ones, by a bound that follows from their steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.calibration import SampleCalibration
from snc.compiler.pipelines import graph_pipeline
from snc.ir.core import Value
from snc.ir.diagnostics import ModelError, UsageError
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ConstantOp, ModuleOp
from snc.ir.dialects.quant import DequantizeOp, QuantizeOp, along_axis
from snc.passes.base import PassContext
from snc.passes.pipeline import parse_pipeline
from snc.passes.quant.calibrate import Calibrate
from snc.passes.quant.lower_qdq import LowerQdq
from snc.passes.quant.quantize import Quantize
from snc.runtime.interpreter.evaluate import evaluate

from ...strategies import nn_modules
from ..nets import Array, Net, after, inputs_of, only, ops_of

SCHEMES = st.builds(
    Quantize,
    bits=st.sampled_from((8, 16)),
    activations=st.sampled_from(("int", "uint")),
    rescale=st.sampled_from(("multiplier", "shift")),
)


def calibrated(module: ModuleOp, samples: list[list[Array]]) -> ModuleOp:
    return after(module, Calibrate(), context=PassContext(calibration=SampleCalibration(samples)))


def output_step(module: ModuleOp) -> float:
    (value,) = module.main.return_op.values
    assert isinstance(value.owner, DequantizeOp)
    return float(value.owner.scale)


class TestError:
    @settings(max_examples=60)
    @given(SCHEMES, st.integers(0, 2**32 - 1), st.booleans())
    def test_a_layer_is_off_by_the_rounding_of_its_operands(self, scheme: Quantize, seed: int, conv: bool) -> None:
        """|x' - x| <= one step of x (the rounded zero point may cut off half a step) and |w' - w| <= half a step of w
        give |y' - y| <= sum(|w'| step_x + |x| step_w / 2) + half a step of the sum for the bias + one step of y.
        """
        net = Net((1, 6, 4, 4) if conv else (1, 6))
        net.rng = np.random.default_rng(seed)
        if conv:
            y = net(nn.Conv2dOp(x=net.x, weight=net.random(5, 6, 3, 3), bias=net.random(5)))
        else:
            y = net(nn.AddOp(lhs=net(nn.MatMulOp(lhs=net.x, rhs=net.random(6, 5))), rhs=net.random(5)))
        module = net.module(y)
        sample = inputs_of(module, seed)
        fixed = calibrated(module, [sample])
        fixed = after(fixed, scheme)
        step_x = float(next(op for op in fixed.main.body.ops if isinstance(op, QuantizeOp)).scale)
        layer = only(fixed, nn.Conv2dOp if conv else nn.MatMulOp)
        weight = layer.operands[1].owner
        assert isinstance(weight, DequantizeOp)
        (expected,), (found,) = evaluate(module, sample), evaluate(after(fixed, LowerQdq()), sample)
        axes = (1, 2, 3) if conv else (0,)
        step_w = weight.scale.astype(np.float64)
        real = np.abs(real_weights(weight)).sum(axis=axes)
        terms = float(np.abs(sample[0]).max()) * 6 * (9 if conv else 1)
        bound = real * step_x + terms * step_w / 2 + step_w * step_x + output_step(fixed)
        error = np.abs(found - expected).max(axis=(0, 2, 3) if conv else 0)
        assert (error <= bound).all()

    @settings(max_examples=30)
    @given(nn_modules(), st.sampled_from(("int", "uint")))
    def test_networks_stay_near_the_float_ones(self, module: ModuleOp, activations: str) -> None:
        """Each value is rounded by parts of a step, and a step is the range of its value in 255 parts. Errors of layers
        add up in energy, so some layers cost two steps of the widest value; a wrong scale or zero point costs dozens.
        """
        sample = inputs_of(module)
        float_form = after(module, *parse_pipeline(graph_pipeline()).passes)
        widest = [1e-3]
        (expected,) = evaluate(float_form, sample, observe=lambda _, array: widest.append(float(np.ptp(array))))
        fixed = after(calibrated(float_form, [sample]), Quantize(activations=activations), LowerQdq())
        (found,) = evaluate(fixed, sample)
        assert float(np.sqrt(np.mean((found - expected) ** 2))) <= 4 * max(widest) / 255

    @pytest.mark.parametrize(("build", "times"), [("residual", 100), ("conv", 16), ("dense", 4)])
    def test_16_bits_are_closer_than_8(self, build: str, times: int) -> None:
        """A step of an activation is 256 times smaller; one of a weight as much as 32 bit sums of 16 bit inputs allow:
        6 terms (residual) leave all 16 bits, 54 (conv) 11 bits, 150 (dense) 9 bits.
        """
        errors = []
        for bits in (8, 16):
            module = NETS[build](Net((1, 6, 5, 5)))
            sample = inputs_of(module)
            fixed = after(calibrated(module, [sample]), Quantize(bits=bits), LowerQdq())
            (expected,), (found,) = evaluate(module, sample), evaluate(fixed, sample)
            errors.append(float(np.sqrt(np.mean((found - expected) ** 2))))
        assert 0 < errors[1] < errors[0] / times


def real_weights(op: DequantizeOp) -> Array:
    """The numbers that integer weights stand for."""
    constant = op.x.owner
    assert isinstance(constant, ConstantOp)
    return constant.value * along_axis(op.scale, op.axis, constant.value.ndim)


def _conv(net: Net) -> ModuleOp:
    return net.module(net(nn.Conv2dOp(x=net.x, weight=net.random(5, 6, 3, 3), bias=net.random(5))))


def _dense(net: Net) -> ModuleOp:
    flat = net(nn.ReshapeOp(x=net.x, shape=(1, 150)))
    return net.module(net(nn.MatMulOp(lhs=flat, rhs=net.random(150, 7))))


def _residual(net: Net) -> ModuleOp:
    conv = net(nn.Conv2dOp(x=net.x, weight=net.random(6, 6, 1, 1)))
    return net.module(net(nn.ClampOp(x=net(nn.AddOp(lhs=conv, rhs=net.x)), low=0.0, high=9.0)))


NETS: dict[str, Callable[[Net], ModuleOp]] = {"conv": _conv, "dense": _dense, "residual": _residual}


class TestTypes:
    def quantized(self, net: Net, *results: Value, scheme: Quantize | None = None) -> ModuleOp:
        module = net.module(*results)
        return after(calibrated(module, [inputs_of(module)]), scheme or Quantize())

    def test_inputs_of_a_concat_share_its_scale(self) -> None:
        net = Net((1, 2, 4, 4))
        convs = [net(nn.Conv2dOp(x=net.x, weight=net.constant(np.full((2, 2, 1, 1), gain)))) for gain in (1.0, 5.0)]
        fixed = self.quantized(net, net(nn.ConcatOp(inputs=tuple(convs), axis=1)))
        assert ops_of(after(fixed, LowerQdq())).count("quant.rescale") == 2

    def test_moved_elements_keep_their_scale(self) -> None:
        net = Net((1, 2, 4, 4))
        moved = net(nn.TransposeOp(x=net(nn.MaxPool2dOp(x=net.x, kernel=(2, 2))), permutation=(0, 2, 3, 1)))
        fixed = after(self.quantized(net, moved), LowerQdq())
        assert ops_of(fixed) == ["quant.quantize", "quant.max_pool2d", "nn.transpose", "quant.dequantize"]

    @pytest.mark.parametrize(("activations", "zero_point"), [("int", -128), ("uint", 0)])
    def test_positive_values_use_the_whole_range(self, activations: str, zero_point: int) -> None:
        net = Net((1, 8))
        fixed = self.quantized(net, net(nn.AbsOp(x=net.x)), scheme=Quantize(activations=activations))
        (result,) = fixed.main.return_op.values
        assert isinstance(result.owner, DequantizeOp) and int(result.owner.zero_point) == zero_point

    def test_signed_powers_of_two_are_symmetric(self) -> None:
        net = Net((1, 8))
        fixed = self.quantized(net, net(nn.TanhOp(x=net.x)), scheme=Quantize(rescale="shift"))
        for op in fixed.walk():
            if isinstance(op, QuantizeOp):
                assert int(op.zero_point) == 0 and np.frexp(float(op.scale))[0] == 0.5

    def test_a_sum_cannot_leave_the_accumulator(self) -> None:
        net = Net((1, 4000))
        fixed = self.quantized(net, net(nn.MatMulOp(lhs=net.x, rhs=net.random(4000, 2))), scheme=Quantize(bits=16))
        weight = only(fixed, nn.MatMulOp).rhs.owner
        assert isinstance(weight, DequantizeOp) and isinstance(weight.x.owner, ConstantOp)
        steps = weight.x.owner.value.astype(np.int64)
        assert (np.abs(steps).sum(axis=0) << 16).max() < 2**31


class TestRefusal:
    def test_ranges_that_nobody_measured(self) -> None:
        net = Net((1, 2))
        with pytest.raises(UsageError, match="run calibrate before quantize"):
            after(net.module(net(nn.TanhOp(x=net.x))), Quantize())

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_weights_that_are_not_finite(self, bad: float) -> None:
        net = Net((1, 2))
        y = net(nn.MatMulOp(lhs=net.x, rhs=net.constant([[1.0, bad], [2.0, 3.0]])))
        with pytest.raises(ModelError, match="a constant holds NaN or infinite"):
            after(net.module(y), Quantize())
