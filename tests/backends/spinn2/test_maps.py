"""Transfers between maps and tiles: all elements that both hold, each once, from and to where they lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.maps import Overlap, Segments, Tiles, bands, overlap
from snc.passes.tile.geometry import View

ROOM = 10_000


def copied(found: Overlap, source: np.ndarray, target: np.ndarray, *, load: bool) -> None:
    """Moves the bytes as the boxes say; a buffer is a row of `source` or `target`."""
    ends = (found.map_buffer, found.map_address), (found.tile_buffer, found.tile_address)
    (src, src_address), (dst, dst_address) = ends if load else ends[::-1]
    for n, box in enumerate(found.boxes):
        for i in range(int(box["n0"])):
            for j in range(int(box["n1"])):
                start = int(src_address[n]) + i * int(box["src_0"]) + j * int(box["src_1"])
                end = int(dst_address[n]) + i * int(box["dst_0"]) + j * int(box["dst_1"])
                run = int(box["bytes"])
                assert not target[dst[n], end : end + run].any()
                target[dst[n], end : end + run] = source[src[n], start : start + run]


def drawn_tiles(data: st.DataObject, view: View, count: int) -> Tiles:
    """Boxes that may reach into the padding, or hold nothing but padding, with gaps between rows."""
    boxes = np.zeros((count, 3, 2), np.int64)
    for axis, size in enumerate(view.shape):
        for n in range(count):
            low = data.draw(st.integers(0 if axis == 0 else -2, size - 1))
            boxes[n, axis] = low, data.draw(st.integers(low + (axis == 0), size + (axis > 0)))
    extent = boxes[:, :, 1] - boxes[:, :, 0]
    row = extent[:, 2] + data.draw(st.integers(0, 3))
    return Tiles(boxes, np.arange(count), np.zeros(count, np.int64), row * extent[:, 1], row)


class TestOverlap:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.booleans())
    def test_moves_what_tile_and_map_share(self, data: st.DataObject, load: bool) -> None:
        view = View(*(data.draw(st.integers(1, size)) for size in (4, 7, 5)))
        rows = bands(view, data.draw(st.integers(1, 4)))
        boxes = np.array([[[0, view.channels], each, [0, view.columns]] for each in rows])
        pitch = np.full(len(rows), view.columns)
        segments = Segments(boxes, np.arange(len(rows)), np.zeros_like(pitch), pitch * (rows[:, 1] - rows[:, 0]), pitch)
        tiles = drawn_tiles(data, view, data.draw(st.integers(1, 3)) if load else 1)
        values = np.random.default_rng(0).integers(1, 100, view.shape).astype(np.uint8)
        maps, inside = np.zeros((len(rows), ROOM), np.uint8), np.zeros((len(tiles.boxes), ROOM), np.uint8)
        for (c, r, k), value in np.ndenumerate(values):
            band = int(np.searchsorted(rows[:, 1], r, side="right"))
            place = c * int(segments.channel_pitch[band]) + (r - int(rows[band, 0])) * view.columns + k
            for n, box in enumerate(tiles.boxes):
                if all(low <= at < high for at, (low, high) in zip((c, r, k), box, strict=True)):
                    at = np.array([c, r, k]) - box[:, 0]
                    inside[n, at[0] * tiles.channel_pitch[n] + at[1] * tiles.row_pitch[n] + at[2]] = value
                    if not load:
                        maps[band, place] = value
            if load:
                maps[band, place] = value
        source, expected = (maps, inside) if load else (inside, maps)
        found = np.zeros_like(expected)
        copied(overlap(tiles, segments, view, 1, load=load), source, found, load=load)
        np.testing.assert_array_equal(found, expected)
