"""Profiles and traces of compiled networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from snc.compiler.cli.profile import profile as profile_verb
from snc.compiler.driver import compile
from snc.compiler.executable import Executable
from snc.compiler.profile import profile, profile_schema, timeline
from snc.compiler.self_test import small_model
from snc.compiler.trace import write_trace
from snc.ir.diagnostics import UsageError
from snc.runtime.spinn2.timer import Timeline


@pytest.fixture(scope="module", params=["spinn2-2020", "spinn2-chip"])
def executable(request: pytest.FixtureRequest) -> Executable:
    return compile(small_model(), machine=request.param)


@pytest.fixture(scope="module")
def times(executable: Executable) -> Timeline:
    return timeline(executable)


@pytest.fixture(scope="module")
def found(executable: Executable) -> dict[str, Any]:
    return profile(executable)


class TestProfile:
    def test_keeps_its_schema(self, found: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator.check_schema(profile_schema())
        jsonschema.validate(json.loads(json.dumps(found)), profile_schema())

    def test_the_schema_asks_for_every_key(self, found: dict[str, Any]) -> None:
        schema = profile_schema()
        assert set(schema["required"]) == set(schema["properties"]) == set(found)
        for name in list(found):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({key: value for key, value in found.items() if key != name}, schema)

    def test_parts_add_up(self, found: dict[str, Any]) -> None:
        layers = found["layers"]
        around = found["phases"]["setup"] + found["phases"]["cleanup"]
        assert sum(layer["clocks"] for layer in layers) + around == found["total_clocks"]
        assert all(sum(layer["phases"].values()) == layer["clocks"] for layer in layers)
        for phase in layers[0]["phases"]:
            assert sum(layer["phases"][phase] for layer in layers) == found["phases"][phase]
        assert sum(found["bytes"]["dram_by_port"]) == found["bytes"]["dram"]
        energy = found["energy"]
        assert sum(energy[part] for part in ("mac_j", "arm_j", "dram_j", "idle_j")) == pytest.approx(found["energy_j"])

    def test_times(self, found: dict[str, Any]) -> None:
        assert found["latency_s"] == found["total_clocks"] / found["clock_hz"]
        assert found["throughput_per_s"] == pytest.approx(1 / found["latency_s"])
        assert 0 < found["roofline_s"] <= found["latency_s"]
        assert all(0 <= layer["start_s"] < layer["end_s"] <= found["latency_s"] for layer in found["layers"])

    def test_layers_name_their_onnx_nodes(self, found: dict[str, Any]) -> None:
        nodes = [node for layer in found["layers"] for node in layer["onnx"]]
        assert set(nodes) == {node.name for node in small_model().graph.node} & set(nodes)
        assert all(" + ".join(layer["onnx"]) == layer["name"] for layer in found["layers"])

    def test_memory_and_macs_are_those_of_the_tables(self, executable: Executable, found: dict[str, Any]) -> None:
        buffers, count = executable.program.buffers, executable.program.processing_elements
        high = [0] * count
        for memory, address, size in buffers[["memory", "address", "bytes"]].tolist():
            if memory < count:
                high[memory] = max(high[memory], address + size)
        assert found["sram"]["high_water_by_pe"] == high
        assert found["sram"]["high_water_bytes"] == max(high) <= found["sram"]["bytes_per_pe"]
        assert found["macs"] >= 8 * 12 * 12 * 3 * 9 + 288 * 5

    def test_two_profiles_agree(self, executable: Executable, found: dict[str, Any]) -> None:
        assert profile(executable) == found

    def test_other_targets_are_refused_by_name(self, executable: Executable) -> None:
        other = attrs.evolve(executable, target="spinn1")
        with pytest.raises(UsageError, match="spinn1"):
            profile(other)


class TestTrace:
    @pytest.fixture
    def trace(self, executable: Executable, times: Timeline, tmp_path: Path) -> dict[str, Any]:
        path = tmp_path / "trace.json"
        assert write_trace(path, executable.program, times) == 0
        found: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        return found

    def test_every_task_lies_on_the_track_of_its_pe(
        self, executable: Executable, times: Timeline, trace: dict[str, Any]
    ) -> None:
        tasks = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["pid"] == 1]
        assert sorted(event["tid"] for event in tasks) == sorted(executable.program.tasks["pe"].tolist())
        ends = max(event["ts"] + event["dur"] for event in tasks)
        assert ends == pytest.approx(times.task_end.max() * 1e6 / times.hertz, abs=0.002)
        assert {event["args"]["layer"] for event in tasks} <= set(executable.program.layers)

    def test_tracks_have_names(self, executable: Executable, times: Timeline, trace: dict[str, Any]) -> None:
        names = [event for event in trace["traceEvents"] if event["name"] == "thread_name"]
        assert len(names) == executable.program.processing_elements + len(times.dram_bytes)

    def test_ports_and_counters_carry_all_bytes(self, times: Timeline, trace: dict[str, Any]) -> None:
        events = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["pid"] == 2]
        assert {event["tid"] for event in events} == set(np.flatnonzero(times.dram_bytes).tolist())
        counters = [event for event in trace["traceEvents"] if event["ph"] == "C"]
        assert all(event["args"]["bytes per clock"] >= 0 for event in counters)

    def test_a_cap_leaves_the_latest_tasks_out(self, executable: Executable, times: Timeline, tmp_path: Path) -> None:
        path = tmp_path / "short.json"
        whole = write_trace(path, executable.program, times, most_events=0)
        left_out = write_trace(path, executable.program, times, most_events=10)
        assert left_out == whole - 10
        found = json.loads(path.read_text(encoding="ascii"))
        assert sum(event["ph"] != "M" for event in found["traceEvents"]) == 10
        assert found["otherData"]["events_left_out"] == left_out

    def test_a_failed_write_leaves_nothing(self, executable: Executable, times: Timeline, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="missing"):
            write_trace(tmp_path / "missing" / "trace.json", executable.program, times)
        broken = attrs.evolve(times, task_end=times.task_end[:-1])
        with pytest.raises(ValueError, match="broadcast"):
            write_trace(tmp_path / "trace.json", executable.program, broken)
        assert list(tmp_path.iterdir()) == []


class TestVerb:
    def test_prints_text_or_json_and_writes_a_trace(self, executable: Executable, tmp_path: Path) -> None:
        path, trace = tmp_path / "net.snc", tmp_path / "trace.json"
        executable.save(path)
        text = CliRunner().invoke(profile_verb, [str(path), "--trace", str(trace)], standalone_mode=False)
        assert text.exception is None
        assert "latency" in text.output
        assert "roofline" in text.output
        assert json.loads(trace.read_text(encoding="ascii"))["traceEvents"]
        said = CliRunner().invoke(profile_verb, [str(path), "--json"], standalone_mode=False)
        jsonschema.validate(json.loads(said.output)["profile"], profile_schema())
