"""What a pass is: a frozen record with a name, options as fields, and one method that rewrites a module."""

from __future__ import annotations

import json
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import attrs
from attrs import define, field, frozen

from ..ir.core import Value
from ..ir.diagnostics import Diagnostic, UsageError
from ..ir.dialects.builtin import ModuleOp

NONE = "none"
_BARE_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_INTEGER = re.compile(r"-?[0-9]+")
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a word or a string in double quotes",
    tuple: "a list of integers such as [1,2]",
}


class Calibration(Protocol):
    """Value ranges seen on sample inputs; made by whoever runs the passes, since passes cannot run a network."""

    def ranges(self, module: ModuleOp, method: str) -> Mapping[Value, tuple[float, float]]:
        """The least and greatest value of each float value of `module`, as the statistical `method` sees them."""


@define
class PassContext:
    """What a pipeline run brings along and carries away.

    `calibration` is None when the caller has no samples. Passes append to `warnings` what the user should know.
    """

    calibration: Calibration | None = None
    warnings: list[Diagnostic] = field(factory=list)


def option(
    default: Any,
    *,
    help: str,
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field of a pass that its text form shows: int, float, bool, str or tuple[int, ...], each possibly None.

    `choices` lists the only values allowed; `low` and `high` bound a number, or every entry of a tuple.
    """
    return attrs.field(
        default=default, kw_only=True, metadata={"help": help, "choices": choices, "low": low, "high": high}
    )


@frozen
class Option:
    """An option of a pass class; `name` is its kebab-case spelling in text, `attribute` that of the field."""

    name: str
    attribute: str
    kind: type
    optional: bool
    default: Any
    help: str
    choices: tuple[Any, ...]
    low: float | None
    high: float | None

    @property
    def expected(self) -> str:
        """What a value must look like, in words."""
        if self.choices:
            words = [self.print(choice) for choice in self.choices]
            return f"one of {', '.join(words)}"
        bounds = [f"at least {self.low:g}"] if self.low is not None else []
        bounds += [f"at most {self.high:g}"] if self.high is not None else []
        text = " ".join([_KINDS[self.kind], *([" and ".join(bounds)] if bounds else [])])
        return f"{text}, or {NONE}" if self.optional else text

    def check(self, value: object) -> None:
        """Raises ValueError when the option cannot have this value."""
        if value is None:
            fits = self.optional
        elif self.choices:
            fits = value in self.choices
        elif self.kind is tuple:
            fits = isinstance(value, tuple) and all(type(entry) is int and self._in_bounds(entry) for entry in value)
        elif self.kind in (int, float):
            accepted = (int, float) if self.kind is float else (int,)
            fits = isinstance(value, accepted) and not isinstance(value, bool) and self._in_bounds(value)
        else:
            fits = isinstance(value, self.kind)
        if not fits:
            raise ValueError(f"expected {self.expected}, found {value!r}")

    def _in_bounds(self, number: float) -> bool:
        if math.isnan(number):
            return False
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    def print(self, value: Any) -> str:
        """The text of a value."""
        if value is None:
            return NONE
        if self.kind is tuple:
            return f"[{','.join(map(str, value))}]"
        if self.kind is bool:
            return "true" if value else "false"
        if self.kind is str:
            return value if _BARE_WORD.fullmatch(value) and value != NONE else json.dumps(value)
        return repr(self.kind(value))

    def parse(self, text: str) -> Any:
        """The value that `text` stands for; raises ValueError when it is none that the option can have."""
        value = None if text == NONE and self.optional else self._parse_present(text)
        self.check(value)
        return value

    def _parse_present(self, text: str) -> Any:
        try:
            if self.kind is str:
                return json.loads(text) if text.startswith('"') else text
            if self.kind is tuple and text.startswith("[") and text.endswith("]"):
                inside = text[1:-1].strip()
                return tuple(_integer(entry.strip()) for entry in inside.split(",")) if inside else ()
            if self.kind is bool:
                return {"true": True, "false": False}[text]
            if self.kind is int:
                return _integer(text)
            if self.kind is float:
                return float(text)
        except (ValueError, KeyError):
            pass
        raise ValueError(f"expected {self.expected}, found {text}")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


@frozen
class Pass:
    """Base of all passes.

    A subclass is an `attrs.frozen` class with a docstring that states what stays equal, a kebab-case `name`, and
    options declared through `option`. `str(p)` is `name{key=value key2=value2}` with the options that differ from
    their defaults, and parsing it gives an equal pass.
    """

    name: ClassVar[str] = ""
    idempotent: ClassVar[bool] = False
    """A second run right after the first changes nothing."""
    establishes: ClassVar[str | None] = None
    """The stage (see legality.py) whose legality list holds for the module after the pass."""

    def __attrs_post_init__(self) -> None:
        for entry in self.options():
            try:
                entry.check(getattr(self, entry.attribute))
            except ValueError as error:
                raise UsageError(
                    Diagnostic("SNC0364", f"option {entry.name} of {self.name}: {error}", help=entry.help)
                ) from None

    def run(self, module: ModuleOp, context: PassContext) -> None:
        """Rewrites `module` in place; raises an SncError for a model that cannot be taken."""
        raise NotImplementedError

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """The options in the order of their fields."""
        return _options(cls)

    def __str__(self) -> str:
        changed = [
            f"{entry.name}={entry.print(value)}"
            for entry in self.options()
            if (value := getattr(self, entry.attribute)) != entry.default
        ]
        return f"{self.name}{{{' '.join(changed)}}}" if changed else self.name


def _options(pass_class: type[Pass]) -> tuple[Option, ...]:
    hints = typing.get_type_hints(pass_class)
    found = []
    for entry in attrs.fields(pass_class):
        hint = hints[entry.name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        present = [member for member in members if member is not type(None)]
        kind = typing.get_origin(present[0]) or present[0]
        if len(present) != 1 or kind not in _KINDS:
            raise TypeError(f"{pass_class.name}: an option cannot be of type {hint}")
        found.append(
            Option(
                name=entry.name.replace("_", "-"),
                attribute=entry.name,
                kind=kind,
                optional=len(members) > 1,
                default=entry.default,
                **entry.metadata,
            )
        )
    return tuple(found)
