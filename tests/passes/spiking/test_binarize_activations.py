"""binarize-activations: what is a step, in every spelling, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.core import Value
from snc.ir.diagnostics import ModelError
from snc.ir.dialects import default_context, nn
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.quant import BinarizeOp
from snc.ir.dialects.spiking import EncodeOp
from snc.ir.location import Location
from snc.ir.types import F32
from snc.ir.verifier import verify
from snc.passes.base import PassContext
from snc.runtime.interpreter.evaluate import evaluate

from ...strategies import step_modules
from ..nets import Net, only, ops_of
from .networks import assert_same_outputs, binary_inputs, run

few = settings(max_examples=40, deadline=None)
PREPARED = st.sampled_from(("", "fold-constants,", "fold-constants,fold-batch-norm,"))

Spelling = Callable[[Net, Value], Value]


def compare(net: Net, z: Value, predicate: str, c: Any = 0.5) -> Value:
    return net(nn.CompareOp(lhs=z, rhs=net.constant(c), predicate=predicate))


def cast(net: Net, truth: Value) -> Value:
    return net(nn.CastOp(x=truth, to=F32))


def heaviside(net: Net, z: Value, at: float) -> Value:
    shifted = net(nn.SubOp(lhs=z, rhs=net.constant(0.5)))
    below = compare(net, shifted, "lt", 0)
    above = net(nn.SelectOp(condition=below, on_true=net.constant(0), on_false=net.constant(1)))
    tie = compare(net, shifted, "eq", 0)
    return net(nn.SelectOp(condition=tie, on_true=net.constant(at), on_false=above))


def straight_through(net: Net, z: Value) -> Value:
    step = cast(net, compare(net, z, "ge"))
    return net(nn.AddOp(lhs=z, rhs=net(nn.SubOp(lhs=step, rhs=z))))


STEPS: dict[str, tuple[Spelling, tuple[float, float, float]]] = {
    "z >= c": (lambda net, z: cast(net, compare(net, z, "ge")), (0, 1, 1)),
    "z > c": (lambda net, z: cast(net, compare(net, z, "gt")), (0, 0, 1)),
    "c <= z": (
        lambda net, z: cast(net, net(nn.CompareOp(lhs=net.constant(0.5), rhs=z, predicate="le"))),
        (0, 1, 1),
    ),
    "not z < c": (lambda net, z: cast(net, net(nn.NotOp(x=compare(net, z, "lt")))), (0, 1, 1)),
    "z < c": (lambda net, z: cast(net, compare(net, z, "lt")), (1, 0, 0)),
    "where(z >= c, 1, -1)": (
        lambda net, z: net(
            nn.SelectOp(condition=compare(net, z, "ge"), on_true=net.constant(1), on_false=net.constant(-1))
        ),
        (-1, 1, 1),
    ),
    "heaviside(z - c, 1)": (lambda net, z: heaviside(net, z, 1), (0, 1, 1)),
    "heaviside(z - c, 0)": (lambda net, z: heaviside(net, z, 0), (0, 0, 1)),
    "z + (step(z) - z)": (straight_through, (0, 1, 1)),
    "round(clip(z))": (lambda net, z: net(nn.RoundOp(x=net(nn.ClampOp(x=z, low=0.0, high=1.0)))), (0, 0, 1)),
    "relu(sign(z - c) + 1/2)": (
        lambda net, z: net(
            nn.ClampOp(
                x=net(
                    nn.AddOp(lhs=net(nn.SignOp(x=net(nn.SubOp(lhs=z, rhs=net.constant(0.5))))), rhs=net.constant(-1))
                ),
                low=-1.0,
            )
        ),
        (-1, -1, 0),
    ),
}
"""Spellings of a step at 0.5, with its values below, at and above."""


def layer(activation: Spelling) -> ModuleOp:
    """z = x0 + x1 / 2: 0, 0.5, 1 and 1.5 for the four inputs."""
    net = Net((1, 2))
    z = net(nn.MatMulOp(lhs=net.x, rhs=net.constant([[1], [0.5]])))
    return net.module(activation(net, z))


class TestSteps:
    @pytest.mark.parametrize("name", STEPS)
    def test_keeps_the_value_at_the_threshold(self, name: str) -> None:
        spelling, (below, at, above) = STEPS[name]
        module = layer(spelling)
        binary = run(module, "binarize-activations")
        assert ops_of(binary).count("quant.binarize") == 1
        for x, expected in (((0, 0), below), ((0, 1), at), ((1, 0), above), ((1, 1), above)):
            (found,) = evaluate(binary, [np.array([x], np.float32)])
            assert found == evaluate(module, [np.array([x], np.float32)])[0] == expected

    @few
    @given(module=step_modules(), seed=st.integers(0, 99), prepared=PREPARED)
    def test_keeps_the_outputs_of_networks(self, module: ModuleOp, seed: int, prepared: str) -> None:
        binary = run(module, f"{prepared}binarize-activations")
        verify(binary, default_context())
        assert_same_outputs(module, binary, binary_inputs(module, seed))

    def test_a_comparison_of_the_input_is_its_encoder(self) -> None:
        net = Net((1, 4))
        scaled = net(nn.DivOp(lhs=net.x, rhs=net.constant(255)))
        bits = cast(net, compare(net, scaled, "gt", 0.5))
        z = net(nn.MatMulOp(lhs=bits, rhs=net.constant(np.ones((4, 1)))))
        binary = run(net.module(cast(net, compare(net, z, "ge", 2))), "binarize-activations")
        assert only(binary, EncodeOp).threshold == np.nextafter(np.float32(127.5), np.inf, dtype=np.float32)
        grey = np.array([[127.5, 128, 200, 0]], np.float32)
        assert evaluate(binary, [grey])[0] == 1 and evaluate(binary, [grey * 0.6])[0] == 0

    def test_inputs_of_several_bits_weigh_their_bits(self) -> None:
        net = Net((1, 2))
        z = net(nn.MatMulOp(lhs=net.x, rhs=net.constant([[1], [-1]])))
        module = net.module(cast(net, compare(net, z, "ge", 0)))
        binary = run(module, "binarize-activations{input-bits=3}")
        levels = np.arange(8) / 8
        pairs = np.stack(np.meshgrid(levels, levels), axis=-1).reshape(-1, 1, 2).astype(np.float32)
        assert_same_outputs(module, binary, list(pairs))

    def test_maximum_of_binary_maps_is_or(self) -> None:
        net = Net((1, 1, 4, 4))
        binary = run(net.module(net(nn.MaxPool2dOp(x=_spiking_map(net), kernel=(2, 2)))), "binarize-activations")
        assert ops_of(binary).count("nn.max_pool2d") == 1

    def test_pooling_moves_behind_the_step(self) -> None:
        net = Net((1, 1, 4, 4))
        z = net(nn.Conv2dOp(x=net.x, weight=net.constant(np.ones((1, 1, 2, 2)))))
        pooled = net(nn.MaxPool2dOp(x=z, kernel=(2, 2)))
        module = net.module(cast(net, compare(net, pooled, "ge", 2)))
        binary = run(module, "binarize-activations")
        names = ops_of(binary)
        assert names.index("quant.binarize") < names.index("nn.max_pool2d")
        assert_same_outputs(module, binary, binary_inputs(module, 1))

    def test_layer_and_step_are_in_the_location(self) -> None:
        net = Net((1, 2))
        product = nn.MatMulOp(lhs=net.x, rhs=net.constant([[1], [1]]), location=Location(("/fc",)))
        step = nn.CompareOp(lhs=net(product), rhs=net.constant(1), predicate="ge", location=Location(("/step",)))
        binary = run(net.module(cast(net, net(step))), "binarize-activations")
        assert only(binary, BinarizeOp).location == Location(("/fc", "/step"))


def _spiking_map(net: Net) -> Value:
    z = net(nn.Conv2dOp(x=net.x, weight=net.constant(np.ones((1, 1, 1, 1)))))
    return cast(net, compare(net, z, "ge"))


SOFT: dict[str, tuple[Spelling, str]] = {
    "relu": (lambda net, z: net(nn.ClampOp(x=z, low=0.0)), "without an upper bound"),
    "bounded relu": (lambda net, z: net(nn.ClampOp(x=z, low=0.0, high=1.0)), "not sharpened"),
    "sigmoid": (lambda net, z: net(nn.SigmoidOp(x=z)), "sigmoid is soft"),
    "sign": (lambda net, z: net(nn.SignOp(x=z)), "a third value exactly at its threshold"),
    "equal": (lambda net, z: cast(net, compare(net, z, "eq")), "a third value"),
    "threshold": (
        lambda net, z: net(nn.SelectOp(condition=compare(net, z, "le"), on_true=net.constant([[0]]), on_false=z)),
        "nn.select",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("name", SOFT)
    def test_refuses_what_is_no_step_with_a_reason(self, name: str) -> None:
        spelling, reason = SOFT[name]
        with pytest.raises(ModelError, match=reason):
            run(layer(spelling), "binarize-activations")

    def test_names_every_such_node_at_once(self) -> None:
        net = Net((1, 2))
        x = net.x
        for name in ("/relu1", "/relu2", "/relu3"):
            z = net(nn.MatMulOp(lhs=x, rhs=net.constant(np.ones((2, 2)))))
            x = net(nn.ClampOp(x=z, low=0.0, location=Location((name,))))
        with pytest.raises(ModelError) as caught:
            run(net.module(cast(net, compare(net, x, "ge"))), "binarize-activations")
        assert [found.node for found in caught.value.diagnostics] == ["/relu1", "/relu2", "/relu3"]

    def test_refuses_a_last_layer_of_real_weights(self) -> None:
        net = Net((1, 2))
        step = cast(net, compare(net, net(nn.MatMulOp(lhs=net.x, rhs=net.random(2, 3))), "ge"))
        with pytest.raises(ModelError, match="the last layer has weights but no step behind it"):
            run(net.module(net(nn.MatMulOp(lhs=step, rhs=net.random(3, 2)))), "binarize-activations")

    def test_refuses_two_layers_without_a_step_between(self) -> None:
        net = Net((1, 2))
        z = net(nn.MatMulOp(lhs=net(nn.MatMulOp(lhs=net.x, rhs=net.random(2, 3))), rhs=net.random(3, 2)))
        with pytest.raises(ModelError, match="works on a weighted sum"):
            run(net.module(cast(net, compare(net, z, "ge"))), "binarize-activations")

    def test_puts_steps_in_their_place_when_asked_and_says_so(self) -> None:
        context = PassContext()
        module = layer(SOFT["sigmoid"][0])
        binary = run(module, "binarize-activations{soft=threshold level=0.6}", context)
        for x in binary_inputs(module, 2):
            np.testing.assert_array_equal(evaluate(binary, [x])[0], evaluate(module, [x])[0] >= 0.6)
        assert [found.code for found in context.warnings] == ["SNC0463"]
