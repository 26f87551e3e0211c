"""How arrays, tables and JSON stand in an artefact: safetensors, raw records, canonical text.

All three have one form for one content; the readers accept that form alone and check every size before an array is
made. Arrays that are read are views of the given bytes, read-only and without a copy.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .artefact_zip import ALIGNMENT, Buffer

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Array: TypeAlias = npt.NDArray[Any]

MAX_ARRAYS = 65_536
MAX_HEADER_BYTES = 1 << 20
MAX_FIELDS = 256
MAX_AXES = 32
MAX_ELEMENTS = 1 << 40
_MAX_NAME = 512

_DTYPES = {
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
    "F32": "<f4",
    "I32": "<i4",
    "U32": "<u4",
    "F16": "<f2",
    "I16": "<i2",
    "U16": "<u2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
"""safetensors' names of element types and numpy's, widest first."""
_NAMES = {np.dtype(text): name for name, text in _DTYPES.items()}
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class MalformedError(ValueError):
    """Bytes that are not what the writers here make; the text says what was found."""


def json_bytes(value: Json) -> bytes:
    """Canonical JSON: UTF-8, sorted keys, no spaces; ValueError for NaN, infinity and lone surrogates."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def read_json(data: Buffer) -> Any:
    """The value of canonical JSON; raises MalformedError for any other bytes."""
    try:
        value = json.loads(bytes(data).decode("utf-8"))
        canonical = json_bytes(value)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON: {str(error) or 'nested too deep'}"[:200]) from None
    if canonical != data:
        raise MalformedError("JSON that is not canonical: spaces, key order, doubled keys or number form")
    return value


def pack_arrays(arrays: Mapping[str, Array]) -> list[Buffer]:
    """A safetensors file in pieces: a header without metadata, then the arrays, the widest elements first.

    The data starts at a multiple of 64 bytes, so each array is aligned to its elements. Raises ValueError for a dtype
    or a number of arrays that the format or `unpack_arrays` does not take.
    """
    ordered: list[tuple[str, Array]] = []
    for name in sorted(arrays):
        little = arrays[name].dtype.newbyteorder("<")
        if little not in _NAMES or not _is_array_name(name) or not _is_shape(arrays[name].shape):
            raise ValueError(f"array {name!r} of {arrays[name].dtype} cannot be stored")
        ordered.append((name, np.asarray(arrays[name], dtype=little, order="C")))
    ordered.sort(key=lambda pair: (-pair[1].itemsize, pair[0]))
    header = _header([(name, _NAMES[array.dtype], array.shape) for name, array in ordered])
    if len(ordered) > MAX_ARRAYS or len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"too many arrays for one artefact: {len(ordered)}")
    return [header, *(_raw(array) for _, array in ordered)]


def unpack_arrays(data: memoryview) -> dict[str, Array]:
    """The arrays of a safetensors file that `pack_arrays` wrote, by name; raises MalformedError for any other."""
    size = int.from_bytes(data[:8], "little") if len(data) >= 8 else -1
    if not 2 <= size <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise MalformedError(f"an array header of {size} bytes in {len(data)}")
    try:
        entries = json.loads(bytes(data[8 : 8 + size]).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"an array header that is no JSON: {str(error) or 'nested too deep'}"[:200]) from None
    if not isinstance(entries, dict) or len(entries) > MAX_ARRAYS:
        raise MalformedError(f"an array header that is no table of at most {MAX_ARRAYS} arrays")
    listed = [(name, *_array_entry(name, entry)) for name, entry in entries.items()]
    if data[: 8 + size] != _header(listed):
        raise MalformedError("an array header with gaps, overlaps, another order or unknown keys")
    arrays: dict[str, Array] = {}
    at = 8 + size
    for name, kind, shape in listed:
        dtype = np.dtype(_DTYPES[kind])
        end = at + math.prod(shape) * dtype.itemsize
        if end > len(data):
            raise MalformedError(f"array {name!r} beyond the end of the data")
        arrays[name] = _view(data[at:end], dtype).reshape(shape)
        at = end
    if at != len(data):
        raise MalformedError(f"{len(data) - at} bytes behind the last array")
    return arrays


def pack_table(table: Array) -> tuple[Json, Buffer]:
    """How the manifest describes a one-dimensional table, and its bytes.

    Raises ValueError unless the elements are little-endian numbers or flat, packed records of such.
    """
    dtype = table.dtype
    described = describe_dtype(dtype)
    if table.ndim != 1 or read_dtype(described) != dtype:
        raise ValueError(f"a table of shape {table.shape} and {dtype} cannot be stored")
    return {"count": len(table), "dtype": described}, _raw(np.ascontiguousarray(table))


def unpack_table(description: object, data: memoryview) -> Array:
    """The table that `description` (see `pack_table`) finds in `data`; raises MalformedError when they disagree."""
    if not isinstance(description, dict) or description.keys() != {"count", "dtype"}:
        raise MalformedError("a table description without count and dtype alone")
    dtype, count = read_dtype(description["dtype"]), description["count"]
    if type(count) is not int or count < 0 or count * dtype.itemsize != len(data):
        raise MalformedError(f"{len(data)} bytes for {str(count)[:20]} rows of {dtype.itemsize} bytes")
    return _view(data, dtype)


def describe_dtype(dtype: np.dtype[Any]) -> Json:
    """A dtype as JSON: numpy's text, or a list of [field, text] for records."""
    if dtype.names is None:
        return dtype.str
    return [[name, dtype[name].str] for name in dtype.names]


def read_dtype(description: object) -> np.dtype[Any]:
    """The dtype of `describe_dtype`; raises MalformedError for a description of any other kind."""
    known = _DTYPES.values()
    if isinstance(description, str) and description in known:
        return np.dtype(description)
    if not isinstance(description, list) or not 0 < len(description) <= MAX_FIELDS:
        raise MalformedError("a table of an unknown element type")
    for field in description:
        if not (isinstance(field, list) and len(field) == 2 and all(isinstance(text, str) for text in field)):
            raise MalformedError("a table field that is no pair of texts")
        if not _FIELD_NAME.fullmatch(field[0]) or field[1] not in known:
            raise MalformedError("a table field of an unknown name or type")
    if len({field[0] for field in description}) != len(description):
        raise MalformedError("a table with two fields of one name")
    return np.dtype([(field[0], field[1]) for field in description])


def _header(entries: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Length, JSON and spaces of a safetensors header for arrays that follow each other in this order."""
    table = {}
    at = 0
    for name, kind, shape in entries:
        end = at + math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _array_entry(name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    if not isinstance(entry, dict) or not _is_array_name(name):
        raise MalformedError(f"an array entry that is no table, or of the name {name[:_MAX_NAME]!a}")
    kind, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise MalformedError(f"array {name!r} of an unknown element type")
    if not isinstance(shape, list) or not _is_shape(shape):
        raise MalformedError(f"array {name!r} with an impossible or huge shape")
    return kind, tuple(shape)


def _is_array_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name.isprintable()


def _is_shape(shape: Sequence[object]) -> bool:
    axes = [axis for axis in shape if type(axis) is int and 0 <= axis < MAX_ELEMENTS]
    # An axis of 0 must not hide others that no array can have.
    return len(axes) == len(shape) <= MAX_AXES and math.prod(max(axis, 1) for axis in axes) < MAX_ELEMENTS


def _view(data: memoryview, dtype: np.dtype[Any]) -> Array:
    array = np.frombuffer(data, dtype=dtype)
    flags = [array] if dtype == np.bool_ else [array[name] for name in dtype.names or () if dtype[name] == np.bool_]
    if any(bool((each.view(np.uint8) > 1).any()) for each in flags):
        raise MalformedError("a truth value that is neither 0 nor 1")
    return array


def _raw(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
