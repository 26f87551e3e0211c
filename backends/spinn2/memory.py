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


@define
class Storage:
    """Regions by live range: one address range that is the same in every PE."""

    capacity: int
    _taken: list[tuple[int, int, int, int]] = field(factory=list)  # address, end, first, last

    def take(self, size: int, first: int, last: int, *, high: bool = False) -> int | None:
        """The lowest (or, with `high`, highest) address where `size` bytes are free from time `first` to `last`.

        None when there is none.
        """
        size = -(-size // LINE) * LINE
        found: int | None = None
        start = 0
        busy = sorted(entry[:2] for entry in self._taken if entry[2] <= last and first <= entry[3])
        for low, end in [*busy, (self.capacity // LINE * LINE, 0)]:
            if low - start >= size:
                found = low - size if high else start
                if not high:
                    break
            start = max(start, end)
        if found is not None:
            self._taken.append((found, found + size, first, last))
        return found

    def mark(self) -> int:
        """What `release` takes to forget all regions from here on."""
        return len(self._taken)

    def release(self, mark: int) -> None:
        """Forgets the regions taken since `mark`."""
        del self._taken[mark:]
