"""ZigZag, an independent estimator of accelerators, on our description of the same machine: a bound for convolutions.

SNC_ZIGZAG_PYTHON names an interpreter that has ZigZag (package zigzag-dse), where there is one; it runs as a process of
its own and takes about two minutes.

ZigZag's machine is better than ours in what it does not know: all processing elements share one unbounded network with
free multicast, the four DRAM ports are one, loads overlap with sums, the MAC array never stalls. So it is a lower bound
of each layer. What is left of a layer without the phases that ZigZag overlaps exceeds the bound by known factors only.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import Machine, load_machine
from snc.compiler.pipelines import Spinn2Options
from snc.ir.dialects.nn import ClampOp, Conv2dOp
from snc.ir.dialects.spinn2_tables import Phase
from snc.runtime.spinn2.timer import time_program

from ...passes.nets import Net
from .compiling import compile_module

ZIGZAG = os.environ.get("SNC_ZIGZAG_PYTHON", "")
SCRIPT = Path(__file__).with_name("zigzag_layers.py")
SECONDS = 1200

STALLS = 1.18
"""Clocks of the MAC array for one ideal clock, which ZigZag does not charge."""
IDLE_ELEMENTS = 144 / 128
"""ZigZag computes with the storage QPEs, too."""
ROUNDS = 16 / 14
"""Pieces are computed in powers of two of rounds; the worst layers need 14."""
BELOW = 0.9
"""ZigZag fills 9 rows of the map at a time, of maps that have 14 or 28: it may be that much slower in sums alone."""


@frozen
class Layer:
    """A convolution of 3 x 3 at stride 1 on a square map."""

    name: str
    taken: int
    made: int
    size: int


LAYERS = (
    Layer("CONV_1", 3, 64, 224),
    Layer("CONV_2", 64, 64, 224),
    Layer("CONV_4", 64, 128, 112),
    Layer("CONV_5", 128, 128, 112),
    Layer("CONV_7", 128, 256, 56),
    Layer("CONV_8", 256, 256, 56),
    Layer("CONV_11", 256, 512, 28),
    Layer("CONV_12", 512, 512, 28),
    Layer("CONV_15", 512, 512, 14),
)
"""Those of VGG-16 that differ."""


DRAM_MOVES = [(operand, way) for operand in ("I1", "I2") for way in ("fh", "tl")]
DRAM_MOVES += [("O", way) for way in ("fh", "tl", "fl", "th")]


def hardware(machine: Machine) -> dict[str, Any]:
    """The machine as one core of four dimensions: MAC columns, MAC rows, and the PEs as 16 x the rest."""
    array, bits = machine.mac_array, 8
    dram = machine.dram.bytes_per_second * len(machine.dram.ports) * bits // machine.pe.clock_hz
    port_bits, sums = machine.pe.sram_port_bytes_per_clock * bits, 32
    weights = array.weight_request_bytes * bits // array.weight_request_clocks

    def memory(size: int, operands: list[str], served: int, *ports: tuple[str, int, str, list[str]]) -> dict[str, Any]:
        return {
            "size": size,
            "r_cost": 1.0,
            "w_cost": 1.0,
            "area": 0,
            "latency": 1,
            "operands": operands,
            "ports": [
                {"name": name, "type": kind, "bandwidth_min": rate, "bandwidth_max": rate, "allocation": moves}
                for name, rate, kind, moves in ports
            ],
            "served_dimensions": [f"D{number}" for number in range(1, served + 1)],
        }

    return {
        "name": machine.name.replace("-", "_"),
        "memories": {
            "sums": memory(
                sums,
                ["O"],
                0,
                ("r_port_1", sums, "read", ["O, tl"]),
                ("r_port_2", sums, "read", ["O, th"]),
                ("w_port_1", sums, "write", ["O, fh"]),
                ("w_port_2", sums, "write", ["O, fl"]),
            ),
            # The array shifts its inputs along and gets its weights over the NoC: neither waits for the other.
            "sram": memory(
                machine.pe.data_bytes * bits,
                ["I1", "I2", "O"],
                2,
                ("r_port_1", array.columns * bits, "read", ["I1, tl"]),
                ("r_port_2", weights, "read", ["I2, tl"]),
                ("r_port_3", port_bits, "read", ["O, tl", "O, th"]),
                ("w_port_1", port_bits, "write", ["I1, fh", "I2, fh"]),
                ("w_port_2", port_bits, "write", ["O, fh", "O, fl"]),
            ),
            "dram": memory(
                machine.dram.capacity_bytes * len(machine.dram.ports) * bits,
                ["I1", "I2", "O"],
                4,
                ("rw_port_1", dram, "read_write", [f"{operand}, {way}" for operand, way in DRAM_MOVES]),
            ),
        },
        "operational_array": {
            "unit_energy": 1.0,
            "unit_area": 1,
            "dimensions": ["D1", "D2", "D3", "D4"],
            "sizes": [array.columns, array.rows, 16, machine.processing_elements // 16],
        },
    }


def mapping(machine: Machine) -> list[dict[str, Any]]:
    """Columns and rows of the map over the array's columns and a share of the PEs, filters over the rest."""
    array = machine.mac_array
    return [
        {
            "name": "default",
            "spatial_mapping": {
                "D1": [f"OX, {array.columns}"],
                "D2": [f"K, {array.rows}"],
                "D3": ["K, 16"],
                "D4": [f"OY, {machine.processing_elements // 16}"],
            },
            "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
        }
    ]


def described(layer: Layer) -> dict[str, Any]:
    """A layer in ZigZag's words."""
    return {
        "id": 0,
        "name": layer.name,
        "operator_type": "Conv",
        "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
        "dimension_relations": ["ix=1*ox+1*fx", "iy=1*oy+1*fy"],
        "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
        "loop_sizes": [1, layer.made, layer.taken, layer.size, layer.size, 3, 3],
        "operand_precision": {"O": 32, "O_final": 8, "W": 8, "I": 8},
        "operand_source": {"I": 0, "W": 0},
        "padding": [[1, 1], [1, 1]],
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [layer.size, layer.size],
    }


@frozen
class Ours:
    """Clocks of a layer alone, by the paper's rules: all but ARM work, the busiest MAC array, all DRAM ports."""

    without_arm: int
    sums: int
    dram: int


def ours(layer: Layer) -> Ours:
    """A layer as a network of its own; its maps lie in DRAM."""
    machine = load_machine("spinn2-2020")
    net = Net((1, layer.taken, layer.size, layer.size))
    sums = net(Conv2dOp(x=net.x, weight=net.random(layer.made, layer.taken, 3, 3), pads=(1, 1, 1, 1)))
    module = net.module(net(ClampOp(x=sums, low=0.0, high=math.inf)))
    _, program = compile_module(module, Spinn2Options(mapping="kelber2020"), machine)
    clocks = clocks_of(machine, "kelber2020")
    times = time_program(program, clocks)
    phases = times.phase_clocks.sum(axis=0)
    on_mac = program.tasks["phase"] == Phase.COMPUTE
    busy = np.bincount(program.tasks["pe"][on_mac], (times.task_end - times.task_start)[on_mac])
    rate = clocks.dram.ports * clocks.dram.bytes / clocks.dram.clocks
    return Ours(int(phases.sum() - phases[Phase.POST]), int(busy.max()), int(times.dram_bytes.sum() / rate))


@pytest.fixture(scope="module")
def known() -> dict[str, Ours]:
    """Our clocks of all layers."""
    return {layer.name: ours(layer) for layer in LAYERS}


@pytest.fixture(scope="module")
def bounds() -> dict[str, float]:
    """Clocks of each layer by ZigZag."""
    machine = load_machine("spinn2-2020")
    asked = {"hardware": hardware(machine), "mapping": mapping(machine), "layers": [described(each) for each in LAYERS]}
    done = subprocess.run(
        [ZIGZAG, str(SCRIPT)], input=json.dumps(asked), capture_output=True, text=True, timeout=SECONDS, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not ZIGZAG, reason="SNC_ZIGZAG_PYTHON names no interpreter")
class TestZigZag:
    def test_no_convolution_of_vgg16_is_faster_than_the_bound(
        self, known: dict[str, Ours], bounds: dict[str, float]
    ) -> None:
        assert [name for name, bound in bounds.items() if known[name].without_arm < bound] == []

    def test_sums_exceed_the_bound_by_known_factors_only(
        self, known: dict[str, Ours], bounds: dict[str, float]
    ) -> None:
        ratios = {name: max(known[name].sums, known[name].dram) / bound for name, bound in bounds.items()}
        most = STALLS * IDLE_ELEMENTS * ROUNDS
        assert {name: ratio for name, ratio in ratios.items() if not BELOW <= ratio <= most} == {}
