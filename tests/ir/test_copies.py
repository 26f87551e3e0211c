"""Copies are equal and independent; differences are found and said in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from snc.ir.clone import clone_module
from snc.ir.compare import difference, structurally_equal
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.location import Location
from snc.ir.parser import parse_module
from snc.ir.printer import print_module
from snc.ir.rewriter import Rewriter
from snc.ir.verifier import verify

from ..strategies import modules

TEXT = """module {
  func @main(%x: tensor<2xf32>, %y: tensor<2xf32>) -> tensor<2xf32> {
    %0 = nn.clamp %x {low = 0.0} : (tensor<2xf32>) -> tensor<2xf32> loc("/relu")
    %1 = nn.add %0, %y : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32> loc("/add")
    return %1 : tensor<2xf32>
  }
}
"""


class TestClone:
    @settings(deadline=None, max_examples=40)
    @given(modules())
    def test_is_equal_with_the_same_names(self, module: ModuleOp) -> None:
        copy = clone_module(module)
        verify(copy)
        assert structurally_equal(module, copy, locations=True)
        assert print_module(copy) == print_module(module)

    def test_shares_no_operation_and_no_value(self) -> None:
        module = parse_module(TEXT)
        copy = clone_module(module)
        assert not set(module.walk()) & set(copy.walk())
        Rewriter().replace(next(copy.main.body.ops), copy.main.body.arguments[0])
        assert print_module(module) == print_module(parse_module(TEXT))
        verify(module)

    def test_keeps_regions_that_use_values_from_outside(self) -> None:
        module = parse_module("""module { func @main(%x: tensor<i8>, %y: tensor<i8>) -> tensor<i8> {
          %z = tile.block %x {core = "rows"} ({ ^(%a: tensor<i8>): tile.yield %y : (tensor<i8>) -> () })
            : (tensor<i8>) -> tensor<i8>
          return %z : tensor<i8> } }""")
        copy = clone_module(module)
        verify(copy)
        assert structurally_equal(module, copy)


DIFFERENCES = {
    "operation": ("nn.add %0, %y", "nn.mul %0, %y", r"\(nn.add at /add\): the other is nn.mul"),
    "attribute": ("low = 0.0", "low = -0.0", r"\(nn.clamp at /relu\): attribute low is 0.0 and -0.0"),
    "presence of an attribute": ("low = 0.0", "low = 0.0, a.b = 1", r"only one has the attribute a.b"),
    "operand": ("nn.add %0, %y", "nn.add %y, %0", r"\(nn.add at /add\): operand 0 is another value"),
    "type": ("2x", "3x", r"argument 0 has the types tensor<2xf32> and tensor<3xf32>"),
    "number of arguments": (", %y: tensor<2xf32>)", ", %y: tensor<2xf32>, %z: tensor<2xf32>)", "arguments: 2 and 3"),
    "number of operands": (
        "return %1 : tensor<2xf32>",
        "return %1, %1 : tensor<2xf32>, tensor<2xf32>",
        "1 and 2 operands",
    ),
    "number of operations": (
        "return",
        "%2 = nn.abs %1 : (tensor<2xf32>) -> tensor<2xf32> return",
        "the other is nn.abs",
    ),
}


class TestDifference:
    def test_of_a_module_and_itself_is_none(self) -> None:
        assert difference(parse_module(TEXT), parse_module(TEXT)) is None

    @pytest.mark.parametrize("kind", DIFFERENCES)
    def test_names_the_first_place(self, kind: str) -> None:
        old, new, words = DIFFERENCES[kind]
        text = TEXT.replace(old, new)
        if kind == "number of operands":
            text = text.replace("-> tensor<2xf32> {", "-> (tensor<2xf32>, tensor<2xf32>) {")
        assert text != TEXT
        a, b = parse_module(TEXT), parse_module(text)
        found = difference(a, b)
        assert found is not None and found.startswith("operation ")
        assert re.search(words, found), found
        assert not structurally_equal(a, b) and not structurally_equal(b, a)

    def test_counts_operations_that_only_one_has(self) -> None:
        longer = "module { func @f() -> () { return } func @g() -> () { return } }"
        found = difference(parse_module(longer), parse_module("module { func @f() -> () { return } }"))
        assert found == "operation 1 (builtin.module at <unknown>): 2 and 1 operations in the block"

    def test_is_blind_to_names(self) -> None:
        assert structurally_equal(parse_module(TEXT), parse_module(TEXT.replace("%0", "%renamed")))

    def test_sees_locations_only_when_asked(self) -> None:
        a, b = parse_module(TEXT), parse_module(TEXT)
        b.main.return_op.location = Location(("/end",))
        assert structurally_equal(a, b)
        assert not structurally_equal(a, b, locations=True)
