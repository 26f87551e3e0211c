"""Operators that move elements: reshape, transpose, concatenate, slice, pad, gather."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...ir.core import Value
from ...ir.dialects.nn import ConcatOp, ExpandOp, GatherOp, PadOp, SliceOp
from ...ir.dialects.quant import UniformType
from ...ir.shapes import normal_axes, normal_axis
from .emit import flattened, reshape, take, transpose
from .node import Node
from .problems import malformed, unsupported
from .windows import MAX_EXTENT

MAX_RANK = 32
"""What numpy can hold; far above any network."""


def reshape_to(node: Node) -> Value:
    """Reshape."""
    x, wanted = node.stored(0), list(node.integers(1, "shape"))
    keep_zero = node.opset >= 14 and node.attr_int("allowzero", 0)
    for axis, size in enumerate(wanted):
        if size == 0 and not keep_zero:
            if axis >= x.tensor.rank:
                raise malformed(f"shape copies axis {axis}, which the input lacks", found=str(x.type))
            wanted[axis] = x.shape[axis]
    if wanted.count(-1) > 1:
        raise malformed("shape leaves more than one size open", found=str(wanted))
    if -1 in wanted:
        rest = -math.prod(wanted)
        if rest == 0 or x.tensor.size % rest:
            raise malformed(f"{x.tensor.size} elements do not fill the shape", found=str(wanted))
        wanted[wanted.index(-1)] = x.tensor.size // rest
    return reshape(node, x, wanted)


def flatten(node: Node) -> Value:
    """Flatten."""
    x, axis = node.stored(0), node.attr_int("axis", 1)
    axis = axis if axis == x.tensor.rank else normal_axis(axis, x.tensor.rank)
    return reshape(node, x, flattened(x.shape, axis))


def squeeze(node: Node) -> Value:
    """Squeeze: axes are an attribute before opset 13, an input after."""
    x = node.stored(0)
    named = node.attr_ints("axes") if node.opset < 13 else node.optional_integers(1, "axes")
    if named is None:
        return reshape(node, x, [size for size in x.shape if size != 1])
    axes = normal_axes(named, x.tensor.rank)
    if any(x.shape[axis] != 1 for axis in axes):
        raise malformed(f"axes {list(axes)} are not all of size 1", found=str(x.type))
    return reshape(node, x, [size for axis, size in enumerate(x.shape) if axis not in axes])


def unsqueeze(node: Node) -> Value:
    """Unsqueeze: axes are an attribute before opset 13, an input after."""
    x = node.stored(0)
    named = node.attr_ints("axes") if node.opset < 13 else node.integers(1, "axes")
    if named is None:
        raise malformed("attribute axes is missing")
    rank = x.tensor.rank + len(named)
    if rank > MAX_RANK:
        raise unsupported(f"more than {MAX_RANK} axes are not taken", found=str(rank))
    axes = normal_axes(named, rank)
    sizes = iter(x.shape)
    return reshape(node, x, [1 if axis in axes else next(sizes) for axis in range(rank)])


def transpose_axes(node: Node) -> Value:
    """Transpose."""
    x = node.stored(0)
    permutation = node.attr_ints("perm")
    if permutation is None:
        permutation = tuple(reversed(range(x.tensor.rank)))
    return transpose(node, x, permutation)


def concat(node: Node) -> Value:
    """Concat."""
    inputs = node.every_stored()
    if len({value.element for value in inputs}) > 1:
        inputs = [node.plain(value) for value in inputs]
    axis = normal_axis(node.attr_int("axis"), inputs[0].tensor.rank)
    return inputs[0] if len(inputs) == 1 else node.add(ConcatOp(inputs=tuple(inputs), axis=axis))


def split(node: Node) -> Sequence[Value]:
    """Split: sizes are an attribute before opset 13, an input after; without sizes the parts are as equal as can be."""
    x, parts = node.stored(0), node.output_count
    axis = normal_axis(node.attr_int("axis", 0), x.tensor.rank)
    size = x.shape[axis]
    sizes = node.attr_ints("split") if node.opset < 13 else node.optional_integers(1, "split")
    if sizes is None:
        if node.opset >= 18 and node.attr_int("num_outputs", parts) != parts:
            raise malformed("num_outputs contradicts the outputs", found=str(parts))
        part = -(-size // parts)
        sizes = tuple(max(0, min(part, size - index * part)) for index in range(parts))
    if len(sizes) != parts or sum(sizes) != size or min(sizes) < 0:
        raise malformed(f"parts {list(sizes)} do not make up axis {axis} in {parts} outputs", found=str(x.type))
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return [take(node, x, axis, start, count) for start, count in zip(starts, sizes, strict=True)]


def slice_axes(node: Node) -> Value:
    """Slice: bounds are attributes before opset 10, inputs after; they are cut to the axis."""
    x = node.stored(0)
    if node.opset < 10:
        begins, ends, axes, steps = node.attr_ints("starts"), node.attr_ints("ends"), node.attr_ints("axes"), None
    else:
        begins, ends = node.integers(1, "starts"), node.integers(2, "ends")
        axes, steps = node.optional_integers(3, "axes"), node.optional_integers(4, "steps")
    if begins is None or ends is None:
        raise malformed("starts or ends are missing")
    axes = tuple(range(len(begins))) if axes is None else tuple(normal_axis(axis, x.tensor.rank) for axis in axes)
    steps = (1,) * len(begins) if steps is None else steps
    if not len(begins) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes):
        raise malformed("starts, ends, axes and steps do not fit each other")
    starts, counts, strides = [0] * x.tensor.rank, list(x.shape), [1] * x.tensor.rank
    for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True):
        if axis >= x.tensor.rank or step == 0:
            raise malformed(f"axis {axis} cannot be cut by step {step}", found=str(x.type))
        chosen = range(*slice(begin, end, step).indices(x.shape[axis]))
        starts[axis], counts[axis], strides[axis] = (chosen.start if chosen else 0), len(chosen), step
    if tuple(counts) == x.shape and strides == [1] * x.tensor.rank:
        return x
    return node.add(SliceOp(x=x, starts=tuple(starts), counts=tuple(counts), steps=tuple(strides)))


def gather(node: Node) -> Value:
    """Gather; constant indices are checked against the axis."""
    x, indices = node.stored(0), node.input(1)
    axis = normal_axis(node.attr_int("axis", 0), x.tensor.rank)
    known, size = node.known(indices), x.shape[axis]
    if known is not None and known.size and not (-size <= known.min() and known.max() < size):
        raise malformed(f"indices {known.min()} to {known.max()} leave axis {axis}", found=str(x.type))
    return node.add(GatherOp(x=x, indices=indices, axis=axis))


def expand(node: Node) -> Value:
    """Expand."""
    x, shape = node.stored(0), node.integers(1, "shape")
    if any(size < 0 for size in shape):
        raise malformed("shape has a negative size", found=str(list(shape)))
    return node.add(ExpandOp(x=x, shape=shape))


def tile(node: Node) -> Value:
    """Tile: a broadcast over new axes that are then merged."""
    x, repeats = node.stored(0), node.integers(1, "repeats")
    if len(repeats) != x.tensor.rank or any(count < 0 for count in repeats):
        raise malformed("repeats do not fit the input", found=f"{list(repeats)} for {x.type}")
    if 2 * x.tensor.rank > MAX_RANK:
        raise unsupported(f"more than {MAX_RANK // 2} axes are not taken", found=str(x.type))
    pairs = [entry for size in x.shape for entry in (1, size)]
    wide = [entry for size, count in zip(x.shape, repeats, strict=True) for entry in (count, size)]
    copied = node.add(ExpandOp(x=reshape(node, x, pairs), shape=tuple(wide)))
    return reshape(node, copied, [size * count for size, count in zip(x.shape, repeats, strict=True)])


def pad(node: Node) -> Value:
    """Pad: pads and value are attributes before opset 11, inputs after; a negative pad cuts off."""
    x, rank = node.stored(0), node.stored(0).tensor.rank
    mode, axes = node.attr_str("mode", "constant"), None
    if node.opset < 11:
        pads, value = node.attr_ints("pads") or (), node.attr_float("value", 0.0)
    else:
        pads = node.integers(1, "pads")
        filling = node.optional_constant(2, "constant_value")
        value = 0.0 if filling is None else float(filling.item())
        axes = node.optional_integers(3, "axes") if node.opset >= 18 else None
    places = tuple(range(rank)) if axes is None else tuple(normal_axis(axis, rank) for axis in axes)
    if len(pads) != 2 * len(places) or any(abs(amount) > MAX_EXTENT for amount in pads):
        raise malformed("pads do not fit the input", found=f"{list(pads)} for {x.type}")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(places):
        before[axis], after[axis] = pads[place], pads[len(places) + place]
    for axis in range(rank):
        cut = x.shape[axis] + min(0, before[axis]) + min(0, after[axis])
        if cut < 0:
            raise malformed(f"pads cut off more than axis {axis} has", found=str(x.type))
        x = take(node, x, axis, max(0, -before[axis]) if cut else 0, cut)
    before, after = [max(0, amount) for amount in before], [max(0, amount) for amount in after]
    if not any(before) and not any(after):
        return x
    if mode != "constant" and any(x.shape[axis] == 0 for axis in range(rank) if before[axis] or after[axis]):
        raise malformed(f"an empty axis has nothing to pad with in mode {mode}", found=str(x.type))
    if isinstance(x.element, UniformType):
        # ONNX gives the value as an integer of the storage; nn.pad wants it in real units.
        value = x.element.scale * (value - x.element.zero_point) if node.opset >= 11 else value
    return node.add(PadOp(x=x, before=tuple(before), after=tuple(after), mode=mode, value=value))


def depth_to_space(node: Node) -> Value:
    """DepthToSpace."""
    x, block, by_column = _blocks(node)
    batch, channels, height, width = x.shape
    if channels % block**2:
        raise malformed(f"{channels} channels do not divide into blocks of {block}", found=str(x.type))
    depth = channels // block**2
    if by_column:
        split_up, order = (batch, depth, block, block, height, width), (0, 1, 4, 2, 5, 3)
    else:
        split_up, order = (batch, block, block, depth, height, width), (0, 3, 4, 1, 5, 2)
    blocks = transpose(node, reshape(node, x, split_up), order)
    return reshape(node, blocks, (batch, depth, height * block, width * block))


def space_to_depth(node: Node) -> Value:
    """SpaceToDepth."""
    x, block, by_column = _blocks(node)
    batch, channels, height, width = x.shape
    if height % block or width % block:
        raise malformed(f"rows and columns do not divide into blocks of {block}", found=str(x.type))
    blocks = reshape(node, x, (batch, channels, height // block, block, width // block, block))
    moved = transpose(node, blocks, (0, 1, 3, 5, 2, 4) if by_column else (0, 3, 5, 1, 2, 4))
    return reshape(node, moved, (batch, channels * block**2, height // block, width // block))


def _blocks(node: Node) -> tuple[Value, int, bool]:
    x, block, mode = node.stored(0), node.attr_int("blocksize"), node.attr_str("mode", "DCR")
    if x.tensor.rank != 4 or not 1 <= block <= MAX_EXTENT or mode not in ("DCR", "CRD"):
        raise malformed(f"blocks of {block} in mode {mode} do not fit", found=str(x.type))
    return x, block, mode == "CRD"
