from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.ir.types import I8, I16, U8, U16
from snc.passes.quant import numerics
from snc.passes.quant.numerics import Scheme, fixed_multiplier, magnitudes, quantized_weight, slices, weight_scales

SCHEMES = st.builds(Scheme, st.sampled_from((I8, U8, I16, U16)), st.sampled_from((I8, I16)), power_of_two=st.booleans())
BOUNDS = st.floats(-(2.0**100), 2.0**100, width=32)


class TestFixedMultiplier:
    @given(st.floats(2.0**-30, 2.0**30))
    def test_the_ratio_is_met_to_31_significant_bits(self, ratio: float) -> None:
        multiplier, shift = fixed_multiplier(np.array(ratio))
        assert abs(int(multiplier) / 2.0 ** int(shift) / ratio - 1) <= 2.0**-31

    @given(st.floats(2.0**-62, 2.0**23), st.integers(8, 31), st.integers(0, 62))
    def test_multiplier_and_shift_stay_in_their_ranges(self, ratio: float, bits: int, most: int) -> None:
        if ratio >= 2.0 ** (bits - 1):
            return
        multiplier, shift = fixed_multiplier(np.array(ratio), bits=bits, max_shift=most)
        assert 0 <= int(multiplier) < 1 << bits
        assert 0 <= int(shift) <= most
        assert abs(int(multiplier) / 2.0 ** int(shift) - ratio) <= max(ratio * 2.0**-bits, 2.0 ** -(most + 1))

    @given(st.integers(-62, 0))
    def test_a_power_of_two_is_a_shift_alone(self, exponent: int) -> None:
        multiplier, shift = fixed_multiplier(np.array(2.0**exponent))
        assert (int(multiplier), int(shift)) == (1, -exponent)

    def test_a_ratio_of_zero_gives_zero(self) -> None:
        multiplier, _ = fixed_multiplier(np.array(0.0))
        assert int(multiplier) == 0

    @pytest.mark.parametrize("ratio", [2.0**31, 1e300])
    def test_a_ratio_beyond_32_bits_is_an_error(self, ratio: float) -> None:
        with pytest.raises(ValueError, match="does not fit"):
            fixed_multiplier(np.array(ratio))


class TestActivationType:
    @given(SCHEMES, BOUNDS, BOUNDS)
    def test_every_value_of_the_range_is_met_to_one_step(self, scheme: Scheme, one: float, other: float) -> None:
        """Half a step of rounding, and at one end of the range half a step that the rounded zero point cuts off."""
        low, high = min(one, other, 0.0), max(one, other, 0.0)
        kind = scheme.activation_type(low, high)
        for value in (low, high, (low + high) / 2):
            step = np.clip(np.rint(value / kind.scale) + kind.zero_point, kind.storage.low, kind.storage.high)
            error = abs(float(step - kind.zero_point) * kind.scale - value)
            assert error <= kind.scale * 1.001 or high - low < 1e-29

    @given(SCHEMES, BOUNDS, BOUNDS)
    def test_zero_is_exact_and_scales_are_f32(self, scheme: Scheme, one: float, other: float) -> None:
        kind = scheme.activation_type(min(one, other), max(one, other))
        assert kind.storage.low <= kind.zero_point <= kind.storage.high
        assert float(np.float32(kind.scale)) == kind.scale
        if scheme.power_of_two:
            assert np.frexp(kind.scale)[0] == 0.5


class TestWeightScales:
    @given(SCHEMES, st.integers(0, 2**32 - 1), st.floats(-45, 30))
    def test_no_weight_saturates_and_no_sum_overflows(self, scheme: Scheme, seed: int, exponent: float) -> None:
        rng = np.random.default_rng(seed)
        weight = (rng.standard_normal((5, 40)) * 10.0**exponent).astype(np.float32)
        weight[0] = 0
        scales = weight_scales(weight, 0, scheme, np.zeros(5), 1 << 16).astype(np.float64)
        steps = np.abs(weight / scales[:, None])
        assert (scales > 0).all() and np.isfinite(scales).all()
        assert steps.max() <= scheme.weight.high * (1 + 1e-6)
        assert (np.rint(steps).sum(axis=1) * (1 << 16)).max() < 2.0**31
        if scheme.power_of_two:
            assert (np.frexp(scales)[0] == 0.5).all()


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Slices of few elements, so that small arrays have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerics, "SLICE_ELEMENTS", 8)
        yield


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    """Weights of two or four axes, with rows or columns next to each other in memory."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 30)) | st.tuples(*[st.integers(1, 5)] * 4))
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(shape).astype(np.float32)
    return np.asfortranarray(values) if draw(st.booleans()) else values


@pytest.mark.usefixtures("narrow")
class TestSlices:
    @given(weights(), st.integers(0, 1))
    def test_hold_every_index_once_and_none_alone(self, weight: np.ndarray, axis: int) -> None:
        found = [np.arange(weight.shape[axis])[some[axis]] for some in slices(weight, axis)]
        np.testing.assert_array_equal(np.concatenate(found), np.arange(weight.shape[axis]))
        assert min(map(len, found)) >= min(2, weight.shape[axis])

    @given(SCHEMES, weights(), st.integers(0, 1))
    def test_give_the_integers_of_the_whole(self, scheme: Scheme, weight: np.ndarray, axis: int) -> None:
        others = tuple(i for i in range(weight.ndim) if i != axis)
        magnitude = np.abs(weight.astype(np.float64))
        least = np.zeros(weight.shape[axis])
        whole = np.maximum(magnitude.max(axis=others) / scheme.weight.high, magnitude.sum(axis=others) * 255 / 2.0**30)
        if not scheme.power_of_two:
            np.testing.assert_array_equal(weight_scales(weight, axis, scheme, least, 255), whole.astype(np.float32))
        scale = weight_scales(weight, axis, scheme, least, 255)
        steps = np.rint(weight / np.expand_dims(scale.astype(np.float64), others))
        limited = np.clip(steps, -scheme.weight.high, scheme.weight.high)
        np.testing.assert_array_equal(quantized_weight(weight, axis, scale, scheme), limited)


class TestMagnitudes:
    @given(st.sampled_from((np.int8, np.uint8, np.int16)), st.integers(0, 2**32 - 1), st.integers(0, 1))
    def test_are_sums_of_absolute_values(self, kind: type[np.integer], seed: int, axis: int) -> None:
        limits = np.iinfo(kind)
        weight = np.random.default_rng(seed).integers(limits.min, limits.max, (6, 50), kind, endpoint=True)
        weight[0, 0] = limits.min
        np.testing.assert_array_equal(magnitudes(weight, (axis,)), np.abs(weight.astype(np.int64)).sum(axis=axis))
