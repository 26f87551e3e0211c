"""What passes the routers and links of a SpiNNaker2 mesh."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...runtime.spinn2.noc import DIRECTIONS
from .figures import number, size
from .heat import Scale, levels
from .measured import Measured

PITCH = 64
MARGIN = 8
ROUTER = 34
LANE = 6
"""Units by which the two directions between neighbours lie apart."""
MOST_ROUTERS = 1024
STEPS = ((0, 1, "east"), (0, -1, "west"), (1, 0, "south"), (-1, 0, "north"))
"""Row and column behind each of the DIRECTIONS of `runtime.spinn2.noc`, and its name."""


@frozen
class Router:
    """A router: its corner, how much passes it, as a step of the scale and in the mesh's unit."""

    x: int
    y: int
    level: int
    text: str
    title: str


@frozen
class Link:
    """One direction between two routers, as a line."""

    x1: float
    y1: float
    x2: float
    y2: float
    level: int
    title: str


@frozen
class Mesh:
    """The drawing, in units; `unit` is that of the numbers in routers."""

    width: int
    height: int
    router: int
    unit: str
    routers: tuple[Router, ...]
    links: tuple[Link, ...]
    link_scale: Scale
    router_scale: Scale


def link_map(found: Measured) -> Mesh | None:
    """The drawing of a machine's traffic; None for a mesh too large to draw."""
    rows, columns = found.machine.mesh.qpe_rows, found.machine.mesh.qpe_columns
    if rows * columns > MOST_ROUTERS:
        return None
    traffic = found.traffic
    links, routers = traffic.links * traffic.packet_bytes, traffic.routers * traffic.packet_bytes
    link_top, router_top = float(links.max(initial=0)), float(routers.max(initial=0))
    unit = _unit(router_top)
    return Mesh(
        width=2 * MARGIN + columns * PITCH,
        height=2 * MARGIN + rows * PITCH,
        router=ROUTER,
        unit=unit[0],
        routers=_routers(routers, traffic.routers, columns, router_top, unit[1]),
        links=_links(links, rows, columns, link_top),
        link_scale=Scale("through a link in one run", "0", size(link_top)),
        router_scale=Scale("through a router in one run", "0", size(router_top)),
    )


def _centre(place: int, columns: int) -> tuple[int, int]:
    row, column = divmod(place, columns)
    return MARGIN + column * PITCH + PITCH // 2, MARGIN + row * PITCH + PITCH // 2


def _routers(sizes: np.ndarray, packets: np.ndarray, columns: int, top: float, unit: int) -> tuple[Router, ...]:
    step = levels(sizes.astype(np.float64), top)
    found = []
    for place, (amount, count) in enumerate(zip(sizes.tolist(), packets.tolist(), strict=True)):
        x, y = _centre(place, columns)
        row, column = divmod(place, columns)
        found.append(
            Router(
                x=x - ROUTER // 2,
                y=y - ROUTER // 2,
                level=int(step[place]),
                text=_letters(amount, unit),
                title=f"router of row {row}, column {column}: {size(amount)} in {number(count)} packets",
            )
        )
    return tuple(found)


def _unit(top: float) -> tuple[str, int]:
    """The unit in which numbers up to `top` bytes have four letters at most, and its bytes."""
    units = (("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30))
    return next((each for each in units if top < 1000 * each[1]), units[-1])


def _letters(amount: int, unit: int) -> str:
    """An amount in this unit, for the inside of a router."""
    if unit == 1 or amount >= 9.95 * unit or not amount:
        return f"{amount / unit:.0f}"
    return f"{amount / unit:.1f}" if amount >= unit / 10 else "<0.1"


def _links(sizes: np.ndarray, rows: int, columns: int, top: float) -> tuple[Link, ...]:
    step = levels(sizes.astype(np.float64), top)
    found = []
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        x, y = _centre(place, columns)
        for lane, (down, right, name) in enumerate(STEPS[:DIRECTIONS]):
            if not (0 <= row + down < rows and 0 <= column + right < columns):
                continue
            # Traffic keeps to the right, so that both directions are seen.
            aside_x, aside_y = -down * LANE, right * LANE
            near, far = ROUTER / 2 + 1, PITCH - ROUTER / 2 - 1
            found.append(
                Link(
                    x1=x + right * near + aside_x,
                    y1=y + down * near + aside_y,
                    x2=x + right * far + aside_x,
                    y2=y + down * far + aside_y,
                    level=int(step[place, lane]),
                    title=f"from row {row}, column {column} to the {name}: {size(float(sizes[place, lane]))}",
                )
            )
    return tuple(found)
