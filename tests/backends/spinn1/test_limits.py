"""What does not fit is refused with the limit, the need and the remedies."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from snc.backends.spinn1.description import Link
from snc.backends.spinn1.machine import LINKS, Machine, load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.ir.diagnostics import Diagnostic, DoesNotFit
from snc.ir.dialects.builtin import ModuleOp

from .nets import SpikingNet, dense_module

BOARD = load_machine("spinn5")


def refusal(module: ModuleOp, machine: Machine = BOARD, tiles: int | None = 1) -> tuple[Diagnostic, ...]:
    with pytest.raises(DoesNotFit) as caught:
        build_netlist(module, machine, tiles=tiles)
    assert all(each.found and each.expected and each.help for each in caught.value.diagnostics)
    return tuple(caught.value.diagnostics)


class TestCore:
    def test_holds_no_more_neurons_than_the_machine_says(self) -> None:
        (problem,) = refusal(dense_module(5, 600, per_core=300))
        assert (problem.code, problem.node, problem.found) == ("SNC0572", "layer1", "300")
        assert problem.help == "--neurons-per-core 256: 3 cores for this layer"

    def test_has_delay_slots_for_few_neurons_only(self) -> None:
        problems = refusal(dense_module(5, 300, 300, per_core=256, groups=40))
        assert [each.code for each in problems] == ["SNC0573"] * 2
        assert problems[1].found == "delays up to 79 steps"
        assert problems[1].expected.startswith("at most 32 steps")
        assert problems[1].help.startswith("--neurons-per-core 64: 5 cores for this layer instead of 2")

    def test_takes_as_many_neurons_as_delays_allow_when_nothing_is_asked(self) -> None:
        netlist = build_netlist(dense_module(5, 300, 300, groups=40), BOARD, tiles=1)
        assert netlist.populations["neurons_per_core"].tolist() == [5, 64, 64]
        assert netlist.populations["delay_bits"].tolist() == [0, 7, 7]

    def test_cannot_wait_for_ever(self) -> None:
        net = SpikingNet(3)
        near = net.dense(net.x, np.eye(3) * 4, threshold=1)
        net.depth[near] = 1 << 14
        (problem,) = refusal(net.module(net.dense(near, np.eye(3) * 4, threshold=1)))
        assert (problem.code, problem.node) == ("SNC0571", f"layer{(1 << 14) + 1}")

    def test_reads_rows_of_limited_length(self) -> None:
        machine = attrs.evolve(BOARD, core=attrs.evolve(BOARD.core, row_words=60))
        (problem,) = refusal(dense_module(5, 200, 200), machine)[:1]
        assert problem.code == "SNC0574" and problem.node == "layer1"
        assert "--neurons-per-core" in problem.help

    def test_has_little_memory(self) -> None:
        machine = attrs.evolve(BOARD, core=attrs.evolve(BOARD.core, dtcm_bytes=10_000))
        problems = refusal(dense_module(5, 200, 200), machine)
        assert [(each.code, each.node) for each in problems] == [("SNC0575", "layer1"), ("SNC0575", "layer2")]

    def test_of_a_source_takes_what_its_memory_holds(self) -> None:
        netlist = build_netlist(dense_module(20_000, 3, density=0.01), BOARD, tiles=1)
        assert netlist.populations["vertices"].tolist() == [3, 1]


class TestMachine:
    def test_has_so_many_cores(self) -> None:
        (problem,) = refusal(dense_module(785, 100, 100, 100), tiles=190)
        assert problem.code == "SNC0577" and problem.found.startswith("190 tiles need 760 cores")
        assert problem.help.startswith("--tiles 189; switch the monitors off in the machine file: 49 cores more")

    def test_too_small_for_one_tile(self) -> None:
        (problem,) = refusal(dense_module(5, 500, per_core=1), load_machine("spinn3"), tiles=None)
        assert problem.found.startswith("1 tile needs 501 cores") and "--tiles" not in problem.help

    def test_has_so_much_memory(self) -> None:
        machine = attrs.evolve(BOARD, sdram=attrs.evolve(BOARD.sdram, chip_bytes=10_000))
        codes = {each.code for each in refusal(dense_module(100, 100), machine)}
        assert codes == {"SNC0576"}

    def test_has_so_many_keys(self) -> None:
        machine = attrs.evolve(load_machine("spinn5-24"), router=attrs.evolve(BOARD.router, colour_bits=7))
        (problem,) = refusal(dense_module(5000, 3, density=0.01), machine, tiles=None)
        assert problem.code == "SNC0579" and problem.help == "--tiles 4096"

    def test_has_so_many_routing_entries(self) -> None:
        machine = attrs.evolve(BOARD, router=attrs.evolve(BOARD.router, application_entries=2))
        problems = refusal(dense_module(20, 60, 60, 60, per_core=5), machine)
        assert {each.code for each in problems} == {"SNC0578"}
        assert all(each.expected == "at most 2" for each in problems)

    def test_must_not_be_cut_in_two(self) -> None:
        x, y = BOARD.chips[1]
        around = [Link(x, y, link) for link in range(len(LINKS))]
        machine = attrs.evolve(BOARD, defects=attrs.evolve(BOARD.defects, dead_links=tuple(around)))
        (problem,) = refusal(dense_module(20, 60, 60, 60, per_core=5), machine)
        assert problem.code == "SNC0580" and problem.message.startswith(f"no packet comes from chip ({x}, {y})")
