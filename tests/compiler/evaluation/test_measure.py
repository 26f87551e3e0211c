"""Sums over batches: exact, whatever the order and however few samples the stages ran on."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.evaluation import spiking
from snc.compiler.evaluation.estimate import losses
from snc.compiler.evaluation.evaluate import Prepared, evaluate, prepare
from snc.compiler.evaluation.partial import Partial, merged
from snc.compiler.evaluation.sampling import Stride, spread
from snc.compiler.evaluation.scores import Scorer, scorer_of
from snc.compiler.spinn1.driver import compile_with
from snc.compiler.spinn1.executable import SpikingExecutable

from .step_nets import CLASSES, StepNet, bits, drawn_net

SEED = 11


@pytest.fixture(scope="module")
def net() -> StepNet:
    return drawn_net(SEED, 2)


@pytest.fixture(scope="module")
def coarse(net: StepNet) -> SpikingExecutable:
    """An artefact that loses something."""
    return compile_with(net.model(), weights="q4.3", tiles=2, groups=1, time_scale_factor=20, monitors=False)


def labelled(net: StepNet, count: int = 300) -> ArrayDataSet:
    x = bits(SEED, count)
    return ArrayDataSet({"x": x}, net.classes(x))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spiking, "MOST_SAMPLES", 32)


@pytest.mark.usefixtures("small_batches")
class TestDealing:
    def prepared(self, coarse: SpikingExecutable, net: StepNet, **options: Any) -> Prepared:
        return prepare(coarse, labelled(net), reference=net.model(), classes=CLASSES, **options)

    def test_order_and_workers_change_nothing(self, coarse: SpikingExecutable, net: StepNet) -> None:
        whole = evaluate(coarse, labelled(net), reference=net.model(), classes=CLASSES, samples_per_stage=70)
        prepared = self.prepared(coarse, net, samples_per_stage=70)
        parts = [pickle.loads(pickle.dumps(prepared.measurement.measure(fed))) for fed in prepared.feed]
        assert len(parts) == 10
        random.Random(3).shuffle(parts)
        dealt = prepared.finish(merged([merged(parts[:3]), merged(parts[3:])]))
        assert json.dumps(dealt.as_json()) == json.dumps(whole.as_json())

    @pytest.mark.parametrize("samples", [1, 17, 120, 299, 300])
    def test_losses_add_up_for_any_number_of_samples(
        self, coarse: SpikingExecutable, net: StepNet, samples: int
    ) -> None:
        found = evaluate(coarse, labelled(net), reference=net.model(), classes=CLASSES, samples_per_stage=samples)
        first, last = found.stages[0].scores["top1"], found.stages[-1].scores["top1"]
        assert sum(stage.loss for stage in found.stages) == first - last > 0
        assert last == found.scores["top1"]
        # Import and artefact run on all samples, so that their scores are exact however few the others see.
        x = bits(SEED, 300)
        votes = coarse(x).reshape(300, CLASSES, -1).sum(axis=2).argmax(axis=1)
        assert first == 1 and last == (votes == net.classes(x)).mean()

    def test_few_samples_give_nearly_the_scores_of_all(self, coarse: SpikingExecutable, net: StepNet) -> None:
        exact, few = (
            evaluate(coarse, labelled(net), reference=net.model(), classes=CLASSES, samples_per_stage=number)
            for number in (300, 100)
        )
        for one, other in zip(exact.stages, few.stages, strict=True):
            assert one.name == other.name
            # All samples whose class changed are taken (fewer than 64 of a batch), so that nothing is left to chance.
            assert other.scores["top1"] == pytest.approx(one.scores["top1"], abs=1e-12)
        assert "evenly spread" in few.stages[1].note and exact.stages[1].note == ""

    def test_stages_equal_the_network_at_that_stage(self, coarse: SpikingExecutable, net: StepNet) -> None:
        found = evaluate(coarse, labelled(net), reference=net.model(), classes=CLASSES)
        scores = {stage.name: stage.scores["top1"] for stage in found.stages}
        assert scores["float import"] == scores["batch-norm fold"] == scores["activation change"] == 1
        assert scores["fixed point"] == scores["saturation"] == scores["schedule"] < 1
        assert found.worst is not None and found.worst.stage == "fixed point"

    def test_layers_are_counted(self, coarse: SpikingExecutable, net: StepNet) -> None:
        found = evaluate(coarse, labelled(net), reference=net.model(), classes=CLASSES)
        hidden = bits(SEED, 300).astype(np.float64)
        rounded = np.rint(net.weights[0] * 8)
        assert found.layers[0].flushed == np.count_nonzero(rounded == 0) / rounded.size
        spikes = coarse.execute([bits(SEED, 300)]).spikes.sum(axis=1)[1] / 300
        bias_neuron = int(coarse.netlist.populations["bias_neurons"][1])
        assert found.layers[0].spikes_per_sample == spikes - bias_neuron
        sums = hidden @ rounded + np.rint(net.biases[0] * 8)
        some = Stride(256, 300).mask(0, 300)
        assert found.layers[0].ties == pytest.approx((sums[some] == np.ceil(0.25 * 8)).mean())


class TestLosses:
    @given(st.lists(st.integers(0, 9973), min_size=1, max_size=8), st.booleans())
    def test_add_up_to_the_last_bit(self, hits: list[int], rises: bool) -> None:
        scores = [each / 9973 for each in sorted(hits, reverse=rises)]
        found = losses(scores, rises=rises)
        assert sum(found) == abs(scores[0] - scores[-1])
        assert found[0] == 0

    @given(st.lists(st.integers(0, 9973), min_size=1, max_size=8), st.booleans())
    def test_gains_add_up_as_floats_can(self, hits: list[int], rises: bool) -> None:
        scores = [each / 9973 for each in hits]
        found = losses(scores, rises=rises)
        difference = scores[0] - scores[-1]
        assert sum(found) == pytest.approx(difference if rises else -difference, abs=2.0**-52)


class TestStride:
    @given(st.integers(1, 500), st.data())
    def test_takes_as_many_as_asked_evenly(self, count: int, data: st.DataObject) -> None:
        taken = data.draw(st.integers(1, count))
        cut = data.draw(st.integers(0, count))
        stride = Stride(taken, count)
        mask = np.concatenate([stride.mask(0, cut), stride.mask(cut, count - cut)])
        assert mask.sum() == taken
        gaps = np.diff(np.flatnonzero(mask))
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1

    @given(st.lists(st.booleans(), max_size=60), st.integers(0, 70))
    def test_spread_takes_marked_samples_only(self, marks: list[bool], most: int) -> None:
        mask = np.array(marks, bool)
        found = spread(mask, most)
        assert not (found & ~mask).any() and found.sum() == min(most, mask.sum())


class TestPartial:
    @given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=12), st.randoms(use_true_random=False))
    @settings(max_examples=30)
    def test_total_does_not_depend_on_the_order(self, numbers: list[float], rng: random.Random) -> None:
        def total(order: list[float]) -> float:
            sums = Partial()
            for each in order:
                sums.add("x", [each])
            return float(sums.total("x")[0])

        shuffled = list(numbers)
        rng.shuffle(shuffled)
        assert total(numbers) == total(shuffled)


class TestScorer:
    def test_the_lowest_of_equal_classes_wins(self) -> None:
        scorer = Scorer(("top1",))
        outputs = np.array([[1, 1, 0], [0, 2, 2], [3, 3, 3]], np.float32)
        assert scorer.predictions(outputs).tolist() == [0, 1, 0]
        assert scorer.worth(outputs, np.array([0, 2, 0]))[:, 0].tolist() == [1, 0, 1]

    @given(st.integers(0, 1000))
    def test_top5_counts_the_first_five(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        outputs, labels = rng.integers(0, 4, (20, 9)), rng.integers(0, 9, 20)
        first = np.argsort(-outputs, axis=1, kind="stable")[:, :5]
        found = Scorer(("top1", "top5")).worth(outputs, labels)
        assert found[:, 1].tolist() == [float(label in row) for label, row in zip(labels, first, strict=True)]
        assert found[:, 0].tolist() == (first[:, 0] == labels).astype(float).tolist()

    def test_labels_beyond_the_outputs_are_refused(self) -> None:
        with pytest.raises(Exception, match="SNC0849"):
            Scorer(("top1",)).worth(np.zeros((2, 3)), np.array([0, 3]))

    def test_votes_need_outputs_for_each_class(self) -> None:
        data = ArrayDataSet({"x": np.zeros((3, 2))}, np.array([0, 1, 2]))
        common: dict[str, Any] = {"metric": "auto", "key": None, "spikes": True, "is_class": False}
        assert scorer_of(data, 6, classes=None, **common).key is not None
        with pytest.raises(Exception, match="SNC0847"):
            scorer_of(data, 8, classes=None, **common)

    @pytest.mark.parametrize(("metric", "labels"), [("mse", np.array([0, 1])), ("top1", np.array([[0.5], [1.5]]))])
    def test_metric_must_go_with_the_labels(self, metric: str, labels: np.ndarray[Any, Any]) -> None:
        data = ArrayDataSet({"x": np.zeros((2, 2))}, labels)
        with pytest.raises(Exception, match="SNC0845"):
            scorer_of(data, 2, metric=metric, classes=None, key=None, spikes=False, is_class=False)
