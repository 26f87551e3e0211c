"""Profiles and traces of compiled networks."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from snc.backends.spinn2.clocks import clocks_of
from snc.compiler.cli.profile import profile as profile_verb
from snc.compiler.driver import compile
from snc.compiler.executable import Executable
from snc.compiler.profile import profile, profile_schema, timeline
from snc.compiler.report.measured import measure
from snc.compiler.self_test import small_model
from snc.compiler.targets import load
from snc.compiler.trace import write_trace
from snc.ir.diagnostics import UsageError
from snc.runtime.spinn2.step_work import StepWork
from snc.runtime.spinn2.timer import Timeline, time_program
from snc.runtime.spinn2.traffic import Traffic


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


class TestMappings:
    @pytest.mark.parametrize("mapping", ["baseline", "kelber2020", "optimized"])
    def test_all_take_the_clocks_of_the_artefacts_mapping(self, mapping: str, tmp_path: Path) -> None:
        """The host of kelber2020 orders transfers, elements of the others have lists of theirs."""
        path = tmp_path / "small.snc"
        compile(small_model(), mapping=mapping).save(path)
        executable = load(path)
        clocks = clocks_of(executable.machine, mapping)
        assert clocks.host.orders_transfers == (mapping == "kelber2020")
        expected = time_program(executable.program, clocks).total_clocks
        assert timeline(executable).total_clocks == expected
        assert profile(executable)["total_clocks"] == expected
        assert measure(executable, lambda _: None).times.total_clocks == expected
        other = time_program(
            executable.program,
            attrs.evolve(clocks, host=attrs.evolve(clocks.host, orders_transfers=mapping != "kelber2020")),
        )
        assert other.total_clocks != expected


class TestTrace:
    @pytest.fixture
    def trace(self, executable: Executable, times: Timeline, tmp_path: Path) -> dict[str, Any]:
        path = tmp_path / "trace.json"
        assert write_trace(path, executable.program, times, executable.clocks) == 0
        found: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        return found

    def test_is_a_chrome_trace(self, trace: dict[str, Any]) -> None:
        """What the trace event format asks of metadata, complete and counter events."""
        assert set(trace) == {"displayTimeUnit", "traceEvents", "otherData"}
        names: dict[tuple[int, int | None], str] = {}
        tracks: dict[tuple[int, int, str], list[tuple[float, float]]] = {}
        for event in trace["traceEvents"]:
            assert event["name"] and type(event["pid"]) is int
            if event["ph"] == "M":
                key = (event["pid"], event.get("tid"))
                assert key not in names and event["name"] == ("process_name" if key[1] is None else "thread_name")
                names[key] = event["args"]["name"]
                continue
            assert type(event["tid"]) is int and event["ts"] >= 0
            assert (event["pid"], event["tid"]) in names and (event["pid"], None) in names
            kind = {"X": "", "C": event["name"]}[event["ph"]]
            assert event["ph"] == "X" or all(value >= 0 for value in event["args"].values())
            place = (event["pid"], event["tid"], kind)
            tracks.setdefault(place, []).append((event["ts"], event["ts"] + event.get("dur", 0)))
        for (*_, kind), times in tracks.items():
            # Slices follow each other but for the rounding to a nanosecond; counters change once at a time.
            assert times == sorted(times)
            assert all(after[0] >= before[1] - 0.002 for before, after in pairwise(times))
            assert not kind or len({when for when, _ in times}) == len(times)

    def test_counters_of_links_carry_every_packet(
        self, executable: Executable, times: Timeline, trace: dict[str, Any]
    ) -> None:
        clocks = executable.clocks
        traffic = Traffic.of(StepWork.of(executable.program, clocks), clocks)
        found = np.zeros_like(traffic.links, np.float64)
        links: dict[int, list[tuple[float, list[float]]]] = {}
        for event in trace["traceEvents"]:
            if event["ph"] == "C" and event["pid"] == 3:
                sides = [event["args"][side] for side in ("east", "west", "south", "north")]
                links.setdefault(event["tid"], []).append((event["ts"], sides))
        for router, changes in links.items():
            assert changes[-1][1] == [0, 0, 0, 0]
            for (start, rates), (end, _) in pairwise(changes):
                found[router] += np.array(rates) * (end - start) * times.hertz / 1e6
        if not clocks.noc.multicast:
            # Rates are written with three digits.
            np.testing.assert_allclose(found, traffic.links, rtol=0.01, atol=0.001 * times.total_clocks)
        assert found.sum() > 0

    def test_every_task_lies_on_the_track_of_its_pe(
        self, executable: Executable, times: Timeline, trace: dict[str, Any]
    ) -> None:
        tasks = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["pid"] == 1]
        assert sorted(event["tid"] // 2 for event in tasks) == sorted(executable.program.tasks["pe"].tolist())
        on_mac = {"conv", "depthwise", "matmul"}
        assert all((event["name"] in on_mac) == (event["tid"] % 2 == 0) for event in tasks)
        ends = max(event["ts"] + event["dur"] for event in tasks)
        assert ends == pytest.approx(times.task_end.max() * 1e6 / times.hertz, abs=0.002)
        assert {event["args"]["layer"] for event in tasks} <= set(executable.program.layers)

    def test_tracks_have_names(self, executable: Executable, times: Timeline, trace: dict[str, Any]) -> None:
        names = [event for event in trace["traceEvents"] if event["name"] == "thread_name"]
        mesh = executable.machine.mesh
        routers = mesh.qpe_rows * mesh.qpe_columns
        assert len(names) == 2 * executable.program.processing_elements + len(times.dram_bytes) + routers

    def test_ports_and_counters_carry_all_bytes(self, times: Timeline, trace: dict[str, Any]) -> None:
        events = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["pid"] == 2]
        assert {event["tid"] for event in events} == set(np.flatnonzero(times.dram_bytes).tolist())
        counters = [event for event in trace["traceEvents"] if event["ph"] == "C"]
        assert {event["pid"] for event in counters} == {1, 2, 3}
        for number, expected in enumerate(times.dram_bytes.tolist()):
            changes = [
                (e["ts"], e["args"]["bytes per clock"]) for e in counters if e["pid"] == 2 and e["tid"] == number
            ]
            moved = sum(rate * (end - start) for (start, rate), (end, _) in pairwise(changes)) * times.hertz / 1e6
            assert moved == pytest.approx(expected, rel=0.01)

    def test_a_cap_leaves_the_latest_tasks_out(self, executable: Executable, times: Timeline, tmp_path: Path) -> None:
        path = tmp_path / "short.json"
        whole = write_trace(path, executable.program, times, executable.clocks, most_events=0)
        left_out = write_trace(path, executable.program, times, executable.clocks, most_events=10)
        assert left_out == whole - 10
        found = json.loads(path.read_text(encoding="ascii"))
        assert sum(event["ph"] != "M" for event in found["traceEvents"]) == 10
        assert found["otherData"]["events_left_out"] == left_out

    def test_a_failed_write_leaves_nothing(self, executable: Executable, times: Timeline, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="missing"):
            write_trace(tmp_path / "missing" / "trace.json", executable.program, times, executable.clocks)
        broken = attrs.evolve(times, task_end=times.task_end[:-1])
        with pytest.raises(ValueError, match="broadcast"):
            write_trace(tmp_path / "trace.json", executable.program, broken, executable.clocks)
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
