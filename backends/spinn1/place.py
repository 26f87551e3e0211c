"""Placement: tiles one after the other along the chips of the machine, their vertices in order, every core used.

The chips' order (see Machine.chips) goes from neighbour to neighbour, so a tile stays on one chip or on neighbouring
ones. A chip is left when its cores are used up or when the next vertex finds too little memory on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .machine import Machine

Array = NDArray[Any]


class NoRoomError(Exception):
    """Vertex `vertex` of a tile finds no chip with enough memory, however empty."""

    def __init__(self, vertex: int) -> None:
        super().__init__(f"vertex {vertex}")
        self.vertex = vertex


@frozen(eq=False)
class Places:
    """Where the vertices of whole tiles run: [tiles, vertices] chip numbers and core numbers."""

    chip: Array
    core: Array

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return len(self.chip)

    def first(self, tiles: int) -> Places:
        """The first `tiles` tiles."""
        return Places(self.chip[:tiles], self.core[:tiles])


def place_tiles(machine: Machine, sdram_bytes: Array, most: int | None = None) -> Places:
    """As many tiles as the machine holds, at most `most`; `sdram_bytes` [vertices] of one tile.

    Raises NoRoomError for a vertex that needs more memory than a chip has.
    """
    vertices = len(sdram_bytes)
    too_large = np.flatnonzero(sdram_bytes > machine.sdram.chip_bytes)
    if too_large.size:
        raise NoRoomError(int(too_large[0]))
    capacity = np.array([len(cores) for cores in machine.cores], np.int64)
    limit = int(capacity.sum()) // vertices
    tiles = limit if most is None else min(limit, most)
    begins = np.concatenate([[0], np.cumsum(np.tile(sdram_bytes.astype(np.int64), tiles))])
    taken, placed = np.zeros(len(capacity), np.int64), 0
    for chip, cores in enumerate(capacity):
        fits = int(np.searchsorted(begins, begins[placed] + machine.sdram.chip_bytes, "right")) - 1 - placed
        taken[chip] = min(int(cores), fits)
        placed += int(taken[chip])
        if placed == tiles * vertices:
            break
    whole = placed // vertices * vertices
    chips = np.repeat(np.arange(len(capacity)), taken)[:whole]
    nth = np.arange(len(chips)) - (np.cumsum(taken) - taken)[chips]
    numbers = np.full((len(capacity), int(capacity.max())), -1, np.int64)
    for chip, cores in enumerate(machine.cores):
        numbers[chip, : len(cores)] = cores
    return Places(chips.reshape(-1, vertices), numbers[chips, nth].reshape(-1, vertices))
