"""Strict reading of TOML tables into frozen records.

The type of a record's field says what it takes: int a whole number of at least 1, float a finite number of at least
0, Index a whole number of at least 0, a Literal one of its words, a record a table of its own, a tuple of records one
or more tables. A NamedTuple of whole numbers is written as a list of them, a tuple of NamedTuples as a list of lists
(and so on). Every missing or unknown key and every value of a wrong type, sign or range becomes a diagnostic with the
file and the line; all of them are gathered.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import attrs

from ..ir.diagnostics import Diagnostic, UsageError

Place = tuple[str | int, ...]
"""Where a value stands: table names, indices into arrays of tables, the key."""

Record = TypeVar("Record")

LARGEST_FILE_BYTES = 1 << 20
LARGEST_NUMBER = 2**62
LONGEST_TEXT = 1000
_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\s]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+)\s*=")


class WrongValueError(Exception):
    """A value is not what its key takes; the text says what it takes."""


def _read_whole(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= LARGEST_NUMBER:
        raise WrongValueError(f"a whole number of at least {least}")
    return value


def _read_count(value: object) -> int:
    return _read_whole(value, 1)


def _read_index(value: object) -> int:
    return _read_whole(value, 0)


def _read_amount(value: object) -> float:
    if type(value) not in (int, float) or not isinstance(value, (int, float)):
        raise WrongValueError("a number of at least 0")
    if not math.isfinite(value) or not 0 <= value <= LARGEST_NUMBER:
        raise WrongValueError("a finite number of at least 0")
    return float(value)


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError("true or false")
    return value


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT:
        raise WrongValueError("a text that is not empty")
    return value


def _read_word(value: object, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        raise WrongValueError(" or ".join(f'"{word}"' for word in words))
    return value


def _read_list(value: object, read: Callable[[object], Record], expected: str) -> tuple[Record, ...]:
    if not isinstance(value, list):
        raise WrongValueError(expected)
    try:
        return tuple(read(item) for item in value)
    except WrongValueError:
        raise WrongValueError(expected) from None


def _read_counts(value: object) -> tuple[int, ...]:
    expected = "a list of one or more different whole numbers of at least 1"
    numbers = _read_list(value, _read_count, expected)
    if not numbers or len(set(numbers)) != len(numbers):
        raise WrongValueError(expected)
    return numbers


def _read_named(value: object, kind: Callable[..., Record], names: tuple[str, ...]) -> Record:
    expected = f"[{', '.join(names)}], whole numbers of at least 0"
    numbers = _read_list(value, _read_index, expected)
    if len(numbers) != len(names):
        raise WrongValueError(expected)
    return kind(*numbers)


Index = Annotated[int, "at least 0"]
"""A whole number that may be 0."""

_READERS: Mapping[object, Callable[[object], object]] = {
    int: _read_count,
    Index: _read_index,
    float: _read_amount,
    bool: _read_flag,
    str: _read_text,
    tuple[int, ...]: _read_counts,
}


def _read_as(kind: Any, value: object) -> object:
    """`value` as a field of type `kind` takes it; raises WrongValueError."""
    if get_origin(kind) is Literal:
        return _read_word(value, get_args(kind))
    if kind in _READERS:
        return _READERS[kind](value)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return _read_list(value, lambda each: _read_as(item, each), f"a list of {_many_of(item)}")
    return _read_named(value, kind, kind._fields)


def _many_of(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"groups, each a list of {_many_of(get_args(kind)[0])}"
    return f"[{', '.join(kind._fields)}], whole numbers of at least 0"


@attrs.define
class TomlFile:
    """The text of one file with the lines of its keys and the problems found so far."""

    name: str
    lines: Mapping[Place, int]
    problems: list[Diagnostic] = attrs.Factory(list)

    def complain(
        self, code: str, path: Place, message: str, *, found: str = "", expected: str = "", help: str = ""
    ) -> None:
        """Notes a problem at the line of `path`, or of the table around it when the key itself is absent."""
        known = next((path[:size] for size in range(len(path), 0, -1) if path[:size] in self.lines), None)
        where = f"{self.name}:{self.lines[known]}" if known is not None else self.name
        self.problems.append(Diagnostic(code, message, found=found, expected=expected, help=help, node=where))

    def read(self, record: type[Record], values: Mapping[str, object], path: Place) -> Record | None:
        """`values` as a `record`, or None when something in it was wrong (see `problems`)."""
        before = len(self.problems)
        attrs.resolve_types(record)  # type: ignore[type-var]
        fields = {each.name: each for each in attrs.fields(record)}  # type: ignore[arg-type]
        for key in values:
            if key not in fields:
                self._unknown(key, path, fields.keys() - values.keys(), fields.keys())
        read = {}
        for key, field in fields.items():
            if key in values:
                read[key] = self._value(field, values[key], (*path, key))
            else:
                self.complain("SNC0503", path, f"{_dotted((*path, key))} is missing")
        return record(**read) if len(self.problems) == before else None

    def _value(self, field: attrs.Attribute[Any], value: object, path: Place) -> object:
        kind = field.type
        assert kind is not None
        if attrs.has(kind):
            return self._one(kind, value, path)
        if get_origin(kind) is tuple and attrs.has(get_args(kind)[0]):
            return self._many(get_args(kind)[0], value, path)
        try:
            return _read_as(kind, value)
        except WrongValueError as wrong:
            self.complain("SNC0505", path, f"{_dotted(path)} is wrong", found=_shown(value), expected=str(wrong))
            return None

    def _one(self, record: type[Any], value: object, path: Place) -> object:
        if isinstance(value, dict):
            return self.read(record, value, path)
        self.complain("SNC0505", path, f"{_dotted(path)} is wrong", found=_shown(value), expected="a table")
        return None

    def _many(self, record: type[Any], value: object, path: Place) -> object:
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            return tuple(self.read(record, item, (*path, place)) for place, item in enumerate(value))
        expected = f"one or more tables [[{_dotted(path)}]]"
        self.complain("SNC0505", path, f"{_dotted(path)} is wrong", found=_shown(value), expected=expected)
        return None

    def _unknown(self, key: str, path: Place, absent: Iterable[str], known: Iterable[str]) -> None:
        same_quantity = sorted(name for name in absent if "_" in name and _stem(name) == _stem(key))
        alike = difflib.get_close_matches(key, sorted(known), n=1)
        if same_quantity:
            help = f"give it as {same_quantity[0]}: the key names the unit"
        elif alike:
            help = f"did you mean {alike[0]}?"
        else:
            help = "remove it"
        self.complain("SNC0504", (*path, key), f"{_dotted((*path, key))} is unknown", help=help)


@attrs.frozen
class Presets:
    """The machines that come with one backend: the TOML files in `machines/` of its package."""

    package: str

    def names(self) -> tuple[str, ...]:
        """Their names, sorted."""
        files = (resources.files(self.package) / "machines").iterdir()
        return tuple(sorted(each.name.removesuffix(".toml") for each in files if each.name.endswith(".toml")))

    def text(self, name_or_path: str | Path) -> str:
        """The TOML text of one of them, or of a file; UsageError when there is no such thing."""
        names = self.names()
        if isinstance(name_or_path, str) and name_or_path in names:
            return (resources.files(self.package) / "machines" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        alike = difflib.get_close_matches(str(name_or_path), names, n=1)
        help = f"did you mean {alike[0]}?" if alike else "the machines of snc are " + ", ".join(names)
        return file_text(name_or_path, help)


def file_text(path: str | Path, help: str) -> str:
    """The text of a regular file of at most LARGEST_FILE_BYTES; raises UsageError, `help` says what else to try."""

    def refuse(message: str, found: str = "", expected: str = "") -> UsageError:
        return UsageError(Diagnostic("SNC0501", message, found=found, expected=expected, help=help, node=str(path)))

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refuse("the file cannot be opened", found=reason) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refuse("not a regular file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise refuse("the file is too large", expected=f"at most {LARGEST_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse("the file is not UTF-8 text", found=str(error)) from None


def parse_toml(text: str, name: str) -> tuple[dict[str, Any], TomlFile]:
    """The values of a TOML text and the file record to read them with; raises UsageError when it is no TOML."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise UsageError(
            Diagnostic("SNC0502", "the file is not valid TOML", found=str(error) or "nested too deep", node=name)
        ) from None
    return values, TomlFile(name, _key_lines(text))


def _key_lines(text: str) -> dict[Place, int]:
    """Line number, from 1, of every table header and key."""
    lines: dict[Place, int] = {}
    seen: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header:
            table = tuple(part.strip() for part in header[2].split("."))
            lines.setdefault(table, number)
            if header[1] == "[[":
                place = seen.get(table, -1) + 1
                seen[table] = place
                table = (*table, place)
                lines.setdefault(table, number)
        elif key:
            lines.setdefault((*table, key[1]), number)
    return lines


def _dotted(path: Place) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return _printable(dotted.removeprefix("."))


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an integer with more digits than Python prints
        shown = "a huge number"
    return _printable(shown if len(shown) <= 80 else shown[:77] + "...")


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii") if text.isprintable() else ascii(text)


def _stem(name: str) -> str:
    return name.rsplit("_", 1)[0]
