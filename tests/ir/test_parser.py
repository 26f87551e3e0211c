"""Text that is no module is refused with a located error, whatever is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir import parser, syntax
from snc.ir.context import Context
from snc.ir.diagnostics import ParseError, VerifyError
from snc.ir.dialects.builtin import BUILTIN, ConstantOp, ModuleOp
from snc.ir.parser import parse_module
from snc.ir.printer import print_module, resources
from snc.ir.verifier import verify

from ..strategies import modules

TEXT = """module {
  func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x6x6xf32> {
    %w = builtin.constant {value = dense<0.1> : tensor<4x3x3x3xf32>} : () -> tensor<4x3x3x3xf32>
    %0 = nn.conv2d %x, %w : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32> loc("/conv")
    %1 = nn.clamp %0 {low = 0.0} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32>
    return %1 : tensor<1x4x6x6xf32>
  }
}
"""

MISTAKES = {
    "redefined value": ("%0 =", "%x =", 4, 5, "SNC0303", "%x is already defined"),
    "undefined value": ("%x, %w", "%x, %ww", 4, 24, "SNC0303", "%ww is not defined here[^?]*did you mean %w?"),
    "use before definition": ("%x, %w", "%1, %w", 4, 20, "SNC0303", "%1 is not defined here"),
    "unknown operation": ("nn.clamp", "nn.clmp", 5, 10, "SNC0304", "no operation nn.clmp[^?]*did you mean nn.clamp?"),
    "unknown type": ("(tensor<1x4x6x6xf32>)", "(tensor<1x4x6x6xf31>)", 5, 37, "SNC0304", "there is no type f31"),
    "unknown dialect type": ("(tensor<1x4x6x6xf32>)", "(tensor<1x!a.b<c>>)", 5, 37, "SNC0304", "no type !a.b<c>"),
    "wrong result type": ("-> tensor<1x4x6x6xf32> loc", "-> tensor<1x4x7x7xf32> loc", 4, 29, "SNC0305", "4x6x6"),
    "wrong operand type": (": (tensor<1x4x6x6xf32>)", ": (tensor<4xf32>)", 5, 36, "SNC0305", "the operand types"),
    "wrong number of operands": ("%x, %w :", "%x :", 4, 25, "SNC0305", "operand types"),
    "wrong number of results": ("%0 =", "%0, %y =", 4, 5, "SNC0305", "has 1 results, found 2 names"),
    "wrong kind of attribute": ("low = 0.0", "low = [1]", 5, 10, "SNC0305", r"low: expected a float, found \[1\]"),
    "undeclared attribute": ("low = 0.0", "lo = 0.0", 5, 10, "SNC0305", "'lo' is not declared"),
    "attribute twice": ("low = 0.0", "low = 0.0, low = 1.0", 5, 34, "SNC0301", "low stands twice"),
    "what infer refuses": ("%x, %w :", "%x, %w {groups = 2} :", 4, 10, "SNC0305", "in 2 groups do not fit"),
    "missing brace": ("  }\n}", "  }", 7, 4, "SNC0301", "found: the end"),
    "stray character": ("{low", "?low", 5, 22, "SNC0301", "found: '\\?'"),
    "absent array": ("dense<0.1>", "dense_resource<abc>", 3, 36, "SNC0306", "abc is not at hand"),
    "array of another shape": ("dense<0.1>", "dense<[1.0]>", 3, 36, "SNC0305", r"lists of shape \[4, 3, 3, 3\]"),
    "value outside the type": ("dense<0.1>", "dense<1e39>", 3, 36, "SNC0305", "outside f32"),
    "value of another kind": ("dense<0.1>", "dense<true>", 3, 36, "SNC0305", "expected values of f32, found True"),
    "no return": ("return %1 : tensor<1x4x6x6xf32>", "", 2, 3, "SNC0305", "a function ends with return"),
    "function of another type": ("-> tensor<1x4x6x6xf32> {", "-> () {", 2, 3, "SNC0305", "result types"),
}


def error_of(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse_module(text, name="net.snir")
    return str(caught.value)


class TestMistake:
    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_is_located(self, mistake: str) -> None:
        old, new, line, column, code, message = MISTAKES[mistake]
        assert old in TEXT
        found = error_of(TEXT.replace(old, new))
        assert found.startswith(f"error[{code}]: net.snir, line {line}, column {column}: "), found
        assert re.search(message, found), found

    def test_shows_the_line_with_a_caret(self) -> None:
        lines = error_of(TEXT.replace("%x, %w", "%x, %ww")).splitlines()
        assert lines[1].strip().startswith("%0 = nn.conv2d %x, %ww")
        assert lines[2].index("^") == lines[1].index("%ww")

    def test_in_a_long_line_shows_what_is_around_it(self) -> None:
        lines = error_of(f"module {{ {' ' * 5000} ? {' ' * 5000} }}").splitlines()
        assert len(lines[1]) < 200 and lines[2].index("^") == lines[1].index("?")

    def test_of_a_text_without_module(self) -> None:
        assert "expected a module" in error_of('"builtin.return"() : () -> ()')
        assert "found: the end" in error_of("")

    def test_of_an_operation_outside_the_context(self) -> None:
        with pytest.raises(ParseError, match=r"no operation nn\.conv2d"):
            parse_module(TEXT, context=Context([BUILTIN]))


class TestResources:
    TEXT = "module { %0 = builtin.constant {value = dense_resource<a> : tensor<3xf32>} : () -> tensor<3xf32> }"

    def test_stand_for_their_names(self) -> None:
        array = np.arange(3, dtype=np.float32)
        (op,) = parse_module(self.TEXT, {"a": array}).body.ops
        assert isinstance(op, ConstantOp) and np.array_equal(op.value, array)

    @pytest.mark.parametrize("array", [np.zeros(3), np.zeros(4, "f4"), np.zeros(3, "c8"), np.zeros(3, "i4,i4")])
    def test_of_another_type_are_refused(self, array: NDArray[Any]) -> None:
        with pytest.raises(ParseError, match="the array a is of another type"):
            parse_module(self.TEXT, {"a": array})


class TestScope:
    def test_of_an_isolated_operation_hides_values_outside(self) -> None:
        text = """module {
          %c = builtin.constant {value = dense<1> : tensor<i8>} : () -> tensor<i8>
          func @f() -> tensor<i8> { return %c : tensor<i8> } }"""
        assert "%c is not defined here" in error_of(text)

    def test_of_a_region_ends_with_it(self) -> None:
        text = """module { func @f(%x: tensor<i8>) -> tensor<i8> {
          %y = tile.block %x {core = "rows"} ({ ^(%a: tensor<i8>): tile.yield %a : (tensor<i8>) -> () })
            : (tensor<i8>) -> tensor<i8>
          return %a : tensor<i8> } }"""
        assert "%a is not defined here" in error_of(text)


class TestLimits:
    """Hostile text costs bounded time and memory, and never Python's stack."""

    @pytest.mark.parametrize(
        "text",
        [
            "module { " * 100_000,
            "module attributes {a.b = " + "[" * 100_000,
            "module attributes {a.b = " + "{a = " * 100_000 + "1" + "}" * 100_001,
            'module { "nn.abs"() ' + "({" * 100_000,
            'module attributes {a.b = ["//", i8 // \n' + "[" * 100_000,
        ],
        ids=["modules", "lists", "dictionaries", "regions", "behind comments"],
    )
    def test_deep_nesting_is_refused(self, text: str) -> None:
        assert "nested too deep" in error_of(text)

    def test_nesting_up_to_the_limit_is_read(self) -> None:
        depth = syntax.MAX_NESTING - 2
        module = parse_module(f"module attributes {{a.b = {'[' * depth}{']' * depth}}} {{}}")
        assert print_module(parse_module(print_module(module))) == print_module(module)

    def test_long_text_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(syntax, "MAX_TEXT", 10)
        assert "the text is too long" in error_of(TEXT)

    def test_long_integers_are_refused(self) -> None:
        assert "too many digits" in error_of(f"module attributes {{a.b = {'9' * 10_000}}} {{}}")

    @pytest.mark.parametrize("shape", ["1000000x1000000", "99999999999999999", "0x" + "9x" * 70])
    def test_a_huge_repeated_value_is_refused(self, shape: str) -> None:
        error_of(f"module attributes {{a.b = dense<1> : tensor<{shape.rstrip('x')}xi8>}} {{}}")

    def test_many_large_repeated_values_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parser, "MAX_REPEATED_BYTES", 1000)
        values = ", ".join(["dense<1> : tensor<300xi8>"] * 4)
        assert "repeated value are too large" in error_of(f"module attributes {{a.b = [{values}]}} {{}}")

    def test_huge_shapes_do_not_overflow(self) -> None:
        text = """module { func @f(%x: tensor<f32>) -> () {
          %y = nn.expand %x {shape = [99999999999999999999999999]} : (tensor<f32>) -> tensor<f32>
          return } }"""
        error_of(text)


PIECES = st.sampled_from(
    [
        *(
            "",
            "%",
            "%x",
            "%0",
            "{",
            "}",
            "(",
            ")",
            "[",
            "]",
            "<",
            ">",
            ":",
            ",",
            "=",
            "->",
            "^",
            "@f",
            "1",
            "-1",
            "0.5",
        ),
        *("99999999999999999999", "nan", "inf", "true", '"', '"\\ud800"', "tensor<2xf32>", "tensor<0xi64>", "!quant"),
        *(
            "dense<",
            "dense_resource<a>",
            "loc(",
            "module",
            "func",
            "return",
            "nn.concat",
            "nn.reduce",
            "//",
            "\n",
            "\x00",
        ),
    ]
)


@st.composite
def damaged_texts(draw: st.DrawFn) -> tuple[str, ModuleOp]:
    """The text of a module with a few stretches replaced by pieces of syntax or by other stretches of itself."""
    module = draw(modules())
    text = print_module(module, generic=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 12)))
        other = draw(st.integers(0, len(text)))
        piece = draw(PIECES | st.just(text[other : other + draw(st.integers(0, 30))]))
        text = text[:start] + piece + text[stop:]
    return text, module


def read_or_refused(text: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Reads and verifies; what passes reads back, what does not is refused by the two errors there are for it."""
    try:
        module = parse_module(text, arrays)
        verify(module)
    except (ParseError, VerifyError):
        return
    again = parse_module(print_module(module), resources(module))
    assert print_module(again) == print_module(module)


class TestDamagedText:
    @settings(deadline=None, max_examples=150)
    @given(damaged_texts())
    def test_is_read_or_refused_but_never_fails_otherwise(self, damaged: tuple[str, ModuleOp]) -> None:
        text, module = damaged
        read_or_refused(text, resources(module))

    @settings(deadline=None, max_examples=100)
    @given(st.lists(PIECES, max_size=30).map(" ".join))
    def test_made_of_pieces_is_read_or_refused(self, text: str) -> None:
        read_or_refused(text, {})
