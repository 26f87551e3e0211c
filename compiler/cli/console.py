"""What the command line prints: products on standard output, everything else on standard error.

Names in models are untrusted, so that control characters are shown as escapes. Colours, and progress, are for
terminals only; NO_COLOR switches colours off.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ...ir.diagnostics import Diagnostic

SCHEMA_VERSION = 1
"""Version of the JSON documents; it changes when a key goes away or changes its meaning."""
UNBOUNDED = 1 << 16
"""Columns of what is no terminal: nothing is cut or wrapped there."""
INDENT = "    "
MAX_TEXT_COLUMNS = 100
_SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow"}


def clean(text: str) -> str:
    """`text` with control characters, other than the ends of lines, as escapes."""
    if all(letter.isprintable() or letter == "\n" for letter in text):
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def console(stream: TextIO) -> Console:
    """A rich console that prints text as it is."""
    from rich.console import Console

    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else UNBOUNDED,
    )


def say(text: str = "") -> None:
    """A line of the product."""
    click.echo(clean(text))


def remark(text: str) -> None:
    """A line for the person who watches."""
    click.echo(clean(text), err=True)


def print_json(verb: str, content: Mapping[str, Any], *, code: int = 0, notes: Iterable[Diagnostic] = ()) -> None:
    """The one document of a run with `--json`; `notes` are its errors and warnings."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": verb,
        "ok": code == 0,
        "exit_code": code,
        "diagnostics": [note.as_json() for note in notes],
        **content,
    }
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_diagnostics(notes: Iterable[Diagnostic], *, product: bool = False) -> None:
    """Errors and warnings in full, on standard error unless they are the product."""
    from rich.text import Text

    out = console(sys.stdout if product else sys.stderr)
    for note in notes:
        first, *others = clean(str(note)).split("\n")
        word = note.severity
        text = Text(word, style=_SEVERITY_STYLES.get(word, "bold"))
        text.append(_wrapped(first, out.width).removeprefix(word))
        for line in others:
            text.append("\n" + _wrapped(line, out.width), style="" if line.lstrip().startswith("found") else "dim")
        out.print(text)


def _wrapped(line: str, width: int) -> str:
    folded = textwrap.wrap(
        line, max(width, 40), subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(folded) or line


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> None:
    """Aligned columns; those whose index is in `right` hold numbers."""
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        side: Any = "right" if index in right else "left"
        table.add_column(heading, justify=side, no_wrap=index in right or index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(str(cell))) for cell in row))
    _print_trimmed(out, table)


def print_paragraphs(text: str) -> None:
    """Text in paragraphs, filled to the width of the terminal; indented ones stay as they are."""
    width = min(console(sys.stdout).width, MAX_TEXT_COLUMNS)
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            say()
        say(paragraph if "\n " in f"\n{paragraph}" else textwrap.fill(paragraph, width, break_on_hyphens=False))


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """A title and, below it, names and values in two columns."""
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    out.print(Text(clean(title), style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in facts:
        table.add_row(Text(f"  {name}", style="dim"), Text(clean(value)))
    _print_trimmed(out, table)


def _print_trimmed(out: Console, table: Any) -> None:
    """Prints without the spaces that rich puts behind the last column."""
    with out.capture() as capture:
        out.print(table, soft_wrap=False)
    for line in capture.get().splitlines():
        click.echo(line.rstrip(), color=True if out.color_system else None)


class Progress:
    """The stages of a run: a spinner on a terminal, lines when the user asks for more, else nothing."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._status: Any = None

    def __call__(self, stage: str) -> None:
        """Says that `stage` begins."""
        if self._status is not None:
            self._status.update(f"{stage} ...")
        if self._verbose:
            remark(f"stage: {stage}")

    @contextmanager
    def running(self, *, quiet: bool) -> Iterator[Progress]:
        """Shows stages while the block runs; the line is gone afterwards."""
        if quiet or self._verbose or not sys.stderr.isatty():
            yield self
            return
        with console(sys.stderr).status("starting ...") as self._status:
            yield self
        self._status = None


def bytes_text(count: int) -> str:
    """A number of bytes, exact below 10,000 and in binary units above."""
    if count < 10_000:
        return f"{count} B"
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    index = 0
    while value >= 1024 and index < len(units) - 1:
        value, index = value / 1024, index + 1
    return f"{value:.1f} {units[index]}"


def count_text(count: int) -> str:
    """A number of things, exact below 100,000 and with three or four digits above."""
    if count < 100_000:
        return f"{count:,}"
    value, units = float(count), ("", " k", " M", " G", " T")
    index = 0
    while value >= 1000 and index < len(units) - 1:
        value, index = value / 1000, index + 1
    return f"{value:.1f}{units[index]}"
