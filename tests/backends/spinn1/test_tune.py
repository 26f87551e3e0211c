"""What is chosen where the user leaves it open."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.activity import measure
from snc.backends.spinn1.costs import timer_costs
from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.backends.spinn1.tune import Fixed, Goal, Tuned, tune
from snc.backends.spinn1.workload import Schedule, Workload
from snc.ir.compare import difference
from snc.ir.diagnostics import DoesNotFit, UsageError
from snc.ir.dialects.builtin import ModuleOp
from snc.passes.base import PassContext
from snc.passes.spiking.schedule_temporal_groups import ScheduleTemporalGroups
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.timer import ENDLESS_US, time_netlist

from .nets import SpikingNet, dense_module

MACHINE = load_machine("spinn5").with_monitors(False)
SMALL = load_machine("spinn3")


def samples(count: int, elements: int, *, share: float = 0.2, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, elements)) < share).astype(np.uint8)


def convolutions() -> ModuleOp:
    rng = np.random.default_rng(4)
    net = SpikingNet(2, 8, 8)
    kernel = rng.integers(-9, 12, (6, 2, 3, 3)) << 11
    first = net.population(net.project(net.x, "conv2d", kernel, (6, 8, 8), pads=(1, 1, 1, 1)), threshold=1 << 14)
    pooled = net.population(
        net.project(first, "pool", 1 << 15, (6, 4, 4), kernel=(2, 2), strides=(2, 2)), threshold=1 << 14
    )
    weight = rng.integers(-9, 12, (96, 10)) << 11
    current = net.project(pooled, "all-to-all", weight, (10,), input_shape=(1, 96))
    return net.module(net.population(current, threshold=1 << 14))


@cache
def tuned(goal: Goal) -> Tuned:
    return tune(dense_module(60, 40, 30, 10), SMALL, samples(40, 60), goal=goal)


class TestEstimate:
    @pytest.mark.parametrize("build", [lambda: dense_module(60, 40, 30, 10), convolutions], ids=["dense", "conv"])
    @settings(max_examples=12, deadline=None)
    @given(data=st.data())
    def test_agrees_with_the_timer(self, build: object, data: st.DataObject) -> None:
        """The estimate adds the fullest samples of a step's sources, and counts no hops: a few percent; and not how
        many of a step's packets come last together: a few of them, of some 5 us each."""
        module = build()  # type: ignore[operator]
        groups = data.draw(st.sampled_from((1, 2, 3, 5)))
        interval = groups + data.draw(st.integers(0, 2))
        activity = measure(module.main, None, seed=1)
        workload = Workload.of(module.main, activity, timer_costs(MACHINE).core)
        sizes = tuple(
            data.draw(st.sampled_from(workload.sizes(layer, MACHINE, groups)[:6])) for layer in workload.layers
        )
        # The labels of the layers are those by which the pass is told their sizes.
        layers = "; ".join(f"{layer.label}={size}" for layer, size in zip(workload.layers, sizes, strict=True))
        ScheduleTemporalGroups(groups=groups, interval=interval, layers=layers).run(module, PassContext())
        netlist = build_netlist(module, MACHINE, tiles=1)
        timing = time_netlist(Executor(netlist, threads=1), timer_costs(MACHINE), activity.stimuli, tick_us=ENDLESS_US)
        assert workload.cores(sizes) == len(netlist.vertices)
        for number, row in enumerate(timing.rows):
            estimate = workload.load(number, sizes, Schedule(groups, interval)).clocks / MACHINE.core.clock_hz * 1e6
            assert estimate == pytest.approx(row.step_us, rel=0.1, abs=20)

    def test_no_queue_overflows_that_the_timer_sees_overflow(self) -> None:
        """800 sources on one core send more at once than 256 packets: one group is no candidate."""
        module = dense_module(800, 40, 10)
        found = tune(module, SMALL, samples(30, 800, share=0.5), goal=Goal.CORES)
        assert found.schedule.groups > 1 and found.timing.lost_at_any_tick == 0


class TestTune:
    @pytest.mark.parametrize("goal", Goal)
    def test_no_spike_is_late_or_lost(self, goal: Goal) -> None:
        timing = tuned(goal).timing
        assert timing.in_time and (timing.late, timing.lost) == (0, 0)
        assert timing.tick_us >= timing.smallest_tick_us

    def test_each_goal_wins_its_own_race(self) -> None:
        rate = {goal: tuned(goal).timing.throughput_per_s for goal in Goal}
        latency = {goal: tuned(goal).timing.latency_s for goal in Goal}
        cores = {goal: tuned(goal).timing.cores for goal in Goal}
        assert max(rate, key=lambda goal: rate[goal]) == Goal.THROUGHPUT
        assert min(latency, key=lambda goal: latency[goal]) == Goal.LATENCY
        assert min(cores, key=lambda goal: cores[goal]) == Goal.CORES

    def test_same_samples_give_the_same_choice(self) -> None:
        again = tune(dense_module(60, 40, 30, 10), SMALL, samples(40, 60), goal=Goal.THROUGHPUT)
        first = tuned(Goal.THROUGHPUT)
        assert again.reasons == first.reasons and again.schedule == first.schedule
        assert difference(again.module, first.module) is None

    def test_the_pass_gives_the_module_and_the_given_one_stays(self) -> None:
        module, before = dense_module(60, 40, 30, 10), dense_module(60, 40, 30, 10)
        found = tune(module, SMALL, samples(40, 60))
        assert difference(module, before) is None
        found.schedule.run(module, PassContext())
        assert difference(module, found.module) is None

    def test_what_is_fixed_stays(self) -> None:
        fixed = Fixed(groups=3, interval=7, neurons_per_core=20, layers={"layer2": 6}, tiles=2, time_scale_factor=9.5)
        found = tune(dense_module(60, 40, 30, 10), SMALL, samples(20, 60), fixed=fixed)
        netlist = found.netlist
        assert (found.schedule.groups, netlist.interval, netlist.tiles, netlist.tick_us) == (3, 7, 2, 9500)
        assert list(netlist.populations["neurons_per_core"][1:]) == [20, 6, 10]
        assert sum("as asked" in reason for reason in found.reasons) == 5

    @pytest.mark.parametrize("factor", [0.02, 50.0])
    def test_a_step_that_is_too_short_is_told(self, factor: float) -> None:
        fixed = Fixed(groups=1, time_scale_factor=factor)
        found = tune(dense_module(60, 40, 30, 10), SMALL, samples(20, 60), fixed=fixed)
        assert found.timing.in_time == (factor == 50.0)

    def test_says_when_there_were_no_samples(self) -> None:
        found = tune(dense_module(20, 10, 5), SMALL)
        assert "random inputs of which 20% spike, because no samples were given" in found.reasons[-1]
        assert "40 samples" in tuned(Goal.CORES).reasons[-1]

    def test_the_slides_tiles_and_factor_are_accepted(self) -> None:
        rng = np.random.default_rng(0)
        pixels = np.clip(rng.normal(105, 45, 200).astype(int), 20, 250)
        x = (rng.random((200, 785)).argsort(axis=1) < pixels[:, None]).astype(np.uint8)
        fixed = Fixed(groups=1, interval=2, tiles=190, time_scale_factor=5)
        found = tune(dense_module(785, 100, 100, 100), MACHINE, x, fixed=fixed)
        assert found.timing.in_time and found.timing.cores == 760
        assert found.timing.throughput_per_s == pytest.approx(190 / 0.010)
        free = tune(dense_module(785, 100, 100, 100), MACHINE, x)
        assert free.timing.in_time and free.timing.throughput_per_s > 30_000

    def test_refuses_what_no_machine_holds(self) -> None:
        with pytest.raises(DoesNotFit):
            tune(dense_module(60, 40, 10), SMALL, fixed=Fixed(tiles=1000))
        with pytest.raises(DoesNotFit, match="a delay of"):
            tune(dense_module(60, 400, 300, 10), SMALL, fixed=Fixed(groups=40, neurons_per_core=256))

    def test_refuses_layers_that_do_not_exist(self) -> None:
        with pytest.raises(UsageError, match="nobody"):
            tune(dense_module(60, 40, 10), SMALL, fixed=Fixed(layers={"nobody": 3}))


class TestMeasure:
    def test_takes_the_fullest_samples_and_others(self) -> None:
        main = dense_module(50, 10, 5).main
        x = samples(2000, 50)
        found = measure(main, x, seed=0)
        ones = np.sort(x.sum(axis=1))
        assert found.about == f"{len(found.stimuli)} of the 2000 samples"
        assert np.isin(ones[-50:], found.stimuli.sum(axis=1)).all()
        assert found.stimuli.sum(axis=1).min() < np.median(ones)

    def test_refuses_samples_of_another_shape(self) -> None:
        with pytest.raises(ValueError, match="do not fit 50 sources"):
            measure(dense_module(50, 10, 5).main, samples(3, 49), seed=0)
