"""Packet keys: a zone of a power of two for each population, in it one for each vertex; tiles a fixed stride apart.

Field by field, from the highest bit: tile, population, vertex, neuron of the vertex, colour. The zones of all
populations of a tile are of one size, the fields of vertex and neuron divide a zone as the population needs it; this is
how the toolchain allots keys, so that those of a single tile are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]

KEY_BITS = 32


class KeysExhaustedError(Exception):
    """The tiles need more bits than a key has: `needed` of them for one tile, `tiles` tiles at most."""

    def __init__(self, needed: int, tiles: int) -> None:
        super().__init__(f"{needed} bits a tile, {tiles} tiles at most")
        self.needed = needed
        self.tiles = tiles


@frozen(eq=False)
class Keys:
    """The keys of tile 0.

    For each population: `zone_key` and `zone_mask` of its zone, `vertex_bits` (of the field of vertices) and
    `neuron_bits` (below it: neuron and colour); a mask of 0 where it sends nothing. `stride` is the distance between
    the keys of two tiles.
    """

    zone_key: Array
    zone_mask: Array
    vertex_bits: Array
    neuron_bits: Array
    stride: int

    def vertex_keys(self, population: Array, place: Array) -> tuple[Array, Array]:
        """Keys and masks (u32) of vertices, each given as population and place in it (0, 1, 2 ...)."""
        sends = self.zone_mask[population] != 0
        bits = self.neuron_bits[population].astype(np.uint32)
        key = self.zone_key[population] | (place.astype(np.uint32) << bits)
        mask = np.uint32(0xFFFF_FFFF) << bits
        return np.where(sends, key, 0).astype(np.uint32), np.where(sends, mask, 0).astype(np.uint32)


def bits_for(values: int) -> int:
    """Bits that tell `values` different values apart; 0 for one value."""
    return max(values - 1, 0).bit_length()


def allocate_keys(neurons: Array, vertices: Array, sends: Array, tiles: int, *, colour_bits: int) -> Keys:
    """Keys for populations with `vertices` vertices of at most `neurons` neurons; those that send nothing get none.

    Raises KeysExhaustedError when `tiles` tiles have no room in 32 bits.
    """
    neuron_bits = np.array([bits_for(int(each) << colour_bits) for each in neurons], np.int64)
    vertex_bits = np.array([bits_for(int(each)) for each in vertices], np.int64)
    zone_bits = int((neuron_bits + vertex_bits)[sends].max(initial=0))
    tile_bits = zone_bits + bits_for(int(np.count_nonzero(sends)))
    if tile_bits > KEY_BITS or tiles > 1 << (KEY_BITS - tile_bits):
        raise KeysExhaustedError(tile_bits, 1 << max(KEY_BITS - tile_bits, 0) if tile_bits <= KEY_BITS else 0)
    zone = np.maximum(np.cumsum(sends) - 1, 0) << zone_bits
    mask = ((1 << KEY_BITS) - 1) >> zone_bits << zone_bits
    return Keys(
        zone_key=np.where(sends, zone, 0).astype(np.uint32),
        zone_mask=np.where(sends, mask, 0).astype(np.uint32),
        vertex_bits=vertex_bits,
        neuron_bits=neuron_bits,
        stride=1 << tile_bits,
    )
