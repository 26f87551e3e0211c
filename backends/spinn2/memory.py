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
    """First fit by live range: one address range that is the same in every storage PE."""

    capacity: int
    _taken: list[tuple[int, int, int, int]] = field(factory=list)  # address, end, first, last

    def take(self, size: int, first: int, last: int) -> int | None:
        """The lowest address where `size` bytes are free from operation `first` to `last`; None when there is none."""
        size = -(-size // LINE) * LINE
        address = 0
        for start, end, _, _ in sorted(entry for entry in self._taken if entry[2] <= last and first <= entry[3]):
            if address + size <= start:
                break
            address = max(address, end)
        if address + size > self.capacity:
            return None
        self._taken.append((address, address + size, first, last))
        return address
