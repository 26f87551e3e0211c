"""Amounts as steps of one colour scale, and grids of them as SVG paths: a path for each step of the scale."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

STEPS = 8
"""Steps of the scale above nothing, which is step 0."""

Levels = NDArray[np.int64]


@frozen
class Scale:
    """The legend of a colour scale: what it shows, and the amounts at both ends, with their unit."""

    title: str
    low: str
    high: str


@frozen
class Strip:
    """A grid of cells: `columns` x `rows` units, and for each step of the scale that occurs the path of its cells."""

    columns: int
    rows: int
    paths: tuple[tuple[int, str], ...]


def levels(values: NDArray[np.float64], top: float) -> Levels:
    """Steps 0 .. STEPS of values: 0 for nothing, the rest in equal parts of 0 .. top."""
    if top <= 0:
        return np.zeros(values.shape, np.int64)
    return np.where(values > 0, np.clip(np.ceil(values / top * STEPS), 1, STEPS), 0).astype(np.int64)


def lattice(columns: int, rows: int, step: int) -> str:
    """The path of lines across a grid, every `step` cells."""
    across = "".join(f"M{x} 0V{rows}" for x in range(step, columns, step))
    return across + "".join(f"M0 {y}H{columns}" for y in range(step, rows, step))


def strip(cells: Levels) -> Strip:
    """Cells int64[rows, columns] of steps as paths of horizontal strokes, one unit thick; step 0 is left out."""
    rows, columns = cells.shape
    change = np.ones(cells.shape, bool)
    change[:, 1:] = cells[:, 1:] != cells[:, :-1]
    row, column = np.nonzero(change)
    level = cells[row, column]
    ends = np.append(row[1:] * columns + column[1:], rows * columns)
    length = ends - (row * columns + column)
    paths = []
    for step in np.unique(level[level > 0]).tolist():
        runs = np.flatnonzero(level == step)
        triples = np.stack([column[runs], row[runs], length[runs]], axis=1)
        paths.append((step, "".join(f"M{x} {y}.5h{n}" for x, y, n in triples.tolist())))
    return Strip(columns, rows, tuple(paths))
