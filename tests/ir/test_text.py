"""What is printed reads back: the same module, and printed again the same bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.attributes import Attribute, DenseAttr, FloatAttr
from snc.ir.builder import Builder
from snc.ir.compare import difference
from snc.ir.core import Block, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AbsOp
from snc.ir.dialects.spinn2 import ScheduleOp
from snc.ir.dialects.spinn2_tables import TABLES
from snc.ir.location import Location
from snc.ir.parser import parse_module
from snc.ir.printer import print_module, resources
from snc.ir.text import attribute_text
from snc.ir.types import F32, TensorType, Type

from ..strategies import arrays, attributes, locations, modules, names, types

LAW = settings(deadline=None, max_examples=60)
VECTOR = TensorType((2,), F32)

BLOCK = """module {
  func @main(%x: tensor<1x4x4x4x!quant.uniform<i8:f32, 0.5:-3>>) -> tensor<1x2x4x4x!quant.uniform<i8:f32, 0.25:0>> {
    %w = builtin.constant {value = dense<1> : tensor<2x4x1x1xi8>} : () -> tensor<2x4x1x1xi8>
    %y = tile.block %x {core = "conv", tile = [2, 4, 4, 4]} ({
      ^(%a: tensor<1x4x4x4x!quant.uniform<i8:f32, 0.5:-3>>):
      %acc = quant.conv2d %a, %w {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], groups = 1} : \
(tensor<1x4x4x4x!quant.uniform<i8:f32, 0.5:-3>>, tensor<2x4x1x1xi8>) -> tensor<1x2x4x4xi32>
      %0 = quant.rescale %acc {to = !quant.uniform<i8:f32, 0.25:0>, low = -128, high = 127, \
multiplier = dense<[3, 5]> : tensor<2xi32>, shift = dense<4> : tensor<2xi32>, axis = 1} : \
(tensor<1x2x4x4xi32>) -> tensor<1x2x4x4x!quant.uniform<i8:f32, 0.25:0>>
      tile.yield %0 : (tensor<1x2x4x4x!quant.uniform<i8:f32, 0.25:0>>) -> ()
    }) : (tensor<1x4x4x4x!quant.uniform<i8:f32, 0.5:-3>>) -> tensor<1x2x4x4x!quant.uniform<i8:f32, 0.25:0>> loc("/a")
    return %y : tensor<1x2x4x4x!quant.uniform<i8:f32, 0.25:0>>
  }
}
"""
"""Quantised types, a region that uses a value from outside; written as the printer writes it."""


def module_with(attribute: Attribute) -> ModuleOp:
    """A module whose only attribute is this one."""
    module = ModuleOp(body=Block())
    module.attributes["test.value"] = attribute
    return module


def module_of_constant(array: NDArray[Any]) -> ModuleOp:
    body = Block()
    constant = Builder(body).insert(ConstantOp(value=array))
    Builder(body).insert(ReturnOp(values=(constant.out,)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", body=body))
    return module


def reread(module: ModuleOp, *, generic: bool = False) -> ModuleOp:
    """The module after a trip through text; checks that it and its text stay the same."""
    text = print_module(module, generic=generic)
    again = parse_module(text, resources(module))
    assert difference(module, again, locations=True) is None
    assert print_module(again, generic=generic) == text
    return again


class TestRoundTrip:
    @LAW
    @given(modules(), st.booleans())
    def test_of_modules(self, module: ModuleOp, generic: bool) -> None:
        reread(module, generic=generic)

    @LAW
    @given(modules())
    def test_generic_and_pretty_text_are_the_same_module(self, module: ModuleOp) -> None:
        arrays_beside = resources(module)
        pretty, generic = print_module(module), print_module(module, generic=True)
        assert print_module(parse_module(generic, arrays_beside)) == pretty
        assert print_module(parse_module(pretty, arrays_beside), generic=True) == generic

    @LAW
    @given(attributes(), st.booleans())
    def test_of_attributes(self, attribute: Attribute, generic: bool) -> None:
        reread(module_with(attribute), generic=generic)

    @LAW
    @given(types())
    def test_of_types(self, value: Type) -> None:
        assert reread(module_with(value)).attributes["test.value"] == value

    @LAW
    @given(locations(), locations())
    def test_of_locations(self, first: Location, second: Location) -> None:
        module = module_of_constant(np.zeros(2, np.float32))
        module.location, module.main.return_op.location = first, second
        again = reread(module)
        assert (again.location, again.main.return_op.location) == (first, second)

    @LAW
    @given(names())
    def test_of_names_of_functions(self, name: str) -> None:
        body = Block()
        Builder(body).insert(ReturnOp(values=()))
        module = ModuleOp(body=Block())
        Builder(module.body).insert(FuncOp(sym_name=name, body=body))
        reread(module)

    def test_of_regions_and_quantised_types(self) -> None:
        module = parse_module(BLOCK)
        assert print_module(module) == BLOCK
        reread(module, generic=True)

    def test_of_tables(self) -> None:
        rng = np.random.default_rng(0)
        rows: dict[str, Any] = {
            name: np.frombuffer(rng.bytes(3 * dtype.itemsize), dtype) for name, dtype in TABLES.items()
        }
        op = ScheduleOp(
            values=(), machine="m", mapping="optimized", processing_elements=1, sram_bytes=1, dram_bytes=(1,),
            layers=('/a "b"',), offsets=np.arange(40, dtype=np.int32), **rows,
        )  # fmt: skip
        module = ModuleOp(body=Block())
        Builder(module.body).insert(op)
        assert set(resources(module)) == set(resources(reread(module)))
        assert len(resources(module)) == len(TABLES) + 1


class TestFloats:
    @pytest.mark.parametrize("text", ["0.0", "-0.0", "1e+16", "1e-05", "inf", "-inf", "nan", "5e-324", "0.1"])
    def test_print_as_themselves_and_never_as_integers(self, text: str) -> None:
        assert attribute_text(FloatAttr(float(text))) == text
        assert isinstance(reread(module_with(FloatAttr(float(text)))).attributes["test.value"], FloatAttr)


class TestArrays:
    @LAW
    @given(arrays())
    def test_keep_every_bit(self, array: NDArray[Any]) -> None:
        stored = reread(module_with(DenseAttr(array))).attributes["test.value"]
        assert isinstance(stored, DenseAttr)
        assert stored.array.dtype == array.dtype and stored.array.shape == array.shape
        assert stored.array.tobytes() == array.tobytes()

    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 2**32 - 16))
    def test_of_floats_keep_their_bits_in_decimal(self, first: int) -> None:
        """Any 16 neighbouring bit patterns of f32, NaNs left out."""
        array = np.arange(first, first + 16, dtype=np.uint32).view(np.float32)
        array = array[~np.isnan(array)]
        assert not resources(module_with(DenseAttr(array)))
        reread(module_with(DenseAttr(array)))

    def test_of_sixteen_elements_stand_inline_and_of_more_beside_the_text(self) -> None:
        assert not resources(module_of_constant(np.arange(16, dtype=np.int8)))
        assert len(resources(module_of_constant(np.arange(17, dtype=np.int8)))) == 1

    def test_of_one_repeated_value_print_it_once(self) -> None:
        assert "dense<0.5> : tensor<8x3x3x3xf32>" in print_module(module_of_constant(np.full((8, 3, 3, 3), 0.5, "f4")))

    def test_keep_both_zeros_apart(self) -> None:
        assert "dense<[0.0, -0.0]>" in print_module(module_of_constant(np.array([0.0, -0.0], np.float32)))

    def test_of_big_endian_bytes_are_stored_little_endian(self) -> None:
        module = module_of_constant(np.arange(40).astype(">i4"))
        (array,) = resources(reread(module)).values()
        assert array.dtype == np.dtype("<i4") and array.tolist() == list(range(40))

    def test_have_names_that_depend_on_the_content_alone(self) -> None:
        first, same, other = (module_of_constant(np.arange(n, n + 40)) for n in (0, 0, 1))
        assert list(resources(first)) == list(resources(same)) != list(resources(other))


class TestValueNames:
    @LAW
    @given(st.lists(names() | st.sampled_from(["x", "x_1", "1", "_1", "a/b", "a.b"]), min_size=1, max_size=6))
    def test_from_any_hints_read_back(self, hints: list[str]) -> None:
        body = Block([VECTOR], hints[:1])
        value: Value = body.arguments[0]
        for hint in hints:
            op = Builder(body).insert(AbsOp(x=value))
            op.out.hint = hint
            value = op.out
        Builder(body).insert(ReturnOp(values=(value,)))
        module = ModuleOp(body=Block())
        Builder(module.body).insert(FuncOp(sym_name="main", body=body))
        reread(module)

    def test_start_afresh_in_every_function(self) -> None:
        function = "func @{} (%x: tensor<2xf32>) -> tensor<2xf32> {{ return %x : tensor<2xf32> }}"
        module = parse_module(f"module {{ {function.format('f')} {function.format('g')} }}")
        assert print_module(module).count("%x: tensor") == 2


class TestDefaults:
    def test_are_filled_in_where_the_text_leaves_them_out(self) -> None:
        text = """module { func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
            %0 = nn.clamp %x : (tensor<2xf32>) -> tensor<2xf32>  // no limits
            return %0 : tensor<2xf32> } }"""
        assert "nn.clamp %x {low = -inf, high = inf} :" in print_module(parse_module(text))


class TestLocations:
    def test_are_left_out_on_request(self) -> None:
        module = module_of_constant(np.zeros(2))
        module.location = Location(("node",))
        assert "loc(" in print_module(module) and "loc(" not in print_module(module, locations=False)

    def test_are_quoted_as_json(self) -> None:
        module = module_of_constant(np.zeros(2))
        module.location = Location(('a "b"\n\u00e9',))
        assert f"loc({json.dumps(module.location.names[0])})" in print_module(module)


def test_two_thousand_operations_read_back() -> None:
    body = Block([VECTOR], ["x"])
    value: Value = body.arguments[0]
    for index in range(2000):
        op = Builder(body).insert(AbsOp(x=value, location=Location((f"/layer{index}",))))
        value = op.out
    Builder(body).insert(ReturnOp(values=(value,)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", body=body))
    reread(module)
