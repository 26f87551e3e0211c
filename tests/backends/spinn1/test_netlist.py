"""Whole netlists: what the tables compute is what the spiking dialect means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.backends.spinn1.machine import Machine, load_machine, machine_text, parse_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.ir.diagnostics import DoesNotFit
from snc.ir.dialects.builtin import ModuleOp
from snc.runtime.interpreter.evaluate import evaluate
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.netlist import Netlist
from snc.runtime.spinn1.reference import run
from snc.runtime.spinn1.routing import follow
from snc.runtime.spinn1.synapses import decode

from .nets import SpikingNet, dense_module, modules

SMALL = load_machine("spinn3")
BOARD = load_machine("spinn5")


def spikes_of(netlist: Netlist, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    netlist.validate()
    result, _ = run(netlist, decode(netlist, follow(netlist)), x)
    assert not result.saturations.any()
    assert np.array_equal(Executor(netlist).run(x).outputs, result.outputs)
    return result.outputs


def expected(module: ModuleOp, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shape = module.main.body.arguments[0].shape
    waves = [evaluate(module, [wave.reshape(shape).astype(np.float32)]) for wave in x]
    return np.array([np.concatenate([each.reshape(-1) for each in wave]) for wave in waves]).astype(np.uint8)


class TestMeaning:
    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(modules(), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32 - 1))
    def test_is_that_of_the_spiking_module(self, module: ModuleOp, tiles: int, samples: int, seed: int) -> None:
        netlist = build_netlist(module, BOARD, tiles=tiles)
        x = np.random.default_rng(seed).integers(0, 2, (samples, netlist.elements), np.uint8)
        assert np.array_equal(spikes_of(netlist, x), expected(module, x))

    def test_holds_for_delays_that_go_around_all_slots(self) -> None:
        net = SpikingNet(4, groups=1, per_core=4)
        first = net.dense(net.x, np.eye(4) * 20, threshold=10)
        near, far = (net.project(each, "one-to-one", 8, (4,)) for each in (first, net.x))
        last = net.population(near, far, threshold=16)
        netlist = build_netlist(net.module(last), SMALL, tiles=1)
        assert netlist.populations["delay_bits"].tolist() == [0, 1, 1]
        x = np.array([[0, 1, 0, 1], [1, 1, 0, 0]], np.uint8)
        assert np.array_equal(spikes_of(netlist, x), x)


class TestTiles:
    def test_fill_the_machine_when_none_are_asked_for(self) -> None:
        netlist = build_netlist(dense_module(20, 5, 5), SMALL)
        assert netlist.tiles == SMALL.application_cores // 3
        netlist.validate()
        follow(netlist)

    @pytest.mark.parametrize(("monitors", "tiles", "chips"), [(False, 190, 46), (True, 189, 48)])
    def test_of_the_slides(self, monitors: bool, tiles: int, chips: int) -> None:
        machine = BOARD.with_monitors(monitors)
        module = dense_module(785, 100, 100, 100)
        netlist = build_netlist(module, machine, tiles=tiles)
        used = netlist.placements[["x", "y"]]
        assert len(netlist.placements) == 4 * tiles and len(np.unique(used)) == chips
        netlist.validate()
        follow(netlist)
        if monitors:
            with pytest.raises(DoesNotFit, match="monitors off"):
                build_netlist(module, machine, tiles=190)


class TestDefects:
    def test_are_walked_around(self) -> None:
        damaged = "dead_chips = [[0, 1], [1, 4]]\n"
        machine = _damaged(damaged, "dead_links = [[0, 0, 1], [1, 1, 4], [2, 2, 0]]\n", "dead_cores = [[0, 0, 5]]\n")
        netlist = build_netlist(dense_module(40, 60, 60, 60, per_core=4), machine, tiles=3)
        netlist.validate()
        follow(netlist)
        used = {(x, y, p) for x, y, p in netlist.placements[["x", "y", "p"]].tolist()}
        assert not {(0, 1), (1, 4)} & {(x, y) for x, y, _ in used} and (0, 0, 5) not in used


def _damaged(*lines: str) -> Machine:
    text = machine_text("spinn5")
    for line in lines:
        key = line.split(" = ")[0]
        text = text.replace(f"{key} = []\n", line)
    return parse_machine(text, "damaged.toml")
