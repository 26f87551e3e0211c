"""A fault in one layer of a spiking network is found at its stage and in its layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import Phase, given, settings

import snc.compiler.spinn1.driver as spinn1_driver
from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.evaluation.evaluate import evaluate
from snc.compiler.evaluation.record import Evaluation
from snc.compiler.pipelines import spiking_pipeline
from snc.compiler.spinn1.driver import compile_with
from snc.compiler.spinn1.executable import SpikingExecutable

from .step_nets import CLASSES, StepNet, bits, drawn_net, places

FEW = settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Without shrinking: an example takes a build."""


def built(net: StepNet, **options: Any) -> SpikingExecutable:
    """A small artefact that is in time unless `options` say otherwise."""
    return compile_with(net.model(), **{"tiles": 2, "groups": 1, "time_scale_factor": 20, "monitors": False} | options)


def evaluated(executable: SpikingExecutable, reference: StepNet, seed: int) -> Evaluation:
    """The evaluation against the classes that the reference gives."""
    x = bits(seed)
    data = ArrayDataSet({"x": x}, reference.classes(x))
    return evaluate(executable, data, reference=reference.model(), classes=CLASSES)


def blamed(found: Evaluation) -> tuple[str, str]:
    """Stage and first ONNX node of the worst layer."""
    assert found.worst is not None
    return found.worst.stage, found.worst.onnx[0]


def losses(found: Evaluation) -> dict[str, float]:
    return {stage.name: stage.loss for stage in found.stages}


class TestPlantedFaults:
    @FEW
    @given(places())
    def test_weights_that_become_zero(self, place: tuple[int, int, int]) -> None:
        seed, layers, layer = place
        net = drawn_net(seed, layers).scaled(layer, 1 / 64)
        found = evaluated(built(net, weights="q4.6"), net, seed)
        assert blamed(found) == ("fixed point", net.name(layer))
        assert (found.layers[layer].flushed or 0) > 0.5
        assert found.worst is not None and "--weight-scale layer" in found.worst.remedy

    @FEW
    @given(places())
    def test_sums_that_are_clamped(self, place: tuple[int, int, int]) -> None:
        seed, layers, layer = place
        net = drawn_net(seed, layers, grid=64)
        for each in range(layers):
            # With 15 bits behind the point there is room for every weight, but for sums below 2 alone.
            net = net.scaled(each, 2 + 2.0**-9 if each == layer else 1 / 64)
        with pytest.MonkeyPatch.context() as patch:

            def saturating(options: Any) -> str:
                return spiking_pipeline(options).replace("bias=offset", "bias=offset excess=saturate")

            patch.setattr(spinn1_driver, "spiking_pipeline", saturating)
            executable = built(net, weights="q4.15", bias="offset")
        found = evaluated(executable, net, seed)
        assert blamed(found) == ("saturation", net.name(layer))
        assert found.layers[layer].saturated
        assert losses(found)["saturation"] > 0

    @FEW
    @given(places())
    def test_ties_that_no_longer_spike(self, place: tuple[int, int, int]) -> None:
        seed, layers, layer = place
        net = drawn_net(seed, layers, grid=4)
        other = evolve(net, strict=frozenset({layer}))
        found = evaluated(built(other, weights="q4.8"), net, seed)
        assert blamed(found) == ("activation change", net.name(layer))
        assert any(note.code == "SNC0851" for note in found.notes)
        assert [note.node for note in found.notes if note.code == "SNC0852"] == [net.name(layer)]
        lost = losses(found)
        assert lost["activation change"] == pytest.approx(sum(lost.values()))

    @FEW
    @given(places())
    def test_layers_of_other_names_are_matched_by_their_order(self, place: tuple[int, int, int]) -> None:
        seed, layers, layer = place
        net = drawn_net(seed, layers, grid=4)
        other = evolve(net, strict=frozenset({layer}), prefix="other_")
        found = evaluated(built(other, weights="q4.8"), net, seed)
        assert blamed(found) == ("activation change", other.name(layer))

    @pytest.mark.parametrize("seed", range(3))
    def test_spikes_that_are_late(self, seed: int) -> None:
        net = drawn_net(seed, 3, width=40)
        # A step is so short that the cores of some layer are still at work when the next one begins.
        executable = built(net, tiles=1, time_scale_factor=0.02, sample_interval=8)
        found = evaluated(executable, net, 5)
        assert found.worst is not None and found.worst.stage == "late or lost"
        late = [(row.late_per_sample or 0) + (row.lost_per_sample or 0) for row in found.layers]
        assert found.worst.layer == found.layers[int(np.argmax(late))].name
        assert "--time-scale-factor" in found.worst.remedy
        # In one batch, on all samples, it is the run that leaves late packets out.
        spikes = executable.execute_congested([bits(5)]).outputs
        votes = spikes.reshape(len(spikes), CLASSES, -1).sum(axis=2).argmax(axis=1)
        assert found.scores["top1"] == (votes == net.classes(bits(5))).mean()
