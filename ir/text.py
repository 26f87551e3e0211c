"""The text of attributes and types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from .attributes import (
    ArrayAttr,
    Attribute,
    BoolAttr,
    DenseAttr,
    DictAttr,
    FloatAttr,
    IntAttr,
    StringAttr,
    SymbolAttr,
)
from .dense import inline_text, resource_name, type_text

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")


def attribute_text(attribute: Attribute) -> str:
    """The text of one attribute or type."""
    match attribute:
        case IntAttr(value):
            return str(int(value))
        case FloatAttr(value):
            return repr(float(value))
        case BoolAttr(value):
            return "true" if value else "false"
        case StringAttr(value):
            return json.dumps(value)
        case SymbolAttr(value):
            return symbol_text(value)
        case ArrayAttr(items):
            return f"[{', '.join(map(attribute_text, items))}]"
        case DictAttr(items):
            return dictionary_text(items)
        case DenseAttr():
            inline = inline_text(attribute.array)
            head = f"dense_resource<{resource_name(attribute)}>" if inline is None else f"dense<{inline}>"
            return f"{head} : {type_text(attribute.array)}"
    return str(attribute)


def symbol_text(name: str) -> str:
    """A symbol: `@main`, quoted where the name is no identifier."""
    return f"@{name}" if _IDENTIFIER.fullmatch(name) else f"@{json.dumps(name)}"


def dictionary_text(pairs: Iterable[tuple[str, Attribute]]) -> str:
    """`{a = 1, b = 2}`, in the order given."""
    entries = (
        f"{key if _IDENTIFIER.fullmatch(key) else json.dumps(key)} = {attribute_text(value)}" for key, value in pairs
    )
    return f"{{{', '.join(entries)}}}"
