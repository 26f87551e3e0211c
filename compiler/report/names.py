"""Names from models and machine files as text that may stand in a page: they are untrusted."""

from __future__ import annotations

MOST_LETTERS = 400
"""Letters of one name that a page shows."""


def plain(text: str) -> str:
    """`text` with everything that does not print (control characters, changes of direction) as escapes."""
    if text.isprintable():
        return text
    # Breaks of lines are the templates' own; the unbreakable space stands before units.
    return "".join(each if each.isprintable() or each in "\n\xa0" else ascii(each)[1:-1] for each in text)


def elided(text: str, most: int = MOST_LETTERS) -> str:
    """`text` without its middle where it is longer than `most` letters."""
    if len(text) <= most:
        return text
    kept = (most - 3) // 2
    return f"{text[:kept]}...{text[-kept:]}"


def nodes_of(layer: str) -> tuple[str, ...]:
    """The ONNX nodes of a layer by its name, each elided."""
    return tuple(elided(node) for node in layer.split(" + ")) if layer else ("(no name)",)
