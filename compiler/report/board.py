"""The chips of a SpiNNaker1 machine as they are wired, a hexagon each: what their cores run, what their links pass.

Chip (x, y) lies at x - y / 2, y * sqrt(3) / 2, so that its six links (east, north-east, north, west ...) lead to its
six neighbours on a triangular lattice.
"""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn1_tables import LINKS
from ...runtime.spinn1.machine_checks import CORES, chip_of, neighbours
from .figures import decimal, share
from .heat import Scale, levels
from .mesh import Link
from .names import elided
from .spiking_measured import SpikingMeasured

PITCH = 50.0
RADIUS = 27.0
"""Of a hexagon, centre to corner."""
MARGIN = 34.0
RINGS = ((6, 8.6), (12, 17.2))
"""Cores lie on two rings around the router: how many, and how far out."""
DOT = 4.1
"""Radius of a core that works all the time."""
SMALLEST = 1.1
MOST_CHIPS = 1200
MOST_LABELS = 150
"""Chips that are drawn, and chips whose coordinates are: more would be too small to see."""
COLOURS = 8
LINK_NAMES = ("east", "north-east", "north", "west", "south-west", "south")


@frozen
class Core:
    """A core that runs a vertex: centre, radius of what it works (the area is its load)."""

    x: float
    y: float
    radius: float


@frozen
class CoreGroup:
    """Cores of one chip that run one population."""

    layer: int
    title: str
    cores: tuple[Core, ...]


@frozen
class Chip:
    """A chip: its hexagon, the step of its router's load, and its groups of cores."""

    x: float
    y: float
    hexagon: str
    label: str
    router_level: int
    router_title: str
    groups: tuple[CoreGroup, ...]
    idle: tuple[tuple[float, float], ...]


@frozen
class Board:
    """The drawing, in units; `labelled`: with the coordinates of chips.

    `router_scale` and `link_scale` are shares of what each can pass.
    """

    width: float
    height: float
    dot: float
    labelled: bool
    chips: tuple[Chip, ...]
    links: tuple[Link, ...]
    link_scale: Scale
    router_scale: Scale


def board(found: SpikingMeasured) -> Board | None:
    """The drawing of a machine; None for one with too many chips."""
    netlist = found.netlist
    if not 0 < len(netlist.chips) <= MOST_CHIPS:
        return None
    x, y, width, height = _centres(found)
    step_s = netlist.tick_us / 10**6
    fabric = found.costs.fabric
    links = found.traffic.links / (fabric.link_packets_per_s * step_s)
    routers = found.traffic.routers / (fabric.router_packets_per_s * step_s)
    link_top, router_top = float(links.max(initial=0.0)), float(routers.max(initial=0.0))
    return Board(
        width=width,
        height=height,
        dot=DOT,
        labelled=len(netlist.chips) <= MOST_LABELS,
        chips=_chips(found, x, y, routers, levels(routers, router_top)),
        links=_links(found, x, y, links, levels(links, link_top)),
        link_scale=Scale("of what a link can pass", "0", share(link_top)),
        router_scale=Scale("of what a router can pass", "0", share(router_top)),
    )


def _centres(found: SpikingMeasured) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Centres of the chips, y downwards, and the size of the drawing."""
    chips = found.netlist.chips
    across = chips["x"].astype(np.float64) - chips["y"] / 2
    if found.machine.mesh.wraps:
        # Rows are shifted around the torus, so that they stand above each other.
        across %= found.netlist.width
    across *= PITCH
    up = chips["y"] * PITCH * math.sqrt(3) / 2
    x, y = across - across.min() + MARGIN, up.max() - up + MARGIN
    return x, y, float(x.max() + MARGIN), float(y.max() + MARGIN)


def _hexagon(x: float, y: float) -> str:
    corners = [math.radians(60 * corner + 30) for corner in range(6)]
    return " ".join(f"{x + RADIUS * math.cos(angle):.1f},{y + RADIUS * math.sin(angle):.1f}" for angle in corners)


def core_places() -> list[tuple[float, float]]:
    """Where the cores of a chip lie around its centre, by their numbers."""
    places = []
    for count, radius in RINGS:
        for number in range(count):
            angle = math.radians(360 * number / count - 90)
            places.append((radius * math.cos(angle), radius * math.sin(angle)))
    return places


def _chips(
    found: SpikingMeasured, x: np.ndarray, y: np.ndarray, routers: np.ndarray, level: np.ndarray
) -> tuple[Chip, ...]:
    netlist = found.netlist
    groups = _groups(found, x, y)
    used = np.zeros((len(netlist.chips), CORES), bool)
    used[chip_of(netlist.placements, netlist.chips, "placements"), netlist.placements["p"]] = True
    free = (netlist.chips["cores"][:, None] >> np.arange(CORES) & 1).astype(bool) & ~used
    places = core_places()
    chips = []
    for number, row in enumerate(netlist.chips):
        label = f"{row['x']},{row['y']}"
        idle = [places[core] for core in np.flatnonzero(free[number]).tolist()]
        passing = found.traffic.routers[number]
        chips.append(
            Chip(
                x=float(x[number]),
                y=float(y[number]),
                hexagon=_hexagon(float(x[number]), float(y[number])),
                label=label,
                router_level=int(level[number]),
                router_title=f"router of chip {label}: {decimal(passing)} packets a step, {share(routers[number])} of "
                "what it can pass",
                groups=groups.get(number, ()),
                idle=tuple((float(x[number]) + dx, float(y[number]) + dy) for dx, dy in idle),
            )
        )
    return tuple(chips)


def _groups(found: SpikingMeasured, x: np.ndarray, y: np.ndarray) -> dict[int, tuple[CoreGroup, ...]]:
    """The cores at work, by the chip's row and then by population and tile."""
    netlist = found.netlist
    rows = netlist.placements
    chip = chip_of(rows, netlist.chips, "placements")
    vertex = rows["vertex"].astype(np.int64)
    layer = netlist.vertices["population"].astype(np.int64)[vertex]
    busy = found.traffic.clocks[vertex] / found.step_clocks
    places = np.array(core_places())
    radius = np.maximum(DOT * np.sqrt(np.clip(busy, 0, 1)), SMALLEST)
    order = np.lexsort((rows["p"], layer, chip))
    bounds = np.flatnonzero(np.diff(chip[order] * len(netlist.populations) + layer[order], prepend=-1))
    groups: dict[int, tuple[CoreGroup, ...]] = {}
    for members in np.split(order, bounds[1:]) if len(order) else []:
        place = int(chip[members[0]])
        population = int(layer[members[0]])
        at = places[rows["p"][members]]
        cores = zip(x[place] + at[:, 0], y[place] + at[:, 1], radius[members], strict=True)
        where = netlist.chips[place]
        group = CoreGroup(
            layer=population,
            title=f"chip {where['x']},{where['y']}: {elided(netlist.labels[population], 120)} on {len(members)} "
            f"core{'s' if len(members) > 1 else ''}, which work {share(float(busy[members].mean()))} of a step"
            f"{_tiles(rows['tile'][members])}",
            cores=tuple(Core(float(cx), float(cy), float(size)) for cx, cy, size in cores),
        )
        groups[place] = (*groups.get(place, ()), group)
    return groups


def _tiles(tiles: np.ndarray) -> str:
    names = np.unique(tiles).tolist()
    shown = ", ".join(map(str, names[:6]))
    return f", tile{'s' if len(names) > 1 else ''} {shown}{' ...' if len(names) > 6 else ''}"


def _links(
    found: SpikingMeasured, x: np.ndarray, y: np.ndarray, loads: np.ndarray, level: np.ndarray
) -> tuple[Link, ...]:
    netlist = found.netlist
    chips = netlist.chips
    beside = neighbours(chips, netlist.width, netlist.height)
    works = (chips["links"][:, None] >> np.arange(len(LINKS)) & 1).astype(bool)
    found_links = []
    for number, link in np.argwhere(works).tolist():
        angle = math.radians(60 * link)
        dx, dy = math.cos(angle), -math.sin(angle)
        # Each direction keeps to its right; a link around the edge is a stub.
        aside = 3.0
        to = int(beside[number, link])
        far = math.hypot(x[to] - x[number], y[to] - y[number]) > PITCH * 1.5
        begin, end = 12.0, PITCH * 0.62 if far else PITCH - 12.0
        packets = decimal(found.traffic.links[number, link])
        found_links.append(
            Link(
                x1=float(x[number] + dx * begin - dy * aside),
                y1=float(y[number] + dy * begin + dx * aside),
                x2=float(x[number] + dx * end - dy * aside),
                y2=float(y[number] + dy * end + dx * aside),
                level=int(level[number, link]),
                title=f"chip {chips['x'][number]},{chips['y'][number]} to the {LINK_NAMES[link]}: {packets} packets a "
                f"step, {share(float(loads[number, link]))} of what it can pass",
            )
        )
    return tuple(found_links)


def colour(layer: int) -> int:
    """The number of a population's colour."""
    return layer % COLOURS
