"""Plots of a sweep: every point on the paper, the front against a comparison of all pairs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.report.pareto import BOTTOM, HEIGHT, LEFT, RIGHT, SHOWN_ROWS, TOP, WIDTH, pareto
from snc.compiler.report.sweep_file import Sweep, SweepRow

MEASURED = st.fixed_dictionaries(
    {
        "accuracy": st.floats(0, 1),
        "latency_s": st.floats(1e-6, 10),
        "energy_j": st.floats(1e-6, 10),
        "cores": st.integers(1, 800).map(float),
    }
)


def row(measures: dict[str, float], status: str = "ok", metric: str = "top1") -> SweepRow:
    return SweepRow(status, ("1",), metric, measures, "")


def beats(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether one is nowhere worse and somewhere better."""
    costs = [(-each["accuracy"], each["latency_s"], each["energy_j"], each["cores"]) for each in (one, other)]
    pairs = list(zip(*costs, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


class TestPareto:
    @given(st.lists(MEASURED, min_size=1, max_size=12))
    @settings(deadline=None)
    def test_marks_the_rows_that_none_beats(self, measured: list[dict[str, float]]) -> None:
        found = pareto(Sweep(("groups",), tuple(map(row, measured))))
        expected = {place for place, each in enumerate(measured) if not any(beats(other, each) for other in measured)}
        assert {each.number for each in found.rows if each.front} == expected
        assert [each.front for each in found.rows] == sorted((each.front for each in found.rows), reverse=True)

    @given(st.lists(MEASURED, min_size=1, max_size=12))
    @settings(deadline=None)
    def test_every_point_and_mark_lies_on_the_paper(self, measured: list[dict[str, float]]) -> None:
        found = pareto(Sweep(("groups",), tuple(map(row, measured))))
        assert [(plot.x_title, plot.y_title) for plot in found.plots] == [
            ("latency", "top1"),
            ("energy of a sample", "top1"),
        ]
        # Positions are quotients of floats.
        slack = 1e-6
        for plot in found.plots:
            assert len(plot.points) == len(measured)
            for point in plot.points:
                assert LEFT - slack <= point.x <= WIDTH - RIGHT + slack
                assert TOP - slack <= point.y <= HEIGHT - BOTTOM + slack
            assert all(LEFT - slack <= tick.at <= WIDTH - RIGHT + slack for tick in plot.x_ticks)
            assert all(TOP - slack <= tick.at <= HEIGHT - BOTTOM + slack for tick in plot.y_ticks)
            assert len(plot.x_ticks) <= 14

    def test_without_accuracy_latency_stands_against_energy(self) -> None:
        rows = (
            row({"latency_s": 1.0, "energy_j": 2.0}, "unscored"),
            row({"latency_s": 2.0, "energy_j": 1.0}, "unscored"),
        )
        found = pareto(Sweep((), rows))
        assert [(plot.x_title, plot.y_title) for plot in found.plots] == [("latency", "energy of a sample")]
        assert all(each.front for each in found.rows)

    def test_less_error_is_better(self) -> None:
        rows = tuple(row({"accuracy": error, "latency_s": 1.0}, metric="mse") for error in (0.5, 0.1))
        assert [(each.number, each.front) for each in pareto(Sweep((), rows)).rows] == [(1, True), (0, False)]

    def test_points_that_were_refused_come_last_and_have_no_measures(self) -> None:
        rows = (SweepRow("refused", (), "", {}, "no such operator"), row({"accuracy": 0.5, "latency_s": 1.0}))
        found = pareto(Sweep((), rows))
        assert [each.number for each in found.rows] == [1, 0]
        assert found.rows[1].cells == ("-", "-") and found.rows[1].message == "no such operator"
        assert found.measured == 1

    def test_a_sweep_without_measures_has_no_plot(self) -> None:
        found = pareto(Sweep((), (SweepRow("failed", (), "", {}, ""),) * (SHOWN_ROWS + 2)))
        assert not found.plots and found.left_out == 2
