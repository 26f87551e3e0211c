"""The numbers of a compiled network, counted again the slow way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snc.compiler.driver import compile
from snc.compiler.executable import Executable
from snc.compiler.self_test import differing_integers, small_model
from snc.compiler.summary import summary, task_macs, transfer_bytes
from snc.ir.dialects.spinn2_tables import NO_BUFFER, Copy, Kernel


@pytest.fixture(scope="module", params=["baseline", "kelber2020"])
def executable(request: pytest.FixtureRequest) -> Executable:
    return compile(small_model(), mapping=request.param)


@pytest.fixture(scope="module")
def numbers(executable: Executable) -> dict[str, Any]:
    return summary(executable)


class TestSummary:
    def test_macs_and_parameters_are_those_of_the_network(self, numbers: dict[str, Any]) -> None:
        assert numbers["macs"] == 8 * 12 * 12 * 3 * 9 + 288 * 5
        assert numbers["weight_bytes"] == 8 * 3 * 9 + 288 * 5
        assert numbers["parameters"] == numbers["weight_bytes"] + 8
        assert numbers["macs_scheduled"] >= numbers["macs"]

    def test_layers_add_up(self, numbers: dict[str, Any]) -> None:
        for total in ("tasks", "transfers", "bytes_moved", "macs_scheduled"):
            assert sum(layer[total] for layer in numbers["layers"]) == numbers[total]
        assert sum(numbers["layer_kinds"].values()) == len(numbers["layers"])
        assert sum(numbers["bytes_moved_by_route"].values()) == numbers["bytes_moved"]
        assert sum(numbers["bytes_moved_by_phase"].values()) == numbers["bytes_moved"]

    def test_shapes_are_those_of_the_results(self, numbers: dict[str, Any]) -> None:
        shapes = [layer["shape"] for layer in numbers["layers"]]
        whole, pooled, dense = [1, 8, 12, 12], [1, 8, 6, 6], [1, 5]
        fused, apart = [pooled, dense], [whole, whole, pooled, dense, dense]
        assert shapes == (apart if numbers["mapping"] == "baseline" else fused)

    def test_high_water_is_the_end_of_the_highest_buffer(self, executable: Executable, numbers: dict[str, Any]) -> None:
        program = executable.program
        ends: dict[int, int] = {}
        for row in program.buffers:
            if row["memory"] < program.processing_elements:
                end = int(row["address"]) + int(row["bytes"])
                ends[int(row["memory"])] = max(ends.get(int(row["memory"]), 0), end)
        assert numbers["sram_high_water_bytes"] == max(ends.values()) <= numbers["sram_bytes"]
        assert ends[numbers["sram_high_water_element"]] == max(ends.values())

    def test_calibration_source(self, executable: Executable, numbers: dict[str, Any]) -> None:
        assert numbers["calibration"] == "noise"
        samples = {"x": np.ones((2, 3, 12, 12), np.float32)}
        assert summary(compile(small_model(), calibration=samples))["calibration"] == "data"


class TestCounts:
    def test_transfers_row_by_row(self, executable: Executable, numbers: dict[str, Any]) -> None:
        program = executable.program
        routes = dict.fromkeys(numbers["bytes_moved_by_route"], 0)
        sizes = transfer_bytes(program)
        for row, size in zip(program.transfers, sizes, strict=True):
            box = program.boxes[row["box"]]
            extents = [int(box[name]) for name in ("n0", "n1", "n2")[: 3 if box["copy"] == Copy.GATHER else 2]]
            assert size == int(np.prod(extents)) * int(box["bytes"])
            src = None if row["src"] == NO_BUFFER else int(program.buffers["memory"][row["src"]])
            dst = int(program.buffers["memory"][row["dst"]])
            kinds = [
                "fill" if m is None else "dram" if m >= program.processing_elements else "sram" for m in (src, dst)
            ]
            name = "fill" if src is None else "within_sram" if src == dst and kinds[0] == "sram" else "_to_".join(kinds)
            routes[name] += int(size)
        assert routes == numbers["bytes_moved_by_route"]

    def test_tasks_row_by_row(self, executable: Executable) -> None:
        program = executable.program
        for row, macs in zip(program.tasks, task_macs(program), strict=True):
            s = {name: int(program.shapes[name][row["shape"]]) for name in program.shapes.dtype.names or ()}
            taps = s["kernel_h"] * s["kernel_w"]
            expected = {
                Kernel.CONV: s["channels"] * s["height"] * s["width"] * s["channels_in"] * taps,
                Kernel.DEPTHWISE: s["channels"] * s["height"] * s["width"] * taps,
                Kernel.MATMUL: s["height"] * s["channels_in"] * s["width"],
            }
            assert macs == expected.get(Kernel(s["kernel"]), 0)


class TestSelfTest:
    def test_program_and_interpreter_agree(self) -> None:
        assert differing_integers() == 0
