"""Pooling, by windows and global, over any number of spatial axes.

A window over three axes is one over the last two, then one over the first: maxima and means over boxes separate.
"""

from __future__ import annotations

from collections.abc import Callable

from ...ir.core import Value
from ...ir.dialects.nn import AbsOp, AvgPool2dOp, MaxPool2dOp, MulOp, PadOp, PowOp, ReduceOp, SqrtOp
from ...ir.shapes import window_size
from .emit import reduce, reshape
from .node import Node
from .problems import malformed, unsupported
from .windows import Window, read_window

Pool2d = Callable[[Value, Window], Value]


def max_pool(node: Node) -> Value:
    """MaxPool."""
    node.refuse_outputs(1, "gives indices, which are not computed")
    ceil = bool(node.attr_int("ceil_mode", 0))

    def pool(x: Value, window: Window) -> Value:
        return node.add(
            MaxPool2dOp(
                x=x,
                kernel=window.kernel,
                strides=window.strides,
                pads=window.pads,
                dilations=window.dilations,
                ceil=ceil,
            )
        )

    return _pool(node, node.stored(0), _read(node, node.stored(0)), pool)


def average_pool(node: Node) -> Value:
    """AveragePool."""
    ceil, count_pads = bool(node.attr_int("ceil_mode", 0)), bool(node.attr_int("count_include_pad", 0))

    def pool(x: Value, window: Window) -> Value:
        return node.add(
            AvgPool2dOp(
                x=x,
                kernel=window.kernel,
                strides=window.strides,
                pads=window.pads,
                dilations=window.dilations,
                ceil=ceil,
                count_pads=count_pads,
            )
        )

    return _pool(node, node.input(0), _read(node, node.input(0)), pool)


def lp_pool(node: Node) -> Value:
    """LpPool: the p-th root of a sum, which is the mean times the window's size once the padding is written out."""
    x, window = node.input(0), _read(node, node.input(0))
    order, ceil = _order(node), bool(node.attr_int("ceil_mode", 0))
    after = []
    for axis, size in enumerate(x.shape[2:]):
        kernel, stride, dilation = window.kernel[axis], window.strides[axis], window.dilations[axis]
        before = window.before[axis]
        count = window_size(size, kernel, stride, dilation, before, window.after[axis], ceil=ceil)
        after.append(max(0, (count - 1) * stride + (kernel - 1) * dilation + 1 - size - before))
    powers = _to_power(node, x, order)
    padded = node.add(PadOp(x=powers, before=(0, 0, *window.before), after=(0, 0, *after)))
    inner = Window(window.kernel, window.strides, window.dilations, (0,) * len(after), (0,) * len(after))

    def pool(value: Value, part: Window) -> Value:
        mean = node.add(AvgPool2dOp(x=value, kernel=part.kernel, strides=part.strides, dilations=part.dilations))
        return node.add(MulOp(lhs=mean, rhs=node.scalar(part.kernel[0] * part.kernel[1], mean)))

    return _root(node, _pool(node, padded, inner, pool), order)


def global_average_pool(node: Node) -> Value:
    """GlobalAveragePool."""
    return _global(node, "mean")


def global_max_pool(node: Node) -> Value:
    """GlobalMaxPool."""
    return _global(node, "max")


def global_lp_pool(node: Node) -> Value:
    """GlobalLpPool."""
    x, order = node.input(0), _order(node)
    total = reduce(node, _to_power(node, x, order), "sum", range(2, x.tensor.rank))
    return _root(node, total, order)


def _global(node: Node, kind: str) -> Value:
    x = node.input(0)
    if x.tensor.rank < 3:
        raise malformed("there is no spatial axis to pool over", found=str(x.type))
    return node.add(ReduceOp(x=x, kind=kind, axes=tuple(range(2, x.tensor.rank)), keep_dims=True))


def _read(node: Node, x: Value) -> Window:
    kernel = node.attr_ints("kernel_shape")
    if kernel is None:
        raise malformed("attribute kernel_shape is missing")
    if not 3 <= x.tensor.rank <= 5:
        raise unsupported("pooling over one, two or three axes is taken", found=str(x.type))
    window = read_window(node, x.shape[2:], kernel)
    if any(pad < 0 for pad in window.pads):
        raise unsupported("negative padding is not taken", found=str(list(window.pads)))
    return window


def _pool(node: Node, x: Value, window: Window, pool: Pool2d) -> Value:
    batch, channels, *size = x.shape
    if len(size) == 2:
        return pool(x, window)
    if len(size) == 1:
        rows = pool(reshape(node, x, (batch, channels, 1, *size)), window.with_unit_axis())
        return reshape(node, rows, (batch, channels, rows.shape[3]))
    planes = pool(reshape(node, x, (batch, channels * size[0], *size[1:])), window.axes(1, 2))
    plane = planes.shape[2:]
    depth = reshape(node, planes, (batch, channels, size[0], plane[0] * plane[1]))
    result = pool(depth, window.axes(0).with_unit_axis(behind=True))
    return reshape(node, result, (batch, channels, result.shape[2], *plane))


def _order(node: Node) -> int:
    order = node.attr_int("p", 2)
    if order < 1:
        raise malformed("p must be at least 1", found=str(order))
    return order


def _to_power(node: Node, x: Value, order: int) -> Value:
    if order == 2:
        return node.add(MulOp(lhs=x, rhs=x))
    size = node.add(AbsOp(x=x))
    return size if order == 1 else node.add(PowOp(lhs=size, rhs=node.scalar(order, x)))


def _root(node: Node, x: Value, order: int) -> Value:
    if order == 1:
        return x
    return node.add(SqrtOp(x=x)) if order == 2 else node.add(PowOp(lhs=x, rhs=node.scalar(1 / order, x)))
