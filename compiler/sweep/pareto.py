"""The Pareto front: points that no other point beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .columns import OK, Row

LESS_IS_BETTER = ("mse", "mae", "rmse")
"""Metrics of accuracy that count errors."""


@frozen
class Objective:
    """A column in which points compete."""

    column: str
    sign: int
    """1 where less is better, -1 where more is."""


OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": Objective("accuracy", -1),
    "latency": Objective("latency_s", 1),
    "throughput": Objective("throughput_per_s", -1),
    "energy": Objective("energy_j", 1),
    "cores": Objective("cores", 1),
}


def front(rows: Sequence[Row], objectives: Sequence[str]) -> list[int]:
    """The places of the rows on the front, in order, of those whose status is ok.

    A row beats another when it is as good in all objectives and better in one. An objective that no row has a value of
    does not count; a row without a value of one that others have is the worst there.
    """
    places = [place for place, row in enumerate(rows) if row["status"] == OK]
    costs = np.array([[_cost(rows[place], name) for name in objectives] for place in places], np.float64)
    return [places[index] for index in undominated(costs.reshape(len(places), len(objectives)))]


def _cost(row: Row, name: str) -> float:
    objective = OBJECTIVES[name]
    value = row.get(objective.column)
    if not isinstance(value, int | float):
        return np.inf
    sign = 1 if name == "accuracy" and row.get("metric") in LESS_IS_BETTER else objective.sign
    return float(value) * sign


def undominated(costs: NDArray[np.float64]) -> list[int]:
    """Rows of costs, float64 [N, objectives], that no other row is nowhere above and somewhere below, in order."""
    # Sorted so that a row is beaten only by rows before it: each row that is reached stands.
    order = np.lexsort(costs.T[::-1]) if costs.size else np.arange(len(costs))
    left, at = np.ascontiguousarray(costs[order].T), 0
    while at < left.shape[1]:
        behind, reached = left[:, at + 1 :], left[:, at]
        below = np.logical_or.reduce([column < mine for column, mine in zip(behind, reached, strict=True)])
        equal = np.logical_and.reduce([column == mine for column, mine in zip(behind, reached, strict=True)])
        stays = below | equal
        at += 1
        if not stays.all():
            kept = np.concatenate([np.ones(at, bool), stays])
            left, order = left[:, kept], order[kept]
    return sorted(order.tolist())
