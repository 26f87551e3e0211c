"""Vectorised checks of the tables that speak of the machine: chips, placements, routing entries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn1_tables import LINKS
from .checks import Integers, Table, field
from .errors import netlist_error, require

ABSENT = -1
ROUTE_BITS = 24
CORES = ROUTE_BITS - len(LINKS)


def chip_grid(chips: Table, width: int, height: int) -> Integers:
    """Row of `chips` at each place of the mesh, ABSENT where no chip lives: int64[width, height]."""
    grid = np.full((width, height), ABSENT, np.int64)
    grid[chips["x"], chips["y"]] = np.arange(len(chips))
    return grid


def neighbours(chips: Table, width: int, height: int) -> Integers:
    """Row of the chip behind each link of each chip, ABSENT if there is none: int64[chips, 6]."""
    steps = np.array(LINKS, np.int64)
    x = (field(chips, "x")[:, None] + steps[:, 0]) % width
    y = (field(chips, "y")[:, None] + steps[:, 1]) % height
    return chip_grid(chips, width, height)[x, y]


def check_chips(chips: Table, width: int, height: int) -> None:
    """Chips are in order, on the mesh, and their links lead to chips that live."""
    require(chips["x"] < width, "chips", "x", chips["x"], f"below {width}")
    require(chips["y"] < height, "chips", "y", chips["y"], f"below {height}")
    place = field(chips, "x") * height + chips["y"]
    require(np.diff(place, prepend=-1) > 0, "chips", "x", chips["x"], "ascending order of (x, y)")
    require(chips["links"] < 1 << len(LINKS), "chips", "links", chips["links"], f"{len(LINKS)} bits")
    require(chips["cores"] < 1 << CORES, "chips", "cores", chips["cores"], f"{CORES} bits")
    beside = neighbours(chips, width, height)
    for link in range(len(LINKS)):
        works = (chips["links"] >> link) & 1 == 1
        require(~works | (beside[:, link] != ABSENT), "chips", "links", chips["links"], "links to chips that live")


def chip_of(table: Table, chips: Table, name: str) -> Integers:
    """Row of `chips` where each row of a table with x and y lies. Raises NetlistError for a place without a chip."""
    where = field(table, "x") << 8 | table["y"]
    known = field(chips, "x") << 8 | chips["y"]
    order = np.argsort(known)
    found = order[np.minimum(np.searchsorted(known, where, sorter=order), len(chips) - 1)] if len(chips) else where
    ok = known[found] == where if len(chips) else np.zeros(len(where), bool)
    require(ok, name, "x", table["x"], "a chip that lives")
    return np.asarray(found, np.int64)


def check_placements(placements: Table, chips: Table, tiles: int, vertices: int) -> None:
    """Each vertex of each tile has a core of its own, free for applications."""
    name = "placements"
    if len(placements) != tiles * vertices:
        raise netlist_error("rows are missing", node=name, found=len(placements), expected=tiles * vertices)
    tile, vertex = np.divmod(np.arange(len(placements)), max(vertices, 1))
    require(placements["tile"] == tile, name, "tile", placements["tile"], "tiles in order")
    require(placements["vertex"] == vertex, name, "vertex", placements["vertex"], "vertices of a tile in order")
    require(placements["p"] < CORES, name, "p", placements["p"], f"below {CORES}")
    chip = chip_of(placements, chips, name)
    free = (chips["cores"][chip] >> placements["p"]) & 1 == 1
    require(free, name, "p", placements["p"], "a core that is free for applications")
    core = chip * CORES + placements["p"]
    first = np.zeros(len(core), bool)
    first[np.unique(core, return_index=True)[1]] = True
    require(first, name, "p", placements["p"], "a core that no other vertex uses")


def check_routes(routes: Table, chips: Table) -> None:
    """Routing entries belong to chips that live, in order, and match some packet."""
    chip_of(routes, chips, "routes")
    place = field(routes, "x") << 8 | routes["y"]
    require(np.diff(place, prepend=-1) >= 0, "routes", "x", routes["x"], "ascending order of (x, y)")
    inside = routes["key"] & routes["mask"] == routes["key"]
    require(inside, "routes", "key", routes["key"], "no bit outside the mask")
    require(routes["route"] < 1 << ROUTE_BITS, "routes", "route", routes["route"], f"{ROUTE_BITS} bits")


def first_entries(routes: Table, chips: Table) -> Integers:
    """Where the routing entries of each chip start in `routes`: int64[chips + 1]."""
    place = field(routes, "x") << 8 | routes["y"]
    known = field(chips, "x") << 8 | chips["y"]
    return np.append(np.searchsorted(place, known), len(routes)).astype(np.int64)


def tile_keys(vertices: Table, tiles: int, key_stride: int) -> npt.NDArray[np.int64]:
    """Key of each vertex of each tile: int64[tiles * vertices]. Raises NetlistError for keys beyond 32 bits."""
    key = field(vertices, "key")
    mask = field(vertices, "mask")
    last = np.where(mask > 0, key + (tiles - 1) * key_stride, 0)
    require(last < 1 << 32, "vertices", "key", key, "32 bits in the last tile")
    every = np.arange(tiles)[:, None] * key_stride + key
    ok = (mask == 0) | (every & mask == every).all(axis=0)
    require(ok, "vertices", "key", key, "a key stride outside the bits that packets count neurons with")
    return np.asarray(every.reshape(-1))
