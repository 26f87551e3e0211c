"""Convolution and transposed convolution, over one or two spatial axes."""

from __future__ import annotations

from ...ir.core import Value
from ...ir.dialects.nn import CastOp, Conv2dOp, ConvTranspose2dOp, SubOp
from ...ir.types import F64, I32
from .emit import reshape
from .node import Node
from .problems import malformed, unsupported
from .windows import MAX_EXTENT, Window, explicit_pads, read_window, spatial


def conv(node: Node) -> Value:
    """Conv."""
    return convolution(node, node.input(0), node.input(1), node.optional(2))


def convolution(node: Node, x: Value, weight: Value, bias: Value | None) -> Value:
    """A convolution with the node's attributes; one spatial axis becomes two with one row."""
    _check_ranks(x, weight)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    if any(pad < 0 for pad in window.pads):
        raise unsupported("negative padding is not taken", found=str(list(window.pads)))
    flat = x.tensor.rank == 3
    if flat:
        x, weight, window = _with_row(node, x), _with_row(node, weight), window.with_unit_axis()
    result = node.add(
        Conv2dOp(
            x=x,
            weight=weight,
            bias=bias,
            strides=window.strides,
            pads=window.pads,
            dilations=window.dilations,
            groups=node.attr_int("group", 1),
        )
    )
    return _without_row(node, result) if flat else result


def conv_integer(node: Node) -> Value:
    """ConvInteger: exact in 64 bit floats, then i32."""
    x = _centred(node, node.input(0), node.optional(2), 0)
    weight = _centred(node, node.input(1), node.optional(3), 0)
    return node.add(CastOp(x=convolution(node, x, weight, None), to=I32))


def _centred(node: Node, x: Value, zero_point: Value | None, axis: int) -> Value:
    wide = node.add(CastOp(x=x, to=F64))
    if zero_point is None:
        return wide
    if zero_point.tensor.rank == 1 and zero_point.tensor.size > 1:
        shape = [1] * x.tensor.rank
        shape[axis] = zero_point.tensor.size
        zero_point = reshape(node, zero_point, shape)
    return node.add(SubOp(lhs=wide, rhs=node.add(CastOp(x=zero_point, to=F64))))


def conv_transpose(node: Node) -> Value:
    """ConvTranspose."""
    x, weight, bias = node.input(0), node.input(1), node.optional(2)
    _check_ranks(x, weight)
    window, extra = _transposed_window(node, x.shape[2:], weight.shape[2:])
    flat = x.tensor.rank == 3
    if flat:
        x, weight = _with_row(node, x), _with_row(node, weight)
        window, extra = window.with_unit_axis(), (0, *extra)
    result = node.add(
        ConvTranspose2dOp(
            x=x,
            weight=weight,
            bias=bias,
            strides=window.strides,
            pads=window.pads,
            dilations=window.dilations,
            output_padding=extra,
            groups=node.attr_int("group", 1),
        )
    )
    return _without_row(node, result) if flat else result


def _transposed_window(node: Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Window, tuple[int, ...]]:
    """The window, whose padding is cut from the result, and what is added at the end."""
    rank = len(size)
    declared = node.attr_ints("kernel_shape")
    if declared is not None and declared != kernel:
        raise malformed("kernel_shape contradicts the weights", found=str(list(declared)), expected=str(list(kernel)))
    strides, dilations = spatial(node, "strides", rank, 1), spatial(node, "dilations", rank, 1)
    extra = spatial(node, "output_padding", rank, 0)
    auto_pad = node.attr_str("auto_pad", "NOTSET")
    target = node.attr_ints("output_shape")
    if target is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        target = tuple(extent * stride for extent, stride in zip(size, strides, strict=True))
    if target is None:
        before, after = explicit_pads(node, rank) if auto_pad == "NOTSET" else ((0,) * rank, (0,) * rank)
        return Window(kernel, strides, dilations, before, after), extra
    if len(target) != rank or any(not 0 < extent <= MAX_EXTENT for extent in target):
        raise malformed("output_shape does not fit", found=str(list(target)), expected=f"{rank} positive integers")
    surplus = [
        stride * (extent - 1) + added + (width - 1) * dilation + 1 - wanted
        for extent, width, stride, dilation, added, wanted in zip(
            size, kernel, strides, dilations, extra, target, strict=True
        )
    ]
    small = tuple(max(0, total) // 2 for total in surplus)
    large = tuple(max(0, total) - half for total, half in zip(surplus, small, strict=True))
    before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    missing = tuple(added + max(0, -total) for added, total in zip(extra, surplus, strict=True))
    return Window(kernel, strides, dilations, before, after), missing


def _check_ranks(x: Value, weight: Value) -> None:
    if x.tensor.rank != weight.tensor.rank or x.tensor.rank < 3:
        raise malformed("input and weights do not fit each other", found=f"{x.type} and {weight.type}")
    if x.tensor.rank > 4:
        raise unsupported("convolution over more than two axes is not taken", found=str(x.type))


def _with_row(node: Node, x: Value) -> Value:
    return reshape(node, x, (*x.shape[:2], 1, x.shape[2]))


def _without_row(node: Node, x: Value) -> Value:
    return reshape(node, x, (*x.shape[:2], x.shape[3]))
