"""What a model file may hold at most, and how its names are shown."""

from __future__ import annotations

DEFAULT_MAX_BYTES = 2 << 30
"""Model file and external data together; a caller may ask for more."""
MAX_FILE_BYTES = (2 << 30) - 1
"""The model file alone: the limit of protobuf, which also holds for one tensor."""
MAX_FIELDS = 1_000_000
"""Fields of the file's messages; bounds time and memory of parsing, about 200 bytes a field."""
MAX_PACKED_BYTES = 64 << 20
"""Integers of one byte each in the file become eight in memory; large tensors stand in raw bytes, not here."""
MAX_MESSAGE_DEPTH = 80
"""Messages inside messages; below the 100 that protobuf takes."""
MAX_GRAPH_DEPTH = 16
"""Graphs inside nodes."""
MAX_NODES = 100_000
MAX_TENSORS = 100_000
MAX_AXES = 64
MAX_ELEMENTS = 1 << 40
MAX_CHECKED_BYTES = 256 << 20
"""Larger structures, large initializers not counted, are not handed to onnx.checker, which copies them twice."""
_LONGEST_NAME = 120


def printable(text: str) -> str:
    """`text` for a message: control and other invisible characters escaped, long texts shortened."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_LONGEST_NAME])
    return shown + "..." if len(text) > _LONGEST_NAME else shown
