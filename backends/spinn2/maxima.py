"""Max pooling by elementwise maxima: of the rows of each window, in the place of one of them, then of its columns.

A window of `h` x `w` positions takes h - 1 maxima for each column of a row of windows and w - 1 more for each result,
where the kernel MAX_POOL looks at every input. Taps are the positions of a window along one axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...passes.tile.geometry import Stage, View, Window

Array = NDArray[Any]
Columns = dict[str, Array | int]
Operand = tuple[Array, Array]
"""Buffers and addresses."""


def separable(stage: Stage, before: View) -> bool:
    """Whether a max pooling of a map `before` can be done this way.

    Each window needs a row that no other window has, whose place its maxima take, and two columns to start with; these
    must lie inside the map in all windows. Whatever other rows or columns lie in the padding are left out.
    """
    window = stage.window
    if stage.view.minor or window.dilation != (1, 1):
        return False
    columns = _inside(window, 1, before.columns, stage.view.columns)
    single = window.kernel[1] == window.stride[1] == 1 and len(columns) == 1
    return len(_homes(window, before.rows, stage.view.rows)) > 0 and (len(columns) > 1 or single)


def _inside(window: Window, axis: int, inputs: int, outputs: int) -> range:
    """Taps along rows (0) or columns (1) that lie inside the map in every window."""
    before, last = window.before[axis], (outputs - 1) * window.stride[axis]
    return range(before, min(window.kernel[axis], inputs + before - last))


def _homes(window: Window, inputs: int, outputs: int) -> range:
    """Rows of a window that lie inside the map and that no other window has."""
    kernel, stride = window.kernel[0], window.stride[0]
    inside = _inside(window, 0, inputs, outputs)
    return range(max(inside.start, kernel - stride), min(inside.stop, stride))


@frozen(eq=False)
class Maximum:
    """Tasks of the kernel MAXIMUM: for each of `pieces` (numbers among all) extents and pitches, and operands."""

    pieces: Array
    shape: Columns
    operands: dict[str, Array]


@frozen(eq=False)
class SeparablePool:
    """A max pooling of tiles of a map.

    `extent` are the channels, rows and columns of the results, `extent_in` the rows and columns of the tiles, `padding`
    how many rows and columns the first window begins before its tile; int64[n] each. `tile` is where the tiles lie,
    `pitches` are their bytes from channel to channel and from row to row.
    """

    stage: Stage
    before: View
    extent: tuple[Array, Array, Array]
    extent_in: tuple[Array, Array]
    padding: tuple[Array, Array]
    tile: Operand
    pitches: tuple[Array, Array]

    @property
    def window(self) -> Window:
        """The window of the pooling."""
        return self.stage.window

    @property
    def home(self) -> int:
        """The row of a window in whose place the maxima of its rows are kept."""
        return _homes(self.window, self.before.rows, self.stage.view.rows)[0]

    @property
    def kept(self) -> tuple[Operand, tuple[Array, Array]]:
        """Where the maxima of rows lie, and their pitches."""
        channel, row = self.pitches
        start = (self.home - self.padding[0]) * row
        return (self.tile[0], self.tile[1] + start), (channel, row * self.window.stride[0])

    def rows(self) -> Iterator[Maximum]:
        """The maxima of the rows of each window, in place; one after the other."""
        (buffer, kept), (channel, row) = self.kept
        size = self.stage.dtype.itemsize
        for tap in range(self.window.kernel[0]):
            if tap == self.home:
                continue
            low, count = self._valid(0, tap, self.extent[1])
            own = kept + low * row
            other = own + (tap - self.home) * self.pitches[1]
            shape: Columns = {"channels": self.extent[0], "height": count, "width": self.extent_in[1]}
            for name in "aby":
                shape |= _pitches(name, channel, row, size)
            yield _maximum(count, shape, (buffer, own), (buffer, other), (buffer, own))

    def columns(self, result: Operand, pitches: tuple[Array, Array]) -> Iterator[Maximum]:
        """The maxima of the columns of what `rows` leaves, one after the other, into `result`; none of single ones."""
        (buffer, kept), (channel, row) = self.kept
        size, step = self.stage.dtype.itemsize, self.window.stride[1] * self.stage.dtype.itemsize
        inside = _inside(self.window, 1, self.before.columns, self.stage.view.columns)

        def column(tap: int) -> Operand:
            return buffer, kept + (tap - self.padding[1]) * size

        channels, height, width = self.extent
        shape: Columns = {"channels": channels, "height": height, "width": width}
        shape |= _pitches("b", channel, row, step) | _pitches("y", *pitches, size)
        if len(inside) > 1:
            first, second = (column(tap) for tap in inside[:2])
            yield _maximum(width, shape | _pitches("a", channel, row, step), first, second, result)
        for tap in range(self.window.kernel[1]):
            if tap in inside[:2]:
                continue
            low, count = self._valid(1, tap, width)
            own, other = (result[0], result[1] + low * size), column(tap)
            more = {"width": count} | _pitches("a", *pitches, size)
            yield _maximum(count, shape | more, own, (other[0], other[1] + low * step), own)

    def _valid(self, axis: int, tap: int, outputs: Array) -> tuple[Array, Array]:
        """The first output and the number of those in whose window a tap lies inside the tile."""
        stride, short = self.window.stride[axis], self.padding[axis] - tap
        low = np.clip(-(-short // stride), 0, outputs)
        high = np.clip((self.extent_in[axis] - 1 + short) // stride + 1, low, outputs)
        return low, high - low


def _pitches(name: str, channel: Array, row: Array, column: int) -> Columns:
    """The pitches of an operand; y has none of columns."""
    return {f"{name}_channel": channel, f"{name}_row": row} | ({} if name == "y" else {f"{name}_column": column})


def _maximum(count: Array, shape: Columns, a: Operand, b: Operand, y: Operand) -> Maximum:
    """The maximum of a and b for all pieces that have a `count`."""
    pieces = np.flatnonzero(count)
    named = {"a": a, "b": b, "y": y}
    operands = {name: buffer[pieces] for name, (buffer, _) in named.items()}
    operands |= {f"{name}_address": address[pieces] for name, (_, address) in named.items()}
    chosen = {name: values[pieces] if isinstance(values, np.ndarray) else values for name, values in shape.items()}
    return Maximum(pieces, chosen, operands)
