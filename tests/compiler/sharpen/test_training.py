"""Training itself; needs torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from attrs import evolve

torch = pytest.importorskip("torch")

from snc.compiler.data.arrays import ArrayDataSet  # noqa: E402
from snc.compiler.onnx.importer import import_model  # noqa: E402
from snc.compiler.sharpen.activations import bounded_relu, sigmoid, step, straight_through  # noqa: E402
from snc.compiler.sharpen.centre import centre  # noqa: E402
from snc.compiler.sharpen.epochs import Epoch, Watch  # noqa: E402
from snc.compiler.sharpen.network import Mode, Network  # noqa: E402
from snc.compiler.sharpen.settings import Settings  # noqa: E402
from snc.compiler.sharpen.settle import MARGIN, _shift, settle  # noqa: E402
from snc.compiler.sharpen.sharpen import prepared, sharpen  # noqa: E402
from snc.compiler.sharpen.stepped import Stepped  # noqa: E402
from snc.compiler.sharpen.training import Trainer  # noqa: E402
from snc.compiler.targets import compile  # noqa: E402
from snc.ir.diagnostics import ModelError, UsageError  # noqa: E402
from snc.runtime.interpreter.evaluate import evaluate  # noqa: E402

from .small_nets import CLASSES, SIDE, conv, dense, samples  # noqa: E402
from .test_prepared import NETS  # noqa: E402

QUICK = Settings(votes=3, finish_epochs=20, batch=16)


class TestActivations:
    @pytest.mark.parametrize("soft", [bounded_relu, sigmoid])
    def test_become_the_step(self, soft: object) -> None:
        z = torch.linspace(-3, 4, 701)
        away = (z - 0.5).abs() > 0.02
        assert torch.allclose(soft(z, 0.9999)[away], step(z)[away], atol=1e-4)  # type: ignore[operator]
        assert soft(torch.tensor(0.5), 0.3) == 0.5  # type: ignore[operator]

    def test_the_straight_through_step_has_the_slope_of_the_soft_one(self) -> None:
        z = torch.tensor([-0.5, 0.1, 0.49, 0.5, 0.9, 1.5], requires_grad=True)
        spikes = straight_through(z)
        spikes.sum().backward()
        assert spikes.tolist() == [0, 0, 0, 1, 1, 1]
        assert z.grad.tolist() == [0, 1, 1, 1, 1, 0]


class TestNetwork:
    @pytest.mark.parametrize("net", NETS)
    @pytest.mark.parametrize("batch_norm", ["auto", "keep"])
    def test_computes_what_the_interpreter_does(self, net: str, batch_norm: str) -> None:
        stepped, _ = prepared(import_model(NETS[net]()), CLASSES, Settings(batch_norm=batch_norm))
        network = Network(stepped)
        data = next(samples(32, flat=net in ("dense", "sigmoid", "votes")).batches(32)).inputs["x"].astype(np.float32)
        with torch.no_grad():
            found = network([torch.from_numpy(data)], Mode((1.0,) * len(stepped.activations))).numpy()
        expected = np.concatenate([evaluate(stepped.module, [row[None]])[0] for row in data])
        # A sum that meets its threshold may fall to either side when it is added up in another order.
        assert (found != expected).mean() < 0.01

    @pytest.mark.parametrize("batch_norm", ["auto", "keep"])
    def test_is_centred_on_its_steps(self, batch_norm: str) -> None:
        stepped, _ = prepared(import_model(conv()), CLASSES, Settings(batch_norm=batch_norm))
        network, inputs = (
            Network(stepped),
            [torch.from_numpy(next(samples(flat=False).batches(400)).inputs["x"]).float()],
        )
        centre(network, stepped, inputs)
        seen = {}
        with torch.no_grad():
            network(inputs, Mode((0.0, 0.0)), lambda value, tensor: seen.setdefault(value, tensor))
        for each in stepped.activations:
            sums = seen[each.compare.lhs].movedim(1, 0).flatten(1)
            assert torch.allclose(sums.mean(dim=1), torch.tensor(0.5), atol=1e-3)
            # Channels that never change, such as those of the border alone, stay where they are.
            spread = sums.std(dim=1)
            assert torch.allclose(spread[spread > 0.1], torch.tensor(0.5), atol=1e-2)


class TestSettle:
    @pytest.mark.parametrize("batch_norm", ["auto", "keep"])
    def test_takes_sums_away_from_thresholds(self, batch_norm: str) -> None:
        stepped, _ = prepared(import_model(conv()), CLASSES, Settings(batch_norm=batch_norm))
        network, inputs = (
            Network(stepped),
            [torch.from_numpy(next(samples(flat=False).batches(400)).inputs["x"]).float()],
        )
        centre(network, stepped, inputs)
        before = close_sums(network, stepped, inputs)
        settle(network, stepped, inputs)
        after = close_sums(network, stepped, inputs)
        assert after[0] < before[0] or before[0] == 0
        assert sum(after) < sum(before)

    def test_a_constant_sum_ends_a_margin_away_on_its_own_side(self) -> None:
        for place in (-0.001, 0.0, 0.001):
            sums = torch.full((100,), place)
            shift = float(_shift(sums))
            assert (place - shift >= 0) == (place >= 0)
            assert abs(place - shift) >= MARGIN - 1e-6


def close_sums(network: Network, stepped: Stepped, inputs: list[torch.Tensor]) -> list[int]:
    """How many sums of each layer lie within half a margin of their threshold."""
    seen = {}
    with torch.no_grad():
        mode = Mode((1.0,) * len(stepped.activations))
        network(inputs, mode, lambda value, tensor: seen.setdefault(value, tensor))
    sums = [seen[each.compare.lhs] - each.level for each in stepped.activations]
    # A pooled layer spikes where its greatest sum does.
    sums[0] = torch.nn.functional.max_pool2d(sums[0], 2)
    return [int((each.abs() < MARGIN / 2).sum()) for each in sums]


class TestSharpen:
    @pytest.mark.parametrize("net", NETS)
    def test_learns_and_writes_what_it_measured(self, net: str) -> None:
        flat = net in ("dense", "sigmoid", "votes")
        settings = evolve(QUICK, votes=None if net == "votes" else 3)
        made = sharpen(NETS[net](), samples(flat=flat), settings)
        assert made.validation > 0.8
        assert (made.trained_on, made.held_out) == (360, 40)
        test = samples(500, seed=9, flat=flat)
        found = scores(made.model, test)
        labels = next(test.batches(500)).labels
        # One in 500: a sum that meets its threshold may fall to either side in another order of addition.
        assert (found.argmax(axis=1) == labels).mean() == pytest.approx(made.accuracy(test), abs=0.002)
        assert made.accuracy(test) > 0.8

    def test_sharpens_the_first_layer_first(self) -> None:
        made = sharpen(dense(), samples(), QUICK)
        ends = [epoch.sharpness for epoch in made.epochs]
        assert ends[:4] == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]
        assert made.epochs[made.best - 1].validation == made.validation
        assert made.best > 3

    def test_is_built_into_spikes_that_decode_alike(self) -> None:
        made = sharpen(dense(), samples(), QUICK)
        test = next(samples(200, seed=9).batches(200))
        built = compile(made.model, target="spinn1", weights="q4.8", weight_scale="layer")
        found = built.labels(built(test.inputs["x"]))
        expected = scores(made.model, samples(200, seed=9)).argmax(axis=1)
        # Rounded weights move a sum across its threshold now and then.
        assert (found != expected).mean() < 0.05

    def test_gives_the_same_bytes_for_the_same_seed(self) -> None:
        first, second, other = (
            sharpen(conv(), samples(flat=False), Settings(votes=2, finish_epochs=1, seed=seed)).model
            for seed in (3, 3, 4)
        )
        assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
        assert first.SerializeToString(deterministic=True) != other.SerializeToString(deterministic=True)

    @pytest.mark.parametrize("sharpener", ["scheduled", "adaptive"])
    @pytest.mark.parametrize("stop", [0, 2, 6])
    def test_goes_on_from_a_checkpoint_to_the_same_bytes(self, tmp_path: Path, sharpener: str, stop: int) -> None:
        settings = Settings(votes=2, finish_epochs=4, sharpener=sharpener)
        whole = sharpen(conv(), samples(flat=False), settings)
        kept = tmp_path / "net.checkpoint"

        def interrupt(epoch: Epoch) -> None:
            if epoch.number == stop:
                raise KeyboardInterrupt

        def interrupt_at_once(*_: object) -> None:
            if stop == 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            watch = Watch(interrupt, interrupt_at_once)
            sharpen(conv(), samples(flat=False), settings, checkpoint=kept, watch=watch)
        resumed = sharpen(conv(), samples(flat=False), resume=kept)
        assert len(resumed.epochs) == len(whole.epochs)
        assert resumed.model.SerializeToString(deterministic=True) == whole.model.SerializeToString(deterministic=True)

    def test_refuses_a_checkpoint_of_another_training(self, tmp_path: Path) -> None:
        kept = tmp_path / "net.checkpoint"
        settings = Settings(votes=2, finish_epochs=0)
        sharpen(dense(), samples(), settings, checkpoint=kept)
        for model, data, given in (
            (conv(), samples(flat=False), settings),
            (dense(), samples(seed=1), settings),
            (dense(), samples(), Settings(votes=2, finish_epochs=1)),
        ):
            with pytest.raises(UsageError, match="SNC0496"):
                sharpen(model, data, given, resume=kept)

    def test_takes_a_torch_module(self) -> None:
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()]
        module = torch.nn.Sequential(*layers, torch.nn.Linear(4 * 16, CLASSES)).eval()
        made = sharpen(module, samples(flat=False), QUICK)
        assert made.validation > 0.8
        assert made.layers[0].endswith("Relu")

    def test_takes_numbers_with_a_threshold(self) -> None:
        bits = next(samples().batches(400))
        numbers = ArrayDataSet({"x": bits.inputs["x"] * np.uint8(200)}, bits.labels)
        with pytest.raises(UsageError, match="input-threshold"):
            sharpen(dense(), numbers, QUICK)
        made = sharpen(dense(), numbers, evolve(QUICK, input_threshold=100))
        built = compile(made.model, target="spinn1")
        assert (built.labels(built(bits.inputs["x"] * np.float32(200))) == bits.labels).mean() > 0.8

    def test_leaves_torch_as_it_was(self) -> None:
        torch.set_num_threads(2)
        sharpen(dense(), samples(), Settings(votes=1, finish_epochs=0))
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()

    def test_says_when_training_diverges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Trainer, "run", lambda *_: (float("nan"), 0.0))
        with pytest.raises(ModelError, match="SNC0498"):
            sharpen(dense(), samples(), QUICK)


class TestData:
    def refused(self, data: ArrayDataSet, code: str, **settings: object) -> str:
        with pytest.raises(UsageError, match=code) as caught:
            sharpen(dense(), data, Settings(**settings))  # type: ignore[arg-type]
        return str(caught.value)

    def test_refuses_labels_that_do_not_fit(self) -> None:
        bits = next(samples().batches(400)).inputs["x"]
        assert "no labels" in self.refused(ArrayDataSet({"x": bits}), "SNC0495")
        assert "out of range" in self.refused(samples(), "SNC0495", classes=3)
        assert "one class" in self.refused(ArrayDataSet({"x": bits}, np.zeros(400, np.int64)), "SNC0495")
        numbers = ArrayDataSet({"x": bits}, np.linspace(0, 1, 400)[:, None])
        assert "float64" in self.refused(numbers, "SNC0495")

    def test_refuses_samples_that_do_not_fit(self) -> None:
        batch = next(samples().batches(400))
        other = ArrayDataSet({"x": batch.inputs["x"].reshape(400, SIDE, SIDE)}, batch.labels)
        assert "[36]" in self.refused(other, "SNC0494")
        wide = ArrayDataSet({"x": batch.inputs["x"] * 3.0}, batch.labels)
        assert "0 to 3" in self.refused(wide, "SNC0494")
        few = ArrayDataSet({"x": batch.inputs["x"][:3]}, np.array([0, 1, 2]))
        assert "3" in self.refused(few, "SNC0494")
        two = ArrayDataSet({"a": batch.inputs["x"], "b": batch.inputs["x"]}, batch.labels)
        assert "a, b" in self.refused(two, "SNC0494")


def scores(model: onnx.ModelProto, data: ArrayDataSet) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = next(data.batches(data.count))
    (found,) = session.run(None, {"x": batch.inputs["x"].astype(np.float32)})
    return np.asarray(found)
