"""Pipelines as text: `fold-constants,quantize{bits=8 rescale=multiplier}`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import lark

from ..ir.diagnostics import Diagnostic, ParseError, SncError, UsageError
from .base import Pass
from .manager import PassManager
from .registry import PASSES, did_you_mean, load

MAX_TEXT = 1 << 16
"""Longest pipeline text, in characters."""
MAX_PASSES = 1000
"""Most passes in a pipeline, aliases expanded."""

_WORDS = {
    "NAME": "a name",
    "VALUE": "a value",
    "COMMA": "','",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "EQUAL": "'='",
    "$END": "the end",
}


@cache
def _parser() -> lark.Lark:
    return lark.Lark.open("pipeline.lark", rel_to=__file__, parser="lalr", propagate_positions=True)


def parse_pipeline(text: str, *, aliases: Mapping[str, str] = {}) -> PassManager:
    """The manager that runs the passes of `text`.

    `aliases` maps a name to the pipeline text that it stands for, which may use other aliases. Raises ParseError,
    which names line and column, for text that is no pipeline, a name that is neither a pass nor an alias, and an
    option that the pass does not take; aliases that use each other in a circle raise UsageError.
    """
    return PassManager(_Reader(aliases).passes(text, ()))


def parse_pass(text: str) -> Pass:
    """The one pass that `text` describes; raises ParseError like `parse_pipeline`."""
    passes = _Reader({}).passes(text, ())
    if len(passes) != 1:
        raise _error(f"expected one pass, found {len(passes)}", 1, 1, ())
    return passes[0]


class _Reader:
    """Turns pipeline text into passes; `within` is the chain of aliases around the text."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = aliases

    def passes(self, text: str, within: tuple[str, ...]) -> tuple[Pass, ...]:
        if len(text) > MAX_TEXT:
            raise _error(f"a pipeline has at most {MAX_TEXT} characters, found {len(text)}", 1, 1, within)
        found: list[Pass] = []
        for step in _tree(text, within).children:
            if isinstance(step, lark.Tree):
                found.extend(self._step(step, within))
            if len(found) > MAX_PASSES:
                raise _error(f"a pipeline has at most {MAX_PASSES} passes", 1, 1, within)
        return tuple(found)

    def _step(self, step: lark.Tree[lark.Token], within: tuple[str, ...]) -> tuple[Pass, ...]:
        name, *options = step.children
        assert isinstance(name, lark.Token)
        given = [entry for entry in options if isinstance(entry, lark.Tree)]
        if name in self.aliases:
            if name in within:
                circle = " -> ".join([*within[within.index(name) :], name])
                raise UsageError(Diagnostic("SNC0365", f"the pipeline {name} uses itself: {circle}"))
            if given:
                raise _located(f"{name} is a pipeline and takes no options", given[0].children[0], within)
            return self.passes(self.aliases[name], (*within, name))
        return (self._pass(name, given, within),)

    def _pass(self, name: lark.Token, given: list[lark.Tree[lark.Token]], within: tuple[str, ...]) -> Pass:
        if name not in PASSES:
            hint = did_you_mean(name, {**PASSES, **self.aliases})
            raise _located(f"there is no pass {name}", name, within, hint, code="SNC0362")
        pass_class = load(name)
        known = {entry.name: entry for entry in pass_class.options()}
        values: dict[str, object] = {}
        for entry in given:
            key, text = entry.children
            assert isinstance(key, lark.Token)
            if key not in known:
                hint = did_you_mean(key, known) if known else f"{name} takes no options"
                raise _located(f"{name} has no option {key}", key, within, hint, code="SNC0363")
            if known[key].attribute in values:
                raise _located(f"option {key} of {name} stands twice", key, within, code="SNC0363")
            try:
                values[known[key].attribute] = known[key].parse(str(text))
            except ValueError as error:
                help_text = known[key].help
                raise _located(f"option {key} of {name}: {error}", key, within, help_text, code="SNC0364") from None
        try:
            return pass_class(**values)
        except SncError as error:
            raise _located(error.diagnostics[0].message, name, within, code="SNC0364") from None


def _tree(text: str, within: tuple[str, ...]) -> lark.Tree[lark.Token]:
    try:
        return _parser().parse(text)
    except lark.UnexpectedToken as error:
        expected = " or ".join(sorted(_WORDS.get(name, name) for name in error.accepts or error.expected))
        if error.token.type == "$END":
            lines = text.split("\n")
            raise _error(f"expected {expected}, found the end", len(lines), len(lines[-1]) + 1, within) from None
        raise _error(f"expected {expected}, found {str(error.token)!r}", error.line, error.column, within) from None
    except lark.UnexpectedCharacters as error:
        raise _error(f"unexpected {error.char!r}", error.line, error.column, within) from None


def _located(
    message: str, token: object, within: tuple[str, ...], help: str = "", *, code: str = "SNC0361"
) -> ParseError:
    assert isinstance(token, lark.Token)
    return _error(message, token.line or 1, token.column or 1, within, help, code=code)


def _error(
    message: str, line: int, column: int, within: tuple[str, ...], help: str = "", *, code: str = "SNC0361"
) -> ParseError:
    where = f"pipeline {within[-1]}" if within else "pipeline"
    return ParseError(Diagnostic(code, message, help=help, node=f"{where}, line {line}, column {column}"))
