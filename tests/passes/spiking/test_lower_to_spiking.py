"""lower-to-spiking: populations that do what the integers did, whatever carries the biases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.compare import difference
from snc.ir.dialects import default_context
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import AddOp, CastOp, CompareOp, Conv2dOp, MatMulOp, MaxPool2dOp
from snc.ir.dialects.spiking import EncodeOp, PopulationOp, ProjectOp, receptor_sums
from snc.ir.dialects.spiking.ops import RAW_MAX
from snc.ir.parser import parse_module
from snc.ir.printer import print_module, resources
from snc.ir.types import F32
from snc.ir.verifier import verify
from snc.passes.base import PassContext

from ...strategies import step_modules
from ..nets import Net, only
from .networks import assert_same_outputs, binary_inputs, run

few = settings(max_examples=30, deadline=None)
BIASES = ("chain", "offset", "threshold")
FIXED = "binarize-activations,quantize-weights{weights=q8.12}"


def layers(*biases: float) -> ModuleOp:
    """Dense layers of three neurons with these biases."""
    net = Net((1, 3))
    x = net.x
    for bias in biases:
        z = net(MatMulOp(lhs=x, rhs=net.random(3, 3)))
        z = net(AddOp(lhs=z, rhs=net.constant(np.full(3, bias)))) if bias else z
        x = net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32))
    return net.module(x)


def bias_neurons(module: ModuleOp) -> list[int]:
    return [op.bias_neurons for op in module.main.body.ops if isinstance(op, EncodeOp | PopulationOp)]


class TestLaws:
    @few
    @given(module=step_modules(), seed=st.integers(0, 99), weights=st.sampled_from(("q8.12", "q4.3", "code16")))
    def test_gives_the_outputs_of_the_integers_for_every_way_of_biases(
        self, module: ModuleOp, seed: int, weights: str
    ) -> None:
        fixed = run(module, f"binarize-activations,quantize-weights{{weights={weights}}}")
        inputs = binary_inputs(module, seed)
        for bias in BIASES:
            context = PassContext()
            lowered = run(fixed, f"lower-to-spiking{{bias={bias}}}", context)
            verify(lowered, default_context())
            assert context.warnings == []
            assert_same_outputs(fixed, lowered, inputs)

    @few
    @given(module=step_modules())
    def test_no_volley_exceeds_a_receptor(self, module: ModuleOp) -> None:
        lowered = run(module, f"{FIXED},lower-to-spiking")
        for op in lowered.main.body.ops:
            if isinstance(op, PopulationOp):
                sums = [receptor_sums(projection.synapses(), op.neurons) for projection in op.projections]
                exc, inh = np.sum(sums, axis=0)
                assert exc.max() >> op.shift_exc <= RAW_MAX and inh.max() >> op.shift_inh <= RAW_MAX

    @few
    @given(module=step_modules())
    def test_text_reads_back(self, module: ModuleOp) -> None:
        lowered = run(module, f"{FIXED},lower-to-spiking,schedule-temporal-groups{{groups=3}}")
        again = parse_module(print_module(lowered), resources(lowered))
        assert difference(lowered, again, locations=True) is None


class TestBiases:
    def test_bias_neurons_stand_only_where_they_are_listened_to(self) -> None:
        assert bias_neurons(run(layers(1, 1, 1), f"{FIXED},lower-to-spiking")) == [1, 1, 1, 0]
        assert bias_neurons(run(layers(1, 0, 0), f"{FIXED},lower-to-spiking")) == [1, 0, 0, 0]
        assert bias_neurons(run(layers(0, 0, 1), f"{FIXED},lower-to-spiking")) == [1, 1, 1, 0]
        assert bias_neurons(run(layers(0, 0, 0), f"{FIXED},lower-to-spiking")) == [0, 0, 0, 0]

    @pytest.mark.parametrize("bias", ["offset", "threshold"])
    def test_other_ways_need_no_bias_neuron(self, bias: str) -> None:
        assert bias_neurons(run(layers(1, 1), f"{FIXED},lower-to-spiking{{bias={bias}}}")) == [0, 0, 0]


class TestConnectors:
    def test_each_layer_has_its_own(self) -> None:
        net = Net((1, 2, 4, 4))
        z = net(Conv2dOp(x=net.x, weight=net.random(2, 2, 3, 3), pads=(1, 1, 1, 1)))
        z = net(AddOp(lhs=z, rhs=net.x))
        step = net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32))
        pooled = net(MaxPool2dOp(x=step, kernel=(2, 2), strides=(2, 2)))
        lowered = run(net.module(pooled), f"{FIXED},lower-to-spiking")
        found = [op.connector for op in lowered.main.body.ops if isinstance(op, ProjectOp)]
        assert found == ["conv2d", "one-to-one", "pool"]

    def test_zero_weights_make_no_synapse(self) -> None:
        net = Net((1, 3))
        z = net(MatMulOp(lhs=net.x, rhs=net.constant([[1, 0], [0, 0.001], [0, 1]])))
        module = net.module(net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32)))
        lowered = run(module, "binarize-activations,quantize-weights{weights=q4.8},lower-to-spiking")
        assert len(only(lowered, ProjectOp).synapses()) == 2


class TestCode:
    def test_says_what_was_rounded_where_the_code_cannot_hold_a_format(self) -> None:
        net = Net((1, 40))
        z = net(MatMulOp(lhs=net.x, rhs=net.constant(net.rng.uniform(1, 2, (40, 2)))))
        module = net.module(net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32)))
        fixed = run(module, "binarize-activations,quantize-weights{weights=q4.16}")
        for excess, word in (("round", "rounded once more"), ("saturate", "rounded once more")):
            context = PassContext()
            run(fixed, f"lower-to-spiking{{excess={excess}}}", context)
            assert [found.code for found in context.warnings] == ["SNC0468"]
            assert word in context.warnings[0].found

    def test_keeps_weights_and_lets_receptors_saturate_when_asked(self) -> None:
        net = Net((1, 40))
        z = net(MatMulOp(lhs=net.x, rhs=net.constant(net.rng.integers(1, 1 << 15, (40, 2)) / 2**12)))
        module = net.module(net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32)))
        context = PassContext()
        lowered = run(
            module, "binarize-activations,quantize-weights{weights=q4.12},lower-to-spiking{excess=saturate}", context
        )
        assert only(lowered, PopulationOp).saturates
        assert "overflows a receptor" in context.warnings[0].found
