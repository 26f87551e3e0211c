"""Where an operation comes from: names of ONNX nodes."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class Location:
    """The ONNX nodes that an operation stands for, in graph order; empty when unknown."""

    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " + ".join(self.names) if self.names else "<unknown>"


UNKNOWN = Location()


def fuse(locations: Iterable[Location]) -> Location:
    """The location of an operation that replaces several: every name once, in order."""
    return Location(tuple(dict.fromkeys(name for location in locations for name in location.names)))
