"""What pages of both targets have in common: the head, key figures, notes, sources; and the templates' environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...ir.diagnostics import Diagnostic
from .figures import MEANINGS, Fact, position
from .names import elided, plain

MOST_NOTES = 50


@frozen
class Note:
    """A diagnostic of the build."""

    severity: str
    code: str
    text: str
    help: str


@frozen
class Section:
    """A section of the page, by its anchor."""

    anchor: str
    title: str


@frozen
class Source:
    """Where a part of the machine's numbers comes from, as its file says."""

    part: str
    text: str


@frozen
class Head:
    """The head of a page.

    `keys` are the figures that one looks for first, `reasons` say why the build chose what it did.
    """

    title: str
    target: str
    machine: str
    keys: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    reasons: tuple[str, ...]
    notes: tuple[Note, ...]
    sources: tuple[Source, ...]
    sections: tuple[Section, ...]


def notes_of(diagnostics: Iterable[Diagnostic]) -> tuple[Note, ...]:
    """The notes of a build, the first of them."""
    found = []
    for each in list(diagnostics)[:MOST_NOTES]:
        parts = [f"{each.node}: " * bool(each.node) + each.message]
        parts += [f"found {each.found}"] if each.found else []
        parts += [f"expected {each.expected}"] if each.expected else []
        text = elided("; ".join(parts))
        found.append(Note(elided(each.severity, 20), elided(each.code, 20), text, elided(each.help)))
    return tuple(found)


def sources_of(machine: Any, parts: Mapping[str, str]) -> tuple[Source, ...]:
    """The sources that a machine's parts name: field of the machine to what it is called."""
    return tuple(Source(title, elided(getattr(machine, name).source)) for name, title in parts.items())


def _shown(value: Any) -> Any:
    """What becomes of each value before it is escaped: text that prints; markup of our own macros stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(template: str, page: object) -> str:
    """A page as HTML; every value is escaped."""
    meanings = {origin.value: meaning for origin, meaning in MEANINGS.items()}
    return _environment().get_template(template).render(page=page, meanings=meanings) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["position"] = position
    return environment
