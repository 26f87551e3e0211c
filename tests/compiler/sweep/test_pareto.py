"""The Pareto front: nobody on it is beaten, everybody else is."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.sweep.columns import DOES_NOT_FIT, OK
from snc.compiler.sweep.pareto import front, undominated


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


class TestUndominated:
    @given(seed=st.integers(0, 999), count=st.integers(0, 40), width=st.integers(1, 4), values=st.integers(1, 6))
    @settings(max_examples=60)
    def test_are_those_that_no_other_beats(self, seed: int, count: int, width: int, values: int) -> None:
        costs = np.random.default_rng(seed).integers(0, values, (count, width)).astype(np.float64)
        expected = [
            place for place in range(count) if not any(beats(costs[other], costs[place]) for other in range(count))
        ]
        assert undominated(costs) == expected

    def test_a_front_of_thousands_takes_no_time(self) -> None:
        line = np.random.default_rng(1).random(3000)
        assert undominated(np.stack([line, 1 - line], axis=1)) == list(range(3000))


def row(status: str = OK, **cells: Any) -> dict[str, Any]:
    return {"status": status, "metric": "top1", **cells}


class TestFront:
    def test_more_accuracy_and_throughput_are_better_less_of_all_else(self) -> None:
        better = row(accuracy=0.9, latency_s=1.0, throughput_per_s=10.0, energy_j=1.0, cores=3)
        changes = {"accuracy": 0.8, "latency_s": 2.0, "throughput_per_s": 9.0, "energy_j": 2.0, "cores": 4}
        names = ["accuracy", "latency", "throughput", "energy", "cores"]
        for column, worse in changes.items():
            assert front([{**better, column: worse}, better], names) == [1]

    def test_less_of_an_error_is_better(self) -> None:
        rows = [row(metric="mse", accuracy=0.5), row(metric="mse", accuracy=0.1)]
        assert front(rows, ["accuracy"]) == [1]

    def test_only_measured_points_compete(self) -> None:
        assert front([row(DOES_NOT_FIT), row(cores=7)], ["cores"]) == [1]

    def test_equal_points_stand_together(self) -> None:
        assert front([row(cores=2), row(cores=2), row(cores=3)], ["cores"]) == [0, 1]

    def test_what_nobody_has_does_not_count(self) -> None:
        assert front([row(cores=2, accuracy=None), row(cores=3, accuracy=None)], ["accuracy", "cores"]) == [0]

    def test_no_points_have_no_front(self) -> None:
        assert front([], ["cores"]) == []
