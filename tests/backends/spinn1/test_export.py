"""Hand-over: what other tools make of an exported network is what the netlist computes.

SNC_NEST_PYTHON names an interpreter that has NEST and PyNN, where there is one; NEST runs as a process of its own.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from snc.backends.spinn1.export.network import read_back
from snc.backends.spinn1.export.pynn import DATA, SCRIPT, export_pynn
from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.spiking import PopulationOp, due_steps
from snc.runtime.spinn1.reference import run
from snc.runtime.spinn1.routing import follow
from snc.runtime.spinn1.synapses import decode

from .nets import modules
from .shared_nets import NETS, slides

NEST = os.environ.get("SNC_NEST_PYTHON", "")
BOARD = load_machine("spinn5")
SAMPLES = 500


class TestReadBack:
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(modules())
    def test_gives_the_synapses_of_the_module(self, module: ModuleOp) -> None:
        network = read_back(build_netlist(module, BOARD, tiles=1))
        found = np.column_stack([network.target, network.pre, network.post, network.delay])
        signed = np.where(network.receptor, -network.weight, network.weight)
        layers = [op for op in module.main.body.ops if isinstance(op, PopulationOp)]
        rows = []
        for number, op in enumerate(layers, start=1):
            for projection in op.projections:
                synapses = projection.synapses()
                delay = due_steps(op)[synapses.post] - due_steps(projection.source)[synapses.pre]
                target = np.full(len(synapses), number)
                rows.append(np.column_stack([target, synapses.pre, synapses.post, delay, synapses.weight / 32768]))
        expected = np.concatenate(rows)
        for table in (expected, both := np.column_stack([found, signed])):
            table[:] = table[np.lexsort(table.T)]
        assert np.array_equal(expected, both)


class TestPynnFiles:
    def test_are_the_same_every_time(self) -> None:
        netlist = build_netlist(slides(), BOARD, tiles=1)
        assert export_pynn(netlist) == export_pynn(netlist)

    def test_ask_for_the_shifts_of_the_netlist(self) -> None:
        netlist = build_netlist(slides(), BOARD, tiles=1)
        data = np.load(io.BytesIO(export_pynn(netlist)[DATA]), allow_pickle=False)
        # The toolchain's rule: the first power of two above the largest expected sum.
        shift = np.maximum(np.ceil(np.log2(data["largest_sum"])), 0).astype(int)
        wanted = np.stack([netlist.populations["shift_exc"], netlist.populations["shift_inh"]], axis=1)
        assert np.array_equal(shift, wanted)

    def test_hold_a_script_that_compiles(self) -> None:
        compile(export_pynn(build_netlist(slides(), BOARD, tiles=1))[SCRIPT], SCRIPT, "exec")


@pytest.mark.skipif(not NEST, reason="SNC_NEST_PYTHON names no interpreter")
class TestNest:
    @pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
    def test_gives_the_same_spikes(self, net: Callable[[], ModuleOp], tmp_path: Path) -> None:
        netlist = build_netlist(net(), BOARD, tiles=2)
        for name, content in export_pynn(netlist).items():
            (tmp_path / name).write_bytes(content)
        x = np.random.default_rng(1).integers(0, 2, (SAMPLES, netlist.elements), np.uint8)
        np.save(tmp_path / "x.npy", x)
        done = subprocess.run(
            [NEST, SCRIPT, "nest", "--tiles", "2", "--input", "x.npy", "--output", "y.npy"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        result, _ = run(netlist, decode(netlist, follow(netlist)), x)
        assert np.array_equal(np.load(tmp_path / "y.npy"), result.outputs)
        if (read_back(netlist).offset <= 0).all():  # no neuron spikes between samples
            counts = dict.fromkeys(netlist.labels, 0)
            for label, count in re.findall(r"^(.*)/\d+: (\d+) spikes$", done.stdout, re.MULTILINE):
                counts[label] += int(count)
            assert list(counts.values())[1:] == result.spikes.sum(axis=1)[1:].tolist()
