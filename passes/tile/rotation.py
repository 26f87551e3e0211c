"""How weights wander between processing elements while inputs stay (Kelber, Wu et al. 2020, section 3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]


@frozen
class Places:
    """How processing elements lie together: in a QPE, QPEs in a block, blocks in a double block; powers of two."""

    per_qpe: int
    qpes: int = 1
    blocks: int = 1

    @property
    def per_block(self) -> int:
        """Elements of a block."""
        return self.per_qpe * self.qpes

    @property
    def per_double_block(self) -> int:
        """Elements of a double block."""
        return self.per_block * self.blocks


@frozen
class Ring:
    """`count` places, `stride` elements apart, among which parts go round."""

    stride: int
    count: int


@frozen
class Rotation:
    """`teams` groups of `group` processing elements; the elements of a group hold one part of the weights each.

    An element works with `turns` neighbours' parts, then the parts move on, `moves` - 1 times: round the first of the
    `rings`, then one place on along the next one, and so on. `tiles` tiles are at work in a group at once; each stands
    on group / (turns * moves) elements, which share the parts.

    `together` elements of a group are neighbours, then those of the other groups follow, with `share` tiles each: where
    a group is more than a double block, the copies of a part lie in double blocks next to each other. `sharing` groups
    next to each other have the same tiles, and share the turns.
    """

    group: int
    teams: int
    turns: int
    rings: tuple[Ring, ...]
    tiles: int
    together: int
    share: int
    sharing: int = 1

    @property
    def moves(self) -> int:
        """How many sets of parts an element sees."""
        return math.prod(ring.count for ring in self.rings)

    @property
    def elements(self) -> int:
        """Elements at work, a power of two; any more stand idle."""
        return self.group * self.teams

    @property
    def wave(self) -> int:
        """Tiles that are at work at once in all groups."""
        return self.tiles * (self.teams // self.sharing)

    @property
    def own_turns(self) -> int:
        """Turns that an element makes itself, from `first_turn` on."""
        return self.turns // self.sharing

    def first_turn(self, team: Array) -> Array:
        """The first turn of the elements of a team."""
        return team % self.sharing * self.own_turns

    def team_of(self, element: Array) -> Array:
        """The team of an element."""
        return element // self.together % self.teams

    def place_of(self, element: Array) -> Array:
        """The place of an element in its team."""
        return element // (self.together * self.teams) * self.together + element % self.together

    def element_at(self, team: Array, place: Array) -> Array:
        """The element at a place of a team."""
        return (place // self.together * self.teams + team) * self.together + place % self.together

    def tile_of(self, place: Array) -> Array:
        """The tile (0 .. turns * moves - 1) at a place of the group; neighbours have neighbouring tiles."""
        tile, size = place % self.turns, self.turns
        for ring in self.rings:
            tile = tile + size * (place // ring.stride % ring.count)
            size *= ring.count
        return tile

    def tile_at(self, element: Array) -> Array:
        """The tile (0 .. wave - 1) at an element, -1 for none; tiles follow each other as double blocks do."""
        own, team = self.tile_of(self.place_of(element)), self.team_of(element) // self.sharing
        tile = (own // self.share * (self.teams // self.sharing) + team) * self.share + own % self.share
        return np.where(own < self.tiles, tile, -1)

    def source_of(self, place: Array, turn: Array | int) -> Array:
        """The place whose weights an element reads at a turn."""
        return place // self.turns * self.turns + (place + turn) % self.turns

    def part_at(self, place: Array, moved: int) -> Array:
        """The part that lies at a place after `moved` moves."""
        done = moved
        for ring in self.rings:
            outer = done // ring.count
            place = _along(place, ring, done - outer)
            done = outer
        return place

    def ring_of(self, moved: int) -> Ring:
        """The ring along which parts go at the move number `moved`, from 1."""
        for ring in self.rings:
            if moved % ring.count:
                return ring
            moved //= ring.count
        raise ValueError("there are no more moves")

    def giver_of(self, place: Array, moved: int) -> Array:
        """The place from which an element takes over a part at the move number `moved`, from 1."""
        return _along(place, self.ring_of(moved), 1)

    def rounds(self, tiles: int, parts: int) -> int:
        """Pieces that the busiest element computes, one after the other, for `tiles` tiles and `parts` parts."""
        return -(-tiles // self.wave) * -(-parts // self.group) * self.own_turns * self.moves


def _along(place: Array, ring: Ring, steps: int) -> Array:
    """The place that is `steps` places on along a ring."""
    digit = place // ring.stride % ring.count
    return place + ((digit + steps) % ring.count - digit) * ring.stride


def power_at_least(value: int) -> int:
    """The least power of two that is not below `value`."""
    return 1 << max(0, value - 1).bit_length()


def power_at_most(value: int) -> int:
    """The greatest power of two that is not above `value` (at least 1)."""
    return 1 << (value.bit_length() - 1)


ALONE = Places(per_qpe=1)


def plan_rotation(tiles: int, parts: int, elements: int, places: Places = ALONE) -> Rotation:
    """The rotation for `tiles` input tiles and `parts` weight parts on at most `elements` elements.

    Tiles are dealt to the double blocks first, so that whole rows of the map lie in one; then to the elements of a QPE,
    to the QPEs of a block and to the blocks, so that parts wander as near as possible. Where each block has all parts,
    those of a double block share up to a tile for each element of a QPE.
    """
    elements = power_at_most(elements)
    group = min(elements, power_at_least(parts))
    teams = elements // group
    sharing = min(places.blocks, teams) if group == places.per_block else 1
    if not sharing <= -(-tiles // (teams // sharing)) <= places.per_qpe:
        sharing = 1
    per_group = min(-(-tiles // (teams // sharing)), group)
    per_qpe = min(places.per_qpe, group)
    qpes = min(places.qpes, group // per_qpe)
    blocks = min(places.blocks, group // (per_qpe * qpes))
    walk = power_at_least(per_group)
    apart = min(group // (per_qpe * qpes * blocks), walk)
    turns = min(per_qpe, walk // apart)
    in_block = min(qpes, walk // (apart * turns))
    in_double_block = walk // (apart * turns * in_block)
    all_rings = (Ring(per_qpe, in_block), Ring(per_qpe * qpes, in_double_block), Ring(group // apart, apart))
    together, share = min(group, places.per_double_block), per_group
    if together < group:
        per_group, share = walk, walk // apart
    rings = tuple(ring for ring in all_rings if ring.count > 1)
    return Rotation(group, teams, turns, rings, per_group, together, share, sharing)


def places_of(per_qpe: int, qpes: int, blocks: int) -> Places:
    """The places of a machine, counts cut to powers of two."""
    return Places(power_at_most(per_qpe), power_at_most(qpes), power_at_most(blocks))


def one_wave(tiles: int, parts: int, elements: int) -> bool:
    """Whether all tiles are at work at once, so that each element loads a single one."""
    rotation = plan_rotation(tiles, parts, elements)
    return tiles <= rotation.wave
