"""Blocks that map codes to codes, as tables: always the same values, and chosen where they are faster."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.backends.spinn2 import tables
from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import Machine
from snc.backends.spinn2.schedule import schedule
from snc.backends.spinn2.splits import Splits
from snc.backends.spinn2.tables import maps_codes, with_tables
from snc.compiler.pipelines import Spinn2Options
from snc.ir.core import Value
from snc.ir.dialects import quant
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import ClampOp, ConcatOp, Conv2dOp, HardSwishOp
from snc.ir.dialects.quant import UniformType
from snc.ir.dialects.spinn2_tables import Kernel
from snc.ir.dialects.tile import BlockOp
from snc.ir.printer import print_module
from snc.ir.types import I8, U8, IntegerType
from snc.runtime.spinn2.timer import time_program

from ...passes.nets import Net
from .compiling import assert_exact, fixed_point, tiled
from .test_pooling import kernels, machine_with, optimized

Array = NDArray[Any]

TABLE = "table_clocks_per_element"
QUANTIZE = "quantize_clocks_per_element"
SCALE = 1 / 16
"""The scale of all codes."""


def blocks(module: ModuleOp) -> list[BlockOp]:
    """All blocks."""
    return [op for op in module.main.body.ops if isinstance(op, BlockOp)]


def small_machine(**costs: float) -> Machine:
    """A small machine whose ARM cores take so many clocks."""
    return machine_with(costs, qpes=1, pes_per_qpe=4)


def splits_of(machine: Machine) -> Splits:
    """Splits for all PEs of a machine."""
    return Splits.of(machine, clocks_of(machine))


def table_wins(block: BlockOp, _splits: Splits) -> float:
    """Stands for an estimate under which every table is chosen."""
    return 0.0 if [op.name for op in block.chain] == ["quant.table"] else 1.0


def quantized(net: Net, kind: UniformType) -> Value:
    """The codes of the input."""
    scale, zero = np.asarray(kind.scale, np.float32), np.asarray(kind.zero_point, kind.dtype)
    return net(quant.QuantizeOp(x=net.x, scale=scale, zero_point=zero, to=kind.storage))


def dequantized(net: Net, value: Value) -> Value:
    """What codes stand for."""
    kind = quant.uniform(value)
    scale, zero = np.asarray(kind.scale, np.float32), np.asarray(kind.zero_point, kind.dtype)
    return net(quant.DequantizeOp(x=value, scale=scale, zero_point=zero))


@define
class Chain:
    """Draws integer operations, each of which reads the one before it."""

    data: st.DataObject
    net: Net
    value: Value

    def kind(self) -> UniformType:
        """A type of 8 bits."""
        storage = self.data.draw(st.sampled_from((I8, U8)))
        return UniformType(storage, SCALE, self.data.draw(st.integers(storage.low, storage.high)))

    def limits(self, storage: IntegerType) -> dict[str, int]:
        """Limits of a result."""
        low, high = sorted(self.data.draw(st.tuples(*[st.integers(storage.low, storage.high)] * 2)))
        return {"low": low, "high": high}

    def each(self, low: int, high: int, *, own: bool | None = None) -> Array:
        """A number, or one for each channel."""
        shape = (self.value.shape[1],) if own or (own is None and self.data.draw(st.booleans())) else ()
        rng = np.random.default_rng(self.data.draw(st.integers(0, 1 << 16)))
        return np.asarray(rng.integers(low, high + 1, shape), np.int32)

    def target(self) -> dict[str, Any]:
        """The type and the limits of a result."""
        kind = self.kind()
        return {"to": kind, **self.limits(kind.storage)}

    def rescale(self) -> None:
        """Scales the value, which may be sums."""
        wide = 1 << (4 if isinstance(self.value.element, UniformType) else 0)
        if self.data.draw(st.booleans()):
            scale = (self.each(-300, 300) / np.float32(2400 / wide)).astype(np.float32)
            self.value = self.net(quant.RescaleFloatOp(x=self.value, scale=scale, **self.target()))
            return
        multiplier = self.each(-1000 * wide, 1000 * wide)
        shift = np.full(multiplier.shape, self.data.draw(st.integers(0, 16)), np.int32)
        self.value = self.net(quant.RescaleOp(x=self.value, multiplier=multiplier, shift=shift, **self.target()))

    def table(self) -> None:
        """Looks up the value."""
        target = self.target()
        storage = target["to"].storage
        entries = self.each(target["low"], target["high"], own=True)[:1]
        rng = np.random.default_rng(int(entries[0]) - storage.low)
        shape = (self.value.shape[1], 256) if self.data.draw(st.booleans()) else (256,)
        entries = rng.integers(target["low"], target["high"] + 1, shape).astype(storage.dtype)
        self.value = self.net(quant.TableOp(x=self.value, table=entries, **target))

    def square(self) -> None:
        """Multiplies or adds the value and itself."""
        both = {"lhs": self.value, "rhs": self.value, "shift": self.data.draw(st.integers(0, 12)), **self.target()}
        factors = self.data.draw(st.tuples(*[st.integers(-100, 100)] * 2))
        if self.data.draw(st.booleans()):
            self.value = self.net(quant.MulOp(multiplier=factors[0], **both))
        else:
            self.value = self.net(quant.AddOp(multipliers=factors, **both))

    def depthwise(self) -> None:
        """Multiplies each channel by a weight, with or without a bias, and scales the sums."""
        channels = self.value.shape[1]
        weight = self.net.constant(self.each(-127, 127, own=True).reshape(channels, 1, 1, 1), np.int8)
        bias = self.net.constant(self.each(-9000, 9000, own=True), np.int32) if self.data.draw(st.booleans()) else None
        self.value = self.net(quant.Conv2dOp(x=self.value, weight=weight, bias=bias, groups=channels))
        self.rescale()


def drawn_chain(data: st.DataObject) -> ModuleOp:
    """One feature map through a chain of operations that map codes."""
    shape = (1, data.draw(st.integers(2, 12)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    net = Net(shape)
    chain = Chain(data, net, net.x)
    chain.value = quantized(net, chain.kind())
    first = data.draw(st.sampled_from(("depthwise", "rescale", "table", "square")))
    rest = data.draw(st.lists(st.sampled_from(("rescale", "table", "square")), max_size=3))
    for name in (first, *rest):
        getattr(chain, name)()
    return net.module(dequantized(net, chain.value))


def all_tables(module: ModuleOp, machine: Machine) -> ModuleOp:
    """The module with a table for every block that maps codes, whatever it costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_clocks", table_wins)
        return with_tables(module, splits_of(machine))


def rescaled(shape: tuple[int, ...], axis: int) -> ModuleOp:
    """A rescale with parameters along an axis."""
    net = Net(shape)
    kind = UniformType(I8, SCALE, 3)
    multiplier = np.arange(1, shape[axis] + 1, dtype=np.int32) * 40
    shift = np.full(multiplier.shape, 7, np.int32)
    x = quantized(net, kind)
    y = net(quant.RescaleOp(x=x, multiplier=multiplier, shift=shift, axis=axis, to=kind, low=-100, high=90))
    return net.module(dequantized(net, y))


def normalised(channels: int, size: int, *, kernel: int = 1, stride: int = 1, pad: int = 0) -> ModuleOp:
    """A batch normalisation, as a depthwise convolution with a ReLU, before a convolution."""
    net = Net((1, channels, size, size))
    weight = net.random(channels, 1, kernel, kernel)
    strides, pads = (stride, stride), (pad, pad, pad, pad)
    bias = net.random(channels)
    y = net(Conv2dOp(x=net.x, weight=weight, bias=bias, groups=channels, strides=strides, pads=pads))
    y = net(ClampOp(x=y, low=0.0, high=math.inf))
    return net.module(net(Conv2dOp(x=y, weight=net.random(8, channels, 1, 1), bias=net.random(8))))


class TestValues:
    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_a_chain_is_exact_as_tables_and_as_it_is(self, data: st.DataObject) -> None:
        fixed, machine = drawn_chain(data), small_machine()
        module = tiled(fixed, Spinn2Options(), machine)
        assert all(maps_codes(block) for block in blocks(module))
        assert_exact(fixed, optimized(module, machine))
        tabled = all_tables(module, machine)
        assert all([op.name for op in block.chain] == ["quant.table"] for block in blocks(tabled))
        assert_exact(fixed, optimized(tabled, machine))

    @settings(max_examples=20, deadline=None)
    @given(st.data())
    def test_a_net_is_exact_whatever_its_operations_cost(self, data: st.DataObject) -> None:
        channels, size = 4 * data.draw(st.integers(1, 4)), data.draw(st.integers(2, 12))
        net = Net((1, channels, size, size))
        y = net(Conv2dOp(x=net.x, weight=net.random(8, channels, 1, 1), bias=net.random(8)))
        joined = net(ConcatOp(inputs=(net.x, y), axis=1))
        wide = channels + 8
        y = net(Conv2dOp(x=joined, weight=net.random(wide, 1, 1, 1), bias=net.random(wide), groups=wide))
        match data.draw(st.sampled_from(("none", "relu", "table"))):
            case "relu":
                y = net(ClampOp(x=y, low=0.0, high=data.draw(st.sampled_from((2.0, math.inf)))))
            case "table":
                y = net(HardSwishOp(x=y))
        y = net(Conv2dOp(x=y, weight=net.random(8, wide, 3, 3), bias=net.random(8), pads=(1, 1, 1, 1)))
        activations, rescale = (data.draw(st.sampled_from(each)) for each in (("int", "uint"), ("multiplier", "float")))
        options = Spinn2Options(activations=activations, rescale=rescale, bits=data.draw(st.sampled_from((8, 8, 16))))
        machine = small_machine(**{name: data.draw(st.sampled_from((0.5, 4.0, 40.0))) for name in (TABLE, QUANTIZE)})
        fixed = fixed_point(net.module(y), options)
        module = tiled(fixed, options, machine)
        assert_exact(fixed, optimized(module, machine, data.draw(st.integers(0, 1))))
        assert_exact(fixed, optimized(all_tables(module, machine), machine))

    @pytest.mark.parametrize(("shape", "axis"), [((5, 7), 1), ((5, 7), -1), ((5, 7), 0), ((1, 6, 20), 1), ((6, 20), 0)])
    def test_channels_lie_along_any_axis(self, shape: tuple[int, ...], axis: int) -> None:
        fixed, machine = rescaled(shape, axis), small_machine()
        module = all_tables(tiled(fixed, Spinn2Options(), machine), machine)
        (block,) = blocks(module)
        (op,) = block.chain
        assert isinstance(op, quant.TableOp) and op.table.shape == (shape[axis], 256)
        assert_exact(fixed, optimized(module, machine))

    def test_channels_that_are_alike_share_a_table(self) -> None:
        fixed, machine = rescaled((1, 1, 8), 1), small_machine()
        (block,) = blocks(all_tables(tiled(fixed, Spinn2Options(), machine), machine))
        (op,) = block.chain
        assert isinstance(op, quant.TableOp) and op.table.shape == (256,)

    def test_the_module_stays_as_it_was(self) -> None:
        machine = small_machine()
        module = tiled(fixed_point(normalised(8, 8)), Spinn2Options(), machine)
        before = print_module(module)
        assert all_tables(module, machine) is not module
        assert print_module(module) == before


class TestWhichBlocks:
    @staticmethod
    def found(module: ModuleOp, **options: Any) -> list[bool]:
        """For each block, whether it maps codes."""
        chosen = Spinn2Options(**options)
        return [maps_codes(each) for each in blocks(tiled(fixed_point(module, chosen), chosen, small_machine()))]

    def test_a_normalisation_maps_codes_and_a_convolution_does_not(self) -> None:
        assert self.found(normalised(8, 8)) == [True, False]

    @pytest.mark.parametrize("window", [{"kernel": 3}, {"stride": 2}, {"pad": 1}])
    def test_a_window_a_stride_or_padding_does_not(self, window: dict[str, int]) -> None:
        assert self.found(normalised(8, 8, **window)) == [False, False]

    def test_codes_of_16_bits_are_left_alone(self) -> None:
        assert self.found(normalised(8, 8), bits=16) == [False, False]

    def test_a_vector_of_channels_is_left_alone(self) -> None:
        machine = small_machine()
        (block,) = blocks(tiled(rescaled((9,), 0), Spinn2Options(), machine))
        assert not maps_codes(block)


class TestChoice:
    @pytest.mark.parametrize(("table", "chosen"), [(4.0, True), (7.0, True), (9.0, False), (40.0, False)])
    def test_a_large_map_has_tables_where_they_are_cheaper(self, table: float, chosen: bool) -> None:
        machine = small_machine(**{TABLE: table})
        fixed = fixed_point(normalised(8, 48))
        program = optimized(tiled(fixed, Spinn2Options(), machine), machine)
        assert (Kernel.TABLE in kernels(program)) is chosen
        assert (Kernel.DEPTHWISE in kernels(program)) is not chosen
        assert_exact(fixed, program)

    def test_a_small_map_is_not_worth_a_table_for_each_channel(self) -> None:
        machine = small_machine()
        module = tiled(fixed_point(normalised(64, 3)), Spinn2Options(), machine)
        assert with_tables(module, splits_of(machine)) is module

    @settings(max_examples=10, deadline=None)
    @given(st.data())
    def test_a_program_is_never_slower_for_them(self, data: st.DataObject) -> None:
        machine = small_machine(**{TABLE: data.draw(st.sampled_from((1.0, 4.0, 7.5)))})
        net = normalised(4 * data.draw(st.integers(1, 16)), data.draw(st.integers(3, 24)))
        module = tiled(fixed_point(net), Spinn2Options(), machine)
        with_them = optimized(module, machine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snc.backends.spinn2.schedule.with_tables", lambda each, _splits: each)
            without = optimized(module, machine)
        clocks = clocks_of(machine)
        assert time_program(with_them, clocks).total_clocks <= time_program(without, clocks).total_clocks

    @pytest.mark.parametrize("mapping", ["kelber2020", "baseline"])
    def test_the_other_mappings_rescale(self, mapping: str) -> None:
        machine, options = small_machine(), Spinn2Options(mapping=mapping)
        program = schedule(tiled(fixed_point(normalised(8, 48)), options, machine), machine, mapping)
        assert Kernel.TABLE not in kernels(program)
