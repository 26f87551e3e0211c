"""Shape rules that several dialects share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The numpy broadcast of shapes; raises ValueError naming the shapes when they do not fit."""
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise ValueError(f"shapes {' and '.join(map(str, shapes))} do not broadcast") from None


def window_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int, *, ceil: bool) -> int:
    """Number of window positions along one axis (ONNX Conv and pooling).

    With `ceil` a last window may hang over the end, but must start inside the input or the padding before it.
    """
    room = size + before + after - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(f"a window of {dilation * (kernel - 1) + 1} does not fit {size} + {before} + {after} elements")
    count = room // stride + 1
    if ceil and room % stride and count * stride < size + before:
        count += 1
    return count


def normal_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as 0 .. rank - 1; raises ValueError when it lies outside."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} lies outside rank {rank}")
    return axis % rank


def normal_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes as sorted, distinct, non-negative numbers; raises ValueError when one lies outside or stands twice."""
    normal = sorted(normal_axis(axis, rank) for axis in axes)
    if len(set(normal)) != len(normal):
        raise ValueError(f"axes {list(axes)} name one axis twice")
    return tuple(normal)
