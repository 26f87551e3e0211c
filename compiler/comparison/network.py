"""Two networks, operation by operation: which arrays and which settings differ, by layer and ONNX node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.attributes import DenseAttr
from ...ir.core import Operation
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.text import attribute_text

MAX_TEXT = 200
"""Longest value of a setting that is shown."""
ABSENT = "absent"

Place = tuple[str, str, int]
"""Layer, kind of operation, and which of these it is."""


@frozen
class ArrayChange:
    """An array of a layer.

    `change` is values, shape (or type), added or gone. `differ` of `elements` have another value, and
    `largest_difference` is in the array's own numbers: steps of a fixed point format for most. Both are None where
    shapes differ, the second also where a value is not finite. `elements` are those of the second network, of the first
    where the array is gone.
    """

    layer: str
    onnx: tuple[str, ...]
    array: str
    change: str
    shape_a: tuple[int, ...] | None
    shape_b: tuple[int, ...] | None
    elements: int
    differ: int | None = None
    largest_difference: int | float | None = None


@frozen
class SettingChange:
    """An attribute of an operation, as IR text; types follow from these."""

    layer: str
    onnx: tuple[str, ...]
    operation: str
    setting: str
    a: str
    b: str


def array_changes(a: ModuleOp, b: ModuleOp) -> list[ArrayChange]:
    """The arrays that differ, those with the greatest share of other values first."""
    first, second = _arrays(a), _arrays(b)
    found = []
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key), second.get(key)
        if one is None or other is None or one[1] != other[1]:
            found.append(_array_change(key, one, other))
    return sorted(found, key=lambda row: -(1.0 if row.differ is None else row.differ / max(row.elements, 1)))


def setting_changes(a: ModuleOp, b: ModuleOp) -> list[SettingChange]:
    """The attributes that differ and are no arrays; `operation` for one that only one network has."""
    first, second = dict(_placed(a)), dict(_placed(b))
    found = []
    for place in dict.fromkeys((*first, *second)):
        one, other = first.get(place), second.get(place)
        if one is not None and other is not None:
            before, after = _settings(one), _settings(other)
        else:
            before, after = ({} if op is None else {"operation": op.name} for op in (one, other))
        op = one or other
        assert op is not None
        found += [
            SettingChange(place[0], op.location.names, op.name, name, _cut(before.get(name)), _cut(after.get(name)))
            for name in dict.fromkeys((*before, *after))
            if before.get(name) != after.get(name)
        ]
    return found


def _placed(module: ModuleOp) -> Iterator[tuple[Place, Operation]]:
    """All operations but constants, which are seen as operands."""
    seen: Counter[tuple[str, str]] = Counter()
    for op in module.walk():
        if not isinstance(op, ConstantOp):
            kind = (str(op.location) if op.location.names else "", op.name)
            yield (*kind, seen[kind]), op
            seen[kind] += 1


def _arrays(module: ModuleOp) -> dict[tuple[Place, str], tuple[Operation, DenseAttr]]:
    """All arrays by the place of their operation and what they are there."""
    found: dict[tuple[Place, str], tuple[Operation, DenseAttr]] = {}
    for place, op in _placed(module):
        for name, attribute in op.attributes.items():
            if isinstance(attribute, DenseAttr):
                found[place, name] = (op, attribute)
        for index, field in enumerate(op.spec.operands):
            start, end = op.spec.operand_range(index, len(op.operands))
            for at, value in enumerate(op.operands[start:end]):
                if isinstance(value.owner, ConstantOp):
                    name = f"{field.name} {at}" if field.variadic else field.name
                    held = value.owner.attributes["value"]
                    assert isinstance(held, DenseAttr)
                    found[place, name] = (op, held)
    return found


def _array_change(
    key: tuple[Place, str], one: tuple[Operation, DenseAttr] | None, other: tuple[Operation, DenseAttr] | None
) -> ArrayChange:
    (layer, kind, number), name = key
    kept = other or one
    assert kept is not None
    short = kind.rpartition(".")[2]
    found = ArrayChange(
        layer,
        kept[0].location.names,
        f"{short} {number} {name}" if number else f"{short} {name}",
        "added" if one is None else "gone" if other is None else "shape",
        None if one is None else one[1].array.shape,
        None if other is None else other[1].array.shape,
        kept[1].array.size,
    )
    if one is None or other is None:
        return found
    before, after = one[1].array, other[1].array
    if before.shape != after.shape or before.dtype != after.dtype:
        return found
    differ, largest = _difference(before, after)
    return attrs.evolve(found, change="values", differ=differ, largest_difference=largest)


def _difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> tuple[int, int | float | None]:
    """How many elements differ in their bytes, and the largest difference of values, exact for integers."""
    count = int((_element_bytes(a) != _element_bytes(b)).any(axis=1).sum())
    if a.dtype.kind == "f":
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0)
        return count, float(gap) if np.isfinite(gap) else None
    # Modulo 2^64 the difference of the greater and the lesser is exact for every integer type.
    high, low = (each(a, b).reshape(-1).astype(np.uint64) for each in (np.maximum, np.minimum))
    return count, int((high - low).max(initial=0))


def _element_bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The bytes of each element, [elements, bytes]."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize)


def _settings(op: Operation) -> Mapping[str, str]:
    return {
        name: attribute_text(attribute)
        for name, attribute in op.attributes.items()
        if not isinstance(attribute, DenseAttr)
    }


def _cut(text: str | None) -> str:
    if text is None:
        return ABSENT
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"
