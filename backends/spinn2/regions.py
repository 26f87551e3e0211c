"""Addresses of what layers need beside the maps, chosen for a whole network before any layer is emitted.

Three things want the bytes of an element that no map takes: the places in which a layer works, those where its weights
wait for it (at home), and the many slots through which a matrix streams. Places to work come first; what is left
belongs to weights, as early as there is room, so that DRAM never rests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from attrs import define, field, frozen

from ...passes.tile.geometry import MAC_ROW_BYTES, align
from .memory import Region, Storage

AHEAD = 24
"""Most layers by which places are taken before their layer starts."""


class NoRoom(Exception):
    """There is no place for so many bytes."""


@define(eq=False)
class Places:
    """Where one layer works: an address for each region, in the order in which its emitter takes them.

    `homes` are those where its weights wait.
    """

    turn: int
    regions: list[Region]
    homes: list[Region] = field(factory=list)

    def allocate(self) -> Callable[[int], int]:
        """What gives an emitter the addresses of its regions, one after the other."""
        left = iter(self.regions)
        return lambda _size: next(left).address


@frozen
class Want:
    """Bytes of a region.

    What is `early` is loaded while the layer before works, so that it should be free then; what is `late` is in use
    while the layer behind starts.
    """

    bytes: int
    early: bool = False
    late: bool = False


def take_places(
    storage: Storage, wants: Sequence[Want], turn: int, *, least: int = 0, apart: bool = True, beside: bool = False
) -> Places:
    """Places for regions during `turn`; the early ones are free one layer before if possible, or if `least` is 1.

    So are all others, if possible, of a layer that works `beside` the one before.

    Early regions lie at the lower end and the others at the upper one or, if not `apart`, those of one turn at the one
    and those of the next at the other: either way what is free stays in one piece.

    Raises NoRoom, and takes nothing, if there are none.
    """
    mark = storage.mark()
    regions = []
    for want in wants:
        lives = [(2 * turn, 2 * turn)] if not want.early or not least else []
        if want.early and turn:
            lives.insert(0, (2 * turn - 2, 2 * turn))
        if want.late:
            lives.insert(0, (2 * turn, 2 * turn + 1))
        if beside and turn and not want.early:
            lives.insert(0, (2 * turn - 2, 2 * turn))
        found = None
        for first, last in lives:
            found = found or storage.take(
                aligned(want.bytes), first, last, high=not want.early if apart else turn % 2 == 0
            )
        if found is None:
            storage.release(mark)
            raise NoRoom(want.bytes)
        regions.append(found)
    return Places(turn, regions)


def take_homes(storage: Storage, places: Places, size: int, count: int, turn: int) -> None:
    """`count` places of `size` bytes more in which weights wait; none if not all have room.

    They are free from `turn` on or as soon after it as there is room, but before the turn of the layer.
    """
    mark = storage.mark()
    turns = range(min(turn, places.turn - 1), places.turn)
    for _ in range(count):
        lives = ((start_of(first), start_of(places.turn)) for first in turns)
        taken = (storage.take(aligned(size), first, last, high=True) for first, last in lives)
        found = next((region for region in taken if region is not None), None)
        if found is None:
            storage.release(mark)
            places.homes = []
            return
        places.homes.append(found)


def turns_of_loading(clocks: Sequence[float], loading: Sequence[float]) -> list[int]:
    """For each layer the one during which its weights have to start coming, so that no layer waits for DRAM.

    A layer works for `clocks`, and its weights keep DRAM busy for `loading` clocks.
    """
    starts = [0.0, *accumulate(clocks)][: len(clocks)]
    found = [0] * len(clocks)
    latest = float("inf")
    for number in range(len(clocks) - 1, -1, -1):
        latest = min(latest, starts[number]) - loading[number]
        found[number] = max(bisect_right(starts, latest) - 1, 0)
    return found


def stretch_all(storage: Storage, regions: Sequence[Region]) -> None:
    """Lets regions begin earlier, a layer at a time, the first ones first, as long as their bytes are free."""
    for _ in range(AHEAD):
        regions = [region for region in regions if storage.stretch(region, region.first - 2)]


def start_of(turn: int) -> int:
    """The time of a turn, as maps use it."""
    return max(2 * turn, 0)


def aligned(size: int) -> int:
    """Bytes that a region takes."""
    return int(align(size, MAC_ROW_BYTES))
