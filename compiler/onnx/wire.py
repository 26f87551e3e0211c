"""A walk over the wire format of a model file before protobuf builds objects from it.

protobuf turns a message of two bytes into an object of some hundred, so a small file can fill the memory. The walk
counts fields, bounds the nesting, and finds cut files and texts that are no UTF-8 (which protobuf reports only when
the text is looked at). It knows the message types from onnx's own descriptors and skips what they do not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from . import limits

_Children = Mapping[int, Any]
"""Field number -> the children of its message type, or _TEXT or _INTEGERS."""
_TEXT, _INTEGERS = "text", "integers"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class WireError(ValueError):
    """The bytes are no model; the text says what was found."""


class TooManyFieldsError(ValueError):
    """The model has more fields or a deeper nesting than `limits` allows; the text says which."""


def check_wire(data: bytes) -> None:
    """Raises WireError or TooManyFieldsError unless `data` is a whole message within the limits."""
    outer: list[tuple[int, _Children]] = []
    children: _Children = _MODEL
    at, end = 0, len(data)
    fields = packed = 0
    while True:
        while at >= end:
            if not outer:
                return
            end, children = outer.pop()
        fields += 1
        if fields > limits.MAX_FIELDS:
            raise TooManyFieldsError(f"more than {limits.MAX_FIELDS} fields")
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(data, at - 1, end)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at, end)
            stop = at + size
            if stop > end:
                raise WireError(f"a field of {size} bytes at byte {at}, where {end - at} are left")
            field = tag >> 3
            if field not in children:
                at = stop
            elif children[field] is _TEXT:
                _check_text(data[at:stop], at)
                at = stop
            elif children[field] is _INTEGERS:
                packed += size
                if packed > limits.MAX_PACKED_BYTES:
                    raise TooManyFieldsError(f"more than {limits.MAX_PACKED_BYTES} bytes of packed integers")
                at = stop
            else:
                outer.append((end, children))
                if len(outer) > limits.MAX_MESSAGE_DEPTH:
                    raise TooManyFieldsError(f"messages nested more than {limits.MAX_MESSAGE_DEPTH} deep")
                end, children = stop, children[field]
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
            if at > end:
                raise WireError(f"a number that ends at byte {at}, where its message ends at {end}")
        else:
            raise WireError(f"a field of unknown kind {kind} at byte {at}")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the byte after it."""
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= end:
            raise WireError(f"a number that goes on behind byte {end}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at
    raise WireError(f"a number without an end at byte {at}")


def _check_text(text: bytes, at: int) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError(f"a text at byte {at} that is not UTF-8") from None


def _children(descriptor: Any, known: dict[str, dict[int, Any]]) -> _Children:
    """The message, text and integer fields of a message type, and theirs; types may hold themselves."""
    if descriptor.full_name not in known:
        children = known[descriptor.full_name] = {}
        for field in descriptor.fields:
            if field.type == field.TYPE_MESSAGE:
                children[field.number] = _children(field.message_type, known)
            elif field.type == field.TYPE_STRING:
                children[field.number] = _TEXT
            elif field.type in (field.TYPE_INT32, field.TYPE_INT64, field.TYPE_UINT64):
                children[field.number] = _INTEGERS
    return known[descriptor.full_name]


_MODEL = _children(onnx.ModelProto.DESCRIPTOR, {})
