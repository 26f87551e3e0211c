"""Addresses: a bump allocator for DRAM, a live-range allocator for maps in storage PEs, the regions of a compute PE."""

from __future__ import annotations

from attrs import define, field

LINE = 64
"""Alignment of what DRAM holds, in bytes."""


@define
class Dram:
    """Hands out addresses behind each port; nothing is freed, as DRAM is large beside one network."""

    ports: int
    capacity: int
    used: list[int] = field(init=False)
    _turn: int = 0

    def __attrs_post_init__(self) -> None:
        self.used = [0] * self.ports

    def take(self, port: int, size: int) -> int:
        """The address of `size` new bytes behind `port`; raises MemoryError when the port is full."""
        address = self.used[port]
        end = -(-(address + size) // LINE) * LINE
        if end > self.capacity:
            raise MemoryError(f"{end} of {self.capacity} bytes behind DRAM port {port}")
        self.used[port] = end
        return address

    def next_port(self) -> int:
        """The ports in turn, for what lies behind a single one."""
        self._turn = (self._turn + 1) % self.ports
        return self._turn


@define(eq=False)
class Region:
    """Bytes from `address` to `end` of every PE, taken from time `first` to `last`."""

    address: int
    end: int
    first: int
    last: int

    def meets(self, address: int, end: int, first: int, last: int) -> bool:
        """Whether some byte is taken at some time by both."""
        return self.address < end and address < self.end and self.first <= last and first <= self.last


@define
class Storage:
    """Regions by live range: one address range that is the same in every PE."""

    capacity: int
    _taken: list[Region] = field(factory=list)

    def take(self, size: int, first: int, last: int, *, high: bool = False) -> Region | None:
        """The lowest (or, with `high`, highest) region where `size` bytes are free from time `first` to `last`.

        None when there is none.
        """
        size = -(-size // LINE) * LINE
        found: int | None = None
        start = 0
        busy = sorted((each.address, each.end) for each in self._taken if each.first <= last and first <= each.last)
        for low, end in [*busy, (self.capacity // LINE * LINE, 0)]:
            if low - start >= size:
                found = low - size if high else start
                if not high:
                    break
            start = max(start, end)
        if found is None:
            return None
        self._taken.append(Region(found, found + size, first, last))
        return self._taken[-1]

    def stretch(self, region: Region, first: int) -> bool:
        """Lets a region begin at time `first`, if its bytes are free until then; says whether it does."""
        if first < 0:
            return False
        # Most regions end earlier, so they are left out at once.
        others = [each for each in self._taken if each.last >= first and each is not region]
        if any(each.meets(region.address, region.end, first, region.first) for each in others):
            return False
        region.first = min(first, region.first)
        return True

    def mark(self) -> int:
        """What `release` takes to forget all regions from here on."""
        return len(self._taken)

    def release(self, mark: int) -> None:
        """Forgets the regions taken since `mark`."""
        del self._taken[mark:]
