from __future__ import annotations

import math

import numpy as np
import pytest

from snc.compiler.calibration import SampleCalibration, noise_samples
from snc.ir.diagnostics import ModelError, UsageError
from snc.ir.dialects import nn
from snc.ir.spec import FLOATS
from snc.passes.base import PassContext
from snc.passes.quant.calibrate import ARGUMENT_RANGES, RANGE, Calibrate

from ..nets import Array, Net, after, only


def context(*samples: Array) -> PassContext:
    return PassContext(calibration=SampleCalibration([[sample] for sample in samples]))


class TestRanges:
    def test_min_max_is_what_the_samples_show(self) -> None:
        net = Net((1, 2))
        module = net.module(net(nn.TanhOp(x=net.x)))
        samples = np.array([[-1.0, 0.5]], np.float32), np.array([[0.25, 2.0]], np.float32)
        calibrated = after(module, Calibrate(), context=context(*samples))
        assert FLOATS.decode(calibrated.main.attributes[ARGUMENT_RANGES]) == (-1.0, 2.0)
        found = FLOATS.decode(only(calibrated, nn.TanhOp).attributes[RANGE])
        assert found == pytest.approx((math.tanh(-1.0), math.tanh(2.0)))

    @pytest.mark.parametrize("method", ["percentile", "mse"])
    def test_outliers_are_cut(self, method: str) -> None:
        values = np.random.default_rng(0).standard_normal((1, 20000)).astype(np.float32)
        values[0, 7] = 1000.0
        net = Net(values.shape)
        module = net.module(net(nn.AbsOp(x=net.x)))
        calibrated = after(module, Calibrate(method=method), context=context(values))
        low, high = FLOATS.decode(calibrated.main.attributes[ARGUMENT_RANGES])
        assert -10 < low < 0 < high < 500

    @pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
    def test_no_method_leaves_what_was_seen(self, method: str) -> None:
        values = np.random.default_rng(0).uniform(0.5, 3, (1, 50)).astype(np.float32)
        net = Net(values.shape)
        calibrated = after(net.module(net(nn.AbsOp(x=net.x))), Calibrate(method=method), context=context(values))
        low, high = FLOATS.decode(calibrated.main.attributes[ARGUMENT_RANGES])
        assert 0 <= low <= high <= float(values.max())

    def test_noise_is_the_same_every_time(self) -> None:
        net = Net((1, 3, 4, 4))
        main = net.module(net.x).main
        for one, other in zip(noise_samples(main), noise_samples(main), strict=True):
            np.testing.assert_array_equal(one[0], other[0])


class TestRefusal:
    def test_no_samples(self) -> None:
        net = Net((1, 2))
        with pytest.raises(UsageError, match="--calibrate"):
            after(net.module(net(nn.TanhOp(x=net.x))), Calibrate())

    def test_values_that_are_not_defined_on_the_samples(self) -> None:
        net = Net((1, 2))
        module = net.module(net(nn.LogOp(x=net.x)), net(nn.SqrtOp(x=net.x)), net(nn.ExpOp(x=net.x)))
        with pytest.raises(ModelError, match="NaN or infinite") as error:
            after(module, Calibrate(), context=context(np.array([[-1.0, 2.0]], np.float32)))
        assert len(error.value.diagnostics) == 2
