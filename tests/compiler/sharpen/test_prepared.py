"""From an imported network to the one that is trained, and back to ONNX; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from snc.compiler.onnx.importer import import_model
from snc.compiler.sharpen.keys import random_key
from snc.compiler.sharpen.settings import Settings
from snc.compiler.sharpen.sharpen import prepared
from snc.compiler.sharpen.stepped import Stepped
from snc.compiler.sharpen.tail import add_decoding, add_encoding
from snc.compiler.sharpen.trainable import constant_names, learning
from snc.compiler.sharpen.write_onnx import write_onnx
from snc.ir.diagnostics import ModelError, UsageError
from snc.ir.dialects import nn
from snc.runtime.interpreter.evaluate import evaluate

from .small_nets import CLASSES, SIDE, conv, dense, model, samples, weights

NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "dense": dense,
    "sigmoid": lambda: dense(activation="Sigmoid", tail="Softmax"),
    "votes": lambda: dense(outputs=3 * CLASSES, tail="Relu"),
    "conv": conv,
    "pool first": lambda: conv(pool_first=True),
    "normalised": lambda: conv(normalised=True),
    "average": lambda: conv(pool="AveragePool"),
    "average first": lambda: conv(pool="AveragePool", pool_first=True),
}


def prepare(proto: onnx.ModelProto, **settings: object) -> Stepped:
    return prepared(import_model(proto), CLASSES, Settings(**settings))[0]  # type: ignore[arg-type]


def written(network: Stepped, output: str = "spikes") -> onnx.ModelProto:
    names = constant_names(network.module)
    arrays = {name: value.owner.value for value, name in names.items()}  # type: ignore[union-attr]
    return write_onnx(network.module, arrays, names, output=output, metadata={"b": "2", "a": "1"})


def refusals(proto: onnx.ModelProto, **settings: object) -> list[str]:
    with pytest.raises(ModelError) as caught:
        prepare(proto, **settings)
    return [f"{each.code} {each.node}" for each in caught.value.diagnostics]


class TestPrepared:
    @pytest.mark.parametrize("net", NETS)
    @pytest.mark.parametrize("batch_norm", ["auto", "keep"])
    def test_every_activation_is_a_step(self, net: str, batch_norm: str) -> None:
        network = prepare(NETS[net](), batch_norm=batch_norm)
        ops = list(network.module.main.body.ops)
        assert not [op for op in ops if isinstance(op, nn.ClampOp | nn.SigmoidOp | nn.SoftmaxOp)]
        steps = [op for op in ops if isinstance(op, nn.CompareOp)]
        assert [each.compare for each in network.activations] == steps
        assert network.module.main.return_op.values[0] is network.activations[-1].cast.out

    def test_gives_each_layer_a_batch_normalisation(self) -> None:
        network, added = prepared(import_model(dense()), CLASSES, Settings())
        norms = [op for op in network.module.main.body.ops if isinstance(op, nn.BatchNormOp)]
        assert len(added) == len(norms) == len(network.activations) == 3

    def test_leaves_a_batch_normalisation_alone(self) -> None:
        network, added = prepared(import_model(conv(normalised=True)), CLASSES, Settings())
        norms = [op for op in network.module.main.body.ops if isinstance(op, nn.BatchNormOp)]
        assert (len(added), len(norms)) == (1, 2)
        # The exporter stored new scale and variance once; one learns, the other is measured.
        assert len({value for op in norms for value in op.operands[1:]}) == 8

    def test_normalises_in_front_of_a_pooling(self) -> None:
        network = prepare(conv(pool_first=True))
        pool = next(op for op in network.module.main.body.ops if isinstance(op, nn.MaxPool2dOp))
        assert isinstance(pool.x.owner, nn.BatchNormOp)

    @pytest.mark.parametrize("first", [False, True])
    def test_an_average_reads_spikes_and_ends_in_them(self, first: bool) -> None:
        network = prepare(conv(pool="AveragePool", pool_first=first))
        pool = next(op for op in network.module.main.body.ops if isinstance(op, nn.AvgPool2dOp))
        assert isinstance(pool.x.owner, nn.CastOp)
        (user,) = pool.out.users
        assert isinstance(user, nn.BatchNormOp)
        assert len(network.activations) == 3

    def test_keeps_networks_without_normalisation_that_way(self) -> None:
        network = prepare(conv(), batch_norm="keep")
        ops = list(network.module.main.body.ops)
        assert not [op for op in ops if isinstance(op, nn.BatchNormOp)]
        # Every layer has a bias, by which its sums are moved to the step.
        assert sum(isinstance(op, nn.AddOp) for op in ops) == 1

    def test_learns_weights_and_normalisations_but_no_bias_in_front_of_one(self) -> None:
        module = prepare(dense()).module
        names = constant_names(module)
        found = {names[value] for value in learning(module)}
        assert len(found) == 9
        assert "fc0.bias" not in found and "/fc0.norm.weight" in found and "/fc0.norm.mean" not in found

    @pytest.mark.parametrize("net", ["dense", "sigmoid", "conv", "normalised"])
    @pytest.mark.parametrize("votes", [1, 5])
    def test_one_output_a_class_becomes_votes(self, net: str, votes: int) -> None:
        network = prepare(NETS[net](), votes=votes)
        assert network.widened == votes
        assert network.key.voters.tolist() == [c for c in range(CLASSES) for _ in range(votes)]
        assert network.module.main.return_op.values[0].shape == (1, CLASSES * votes)

    def test_copies_of_an_output_differ_by_the_seed_alone(self) -> None:
        def last(seed: int) -> np.ndarray:
            module = prepare(conv(), votes=3, seed=seed).module
            return next(op for op in module.main.body.ops if isinstance(op, nn.MatMulOp)).rhs.owner.value  # type: ignore[union-attr]

        assert (last(0) == last(0)).all()
        assert (last(0) != last(1)).any()
        averages = last(0).reshape(36, CLASSES, 3).mean(axis=2)
        # The mean of three copies lies within four standard deviations of their noise, half that of the weights.
        given = weights(1, 36, CLASSES)
        assert np.abs(averages - given).max() < 4 * 0.5 * given.std() / np.sqrt(3)

    def test_several_outputs_a_class_stay(self) -> None:
        network = prepare(dense(outputs=3 * CLASSES + 1))
        assert network.widened == 1
        assert network.key.counts.tolist() == [3] * CLASSES

    @pytest.mark.parametrize("decode", ["softmax", "spikes"])
    def test_takes_its_own_outcome_with_its_key(self, decode: str) -> None:
        network = prepare(dense(), votes=3)
        key = random_key(3 * CLASSES, CLASSES, seed=5)
        if decode == "softmax":
            add_decoding(network.module, key)
        again = prepare(written(network))
        assert again.key.voters.tolist() == (key if decode == "softmax" else network.key).voters.tolist()
        assert len(again.activations) == 3


class TestRefusals:
    def test_names_everything_at_once(self) -> None:
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["a"], name="/one"),
            helper.make_node("LeakyRelu", ["a"], ["b"], name="/leaky"),
            helper.make_node("MatMul", ["b", "w2"], ["c"], name="/two"),
            helper.make_node("MatMul", ["c", "w3"], ["d"], name="/three"),
            helper.make_node("Tanh", ["d"], ["e"], name="/tanh"),
            helper.make_node("MatMul", ["e", "w3"], ["y"], name="/four"),
        ]
        constants = {"w1": weights(0, 5, 4), "w2": weights(1, 4, 4), "w3": weights(2, 4, 4)}
        found = refusals(model(nodes, constants, (5,)))
        assert found[:2] == ["SNC0490 /leaky", "SNC0490 /tanh"]
        assert "SNC0460 /three" in found

    def test_outputs_that_do_not_fit_the_classes(self) -> None:
        assert refusals(dense(outputs=3)) == ["SNC0492 "]
        assert refusals(dense(outputs=8), votes=3) == ["SNC0492 "]

    def test_settings_that_no_training_can_have(self) -> None:
        for wrong in ({"validation": 2}, {"batch_norm": "some"}, {"rate": float("nan")}, {"seed": -1}):
            with pytest.raises(UsageError, match="SNC0497"):
                Settings(**wrong)  # type: ignore[arg-type]


class TestWriteOnnx:
    @pytest.mark.parametrize("net", NETS)
    def test_computes_what_the_module_does(self, net: str) -> None:
        network = prepare(NETS[net](), votes=None if net == "votes" else 3)
        add_decoding(network.module, network.key)
        data = next(samples(16, flat=net in ("dense", "sigmoid", "votes")).batches(16)).inputs["x"].astype(np.float32)
        (found,) = ReferenceEvaluator(written(network)).run(None, {"x": data})
        expected = np.concatenate([evaluate(network.module, [row[None]])[0] for row in data])
        # Sums of 36 products of 32 bits in another order; spikes are the same, and so are votes.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

    def test_writes_the_same_bytes_again(self) -> None:
        first, second = (written(prepare(conv())).SerializeToString(deterministic=True) for _ in range(2))
        assert first == second

    def test_takes_any_number_of_samples_and_keeps_names(self) -> None:
        proto = written(prepare(conv()))
        assert [dim.dim_param or dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim] == [
            "N",
            1,
            SIDE,
            SIDE,
        ]
        assert {"conv.weight", "conv.bias", "fc.weight"} <= {each.name for each in proto.graph.initializer}
        assert [each.op_type for each in proto.graph.node if each.op_type in ("GreaterOrEqual", "Cast")] == [
            *["GreaterOrEqual", "Cast"] * 2
        ]
        assert {each.key: each.value for each in proto.metadata_props} == {"a": "1", "b": "2"}

    def test_compares_inputs_itself_when_asked_to(self) -> None:
        plain, encoded = prepare(dense()), prepare(dense())
        add_encoding(encoded.module, 128.0)
        bits = next(samples(16).batches(16)).inputs["x"]
        (expected,) = ReferenceEvaluator(written(plain)).run(None, {"x": bits.astype(np.float32)})
        levels = np.where(bits, 128, 127).astype(np.float32)
        (found,) = ReferenceEvaluator(written(encoded)).run(None, {"x": levels})
        assert (found == expected).all()
