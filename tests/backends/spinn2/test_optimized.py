"""The mapping `optimized`: splits by teams, chunks of the input, and the fall-back to the mapping kelber2020."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from snc.backends.spinn2.build import build_program
from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.estimate import LayerCost
from snc.backends.spinn2.machine import Machine, load_machine
from snc.backends.spinn2.memory import Storage
from snc.backends.spinn2.optimize import Tactics
from snc.backends.spinn2.order import better_order, dataflow_order
from snc.backends.spinn2.regions import NoRoom, Want, stretch_all, take_homes, take_places, turns_of_loading
from snc.backends.spinn2.schedule import TACTICS, schedule
from snc.backends.spinn2.splits import Ranked, Splits, snake, team_regions, work_bytes
from snc.backends.spinn2.teams import TeamSplit, TeamTable
from snc.compiler.pipelines import Spinn2Options
from snc.ir.diagnostics import DoesNotFit
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.nn import AvgPool2dOp, Conv2dOp, HardSwishOp
from snc.ir.dialects.spinn2_tables import BufferKind, Kernel, Phase
from snc.ir.dialects.tile import BlockOp
from snc.passes.tile.demand import FILTER_GROUP, demand, demands
from snc.passes.tile.geometry import MAC_ROW_BYTES, Plan, align, plan_block
from snc.runtime.spinn2.timer import time_program
from snc.runtime.spinn2.touches import is_kernel

from ...passes.nets import Net
from .compiling import assert_exact, fixed_point, tiled
from .layers import large_layers
from .small_machines import small_machine, small_machines

OPTIMIZED = Spinn2Options(mapping="optimized")


def convolution(data: st.DataObject) -> ModuleOp:
    """A convolution of 4 to 24 input channels, in fixed point."""
    size = (data.draw(st.integers(3, 9)), data.draw(st.integers(3, 9)))
    channels = FILTER_GROUP * data.draw(st.integers(1, 6))
    kernel = data.draw(st.sampled_from((1, 3)))
    net = Net((1, channels, *size))
    weight = net.random(data.draw(st.integers(1, 30)), channels, kernel, kernel)
    return fixed_point(net.module(net(Conv2dOp(x=net.x, weight=weight, pads=(kernel // 2,) * 4))))


def drawn_split(data: st.DataObject, plan: Plan, elements: int) -> TeamSplit:
    """Any way to deal a convolution, the fastest or not."""
    view = plan.view
    channels = min(FILTER_GROUP * data.draw(st.integers(1, 2)), view.channels)
    rows, columns = data.draw(st.integers(2, view.rows)), data.draw(st.integers(2, view.columns))
    chunk = FILTER_GROUP * data.draw(st.integers(1, plan.reduction // FILTER_GROUP))
    members = data.draw(st.integers(1, elements))
    parts = -(-view.channels // channels)
    teams = data.draw(st.integers(1, min(elements // members, parts)))
    sharing = data.draw(st.integers(1, min(members, -(-parts // teams), 4)))
    slots = st.integers(1, 3)
    return TeamSplit((channels, rows, columns, chunk), members, teams, sharing, data.draw(slots), data.draw(slots), 2)


class TestTeams:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_any_split_is_exact_in_any_order(self, data: st.DataObject) -> None:
        fixed = convolution(data)
        machine = small_machine(
            double_blocks=2, qpes=2, pes_per_qpe=4, ports=data.draw(st.integers(1, 3)), data_bytes=1 << 16
        )
        module = tiled(fixed, OPTIMIZED, machine)
        (block,) = (op for op in module.main.body.ops if isinstance(op, BlockOp))
        split = drawn_split(data, plan_block(block), machine.processing_elements)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Splits, "teams", lambda *_, **__: [Ranked(0.0, split)])
            patch.setattr("snc.backends.spinn2.optimize.LONG_LOAD", data.draw(st.sampled_from([0, 10**9])))
            patch.setattr("snc.backends.spinn2.schedule._paper_program", refuse)
            program = schedule(module, machine, "optimized", data.draw(st.integers(0, 1)))
        assert_exact(fixed, program)

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_bytes_of_many_splits_are_those_of_each(self, data: st.DataObject) -> None:
        machine = small_machine(double_blocks=2, pes_per_qpe=4)
        module = tiled(convolution(data), OPTIMIZED, machine)
        (block,) = (op for op in module.main.body.ops if isinstance(op, BlockOp))
        plan = plan_block(block)
        splits = [drawn_split(data, plan, machine.processing_elements) for _ in range(3)]
        tiles = np.array([split.tile for split in splits])
        names = ("members", "teams", "sharing", "tile_slots", "weight_slots", "load_steps")
        columns = [np.array([getattr(split, name) for split in splits]) for name in names]
        table = TeamTable.of(plan, tiles, *columns)
        found = work_bytes(table, demands(plan, tiles), np.arange(len(splits)))
        for number, split in enumerate(splits):
            wants = team_regions(plan, split, demand(plan, split.tile))
            assert found[number] == sum(int(align(want.bytes, MAC_ROW_BYTES)) for want in wants)
            assert table.split(number) == split


def refuse(_module: ModuleOp, _machine: Machine) -> None:
    """Stands for a mapping kelber2020 that does not fit."""
    raise DoesNotFit([])


class TestFallBack:
    @settings(max_examples=25, deadline=None)
    @given(large_layers(), small_machines(least_bytes=4352), st.integers(0, 3))
    def test_it_is_never_slower_than_kelber2020(self, module: ModuleOp, machine: Machine, level: int) -> None:
        """Each with the clocks of its own mapping."""
        fixed = fixed_point(module)
        ours = schedule(tiled(fixed, OPTIMIZED, machine), machine, "optimized", level)
        paper = schedule(tiled(fixed, Spinn2Options(mapping="kelber2020"), machine), machine, "kelber2020")
        own, theirs = (clocks_of(machine, mapping) for mapping in ("optimized", "kelber2020"))
        assert time_program(ours, own).total_clocks <= time_program(paper, theirs).total_clocks

    @settings(max_examples=15, deadline=None)
    @given(large_layers(), small_machines(least_bytes=4352))
    def test_no_level_is_slower_than_the_one_below_it(self, module: ModuleOp, machine: Machine) -> None:
        cut, clocks = tiled(fixed_point(module), OPTIMIZED, machine), clocks_of(machine)
        programs = [schedule(cut, machine, "optimized", level) for level in range(4)]
        times = [time_program(program, clocks).total_clocks for program in programs]
        assert times == sorted(times, reverse=True)


class TestPieces:
    def test_weights_that_fit_in_chunks_only_leave_the_layer_its_teams(self) -> None:
        # A tile takes 10,240 bytes and a part of the weights 4,608; there is room for two parts in chunks only.
        machine = small_machine(double_blocks=2, pes_per_qpe=4, data_bytes=1 << 14)
        net = Net((1, 128, 3, 3))
        fixed = fixed_point(net.module(net(Conv2dOp(x=net.x, weight=net.random(16, 128, 3, 3), pads=(1,) * 4))))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snc.backends.spinn2.schedule._paper_program", refuse)
            program = schedule(tiled(fixed, OPTIMIZED, machine), machine, "optimized", 0)
        assert_exact(fixed, program)

    def test_those_without_teams_keep_to_their_share_of_the_sram(self) -> None:
        machine = small_machine(double_blocks=2, pes_per_qpe=4, data_bytes=1 << 16)
        net = Net((1, 4, 24, 24))
        x = net(Conv2dOp(x=net.x, weight=net.random(64, 4, 1, 1)))
        x = net(Conv2dOp(x=x, weight=net.random(16, 32, 3, 3), pads=(1,) * 4, groups=2))
        module, splits = tiled(fixed_point(net.module(x)), OPTIMIZED, machine), Splits.of(machine, clocks_of(machine))
        taken = []
        for share in (1.0, 0.2):
            tactics = attrs.evolve(TACTICS[0], work_share=share)
            program = build_program(module, machine, "optimized", splits, machine.pe.data_bytes, tactics)
            places = program.buffers[(program.buffers["layer"] == 1) & (program.buffers["memory"] == 0)]
            taken.append(sum(size for _, size in set(places[["address", "bytes"]].tolist())))
        assert taken[1] <= 0.2 * machine.pe.data_bytes < taken[0]

    def test_a_pooling_gives_each_element_a_channel(self) -> None:
        machine = small_machine(double_blocks=2, pes_per_qpe=4, data_bytes=1 << 14)
        net = Net((1, 8, 12, 12))
        x = net(Conv2dOp(x=net.x, weight=net.random(8, 8, 1, 1)))
        fixed = fixed_point(net.module(net(AvgPool2dOp(x=x, kernel=(12, 12), strides=(12, 12)))))
        program = schedule(tiled(fixed, OPTIMIZED, machine), machine, "optimized", 0)
        pooled = program.tasks[is_kernel(program.shapes, Kernel.AVG_POOL)[program.tasks["shape"]]]
        assert len(np.unique(pooled["pe"])) == 8
        assert_exact(fixed, program)


REGIONS = st.lists(st.builds(Want, st.integers(1, 400), st.booleans(), st.booleans()), max_size=6)
ANY_TACTICS = st.builds(
    Tactics,
    work_share=st.sampled_from([0.2, 0.5, 0.75]),
    apart=st.booleans(),
    way=st.sampled_from([3.0, 4.5, 7.0]),
    waves=st.integers(1, 3),
    home=st.booleans(),
    overlap=st.booleans(),
)


class TestConstants:
    @pytest.mark.parametrize("fetched", [0, 1 << 20])
    def test_those_of_blocks_without_teams_come_ahead_of_maps(self, fetched: int) -> None:
        net = Net((1, 8, 12, 12))
        y = net(Conv2dOp(x=net.x, weight=net.random(8, 1, 3, 3), pads=(1, 1, 1, 1), groups=8))
        machine = small_machine(qpes=3, ports=2, data_bytes=1 << 16)
        fixed = fixed_point(net.module(net(HardSwishOp(x=y))))
        module = tiled(fixed, OPTIMIZED, machine)
        splits = Splits.of(machine, clocks_of(machine))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snc.backends.spinn2.emit.FETCHED_BYTES", fetched)
            program = build_program(module, machine, "optimized", splits, machine.pe.data_bytes, TACTICS[0])
        transfers, buffers = program.transfers, program.buffers
        steps = [transfers["step"][transfers["phase"] == phase] for phase in (Phase.WEIGHTS, Phase.INPUTS)]
        assert len(steps[0]) and len(steps[1]) and not set(steps[0]) & set(steps[1])
        shared = transfers[buffers["kind"][transfers["dst"]] == BufferKind.PARAMETERS]
        readers = buffers["memory"][shared["dst"]].tolist()
        outside = buffers["memory"][shared["src"]] >= machine.processing_elements
        assert len(readers) == len(set(readers)) > 4
        # Elements fetch the table each for itself, or hand on what one of them has fetched.
        assert int(outside.sum()) == (len(readers) if fetched else 1)
        assert_exact(fixed, program)


class TestOverlap:
    @settings(max_examples=40, deadline=None)
    @given(large_layers(), small_machines(least_bytes=4352), ANY_TACTICS)
    def test_any_tactics_are_exact_in_any_order(self, module: ModuleOp, machine: Machine, tactics: Tactics) -> None:
        fixed, splits = fixed_point(module), Splits.of(machine, clocks_of(machine))
        try:
            cut = tiled(fixed, OPTIMIZED, machine)
            program = build_program(cut, machine, "optimized", splits, machine.pe.data_bytes, tactics)
        except DoesNotFit:
            reject()
        assert_exact(fixed, dataflow_order(program, splits.clocks))

    def test_layers_behind_busy_cores_have_their_places_meanwhile(self) -> None:
        machine = small_machine(double_blocks=2, pes_per_qpe=4, data_bytes=1 << 16)
        net = Net((1, 4, 16, 16))
        x = net(Conv2dOp(x=net.x, weight=net.random(64, 4, 1, 1)))
        x = net(Conv2dOp(x=x, weight=net.random(8, 64, 3, 3), pads=(1,) * 4))
        module = tiled(fixed_point(net.module(x)), OPTIMIZED, machine)
        clocks = clocks_of(machine)
        bound = [LayerCost(plan_block(op), clocks).arm_bound for op in module.main.body.ops if isinstance(op, BlockOp)]
        assert bound == [True, False]
        tactics = attrs.evolve(TACTICS[0], overlap=True)
        program = build_program(module, machine, "optimized", Splits.of(machine, clocks), 1 << 16, tactics)
        of_first, of_second = (program.buffers[program.buffers["layer"] == layer] for layer in (0, 1))
        in_sram = of_second[of_second["memory"] < machine.processing_elements]
        working = of_first[of_first["kind"] != BufferKind.MAP]
        for each in in_sram:
            beside = working[working["memory"] == each["memory"]]
            ends = each["address"] + each["bytes"], beside["address"] + beside["bytes"]
            assert not ((beside["address"] < ends[0]) & (each["address"] < ends[1])).any()

    def test_what_keeps_the_cores_busy_is_made_in_small_pieces(self) -> None:
        machine = load_machine("spinn2-2020")
        net = Net((1, 3, 112, 112))
        x = net(Conv2dOp(x=net.x, weight=net.random(64, 3, 3, 3), pads=(1,) * 4))
        x = net(Conv2dOp(x=x, weight=net.random(64, 64, 3, 3), pads=(1,) * 4))
        module = tiled(fixed_point(net.module(x)), OPTIMIZED, machine)
        plans = [plan_block(op) for op in module.main.body.ops if isinstance(op, BlockOp)]
        splits = Splits.of(machine, clocks_of(machine))
        waves = [
            [
                next(splits.teams(plan, 4.0, machine.pe.data_bytes, 1, overlap=each)).split.waves(plan)
                for each in (False, True)
            ]
            for plan in plans
        ]
        assert waves[0][1] > 2 * waves[0][0]
        assert waves[1][0] == waves[1][1]


class TestElements:
    @pytest.mark.parametrize("name", ["spinn2-2020", "spinn2-chip"])
    def test_the_last_ones_sit_in_the_middle(self, name: str) -> None:
        machine = load_machine(name)
        order = snake(machine)
        assert sorted(order.tolist()) == list(range(machine.processing_elements))
        away = np.abs(np.array(machine.qpes) - np.mean(machine.qpes, axis=0)).sum(axis=1)
        last = {machine.qpe_of(int(pe)) for pe in order[-machine.mesh.pes_per_qpe :]}
        assert [away[machine.qpes.index(qpe)] for qpe in last] == [away.min()]


class TestPlaces:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(REGIONS, st.booleans()), max_size=5), st.booleans(), st.integers(1, 300), st.integers(0, 5)
    )
    def test_regions_of_one_time_lie_apart(
        self, layers: list[tuple[list[Want], bool]], apart: bool, home: int, early: int
    ) -> None:
        storage = Storage(2048)
        taken = []
        for turn, (wants, beside) in enumerate(layers):
            try:
                places = take_places(storage, wants, turn, apart=apart, beside=beside)
            except NoRoom:
                continue
            take_homes(storage, places, home, 2, early)
            taken += [*places.regions, *places.homes]
            assert all(region.first <= 2 * turn <= region.last for region in (*places.regions, *places.homes))
            assert all(each.end - each.address >= want.bytes for each, want in zip(places.regions, wants, strict=True))
        stretch_all(storage, taken)
        for number, one in enumerate(taken):
            assert 0 <= one.address < one.end <= 2048
            assert not any(other.meets(one.address, one.end, one.first, one.last) for other in taken[:number])

    def test_those_beside_the_layer_before_have_its_time_if_there_is_room(self) -> None:
        storage = Storage(512)
        take_places(storage, [Want(256)], 1)
        wants = [Want(192), Want(192)]
        assert [region.first for region in take_places(storage, wants, 2, beside=True).regions] == [2, 4]


class TestLoading:
    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
    def test_no_layer_waits_and_nothing_starts_too_early(self, layers: list[tuple[int, int]]) -> None:
        clocks, loading = ([float(each[n]) for each in layers] for n in (0, 1))
        starts = np.concatenate([[0.0], np.cumsum(clocks)])
        for number, turn in enumerate(turns_of_loading(clocks, loading)):

            def in_time(first: int, layer: int = number) -> bool:
                done = starts[first] + np.cumsum(loading[layer:])
                return bool((done <= starts[layer : len(layers)]).all())

            assert turn <= number
            assert turn == 0 or in_time(turn)
            assert turn == number or not any(in_time(later) for later in range(turn + 1, number + 1))


class TestBetterOrder:
    @settings(max_examples=20, deadline=None)
    @given(st.data(), st.integers(0, 4))
    def test_is_never_slower_and_computes_the_same(self, data: st.DataObject, rounds: int) -> None:
        machine = data.draw(small_machines(least_bytes=4352))
        fixed = fixed_point(data.draw(large_layers()))
        clocks = clocks_of(machine)
        program = schedule(tiled(fixed, OPTIMIZED, machine), machine, "optimized", 0)
        better = better_order(program, clocks, rounds)
        assert time_program(better, clocks).total_clocks <= time_program(program, clocks).total_clocks
        assert_exact(fixed, better)
