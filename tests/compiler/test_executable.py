"""What an executable computes, and what its artefact keeps and refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

import snc
from snc.compiler.driver import compile
from snc.compiler.executable import Executable, load, split_samples
from snc.ir.diagnostics import SncError, UnsafeInput, UsageError
from snc.ir.dialects.spinn2_tables import TABLES
from snc.ir.printer import print_module
from snc.runtime.spinn2.program import Program

from .tiny_models import BLOCKS, PORTS, TAKEN, Array, Tiny


def built(tiny: Tiny, **options: Any) -> Executable:
    return compile(tiny.proto(), calibration=tiny.samples(0), **options)


@pytest.fixture(scope="module")
def residual() -> Executable:
    return built(BLOCKS["residual"])


@pytest.fixture(scope="module")
def saved(residual: Executable, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("artefacts") / "net.snc"
    residual.save(path)
    return path.read_bytes()


class TestCall:
    def test_a_batch_is_its_samples_one_after_the_other(self, residual: Executable) -> None:
        (batch,) = BLOCKS["residual"].samples(1, count=3).values()
        found = residual(batch)
        assert isinstance(found, np.ndarray)
        for index in range(3):
            np.testing.assert_array_equal(found[index : index + 1], residual(batch[index : index + 1]))
        np.testing.assert_array_equal(found, residual.interpret([batch])[0])

    def test_several_outputs_are_a_tuple_in_the_order_of_the_model(self) -> None:
        executable = built(PORTS["several"])
        inputs = PORTS["several"].samples(1, count=2)
        found = executable(*inputs.values())
        assert isinstance(found, tuple) and len(found) == 2
        assert [port.name for port in executable.outputs] == ["y", "q"]
        np.testing.assert_array_equal(found[1], executable.run(list(inputs.values()))[1])

    def test_integers_are_what_the_machine_holds(self, residual: Executable) -> None:
        (x,) = BLOCKS["residual"].samples(1).values()
        (integers,), (floats,) = residual.run([x], integers=True), residual.run([x])
        assert integers.dtype == np.int8 and floats.dtype == np.float32
        assert integers.shape == floats.shape

    def test_a_run_leaves_nothing_behind_for_the_next(self, residual: Executable) -> None:
        one, other = (BLOCKS["residual"].samples(seed)["x"] for seed in (1, 2))
        first = residual(one)
        residual(other)
        np.testing.assert_array_equal(residual(one), first)

    def test_an_input_that_nobody_reads_is_taken_all_the_same(self) -> None:
        executable = built(PORTS["unused_input"])
        assert [port.name for port in executable.inputs] == ["x", "u"]
        inputs = list(PORTS["unused_input"].samples(1).values())
        np.testing.assert_array_equal(executable(*inputs), executable.interpret(inputs)[0])

    def test_the_text_form_names_the_ports(self, residual: Executable) -> None:
        assert "x: [1, 4, 9, 10] float32" in repr(residual)


class TestSplitSamples:
    def problems(self, executable: Executable, *inputs: Array) -> str:
        with pytest.raises(UsageError) as error:
            split_samples(executable.inputs, inputs)
        return str(error.value)

    def test_what_does_not_fit_is_named(self, residual: Executable) -> None:
        good = np.zeros((1, 4, 9, 10), np.float32)
        assert "wrong number of inputs" in self.problems(residual, good, good)
        assert "expected: shape [1, 4, 9, 10] or more samples, float32" in self.problems(residual, good[:, :3])
        assert "float64" in self.problems(residual, good.astype(np.float64))
        assert "NaN or infinite" in self.problems(residual, good + np.float32(np.inf))

    def test_inputs_with_different_numbers_of_samples(self) -> None:
        executable = built(PORTS["several"])
        x = np.zeros((2, 4, 9, 10), np.float32)
        assert "different numbers of samples" in self.problems(executable, x, x[:1])


def same_program(one: Program, other: Program) -> bool:
    tables = zip(one.tables().values(), other.tables().values(), strict=True)
    arrays = zip(one.arrays, other.arrays, strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in [*tables, *arrays]) and one.layers == other.layers


class TestArtefact:
    @pytest.mark.parametrize(
        ("name", "options"),
        [("residual", {}), ("several", {"bits": 16}), ("softmax_over_channels", {"mapping": "baseline"})],
    )
    def test_a_loaded_executable_is_the_saved_one(self, name: str, options: Mapping[str, Any], tmp_path: Path) -> None:
        executable = built(TAKEN[name], **options)
        executable.save(tmp_path / "net.snc")
        again = load(tmp_path / "net.snc")
        assert print_module(again.module) == print_module(executable.module)
        assert same_program(again.program, executable.program)
        assert (again.options, again.notes) == (executable.options, executable.notes)
        assert again.machine == executable.machine
        inputs = list(TAKEN[name].samples(1).values())
        for one, other in zip(again.run(inputs), executable.run(inputs), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_saving_what_was_loaded_gives_the_same_bytes(self, saved: bytes, tmp_path: Path) -> None:
        (tmp_path / "one.snc").write_bytes(saved)
        load(tmp_path / "one.snc").save(tmp_path / "two.snc")
        assert (tmp_path / "two.snc").read_bytes() == saved

    def test_bytes_do_not_depend_on_hash_seeds_or_threads(self, saved: bytes, tmp_path: Path) -> None:
        source = Path(snc.__file__).parents[1]
        tests = Path(__file__).parents[2]
        script = (
            "from tests.compiler.tiny_models import BLOCKS; from snc.compiler.driver import compile; import sys;"
            "compile(BLOCKS['residual'].proto(), calibration=BLOCKS['residual'].samples(0)).save(sys.argv[1])"
        )
        found = []
        for seed in ("1", "2"):
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{source}{os.pathsep}{tests}"}
            environment["SNC_THREADS"] = seed
            path = tmp_path / f"{seed}.snc"
            subprocess.run([sys.executable, "-c", script, path], env=environment, check=True)
            found.append(path.read_bytes())
        assert found == [saved, saved]

    def test_warnings_of_the_build_are_kept(self, tmp_path: Path) -> None:
        executable = compile(BLOCKS["residual"].proto())
        executable.save(tmp_path / "net.snc")
        assert load(tmp_path / "net.snc").notes == executable.notes != ()


def changed(program: Program, table: str, row: int, column: str, value: int) -> Program:
    rows = getattr(program, table).copy()
    rows[column][row % len(rows)] = value
    return evolve(program, **{table: rows})


class TestUnsafeArtefact:
    def refused(self, executable: Executable, path: Path) -> str:
        executable.save(path)
        with pytest.raises(UnsafeInput) as error:
            load(path)
        return str(error.value)

    @settings(max_examples=60)
    @given(data=st.data())
    def test_a_table_with_any_number_in_it_is_refused_or_harmless(
        self, data: st.DataObject, residual: Executable, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A program that passes all checks touches no byte outside its buffers; it may compute something else."""
        table = data.draw(st.sampled_from(sorted(TABLES)))
        rows = getattr(residual.program, table)
        column = data.draw(st.sampled_from(rows.dtype.names))
        limits = np.iinfo(rows.dtype[column])
        value = data.draw(st.integers(int(limits.min), int(limits.max)) | st.sampled_from((0, 1, int(limits.max))))
        program = changed(residual.program, table, data.draw(st.integers(0, 1000)), column, value)
        path = tmp_path_factory.mktemp("changed") / "net.snc"
        evolve(residual, program=program).save(path)
        try:
            again = load(path)
        except UnsafeInput:
            return
        again.program.validate()

    @settings(max_examples=60)
    @given(data=st.data())
    def test_changed_bytes_are_never_a_traceback(
        self, data: st.DataObject, saved: bytes, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        place = data.draw(st.integers(0, len(saved) - 1))
        path = tmp_path_factory.mktemp("changed") / "net.snc"
        path.write_bytes(saved[:place] + bytes([saved[place] ^ data.draw(st.integers(1, 255))]) + saved[place + 1 :])
        with pytest.raises(SncError):
            load(path)

    @pytest.mark.parametrize("keep", [0, 10, 1000, -1])
    def test_a_file_that_was_cut_off(self, keep: int, saved: bytes, tmp_path: Path) -> None:
        (tmp_path / "net.snc").write_bytes(saved[:keep])
        with pytest.raises(UnsafeInput):
            load(tmp_path / "net.snc")

    def test_the_module_of_another_network(self, residual: Executable, tmp_path: Path) -> None:
        other = built(PORTS["several"])
        assert "ports carry" in self.refused(evolve(residual, module=other.module), tmp_path / "net.snc")

    def test_another_machine(self, residual: Executable, tmp_path: Path) -> None:
        text = residual.machine_text.replace("data_bytes = 98_304", "data_bytes = 65_536")
        assert "its machine is another" in self.refused(evolve(residual, machine_text=text), tmp_path / "net.snc")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            load(tmp_path / "net.snc")
