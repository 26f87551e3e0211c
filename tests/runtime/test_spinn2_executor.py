"""Whole programs: the same bytes in every way of running them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.diagnostics import UsageError
from snc.runtime.spinn2.commands import prepare, split
from snc.runtime.spinn2.executor import Executor
from snc.runtime.spinn2.loader import POISON
from snc.runtime.spinn2.program import Program, ProgramError

from .spinn2_networks import random_network
from .spinn2_programs import Builder


def memories(program: Program, data: np.ndarray, way: str, threads: int, runs: int = 1) -> np.ndarray:
    """The whole image after `runs` runs."""
    executor = Executor(program, jit=way, threads=threads)
    image = executor.load()
    for _ in range(runs):
        executor.run([data])
    return image[: program.memory_starts()[-1]]


class TestExecutor:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=30, deadline=None)
    def test_gives_the_same_memories_in_every_way(self, seed: int) -> None:
        program, data = random_network(np.random.default_rng(seed))
        expected = memories(program, data, "off", 1)
        for way, threads in (("portable", 1), ("auto", 1), ("auto", 2), ("auto", 3)):
            np.testing.assert_array_equal(memories(program, data, way, threads), expected, err_msg=f"{way} {threads}")

    def test_gives_the_same_memories_with_threads_that_share_every_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.runtime.spinn2.commands.SOLO_NANOSECONDS", 0)
        for seed in range(20):
            program, data = random_network(np.random.default_rng(seed), steps=20, rows=12)
            expected = memories(program, data, "auto", 1)
            for threads in (2, 3):
                np.testing.assert_array_equal(memories(program, data, "auto", threads, runs=5), expected)

    @pytest.mark.parametrize("way", ["off", "auto"])
    def test_keeps_constants_between_runs(self, way: str) -> None:
        program, data = random_network(np.random.default_rng(1))
        executor = Executor(program, jit=way)
        first = executor.run([data])
        executor.run([data[::-1].copy()])
        second = executor.run([data])
        assert len(first) == 2
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

    def test_poisons_memory_that_nobody_writes(self) -> None:
        builder = Builder()
        buffer = builder.buffer(0, 10)
        assert set(Executor(builder.build()).read_buffer(buffer)) == {POISON}

    @pytest.mark.parametrize("inputs", [[], [np.zeros(2999, np.uint8)], [np.zeros(750, np.float32)]])
    def test_refuses_inputs_that_do_not_fit_the_ports(self, inputs: list[np.ndarray]) -> None:
        program, _ = random_network(np.random.default_rng(1))
        with pytest.raises(ProgramError):
            Executor(program).run(inputs)

    def test_refuses_a_faulty_program_when_checking(self) -> None:
        program, data = random_network(np.random.default_rng(1))
        Executor(program, check=True).run([data])
        program.buffers["first"] = 0
        program.buffers["last"] = 0
        with pytest.raises(ProgramError, match="after its last step"):
            Executor(program, check=True)

    def test_refuses_unknown_modes_and_thread_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program, _ = random_network(np.random.default_rng(1))
        with pytest.raises(UsageError):
            Executor(program, jit="fast")
        monkeypatch.setenv("SNC_THREADS", "many")
        with pytest.raises(UsageError):
            Executor(program)


class TestSplit:
    @given(seed=st.integers(0, 2**32), threads=st.integers(1, 5), limit=st.sampled_from([0, 500, 10**9]))
    @settings(max_examples=50, deadline=None)
    def test_deals_every_row_once_and_steps_in_order(self, seed: int, threads: int, limit: int) -> None:
        program, _ = random_network(np.random.default_rng(seed), steps=9)
        commands = prepare(program, dot=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snc.runtime.spinn2.commands.SOLO_NANOSECONDS", limit)
            shares = split(commands, threads)
        np.testing.assert_array_equal(shares[1:, 0], shares[:-1, 1])
        assert shares[0, 0] == 0
        assert shares[-1, 1] == len(commands.rows)
        for first in np.unique(shares[:, 2]):
            phase = [commands.steps[begin:end] for begin, end, start in shares if start == first]
            assert len(phase) == 1 or len(set(np.concatenate(phase))) <= 1
            assert np.all(shares[first:][shares[first:, 2] == first, 2] == first)
        assert np.all(np.diff(commands.steps) >= 0)
