"""Resize and Upsample.

Along each axis a resize is a fixed linear map, or for `nearest` a choice of indices: nearest becomes resize_nearest or
gather, the others a product with an interpolation matrix. The equations are those of the ONNX operator's definition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.dialects.nn import GatherOp, MatMulOp, ResizeNearestOp, SelectOp
from ...ir.shapes import normal_axis
from ...ir.types import FloatType
from .emit import at_least_f32, cast, transpose
from .node import Node
from .problems import malformed, unsupported
from .windows import MAX_EXTENT

Floats = NDArray[np.float64]

COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MAX_MATRIX = 1 << 24
"""No interpolation matrix has more elements."""


@frozen
class Axis:
    """One axis to resize; `roi` is its part of the region for tf_crop_and_resize."""

    axis: int
    size: int
    result: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@frozen
class Method:
    """How every axis is resized."""

    mode: str
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    extrapolation: float = 0.0
    antialias: bool = False


def upsample(node: Node) -> Value:
    """Upsample: scales are an attribute in opset 7, an input in 9."""
    scales = node.attr_floats("scales") if node.opset < 9 else tuple(map(float, node.constant(1, "scales").reshape(-1)))
    return _resize(node, _legacy_method(node), _scaled_axes(node, scales or (), None))


def resize(node: Node) -> Value:
    """Resize."""
    if node.opset < 11:
        scales = tuple(map(float, node.constant(1, "scales").reshape(-1)))
        return _resize(node, _legacy_method(node), _scaled_axes(node, scales, None))
    method = Method(
        mode=node.attr_str("mode", "nearest"),
        coordinates=node.attr_str("coordinate_transformation_mode", "half_pixel"),
        nearest=node.attr_str("nearest_mode", "round_prefer_floor"),
        cubic=node.attr_float("cubic_coeff_a", -0.75),
        exclude_outside=bool(node.attr_int("exclude_outside", 0)),
        extrapolation=node.attr_float("extrapolation_value", 0.0),
        antialias=bool(node.attr_int("antialias", 0)) if node.opset >= 18 else False,
    )
    if method.mode not in ("nearest", "linear", "cubic") or method.nearest not in NEAREST:
        raise malformed("this mode is unknown", found=f"{method.mode}, {method.nearest}")
    if method.coordinates not in COORDINATES:
        raise unsupported("these coordinates are not taken", found=method.coordinates, expected=", ".join(COORDINATES))
    named = node.attr_ints("axes") if node.opset >= 18 else None
    scales_given = _nonempty(node.optional_constant(2, "scales"))
    sizes_given = _nonempty(node.optional_constant(3, "sizes"))
    if (scales_given is None) == (sizes_given is None):
        raise malformed("Resize takes either scales or sizes")
    roi = _nonempty(node.optional_constant(1, "roi")) if method.coordinates == "tf_crop_and_resize" else None
    if scales_given is not None:
        axes = _scaled_axes(node, tuple(map(float, scales_given)), named)
    else:
        assert sizes_given is not None
        axes = _sized_axes(node, tuple(map(int, sizes_given)), named)
    return _resize(node, method, _with_roi(axes, roi))


def _nonempty(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if array is None or array.size == 0 else array.reshape(-1)


def _legacy_method(node: Node) -> Method:
    """Before opset 11: indices are floor(i / scale), weights likewise."""
    mode = node.attr_str("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise unsupported(f"mode {mode} is not taken", expected="nearest or linear")
    return Method(mode=mode, coordinates="asymmetric", nearest="floor")


def _axes_of(node: Node, count: int, named: tuple[int, ...] | None) -> tuple[int, ...]:
    rank = node.stored(0).tensor.rank
    axes = tuple(range(rank)) if named is None else tuple(normal_axis(axis, rank) for axis in named)
    if len(axes) != count or len(set(axes)) != len(axes):
        raise malformed(f"{count} scales or sizes do not fit", found=str(node.stored(0).type))
    return axes


def _scaled_axes(node: Node, scales: tuple[float, ...], named: tuple[int, ...] | None) -> list[Axis]:
    shape = node.stored(0).shape
    if any(not 0 < scale < MAX_EXTENT for scale in scales):
        raise malformed("scales must be positive", found=str(list(scales)))
    return [
        Axis(axis, shape[axis], math.floor(shape[axis] * scale), scale)
        for axis, scale in zip(_axes_of(node, len(scales), named), scales, strict=True)
    ]


def _sized_axes(node: Node, sizes: tuple[int, ...], named: tuple[int, ...] | None) -> list[Axis]:
    shape, axes = node.stored(0).shape, _axes_of(node, len(sizes), named)
    if any(not 0 < size < MAX_EXTENT for size in sizes) or any(shape[axis] == 0 for axis in axes):
        raise malformed("sizes must be positive", found=str(list(sizes)))
    scales = [size / shape[axis] for size, axis in zip(sizes, axes, strict=True)]
    policy = node.attr_str("keep_aspect_ratio_policy", "stretch") if node.opset >= 18 else "stretch"
    if policy != "stretch":
        common = min(scales) if policy == "not_larger" else max(scales)
        sizes = tuple(math.floor(common * shape[axis] + 0.5) for axis in axes)
        scales = [common] * len(axes)
    return [Axis(axis, shape[axis], size, scale) for axis, size, scale in zip(axes, sizes, scales, strict=True)]


def _with_roi(axes: list[Axis], roi: NDArray[Any] | None) -> list[Axis]:
    if roi is None:
        return axes
    if roi.size != 2 * len(axes):
        raise malformed("roi does not fit the axes", found=str(roi.size), expected=str(2 * len(axes)))
    starts, ends = roi[: len(axes)], roi[len(axes) :]
    return [
        Axis(entry.axis, entry.size, entry.result, entry.scale, (float(start), float(end)))
        for entry, start, end in zip(axes, starts, ends, strict=True)
    ]


def _resize(node: Node, method: Method, axes: list[Axis]) -> Value:
    x = node.stored(0)
    for entry in axes:
        if not 0 < entry.result <= MAX_EXTENT or not entry.scale > 1 / MAX_EXTENT:
            raise malformed(f"axis {entry.axis} cannot get {entry.result} elements", found=f"scale {entry.scale}")
    crops = method.coordinates == "tf_crop_and_resize"
    active = [entry for entry in axes if crops or entry.result != entry.size or entry.scale != 1]
    inside = [_inside(entry, method) for entry in active]
    if method.mode == "nearest":
        result = _nearest(node, x, method, active)
    else:
        result = _interpolated(node, node.plain(x), method, active)
    if crops and not all(bool(mask.all()) for mask in inside):
        result = _extrapolated(node, node.plain(result), method, active, inside)
    return result


def _nearest(node: Node, x: Value, method: Method, axes: list[Axis]) -> Value:
    rank = x.tensor.rank
    indices = {entry.axis: _nearest_indices(entry, method) for entry in axes}
    spatial = [axis for axis in (rank - 2, rank - 1) if axis in indices and axis >= 0]
    if spatial and rank >= 2:
        rows, columns = (indices.pop(axis, np.arange(x.shape[axis])) for axis in (rank - 2, rank - 1))
        x = node.add(ResizeNearestOp(x=x, rows=tuple(rows.tolist()), columns=tuple(columns.tolist())))
    for axis, chosen in indices.items():
        x = node.add(GatherOp(x=x, indices=node.literal(chosen.astype(np.int64)), axis=axis))
    return x


def _interpolated(node: Node, x: Value, method: Method, axes: list[Axis]) -> Value:
    """A product with one matrix per axis, in f32 or wider."""
    kind, wide = x.element, at_least_f32(node, x)
    if not isinstance(kind, FloatType):
        raise unsupported(f"mode {method.mode} is taken for floats only", found=str(x.type))
    last = x.tensor.rank - 1
    for entry in axes:
        if entry.size * entry.result > MAX_MATRIX:
            raise unsupported("the interpolation matrix is too large", found=f"{entry.result} x {entry.size}")
        matrix = _matrix(entry, method).astype(wide.element.dtype)
        if entry.axis == last:
            wide = node.add(MatMulOp(lhs=wide, rhs=node.literal(matrix.T)))
        else:
            swap = list(range(last + 1))
            swap[entry.axis], swap[last - 1] = last - 1, entry.axis
            wide = transpose(node, wide, swap)
            wide = node.add(MatMulOp(lhs=node.literal(matrix), rhs=wide))
            wide = transpose(node, wide, swap)
    return cast(node, wide, kind)


def _extrapolated(node: Node, x: Value, method: Method, axes: list[Axis], inside: list[NDArray[np.bool_]]) -> Value:
    mask = np.ones((1,) * x.tensor.rank, dtype=bool)
    for entry, along in zip(axes, inside, strict=True):
        shape = [1] * x.tensor.rank
        shape[entry.axis] = entry.result
        mask = mask & along.reshape(shape)
    filling = node.scalar(method.extrapolation, x)
    return node.add(SelectOp(condition=node.literal(mask), on_true=x, on_false=filling))


def _coordinates(entry: Axis, method: Method) -> Floats:
    """Where every element of the result lies in the input."""
    places = np.arange(entry.result, dtype=np.float64)
    size, result, scale = entry.size, entry.result, entry.scale
    match method.coordinates:
        case "half_pixel":
            return (places + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjustment = result / (size * scale)
            return size / 2 * (1 - adjustment) + (places + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (places + 0.5) / scale - 0.5 if result > 1 else np.zeros(result)
        case "align_corners":
            # The resized length counts with its fraction here; only the number of elements is rounded down.
            return places * (size - 1) / (size * scale - 1) if result > 1 else np.zeros(result)
        case "asymmetric":
            return places / scale
    start, end = entry.roi
    if result > 1:
        return start * (size - 1) + places * (end - start) * (size - 1) / (result - 1)
    return np.full(result, 0.5 * (start + end) * (size - 1))


def _inside(entry: Axis, method: Method) -> NDArray[np.bool_]:
    x = _coordinates(entry, method)
    return (x >= 0) & (x <= entry.size - 1)


def _nearest_indices(entry: Axis, method: Method) -> NDArray[np.int64]:
    x = _coordinates(entry, method)
    match method.nearest:
        case "round_prefer_floor":
            chosen = np.ceil(x - 0.5)
        case "round_prefer_ceil":
            chosen = np.floor(x + 0.5)
        case "floor":
            chosen = np.floor(x)
        case _:
            chosen = np.ceil(x)
    return np.clip(chosen, 0, entry.size - 1).astype(np.int64)


def _matrix(entry: Axis, method: Method) -> Floats:
    """The interpolation matrix [result, size]; neighbours outside count as the border element."""
    x = _coordinates(entry, method)
    shrink = min(entry.scale, 1.0) if method.antialias else 1.0
    support = (1.0 if method.mode == "linear" else 2.0) / shrink
    reach = math.ceil(support)
    first = np.floor(x).astype(np.int64) - reach + 1
    neighbours = first[:, None] + np.arange(2 * reach)
    distance = np.abs(x[:, None] - neighbours) * shrink
    weights = np.maximum(0.0, 1.0 - distance) if method.mode == "linear" else _cubic(distance, method.cubic)
    outside = (neighbours < 0) | (neighbours >= entry.size)
    if method.exclude_outside:
        weights = np.where(outside, 0.0, weights)
    if method.exclude_outside or method.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((entry.result, entry.size))
    rows = np.broadcast_to(np.arange(entry.result)[:, None], neighbours.shape)
    np.add.at(matrix, (rows, np.clip(neighbours, 0, entry.size - 1)), weights)
    return matrix


def _cubic(distance: Floats, a: float) -> Floats:
    """Keys' cubic convolution kernel."""
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
