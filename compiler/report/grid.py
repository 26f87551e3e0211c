"""The mesh of a SpiNNaker2 machine: every processing element by how long it works, DRAM ports at the edges."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from ...backends.spinn2.machine import DramPort, Machine
from ...runtime.spinn2.loads import Resource
from .figures import share, size
from .heat import Scale, levels
from .intervals import lengths
from .measured import Measured

PITCH = 64
"""Units from QPE to QPE."""
BOX = 58
MARGIN = 36
"""For the ports, and the numbers of rows and columns."""
PORT = 22
MOST_ELEMENTS = 4096
"""Processing elements that are drawn one by one."""


@frozen
class Tile:
    """A processing element: its corner and side, how busy it is, the layer that it works for most (or none)."""

    x: float
    y: float
    side: float
    level: int
    layer: int | None
    title: str


@frozen
class Quad:
    """A QPE with its elements; `storage`: the floor plan keeps it for maps."""

    x: int
    y: int
    storage: bool
    tiles: tuple[Tile, ...]


@frozen
class PortBox:
    """A DRAM port, its number at the middle of the box."""

    x: int
    y: int
    width: int
    height: int
    level: int
    number: int
    title: str


@frozen
class PortRow:
    """What is said of a port in words."""

    number: int
    name: str
    moved: str
    busy: str


@frozen
class Grid:
    """The drawing, in units."""

    width: int
    height: int
    box: int
    quads: tuple[Quad, ...]
    ports: tuple[PortBox, ...]
    columns: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]
    scale: Scale
    storage: bool


def qpe_corner(row: int, column: int) -> tuple[int, int]:
    """Where the box of a QPE begins."""
    return MARGIN + column * PITCH + (PITCH - BOX) // 2, MARGIN + row * PITCH + (PITCH - BOX) // 2


def qpe_grid(found: Measured) -> Grid | None:
    """The drawing of a machine; None for one with too many elements to draw."""
    machine = found.machine
    if found.program.processing_elements > MOST_ELEMENTS:
        return None
    busy = found.working_clocks / found.total
    top = float(busy.max(initial=0.0))
    mesh, plan = machine.mesh, machine.floor_plan
    tiles = _tiles(found, busy, top)
    each = mesh.pes_per_qpe
    quads = tuple(
        Quad(
            *qpe_corner(qpe.y, qpe.x),
            storage=qpe in plan.storage_qpes,
            tiles=tiles[number * each : (number + 1) * each],
        )
        for number, qpe in enumerate(machine.qpes)
    )
    return Grid(
        width=2 * MARGIN + mesh.qpe_columns * PITCH,
        height=2 * MARGIN + mesh.qpe_rows * PITCH,
        box=BOX,
        quads=quads,
        ports=_port_boxes(found),
        columns=tuple((MARGIN + number * PITCH + PITCH // 2, number) for number in range(mesh.qpe_columns)),
        rows=tuple((MARGIN + number * PITCH + PITCH // 2, number) for number in range(mesh.qpe_rows)),
        scale=Scale("of the time a PE works, MAC array or ARM core", "0", share(top)),
        storage=bool(plan.storage_qpes),
    )


def _tiles(found: Measured, busy: np.ndarray, top: float) -> tuple[Tile, ...]:
    machine, program, tasks = found.machine, found.program, found.tasks
    each = machine.mesh.pes_per_qpe
    across = max(1, math.ceil(math.sqrt(each)))
    gap = 2.0
    side = (BOX - gap * (across + 1)) / across
    on_mac, on_arm = (
        lengths(tasks.pe[chosen], tasks.start[chosen], tasks.end[chosen], program.processing_elements) / found.total
        for chosen in (tasks.on_mac, ~tasks.on_mac)
    )
    high = found.profile["sram"]["high_water_by_pe"]
    most = found.layer_clocks.argmax(axis=1) if program.layers else np.zeros(len(busy), np.int64)
    step = levels(busy, top)
    tiles = []
    for pe in range(program.processing_elements):
        qpe = machine.qpes[pe // each]
        left, upper = qpe_corner(qpe.y, qpe.x)
        row, column = divmod(pe % each, across)
        layer = int(most[pe]) if busy[pe] else None
        words = f"works {share(busy[pe])} of the time (MAC {share(on_mac[pe])}, ARM {share(on_arm[pe])})"
        most_of = f"; most for layer {layer}" if layer is not None else ""
        tiles.append(
            Tile(
                x=left + gap + column * (side + gap),
                y=upper + gap + row * (side + gap),
                side=side,
                level=int(step[pe]),
                layer=layer,
                title=f"PE {pe}, row {qpe.y}, column {qpe.x}: {words}, {size(high[pe])} of SRAM{most_of}",
            )
        )
    return tuple(tiles)


def port_rows(found: Measured) -> tuple[PortRow, ...]:
    """A row for each DRAM port."""
    busy = _port_shares(found)
    moved = found.times.dram_bytes.tolist()
    return tuple(
        PortRow(number, port.name, size(moved[number]), share(float(busy[number])))
        for number, port in enumerate(found.machine.dram.ports)
    )


def _port_shares(found: Measured) -> np.ndarray:
    """For which part of the run each port works."""
    return lengths(*found.occupancy.rows(Resource.DRAM), len(found.machine.dram.ports)) / found.total


def _port_boxes(found: Measured) -> tuple[PortBox, ...]:
    machine = found.machine
    step = levels(_port_shares(found), 1.0)
    return tuple(
        PortBox(
            *_place(machine, port),
            level=int(step[number]),
            number=number,
            title=f"DRAM port {row.number}, {row.name}: {row.moved} moved, works {row.busy} of the time",
        )
        for (number, port), row in zip(enumerate(machine.dram.ports), port_rows(found), strict=True)
    )


def _place(machine: Machine, port: DramPort) -> tuple[int, int, int, int]:
    """Corner, width and height of a port's box: along the edge that its attach points are nearest to."""
    rows, columns = (sorted(axis) for axis in zip(*port.attach_qpes, strict=True))
    last_row, last_column = machine.mesh.qpe_rows - 1, machine.mesh.qpe_columns - 1
    distance = {
        "left": sum(columns),
        "right": sum(last_column - each for each in columns),
        "top": sum(rows),
        "bottom": sum(last_row - each for each in rows),
    }
    edge = min(distance, key=lambda name: distance[name])
    far = MARGIN + (PITCH * (last_column + 1) if edge == "right" else PITCH * (last_row + 1))
    near = far + 4 if edge in ("right", "bottom") else MARGIN - PORT - 4
    along = rows if edge in ("left", "right") else columns
    begin, length = MARGIN + along[0] * PITCH + 3, (along[-1] - along[0] + 1) * PITCH - 6
    return (near, begin, PORT, length) if edge in ("left", "right") else (begin, near, length, PORT)
