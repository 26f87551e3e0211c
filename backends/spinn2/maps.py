"""Where feature maps live: whole behind one DRAM port, or in bands behind all ports or in the SRAM of PEs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import BOX, Copy
from ...passes.tile.geometry import Boxes, View
from .rows import Column, records

Array = NDArray[Any]
Pair: TypeAlias = tuple[Column, Column]


@frozen(eq=False)
class Segments:
    """The pieces of a map: boxes of its view, each in one buffer, with the pitches in bytes."""

    boxes: Boxes
    buffer: Array
    address: Array
    channel_pitch: Array
    row_pitch: Array

    def of_channels(self, channels: Array) -> Segments:
        """What they hold of some channels, which are then numbered from 0 in the order of `channels` (int64[n])."""
        first = np.flatnonzero(np.diff(channels, prepend=-2) != 1)
        low = channels[first]
        high = low + np.diff(np.append(first, len(channels)))
        start = np.maximum(low[:, None], self.boxes[:, 0, 0])
        end = np.minimum(high[:, None], self.boxes[:, 0, 1])
        run, segment = np.nonzero(start < end)
        start, end = start[run, segment], end[run, segment]
        boxes, pitch = self.boxes[segment].copy(), self.channel_pitch[segment]
        address = self.address[segment] + (start - boxes[:, 0, 0]) * pitch
        boxes[:, 0] = np.stack([start, end], axis=1) + (first[run] - low[run])[:, None]
        return Segments(boxes, self.buffer[segment], address, pitch, self.row_pitch[segment])


@define(eq=False)
class FeatureMap:
    """A tensor in memory.

    A dense map is one run of bytes and can be seen as any view of its size; a banded map is planar and in segments. It
    lies `on_chip` or in DRAM.
    """

    itemsize: int
    size: int
    dense: tuple[int, int] | None = None  # buffer, address
    banded: tuple[View, Segments] | None = None
    on_chip: bool = False

    def segments(self, view: View) -> Segments:
        """The segments under `view`.

        A banded map whose rows fill their columns can be seen with some rows as one, or as a single row. Raises
        ValueError for any other view than its own.
        """
        if self.dense is not None:
            buffer, address = self.dense
            return Segments(
                np.array([[[0, n] for n in view.shape]], np.int64),
                np.array([buffer]),
                np.array([address]),
                np.array([self.itemsize if view.minor else view.rows * view.columns * self.itemsize]),
                np.array([(view.channels if view.minor else view.columns) * self.itemsize]),
            )
        if self.banded is None:
            raise ValueError("a map lies nowhere")
        own, segments = self.banded
        if own == view:
            return segments
        found = _joined_rows(segments, own, view, self.itemsize)
        if found is None:
            raise ValueError("a banded map cannot be seen this way")
        return found

    def part(self, offset: int, size: int, itemsize: int) -> FeatureMap:
        """The map of a value of `size` elements that starts at byte `offset`.

        Of a banded map it is a run of whole channels; raises ValueError for any other.
        """
        if self.dense is not None:
            buffer, address = self.dense
            return FeatureMap(itemsize, size, (buffer, address + offset), on_chip=self.on_chip)
        if self.banded is None:
            raise ValueError("a map lies nowhere")
        view, segments = self.banded
        plane = view.rows * view.columns
        if itemsize != self.itemsize or offset % (plane * itemsize) or size % plane:
            raise ValueError("a part of a banded map must be some of its channels")
        low, count = offset // (plane * itemsize), size // plane
        seen = View(count, view.rows, view.columns)
        run = segments.of_channels(np.arange(low, low + count))
        return FeatureMap(itemsize, size, banded=(seen, run), on_chip=self.on_chip)

    def seen_as(self, view: View) -> bool:
        """Whether `segments` has an answer."""
        if self.dense is not None or self.banded is None or self.banded[0] == view:
            return self.dense is not None or self.banded is not None
        return _joined_rows(self.banded[1], self.banded[0], view, self.itemsize) is not None


def _joined_rows(segments: Segments, own: View, view: View, itemsize: int) -> Segments | None:
    """The segments with several rows of the map's own view as one row; None where that is not how they lie."""
    if own.minor or view.minor or view.channels != own.channels or view.size != own.size:
        return None
    rows, width = segments.boxes[:, 1], own.columns
    whole = np.all(segments.boxes[:, 2] == [0, width]) and np.all(segments.row_pitch == width * itemsize)
    together = view.columns // width
    if not whole or view.columns % width:
        return None
    boxes = segments.boxes.copy()
    if view.rows == 1:
        boxes[:, 1], boxes[:, 2] = [0, 1], rows * width
    elif np.all(rows % together == 0):
        boxes[:, 1], boxes[:, 2] = rows // together, [0, view.columns]
    else:
        return None
    return Segments(boxes, segments.buffer, segments.address, segments.channel_pitch, segments.row_pitch * together)


@frozen(eq=False)
class Tiles:
    """Tiles in PE memory: box of each in map coordinates (rows and columns may reach into padding) and pitches."""

    boxes: Boxes
    buffer: Array
    address: Array
    channel_pitch: Array
    row_pitch: Array


@frozen(eq=False)
class Overlap:
    """Every pair of a tile and a map segment that share elements, as transfers between them."""

    tile: Array
    boxes: NDArray[np.void]
    map_buffer: Array
    map_address: Array
    tile_buffer: Array
    tile_address: Array


def overlap(tiles: Tiles, segments: Segments, view: View, itemsize: int, *, load: bool) -> Overlap:
    """Intersects tiles with segments; with `load` the box records copy map to tile, else tile to map."""
    tile, segment = _meeting(tiles.boxes, segments.boxes)
    low = np.maximum(tiles.boxes[tile, :, 0], segments.boxes[segment, :, 0])
    count = np.minimum(tiles.boxes[tile, :, 1], segments.boxes[segment, :, 1]) - low
    from_tile = low - tiles.boxes[tile, :, 0]
    from_segment = low - segments.boxes[segment, :, 0]

    def offset(start: Array, channel_pitch: Array, row_pitch: Array) -> Array:
        column = 0 if view.minor else start[:, 2] * itemsize
        return start[:, 0] * channel_pitch + start[:, 1] * row_pitch + column

    tile_pitch = (tiles.channel_pitch[tile], tiles.row_pitch[tile])
    map_pitch = (segments.channel_pitch[segment], segments.row_pitch[segment])
    source, target = (map_pitch, tile_pitch) if load else (tile_pitch, map_pitch)
    planes, width = (1, count[:, 0]) if view.minor else (count[:, 0], count[:, 2])
    return Overlap(
        tile,
        box_records(width * itemsize, (planes, count[:, 1]), source, target, itemsize),
        segments.buffer[segment],
        segments.address[segment] + offset(from_segment, *map_pitch),
        tiles.buffer[tile],
        tiles.address[tile] + offset(from_tile, *tile_pitch),
    )


def _meeting(tiles: Boxes, segments: Boxes) -> tuple[Array, Array]:
    """Every pair of a tile and a segment that share elements, tile by tile; no segment is empty."""
    filled = np.flatnonzero(np.all(tiles[:, :, 1] > tiles[:, :, 0], axis=1))
    meets = np.ones((len(filled), len(segments)), bool)
    for axis in range(3):
        low, high = np.ascontiguousarray(tiles[filled, axis].T, np.int32)[:, :, None]
        start, end = np.ascontiguousarray(segments[:, axis].T, np.int32)
        meets &= (low < end) & (start < high)
    tile, segment = np.divmod(np.flatnonzero(meets), len(segments))
    return filled[tile], segment


def box_records(size: Array, count: Pair, source: Pair, target: Pair, element: int) -> NDArray[np.void]:
    """BOX records of count[0] planes of count[1] rows of `size` bytes; pitches of planes and of rows at both ends.

    Rows, then planes, that follow each other without a gap on both sides become fewer, longer rows.
    """
    (n0, n1), (src_0, src_1), (dst_0, dst_1) = count, source, target
    size, n1 = _joined(size, n1, src_1, dst_1)
    # Planes of a single row each: look at them as rows.
    flat = (n1 == 1) & (n0 > 1)
    n0, n1 = np.where(flat, 1, n0), np.where(flat, n0, n1)
    src_1, dst_1 = np.where(flat, src_0, src_1), np.where(flat, dst_0, dst_1)
    size, n1 = _joined(size, n1, src_1, dst_1)
    columns: dict[str, Column] = {"copy": int(Copy.BOX), "n0": n0, "n1": n1, "n2": 1, "bytes": size, "element": element}
    columns |= {"src_0": np.where(n0 == 1, 0, src_0), "src_1": np.where(n1 == 1, 0, src_1)}
    columns |= {"dst_0": np.where(n0 == 1, 0, dst_0), "dst_1": np.where(n1 == 1, 0, dst_1)}
    return records(BOX, len(size), columns)


def _joined(size: Array, count: Column, source: Column, target: Column) -> tuple[Array, Array]:
    """Bytes of a row and number of rows, where rows without gaps are one."""
    whole = (source == size) & (target == size)
    return np.where(whole, size * count, size), np.where(whole, 1, count)


def bands(view: View, rows: int) -> Array:
    """[m, 2] rows of bands of a map that have `rows` each, but for the last."""
    low = np.arange(0, view.rows, rows, dtype=np.int64)
    return np.stack([low, np.minimum(low + rows, view.rows)], axis=1)
