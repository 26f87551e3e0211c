"""snc eval: accuracy, and where the rest went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from snc.compiler.evaluation.evaluate import evaluation_schema

from ..evaluation.step_nets import CLASSES, StepNet, bits, drawn_net
from .conftest import DIGITS, Snc
from .nets import save

SEED, PLANTED = 4, 1
BUILD = ("--target", "spinn1", "--tiles", 2, "--groups", 1, "--no-monitors", "--time-scale-factor", 20)


@pytest.fixture(scope="module")
def net() -> StepNet:
    return drawn_net(SEED, 3, grid=4)


@pytest.fixture
def folder(net: StepNet, snc: Snc) -> Path:
    """net.onnx, net.snc, and test.npz with the classes that the network gives."""
    x = bits(SEED)
    np.savez("test.npz", x=x, labels=net.classes(x))
    save(net.model(), Path("net.onnx"))
    assert snc("build", "net.onnx", *BUILD, "-o", "net.snc").exit_code == 0
    return Path()


def evaluated(snc: Snc, *arguments: object, code: int = 0) -> dict[str, Any]:
    """The evaluation in the document of a run, which keeps the schema."""
    ran = snc("eval", *arguments, "--json")
    assert ran.exit_code == code, ran.output
    document = json.loads(ran.stdout)
    jsonschema.validate(document["evaluation"], evaluation_schema())
    found: dict[str, Any] = document["evaluation"]
    return found


def refusal(snc: Snc, *arguments: object, code: int = 2) -> str:
    """What a refused run says, in one error."""
    ran = snc("eval", *arguments)
    assert ran.exit_code == code, ran.output
    assert ran.stderr.count("error[") == 1, ran.stderr
    return ran.stderr


class TestEval:
    def test_text(self, snc: Snc, folder: Path) -> None:
        ran = snc("eval", "net.snc", "--data", "test.npz", "--reference", "net.onnx", "--classes", CLASSES)
        assert ran.exit_code == 0, ran.output
        assert "accuracy   top1 100.00%" in ran.stdout
        lines = [line.split("  ")[0] for line in ran.stdout.splitlines()]
        for stage in ("float import", "batch-norm fold", "activation change", "fixed point", "saturation", "schedule"):
            assert stage in lines
        assert "fc1" in lines and "worst" not in ran.stdout

    def test_text_of_the_worst_layer(self, snc: Snc, folder: Path, net: StepNet) -> None:
        save(net.scaled(PLANTED, 1 / 64).model(), Path("small.onnx"))
        assert snc("build", "small.onnx", *BUILD, "--weights", "q4.6", "-o", "small.snc").exit_code == 0
        ran = snc("eval", "small.snc", "--data", "test.npz", "--reference", "small.onnx", "--classes", CLASSES)
        assert "worst: fc1 at fixed point" in ran.stdout
        assert "--weight-scale layer" in ran.stdout

    def test_json_and_thresholds(self, snc: Snc, folder: Path, net: StepNet) -> None:
        save(net.scaled(PLANTED, 1 / 64).model(), Path("small.onnx"))
        assert snc("build", "small.onnx", *BUILD, "--weights", "q4.6", "-o", "small.snc").exit_code == 0
        common = ("small.snc", "--data", "test.npz", "--reference", "small.onnx", "--classes", CLASSES)
        found = evaluated(snc, *common)
        assert found["worst"]["stage"] == "fixed point" and found["worst"]["onnx"][0] == "fc1"
        first, last = (found["stages"][place]["scores"]["top1"] for place in (0, -1))
        assert sum(stage["loss"] for stage in found["stages"]) == first - last > 0
        assert last == found["scores"]["top1"]
        evaluated(snc, *common, "--min-acc", last, "--max-drop", "100%")
        evaluated(snc, *common, "--min-acc", "99.9%", code=4)
        evaluated(snc, *common, "--max-drop", "0.01", code=4)

    def test_threshold_that_is_missed_is_told(self, snc: Snc, folder: Path) -> None:
        x = bits(SEED)
        np.save("wrong.npy", np.full(len(x), CLASSES - 1))
        ran = snc("eval", "net.snc", "--data", "test.npz", "--labels", "wrong.npy", "--min-acc", 0.99)
        assert ran.exit_code == 4
        assert "error[SNC0856]" in ran.stderr

    def test_artefact_of_a_variant(self, snc: Snc, folder: Path, net: StepNet) -> None:
        strict = drawn_net(SEED, 3, grid=4)
        variant = StepNet(strict.weights, strict.biases, strict.thresholds, frozenset({PLANTED}))
        save(variant.model(), Path("variant.onnx"))
        assert snc("build", "variant.onnx", *BUILD, "-o", "variant.snc").exit_code == 0
        found = evaluated(snc, "variant.snc", "--data", "test.npz", "--reference", "net.onnx", "--classes", CLASSES)
        assert found["worst"]["stage"] == "activation change"
        assert found["worst"]["layer"] == "fc1"
        assert "SNC0851" in {note["code"] for note in found["notes"]}

    def test_key_of_votes(self, snc: Snc, folder: Path, net: StepNet) -> None:
        outputs = net.weights[-1].shape[1]
        np.save("key.npy", np.arange(outputs) // (outputs // CLASSES))
        keyed = evaluated(snc, "net.snc", "--data", "test.npz", "--key", "key.npy", "--no-stages")
        assert keyed["scores"] == {"top1": 1.0}
        np.save("key.npy", (np.arange(outputs) // (outputs // CLASSES) + 1) % CLASSES)
        turned = evaluated(snc, "net.snc", "--data", "test.npz", "--key", "key.npy", "--no-stages")
        assert turned["scores"]["top1"] < 0.5

    def test_schedule_of_digits(self, snc: Snc, digits: Path) -> None:
        with np.load(DIGITS / "digits.npz") as stored:
            images, labels = stored["images"][:60], stored["labels"][:60]
        np.savez("grey.npz", images=images, labels=labels)
        found = evaluated(
            snc, digits, "--data", "grey.npz", "--preprocess", "scale=1/255", "--reference", DIGITS / "digits_cnn.onnx"
        )
        assert found["target"] == "spinn2" and found["scores"]["top1"] > 0.9
        assert all(layer["snr_db"] > 15 for layer in found["layers"] if layer["snr_db"] is not None)


class TestRefusals:
    def test_numbers_where_spikes_are_wanted(self, snc: Snc, folder: Path) -> None:
        np.savez("grey.npz", x=bits(1) * np.uint8(255), labels=np.zeros(400, np.int64))
        said = refusal(snc, "net.snc", "--data", "grey.npz", "--classes", CLASSES)
        assert "SNC0843" in said and "--preprocess scale=1/255" in said

    def test_greys_for_a_network_of_fractions(self, snc: Snc, digits: Path) -> None:
        with np.load(DIGITS / "digits.npz") as stored:
            np.savez("grey.npz", images=stored["images"][:20], labels=stored["labels"][:20])
        said = refusal(snc, digits, "--data", "grey.npz")
        assert "SNC0843" in said and "--preprocess scale=1/255" in said and "0 .. 255" in said

    @pytest.mark.parametrize(
        ("labels", "code"),
        [
            (np.zeros(7, np.int64), "SNC0833"),
            (np.full(400, -1), "SNC0834"),
            (np.full(400, 12), "SNC0849"),
        ],
    )
    def test_labels_that_do_not_fit(self, snc: Snc, folder: Path, labels: np.ndarray[Any, Any], code: str) -> None:
        np.savez("x.npz", x=bits(1))
        np.save("labels.npy", labels)
        ran = snc("eval", "net.snc", "--data", "x.npz", "--labels", "labels.npy", "--classes", CLASSES)
        assert ran.exit_code == 2 and ran.stderr.count("error[") == 1, ran.output
        assert code in ran.stderr

    def test_samples_of_another_shape(self, snc: Snc, folder: Path) -> None:
        np.savez("x.npz", x=bits(1).reshape(-1, 4, 4), labels=np.zeros(400, np.int64))
        said = refusal(snc, "net.snc", "--data", "x.npz")
        assert "SNC0841" in said and "--preprocess reshape=16" in said

    def test_no_labels(self, snc: Snc, folder: Path) -> None:
        np.savez("x.npz", x=bits(1))
        assert "SNC0844" in refusal(snc, "net.snc", "--data", "x.npz")

    def test_reference_that_is_no_model(self, snc: Snc, folder: Path) -> None:
        Path("bad.onnx").write_bytes(b"no model at all")
        ran = snc("eval", "net.snc", "--data", "test.npz", "--reference", "bad.onnx", "--classes", CLASSES)
        assert ran.exit_code == 5 and ran.stderr.count("error[") == 1

    def test_reference_with_other_inputs(self, snc: Snc, folder: Path) -> None:
        said = refusal(
            snc, "net.snc", "--data", "test.npz", "--reference", DIGITS / "digits_cnn.onnx", "--classes", CLASSES
        )
        assert "SNC0850" in said

    @pytest.mark.parametrize("arguments", [("--max-drop", 0.1), ("--min-acc", 98), ("--min-acc", "much")])
    def test_thresholds_that_mean_nothing(self, snc: Snc, folder: Path, arguments: tuple[object, ...]) -> None:
        assert snc("eval", "net.snc", "--data", "test.npz", "--classes", CLASSES, *arguments).exit_code == 2

    def test_model_in_the_place_of_an_artefact(self, snc: Snc, folder: Path) -> None:
        assert "snc build net.onnx" in refusal(snc, "net.onnx", "--data", "test.npz")
