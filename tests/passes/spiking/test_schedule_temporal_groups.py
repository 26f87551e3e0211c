"""schedule-temporal-groups: when neurons fire, and that nothing but time changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.compare import difference
from snc.ir.diagnostics import DoesNotFit, UsageError
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import CastOp, CompareOp, MatMulOp
from snc.ir.dialects.spiking import EncodeOp, PopulationOp, delays, due_steps, interval_of, latency_of
from snc.ir.types import F32

from ...strategies import step_modules
from ..nets import Net
from .networks import LOWERED, binary_inputs, run, run_waves, spikes_of

few = settings(max_examples=25, deadline=None)


def chain(*sizes: int) -> ModuleOp:
    """Dense layers of steps."""
    net = Net((1, sizes[0]))
    x = net.x
    for size in sizes[1:]:
        z = net(MatMulOp(lhs=x, rhs=net.constant(np.ones((x.shape[1], size)))))
        x = net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32))
    return net.module(x)


def populations(module: ModuleOp) -> list[PopulationOp]:
    return [op for op in module.main.body.ops if isinstance(op, PopulationOp)]


class TestSchedule:
    @pytest.mark.parametrize("groups", [1, 3, 20])
    def test_delays_run_from_one_to_twice_the_groups_less_one(self, groups: int) -> None:
        scheduled = run(chain(40, 40, 40, 40), f"{LOWERED},schedule-temporal-groups{{groups={groups}}}")
        hidden = populations(scheduled)[:-1]
        for op in hidden:
            (projection,) = op.projections
            found = delays(projection.source, op, projection.synapses())
            assert (found.min(), found.max()) == (1, 2 * groups - 1)

    def test_latency_and_interval_are_those_of_the_slides(self) -> None:
        scheduled = run(chain(40, 40, 40, 40, 40, 40, 40), f"{LOWERED},schedule-temporal-groups{{groups=20}}")
        assert (latency_of(scheduled.main), interval_of(scheduled.main)) == (121, 22)
        plain = run(chain(40, 40, 40, 40), f"{LOWERED},schedule-temporal-groups")
        assert (latency_of(plain.main), interval_of(plain.main)) == (4, 2)

    def test_neurons_take_turns(self) -> None:
        first = populations(run(chain(5, 10, 2), f"{LOWERED},schedule-temporal-groups{{groups=4}}"))[0]
        assert list(due_steps(first) - 4) == [i % 4 for i in range(first.neurons)]

    @pytest.mark.parametrize("groups", [2, 7, 20])
    def test_each_core_sends_in_all_steps_alike(self, groups: int) -> None:
        hidden = populations(run(chain(5, 300, 2), f"{LOWERED},schedule-temporal-groups{{groups={groups}}}"))[0]
        assert hidden.neurons_per_core
        for low in range(0, hidden.neurons, hidden.neurons_per_core):
            sends = np.bincount(due_steps(hidden)[low : low + hidden.neurons_per_core] - groups, minlength=groups)
            assert sends.max() - sends.min() <= 1

    def test_takes_fewer_neurons_on_a_core_for_long_delays(self) -> None:
        hidden, last = populations(run(chain(40, 40, 2), f"{LOWERED},schedule-temporal-groups{{groups=20}}"))
        assert (hidden.neurons_per_core, last.neurons_per_core) == (128, 256)

    def test_refuses_neurons_whose_delays_find_no_slot(self) -> None:
        with pytest.raises(DoesNotFit, match="a delay of 39 steps") as caught:
            run(chain(40, 300, 2), f"{LOWERED},schedule-temporal-groups{{groups=20 neurons-per-core=255}}")
        (found,) = caught.value.diagnostics
        assert found.expected == "at most 32 steps for 255 neurons on a core"
        assert "--neurons-per-core 128; 1 cores more" in found.help and "--groups 16" in found.help

    def test_leaves_sources_to_the_machine_unless_asked(self) -> None:
        module = run(chain(785, 10, 2), f"{LOWERED},schedule-temporal-groups{{neurons-per-core=5}}")
        (source,) = (op for op in module.main.body.ops if isinstance(op, EncodeOp))
        assert source.neurons_per_core is None
        again = run(module, f'schedule-temporal-groups{{layers="{source.label}=200"}}')
        (source,) = (op for op in again.main.body.ops if isinstance(op, EncodeOp))
        assert source.neurons_per_core == 200

    def test_takes_a_number_for_one_layer(self) -> None:
        hidden, last = populations(run(chain(5, 10, 2), f"{LOWERED},schedule-temporal-groups{{neurons-per-core=7}}"))
        assert (hidden.neurons_per_core, last.neurons_per_core) == (7, 7)
        options = f'neurons-per-core=7 layers="{hidden.label} = 3;"'
        hidden, last = populations(run(chain(5, 10, 2), f"{LOWERED},schedule-temporal-groups{{{options}}}"))
        assert (hidden.neurons_per_core, last.neurons_per_core) == (3, 7)

    @pytest.mark.parametrize("entry", ["nobody=3", "3", "=3", "{label}=", "{label}=0", "{label}=x", "{label}=99999999"])
    def test_refuses_numbers_for_layers_that_are_none(self, entry: str) -> None:
        module = run(chain(5, 10, 2), LOWERED)
        label = populations(module)[0].label
        with pytest.raises(UsageError, match="label=neurons"):
            run(module, f'schedule-temporal-groups{{layers="{entry.format(label=label)}"}}')

    def test_second_run_changes_nothing(self) -> None:
        once = run(chain(5, 10, 2), f"{LOWERED},schedule-temporal-groups{{groups=3}}")
        assert difference(once, run(once, "schedule-temporal-groups{groups=3}"), locations=True) is None


class TestWaves:
    @few
    @given(
        module=step_modules(max_layers=2),
        seed=st.integers(0, 99),
        groups=st.integers(1, 5),
        interval=st.integers(1, 4),
        bias=st.sampled_from(("chain", "offset", "threshold")),
    )
    def test_every_wave_gives_the_static_spikes_whatever_the_interval(
        self, module: ModuleOp, seed: int, groups: int, interval: int, bias: str
    ) -> None:
        schedule = f"schedule-temporal-groups{{groups={groups} interval={interval}}}"
        scheduled = run(module, f"{LOWERED}{{bias={bias}}},{schedule}")
        inputs = binary_inputs(module, seed)
        fired = run_waves(scheduled, inputs)
        for wave, x in enumerate(inputs):
            spikes = spikes_of(scheduled, x)
            for op in scheduled.main.body.ops:
                if isinstance(op, PopulationOp):
                    due = wave * interval + due_steps(op)[: op.size]
                    seen = due < len(fired[op.out])
                    found = fired[op.out][due[seen], np.arange(op.size)[seen]]
                    np.testing.assert_array_equal(found, spikes[op.out][seen])

    def test_neurons_that_fire_without_input_disturb_no_wave(self) -> None:
        net = Net((1, 3))
        z = net(MatMulOp(lhs=net.x, rhs=net.constant([[-1, 1], [1, -1], [1, 1]])))
        hidden = net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant([0, 1]), predicate="ge")), to=F32))
        z = net(MatMulOp(lhs=hidden, rhs=net.constant([[1], [-1]])))
        module = net.module(net(CastOp(x=net(CompareOp(lhs=z, rhs=net.constant(0.5), predicate="ge")), to=F32)))
        scheduled = run(module, f"{LOWERED},schedule-temporal-groups{{groups=2 interval=5}}")
        inputs = binary_inputs(module, 3, count=4)
        fired = run_waves(scheduled, inputs)
        first, last = populations(scheduled)
        # Neuron 0 of the first layer fires without input, in every step from the first to the last.
        assert fired[first.out][:, 0].sum() > len(inputs)
        for wave, x in enumerate(inputs):
            found = fired[last.out][wave * 5 + due_steps(last)[0], 0]
            assert found == spikes_of(scheduled, x)[last.out][0]
