"""How weights wander between processing elements while inputs stay (Kelber, Wu et al. 2020, section 3)."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]


@frozen
class Rotation:
    """`teams` groups of `group` processing elements; the elements of a group hold one part of the weights each.

    An element works with `turns` neighbours' parts, then the parts move `stride` places on, `moves` - 1 times. `tiles`
    tiles are at work in a group at once; each stands on group / (turns * moves) elements, which share the parts.
    """

    group: int
    teams: int
    turns: int
    moves: int
    tiles: int

    @property
    def stride(self) -> int:
        """How far the parts move."""
        return self.group // self.moves

    @property
    def elements(self) -> int:
        """Elements at work, a power of two; any more stand idle."""
        return self.group * self.teams

    def tile_of(self, place: Array) -> Array:
        """The tile (0 .. turns * moves - 1) at a place of the group."""
        return (place // self.stride) * self.turns + place % self.turns

    def source_of(self, place: Array, turn: int) -> Array:
        """The place whose weights an element reads at a turn."""
        return place // self.turns * self.turns + (place + turn) % self.turns

    def part_at(self, place: Array, moved: int) -> Array:
        """The part that lies at a place after `moved` moves."""
        return (place + moved * self.stride) % self.group

    def rounds(self, tiles: int, parts: int) -> int:
        """Pieces that the busiest element computes, one after the other, for `tiles` tiles and `parts` parts."""
        waves = -(-tiles // (self.tiles * self.teams))
        return waves * -(-parts // self.group) * self.turns * self.moves


def power_at_least(value: int) -> int:
    """The least power of two that is not below `value`."""
    return 1 << max(0, value - 1).bit_length()


def power_at_most(value: int) -> int:
    """The greatest power of two that is not above `value` (at least 1)."""
    return 1 << (value.bit_length() - 1)


def plan_rotation(tiles: int, parts: int, elements: int, per_qpe: int, per_double_block: int = 1 << 30) -> Rotation:
    """The rotation for `tiles` input tiles and `parts` weight parts on at most `elements` elements.

    Tiles are dealt to the double blocks first, so that parts wander between these; then to the elements of a QPE.
    """
    elements = power_at_most(elements)
    group = min(elements, power_at_least(parts))
    teams = elements // group
    per_group = min(-(-tiles // teams), group)
    walk = power_at_least(per_group)
    apart = min(max(group // power_at_most(per_double_block), 1), walk)
    turns = min(power_at_most(per_qpe), walk // apart)
    return Rotation(group, teams, turns, walk // turns, per_group)


def one_wave(tiles: int, parts: int, elements: int) -> bool:
    """Whether all tiles are at work at once, so that each element loads a single one."""
    rotation = plan_rotation(tiles, parts, elements, 1)
    return tiles <= rotation.tiles * rotation.teams
