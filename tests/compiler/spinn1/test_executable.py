"""The artefact of a spiking network: the same bytes, the same spikes, and nothing hostile is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import snc
from snc.compiler.artefact import read_artefact, write_artefact
from snc.compiler.spinn1.executable import LAYOUT, SpikingExecutable
from snc.compiler.spinn1.profile import profile_schema
from snc.compiler.spinn1.verification import check_values
from snc.ir.diagnostics import SncError, UnsafeInput

from ..step_models import dense_spikes, dense_steps, samples

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def network() -> SpikingExecutable:
    return snc.compile(
        onnx.load_from_string(dense_steps("key")), target="spinn1", machine="spinn3", groups=2, tiles=3, bias="chain"
    )


@pytest.fixture(scope="module")
def saved(network: SpikingExecutable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artefact") / "net.snc"
    network.save(path)
    return path


def loaded(path: Path) -> SpikingExecutable:
    found = snc.load(path)
    assert isinstance(found, SpikingExecutable)
    return found


class TestArtefact:
    def test_loads_to_what_was_saved(self, network: SpikingExecutable, saved: Path) -> None:
        found, x = loaded(saved), samples(30, 12)
        np.testing.assert_array_equal(found(x), dense_spikes(x))
        np.testing.assert_array_equal(found.labels(found(x)), network.labels(network(x)))
        np.testing.assert_array_equal(found.activity, network.activity)
        assert (found.options, found.choices, found.numbers) == (network.options, network.choices, network.numbers)
        assert found.profile() == network.profile() and not check_values(found, 5)

    def test_same_network_and_options_give_the_same_bytes(self, saved: Path, tmp_path: Path) -> None:
        again = snc.compile(
            onnx.load_from_string(dense_steps("key")), target="spinn1", machine="spinn3", groups=2, tiles=3
        )
        again.save(tmp_path / "again.snc")
        loaded(saved).save(tmp_path / "saved.snc")
        assert saved.read_bytes() == (tmp_path / "again.snc").read_bytes() == (tmp_path / "saved.snc").read_bytes()


def forge(path: Path, to: Path, change: Change) -> Path:
    """The artefact with its parts changed and all its hashes right."""
    read = read_artefact(path)
    own = ("format", "format_version", "snc_version", "members", "tables")
    parts: dict[str, Any] = {
        "members": {name: bytes(data) for name, data in read.members.items()},
        "arrays": dict(read.arrays),
        "tables": {name: table.copy() for name, table in read.tables.items()},
        "manifest": {key: value for key, value in read.manifest.items() if key not in own},
    }
    change(parts)
    write_artefact(to, **parts)
    return to


def table(name: str, column: str, value: int, row: int = -1) -> Change:
    """Writes one cell of a table."""

    def change(parts: dict[str, Any]) -> None:
        parts["tables"][name][column][row] = value

    return change


def backwards(name: str) -> Change:
    """Turns a table around."""

    def change(parts: dict[str, Any]) -> None:
        parts["tables"][name] = np.ascontiguousarray(parts["tables"][name][::-1])

    return change


def words(name: str, place: int, value: int) -> Change:
    """Writes one word."""

    def change(parts: dict[str, Any]) -> None:
        parts["tables"][name][place] = value

    return change


def layout(**changes: Any) -> Change:
    """Changes the numbers beside the tables."""

    def change(parts: dict[str, Any]) -> None:
        found = {**json.loads(parts["members"][LAYOUT]), **changes}
        parts["members"][LAYOUT] = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()

    return change


def manifest(**changes: Any) -> Change:
    return lambda parts: parts["manifest"].update(changes)


def other_machine(parts: dict[str, Any]) -> None:
    from snc.backends.spinn1.machine import machine_text

    parts["members"]["machine.toml"] = machine_text("spinn5").encode()


def empty(name: str) -> Change:
    def change(parts: dict[str, Any]) -> None:
        parts["tables"][name] = parts["tables"][name][:0]

    return change


class TestHostileArtefacts:
    @pytest.mark.parametrize(
        "change",
        [
            table("routes", "route", 0, 0),
            table("routes", "key", 0xFFFF_FFFF),
            table("vertices", "key", 0xFFFF_FFFF, 0),
            table("vertices", "first_word", 1 << 31),
            table("vertices", "words", 0xFFFF_FFFF),
            table("populations", "neurons", 1 << 31),
            table("populations", "delay_bits", 200),
            table("sources", "element", 1 << 30, 0),
            table("outputs", "neuron", 1 << 31),
            table("outputs", "due", 1 << 20),
            table("placements", "p", 200),
            *(backwards(name) for name in ("placements", "vertices", "sources", "outputs", "chips")),
            *(empty(name) for name in ("vertices", "outputs", "placements", "routes", "master", "activity")),
            words("master", 0, 0xFFFF_FFFF),
            words("words", 1, 0xFFFF_FFFF),
            words("parameters", 4, 0x7FFF_FFFF),
            layout(tiles=1 << 40),
            layout(tiles=-1),
            layout(tiles=True),
            layout(interval=0),
            layout(latency=1 << 60),
            layout(tick_us=0),
            layout(labels=["x"]),
            layout(labels=[1, 2, 3]),
            layout(numbers=[]),
            layout(numbers=[0]),
            manifest(target="spinn3"),
            manifest(target=7),
            manifest(options={"groups": -1}),
            manifest(options={"shell": "true"}),
            manifest(choices={}),
            manifest(shapes=[1]),
            manifest(notes=[{"run": "me"}]),
            other_machine,
            lambda parts: parts["members"].update({"program.snir": b"module {\n}\n"}),
            lambda parts: parts["members"].pop(LAYOUT),
            lambda parts: parts["tables"].pop("words"),
            lambda parts: parts["tables"].update(words=parts["tables"]["words"].astype("<u2")),
        ],
    )
    def test_are_refused(self, saved: Path, tmp_path: Path, change: Change) -> None:
        forged = forge(saved, tmp_path / "forged.snc", change)
        with pytest.raises(UnsafeInput) as error:
            loaded(forged)(samples(5, 12))
        assert error.value.exit_code == 5

    def test_a_cut_file_is_refused(self, saved: Path, tmp_path: Path) -> None:
        for size in (0, 100, saved.stat().st_size - 1):
            cut = shutil.copy(saved, tmp_path / "cut.snc")
            with cut.open("r+b") as file:
                file.truncate(size)
            with pytest.raises(SncError):
                snc.load(cut)


class TestProfile:
    def test_is_of_the_published_schema(self, network: SpikingExecutable) -> None:
        found = network.profile()
        jsonschema.Draft202012Validator(profile_schema()).validate(json.loads(json.dumps(found)))

    def test_counts_are_those_of_the_netlist(self, network: SpikingExecutable) -> None:
        found = network.profile()
        rows = found["populations"]
        assert found["neurons"] == 3 * 15 and found["bias_neurons"] == 3 * 2 and found["tiles"] == 3
        assert found["cores"] == 3 * sum(row["cores"] for row in rows)
        assert found["synapses"] == 3 * sum(row["synapses"] for row in rows)
        assert found["latency_s"] == pytest.approx(network.netlist.latency * found["tick_s"])
        assert found["throughput_per_s"] == pytest.approx(3 / (found["sample_interval_steps"] * found["tick_s"]))
        assert found["time_scale_factor"] * found["timestep_s"] == pytest.approx(found["tick_s"])
        assert found["late_spikes"] == found["lost_spikes"] == found["saturations"] == 0

    def test_spikes_are_those_of_the_samples(self, network: SpikingExecutable) -> None:
        from snc.compiler.spinn1.profile import profile

        for x in (np.zeros((4, 12)), np.ones((4, 12))):
            found = profile(network, [x])
            assert found["samples"] == 4 and found["samples_from"] == "input"
            assert found["populations"][0]["spikes_per_sample"] == x[0].sum() + 1
