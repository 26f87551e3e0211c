"""Bars of stages, and what is known of layers."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.evaluation.record import Evaluation, LayerFinding, Stage
from snc.compiler.report.waterfall import layer_findings, waterfall

from .pages import evaluation_of, schedule

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def with_scores(scores: list[float], metric: str = "top1") -> Evaluation:
    """An evaluation with these scores, one a stage."""
    losses = [0.0, *(before - after for before, after in pairwise(scores))]
    stages = tuple(
        Stage(f"s{place}", f"Stage {place}", {metric: score}, loss, 10)
        for place, (score, loss) in enumerate(zip(scores, losses, strict=True))
    )
    found = evaluation_of(schedule())
    return attrs.evolve(found, metric=metric, scores={metric: scores[-1]}, stages=stages, worst=None)


class TestWaterfall:
    @given(SCORES, st.sampled_from(["top1", "mse"]))
    @settings(deadline=None)
    def test_bars_lie_on_the_axis_and_join(self, scores: list[float], metric: str) -> None:
        found = waterfall(with_scores(scores, metric), ())
        for bar in found.stages:
            # Positions are quotients of floats; bars too thin to see are widened to 0.4 percent.
            assert 0 <= bar.start <= 99.7 and bar.start + bar.width <= 100.5
        for score, before, bar in zip(scores[1:], scores, found.stages[1:], strict=False):
            better = score > before if metric == "top1" else score < before
            assert bar.change == ("none" if score == before else "gain" if better else "loss")

    def test_changes_are_in_points_of_a_share(self) -> None:
        found = waterfall(with_scores([0.75, 0.7, 0.71]), ())
        assert [bar.loss for bar in found.stages] == ["", "-5.00 points", "+1.00 points"]
        assert [bar.score for bar in found.stages] == ["75.00\xa0%", "70.00\xa0%", "71.00\xa0%"]

    def test_the_worst_layer_is_found_among_those_of_the_executable(self) -> None:
        name = schedule().program.layers[0]
        assert waterfall(evaluation_of(schedule()), (("other", ()), (name, ()))).worst_index == 1
        assert waterfall(evaluation_of(schedule()), (("other", ("plain", "more")),)).worst_index == 0
        assert waterfall(evaluation_of(schedule()), (("other", ("more",)),)).worst_index is None


class TestLayerFindings:
    def evaluation(self, *findings: LayerFinding) -> Evaluation:
        return attrs.evolve(evaluation_of(schedule()), layers=findings)

    def test_are_found_by_name_or_by_nodes(self) -> None:
        evaluation = self.evaluation(
            LayerFinding("a", ("x",), snr_db=31.25),
            LayerFinding("part", ("y",), snr_db=5.0),
            LayerFinding("parts", ("y", "z"), snr_db=7.0),
            LayerFinding("input", (), snr_db=9.0),
            LayerFinding("torn", ("z", "w"), snr_db=9.0),
        )
        found = layer_findings(evaluation, (("a", ("q",)), ("b", ("y", "z", "pool")), ("c", ("w",))))
        assert found.titles == ("SNR",)
        assert found.cells == {0: (("31.2 dB",),), 1: (("7.0 dB",),)}

    @pytest.mark.parametrize(
        ("share", "shown"), [(0.0, "0.00 %"), (0.25, "25.00 %"), (0.00001, "<0.01 %"), (None, "-")]
    )
    def test_shares_are_in_percent(self, share: float | None, shown: str) -> None:
        evaluation = self.evaluation(
            LayerFinding("a", (), saturated=share, ties=0.5), LayerFinding("b", (), saturated=0.5, ties=0.5)
        )
        found = layer_findings(evaluation, (("a", ()), ("b", ())))
        assert found.titles == ("saturated", "ties")
        assert found.cells[0] == ((shown,), ("50.00 %",))

    def test_two_findings_share_a_column(self) -> None:
        finding = LayerFinding("a", (), snr_db=20.0, saturated=0.5, late_per_sample=0.25, lost_per_sample=2.0)
        found = layer_findings(self.evaluation(finding), (("a", ()),))
        assert found.titles == ("SNR, saturated", "late, lost")
        assert found.cells[0] == (("20.0 dB", "50.00 % saturated"), ("0.25", "2.00 lost"))
