"""A module as a notebook shows it: how many operations of each kind, and the text."""

from __future__ import annotations

import html
from collections import Counter

from .core import Operation
from .printer import print_module

MAX_TEXT = 20_000
"""Most characters of the text that are shown."""
MAX_LINE = 400


def module_html(module: Operation) -> str:
    """HTML without a script or colours of its own; all text of the module is escaped and its long lines are cut."""
    counts = Counter(op.name for op in module.walk())
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    lines = [line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} ..." for line in print_module(module).splitlines()]
    text = "\n".join(lines)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n... and {len(text) - MAX_TEXT:,} more characters"
    return (
        '<div style="color: inherit; background: none">'
        f"<b>snc module</b>: {escaped(f'{sum(counts.values()):,} operations ({listed})')}"
        f'<details><summary>text</summary><pre style="color: inherit; background: none">{escaped(text)}</pre></details>'
        "</div>"
    )


def escaped(text: str) -> str:
    """Text as the text of an element, control characters as escapes; line feeds stay."""
    return html.escape("".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text))
