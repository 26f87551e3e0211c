"""Kernel, strides, dilations and padding of an ONNX node."""

from __future__ import annotations

from attrs import frozen

from .node import Node
from .problems import malformed

MAX_EXTENT = 1 << 20
"""No kernel, stride, dilation or padding is larger."""


@frozen
class Window:
    """A window over the spatial axes; one entry per axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def pads(self) -> tuple[int, ...]:
        return (*self.before, *self.after)

    def axes(self, *indices: int) -> Window:
        """The window over these axes only."""
        return Window(
            *(
                tuple(entries[i] for i in indices)
                for entries in (self.kernel, self.strides, self.dilations, self.before, self.after)
            )
        )

    def with_unit_axis(self, *, behind: bool = False) -> Window:
        """The window with an axis of size 1 in front or behind."""
        parts = ((self.kernel, 1), (self.strides, 1), (self.dilations, 1), (self.before, 0), (self.after, 0))
        return Window(*((*entries, unit) if behind else (unit, *entries) for entries, unit in parts))


def read_window(node: Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of a convolution or pooling over an input of spatial `size`."""
    rank = len(size)
    if len(kernel) != rank or any(not 1 <= entry <= MAX_EXTENT for entry in kernel):
        raise malformed("the kernel does not fit the input", found=f"{list(kernel)} over {list(size)}")
    declared = node.attr_ints("kernel_shape")
    if declared is not None and declared != kernel:
        raise malformed("kernel_shape contradicts the weights", found=str(list(declared)), expected=str(list(kernel)))
    strides = spatial(node, "strides", rank, 1)
    dilations = spatial(node, "dilations", rank, 1)
    before, after = _padding(node, size, kernel, strides, dilations)
    return Window(kernel, strides, dilations, before, after)


def spatial(node: Node, name: str, rank: int, low: int, default: int | None = None) -> tuple[int, ...]:
    """A list attribute with one entry per spatial axis, each from `low` to MAX_EXTENT; `default` is `low`."""
    entries = node.attr_ints(name)
    if entries is None:
        return (low if default is None else default,) * rank
    if len(entries) != rank or any(not low <= entry <= MAX_EXTENT for entry in entries):
        raise malformed(
            f"attribute {name} does not fit", found=str(list(entries)), expected=f"{rank} integers from {low} on"
        )
    return entries


def explicit_pads(node: Node, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Attribute `pads` as (before, after), zeros when it is left out."""
    pads = node.attr_ints("pads")
    if pads is None:
        return (0,) * rank, (0,) * rank
    if len(pads) != 2 * rank or any(abs(pad) > MAX_EXTENT for pad in pads):
        raise malformed("attribute pads does not fit", found=str(list(pads)), expected=f"{2 * rank} small integers")
    return pads[:rank], pads[rank:]


def _padding(
    node: Node, size: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    auto_pad = node.attr_str("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        return explicit_pads(node, len(size))
    if auto_pad == "VALID":
        return (0,) * len(size), (0,) * len(size)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise malformed(f"auto_pad {auto_pad!r} is unknown", expected="NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    totals = [
        max(0, (-(-extent // stride) - 1) * stride + (width - 1) * dilation + 1 - extent)
        for extent, width, stride, dilation in zip(size, kernel, strides, dilations, strict=True)
    ]
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)
