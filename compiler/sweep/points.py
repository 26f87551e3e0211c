"""The points of a sweep: which values go together, in which order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import field, frozen

from .options import PLACES, Value, options_of

Shape: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]
Values: TypeAlias = Mapping[str, Sequence[Any]]
"""The values of places and options by name."""

MAX_POINTS = 100_000


@frozen
class Point:
    """One build.

    Names of files are those of the specification; `calibrate` is empty where noise takes the place of samples.
    `options` are all that the target has, by keyword, in the order of the table.
    """

    model: str
    target: str
    machine: str
    calibrate: str
    shape: Shape
    options: tuple[tuple[str, Value], ...]


@frozen
class Block:
    """Points that a specification names together: every way to take one value of each list.

    `options` may hold those of any target; a point takes those of its own.
    """

    targets: Sequence[str]
    places: Values
    options: Values = field(factory=dict)

    def count(self, machines: Callable[[str, Sequence[str]], Sequence[str]]) -> int:
        """How many points these are."""
        return sum(
            math.prod(len(values) for values in (*places.values(), *options.values()))
            for places, options in (self._of(target, machines) for target in self.targets)
        )

    def points(self, machines: Callable[[str, Sequence[str]], Sequence[str]]) -> Iterator[Point]:
        """The points, the last list the fastest to change; `machines` picks those of a target, or its default."""
        for target in self.targets:
            places, options = self._of(target, machines)
            for place in itertools.product(*places.values()):
                where = dict(zip(places, place, strict=True))
                for chosen in itertools.product(*options.values()):
                    yield _point(target, where, dict(zip(options, chosen, strict=True)))

    def _of(
        self, target: str, machines: Callable[[str, Sequence[str]], Sequence[str]]
    ) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
        """The lists that count for one target."""
        own = {option.name for option in options_of(target)}
        places = {name: self.places[name] for name in PLACES if name in self.places}
        places["machine"] = machines(target, self.places.get("machine", ()))
        return places, {name: values for name, values in self.options.items() if name in own}


def _point(target: str, places: Mapping[str, Any], options: Mapping[str, Value]) -> Point:
    return Point(
        model=places["model"],
        target=target,
        machine=places["machine"],
        calibrate=places.get("calibrate", ""),
        shape=places.get("shape", ()),
        options=tuple((option.keyword, options.get(option.name, option.default)) for option in options_of(target)),
    )


def expand(
    blocks: Sequence[Block], machines: Callable[[str, Sequence[str]], Sequence[str]]
) -> tuple[tuple[Point, ...], int]:
    """All points in their order, each once, and how many were named again."""
    every = [point for block in blocks for point in block.points(machines)]
    once = tuple(dict.fromkeys(every))
    return once, len(every) - len(once)
