"""From a model to a netlist: options, what they mean, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import snc
from snc.compiler.spinn1.executable import SpikingExecutable
from snc.ir.diagnostics import DoesNotFit, ModelError, UsageError

from ..step_models import OUTPUTS, conv_steps, dense_spikes, dense_steps, grey_steps, samples

MACHINE = {"machine": "spinn3", "monitors": False}


def build(model: bytes, **options: Any) -> SpikingExecutable:
    return snc.compile(onnx.load_from_string(model), target="spinn1", **{**MACHINE, **options})


class TestValues:
    @pytest.mark.parametrize(
        ("bias", "groups", "tiles"), list(itertools.product(["chain", "offset", "threshold"], [1, 3], [1, 2]))
    )
    def test_every_way_of_building_gives_the_spikes_of_the_network(self, bias: str, groups: int, tiles: int) -> None:
        x = samples(40, 12)
        found = build(dense_steps(), bias=bias, groups=groups, tiles=tiles, neurons_per_core=4)
        np.testing.assert_array_equal(found(x), dense_spikes(x))
        assert found.netlist.tiles == tiles and found.choices.groups == groups

    def test_a_convolutional_net_gives_what_the_interpreter_gives(self) -> None:
        x = samples(30, 1, 6, 6)
        found = build(conv_steps())
        np.testing.assert_array_equal(found(x), found.interpret([x]))
        assert len(np.unique(found(x), axis=0)) > 1

    def test_samples_of_any_type_are_the_same_samples(self) -> None:
        network, x = build(dense_steps()), samples(9, 12)
        for dtype in (np.bool_, np.uint8, np.int64, np.float32, np.float64):
            np.testing.assert_array_equal(network(x.astype(dtype)), dense_spikes(x))

    def test_a_network_with_its_own_threshold_takes_numbers(self) -> None:
        network = build(grey_steps())
        found = network(np.array([[99.9, 100, 0, 0], [255, -3, 0, 0]], np.float32))
        np.testing.assert_array_equal(found, [[0, 1], [1, 0]])

    def test_inputs_are_coded_in_bits(self) -> None:
        network = build(dense_steps(), input_bits=4)
        x = np.random.default_rng(1).integers(0, 16, (20, 12)).astype(np.float32) / 16
        np.testing.assert_array_equal(network(x), dense_spikes(x))
        assert network.netlist.elements == 48

    def test_inputs_are_compared_with_a_level(self) -> None:
        network = build(dense_steps(), input_threshold=0.7)
        x = np.random.default_rng(2).random((20, 12), np.float32)
        np.testing.assert_array_equal(network(x), dense_spikes(x >= 0.7))


class TestChoices:
    def test_the_interval_follows_groups_that_are_asked_for(self) -> None:
        for groups, interval in ((1, 2), (4, 6)):
            assert build(dense_steps(), groups=groups).netlist.interval == interval
        assert build(dense_steps(), groups=4, sample_interval=9).netlist.interval == 9

    def test_what_is_asked_for_stays(self) -> None:
        found = build(dense_steps(), groups=2, neurons_per_core=3, tiles=2, time_scale_factor=7)
        assert (found.choices.tiles, found.choices.time_scale_factor) == (2, 7.0)
        assert found.choices.neurons_per_core == 3 and found.netlist.tick_us == 7000

    def test_what_is_left_open_is_in_time(self) -> None:
        found = build(dense_steps(), calibration={"x": samples(50, 12)})
        assert found.timing().in_time and found.activity_measured and found.choices.reasons
        assert found.choices.tiles > 1

    def test_a_factor_that_is_too_small_is_said(self) -> None:
        found = build(dense_steps(), groups=1, time_scale_factor=0.002)
        (note,) = [note for note in found.notes if note.code == "SNC0585"]
        assert note.severity == "warning" and "late" in note.found

    def test_monitors_take_cores(self) -> None:
        assert build(dense_steps(), monitors=True).machine.application_cores == 63
        assert build(dense_steps(), monitors=False).machine.application_cores > 63


class TestLabels:
    def test_votes_and_shares_and_indices_name_the_class(self) -> None:
        x = samples(30, 12)
        spikes = dense_spikes(x)
        expected = spikes.reshape(-1, 3, 2).sum(axis=2).argmax(axis=1)
        for tail in ("key", "argmax", "softmax"):
            network = build(dense_steps(tail))
            np.testing.assert_array_equal(network.labels(network(x)), expected)

    def test_decoded_outputs_are_those_of_the_model(self) -> None:
        network = build(dense_steps("softmax"))
        (shares,) = network.decode(network(samples(4, 12)))
        assert shares.shape == (4, 3) and network.decoded_outputs[0].name == "share"
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)

    def test_a_network_of_spikes_alone_has_no_labels(self) -> None:
        network = build(dense_steps())
        with pytest.raises(UsageError, match="class"):
            network.labels(network(samples(4, 12)))


class TestRefusals:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"groups": 0},
            {"groups": "some"},
            {"tiles": 1.5},
            {"time_scale_factor": float("nan")},
            {"bias": "none"},
            {"weights": "q99.1"},
            {"input_bits": True},
            {"bits": 8},
            {"machine": "spinn9"},
        ],
    )
    def test_options(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            build(dense_steps(), **wrong)

    def test_soft_activations_are_named(self) -> None:
        with pytest.raises(ModelError, match="soft: an activation without an upper bound"):
            build(dense_steps(activation="relu"))

    def test_soft_activations_that_are_asked_for_come_with_their_error(self) -> None:
        found = build(dense_steps(activation="relu"), binarize="threshold", calibration={"x": samples(20, 12)})
        notes = {note.code: note for note in found.notes}
        assert "soft" in notes["SNC0463"].node and "differ by" in notes["SNC0311"].found
        assert found(samples(3, 12)).shape == (3, OUTPUTS)

    def test_a_key_that_does_not_fit_the_outputs(self) -> None:
        with pytest.raises(ModelError, match="vote"):
            build(dense_steps("key", key_rows=5))

    def test_a_weight_outside_the_format_names_neuron_excess_and_remedy(self) -> None:
        with pytest.raises(ModelError, match="first") as error:
            build(dense_steps(scale=40), weights="q4.8")
        (note,) = error.value.diagnostics
        assert "neuron" in note.found and "beyond" in note.found and "--weight-scale layer" in note.help
        build(dense_steps(scale=40), weights="q4.8", weight_scale="layer")

    def test_a_sum_beyond_the_words_names_neuron_and_scale(self) -> None:
        with pytest.raises(ModelError, match="add up to more"):
            build(dense_steps(scale=1e6))

    @pytest.mark.parametrize(
        ("options", "limit"),
        [
            ({"tiles": 500}, "too small"),
            ({"neurons_per_core": 300}, "too many neurons on a core"),
            ({"groups": 4096, "neurons_per_core": 8}, "delay"),
            ({"tiles": 1 << 20, "machine": "spinn5-24"}, "keys|too small"),
        ],
    )
    def test_what_does_not_fit_names_limit_and_remedy(self, options: dict[str, Any], limit: str) -> None:
        with pytest.raises(DoesNotFit, match=limit) as error:
            build(dense_steps(), **options)
        assert all(note.expected and note.help for note in error.value.diagnostics)

    @pytest.mark.parametrize(
        ("x", "word"),
        [
            (np.zeros((0, 12)), "one sample or more"),
            (np.zeros((3, 11)), "does not fit"),
            (np.zeros(12), "does not fit"),
            (np.full((3, 12), 2), "no spikes"),
            (np.full((3, 12), np.nan), "no spikes"),
            (np.full((3, 12), "1"), "does not fit"),
        ],
    )
    def test_samples_that_are_no_spikes(self, x: Any, word: str) -> None:
        network = build(dense_steps())
        for call in (network, lambda x: network.interpret([x]), lambda x: network.execute_congested([x])):
            with pytest.raises(UsageError, match=word):
                call(x)

    def test_calibration_that_does_not_fit(self) -> None:
        with pytest.raises(UsageError):
            build(dense_steps(), calibration={"x": np.full((3, 12), 0.5)})

    def test_a_board_without_living_chips(self, tmp_path: Path) -> None:
        from snc.backends.spinn1.machine import machine_text

        chips = ", ".join(f"[{x}, {y}]" for x in range(2) for y in range(2))
        path = tmp_path / "dead.toml"
        path.write_text(machine_text("spinn3").replace("dead_chips = []", f"dead_chips = [{chips}]"))
        with pytest.raises(UsageError, match="no chip left"):
            build(dense_steps(), machine=path)
