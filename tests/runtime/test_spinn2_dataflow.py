"""Which steps must wait for which: found alike by both walks, enough for any order, and missed when one is left out."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import load_machine
from snc.backends.spinn2.order import dataflow_order, renumbered
from snc.compiler.self_test import small_model
from snc.ir.dialects.spinn2_tables import END, Copy
from snc.runtime.spinn2.dataflow import dependences, unordered
from snc.runtime.spinn2.program import Program
from snc.runtime.spinn2.timer import time_program
from snc.runtime.spinn2.verify import verify

from .spinn2_programs import copy_program

WAYS = ("auto", "off")


def pairs(program: Program, way: str) -> list[tuple[int, int]]:
    edges = dependences(program, jit=way)
    return [(int(edges.steps[b]), int(edges.steps[a])) for b, a in zip(edges.before, edges.after, strict=True)]


def with_edges(program: Program, *, without: int | None = None) -> Program:
    table = dependences(program).table()
    return attrs.evolve(program, depends=table if without is None else np.delete(table, without))


@pytest.mark.parametrize("way", WAYS)
class TestDependences:
    def test_a_read_waits_for_the_write(self, way: str) -> None:
        assert pairs(copy_program((1, 0, 1, 0, 64), (2, 1, 2, 0, 64)).build(), way) == [(1, 2)]

    def test_a_write_waits_for_all_reads_of_what_it_replaces(self, way: str) -> None:
        program = copy_program((1, 0, 1, 0, 16), (2, 1, 2, 0, 16), (3, 1, 3, 0, 16), (4, 0, 1, 0, 16)).build()
        assert pairs(program, way) == [(1, 2), (1, 3), (2, 4), (3, 4)]

    def test_bytes_apart_do_not_matter(self, way: str) -> None:
        assert pairs(copy_program((1, 0, 1, 0, 16), (2, 0, 1, 32, 16)).build(), way) == []

    def test_many_readers_stay_ordered_with_the_next_writer(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 16))
        box = builder.add("boxes", copy=Copy.BOX, n0=1, n1=1, bytes=16)
        for step in range(2, 9):
            target = builder.buffer(0, 16, first=1, last=END)
            builder.transfer(step, box, target, 1)
        builder.transfer(9, box, 1, 0)
        program = with_edges(builder.build())
        assert unordered(program, jit=way) == []
        assert len(unordered(with_edges(program, without=len(program.depends) - 1), jit=way)) >= 1


class TestUnordered:
    def test_misses_nothing_that_is_left_out(self) -> None:
        program = copy_program((1, 0, 1, 0, 64), (2, 1, 2, 0, 64), (3, 2, 3, 0, 64)).build()
        for edge in range(2):
            assert len(unordered(with_edges(program, without=edge))) == 1

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_random_copies_in_any_order_that_is_allowed(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(2, 14))
        copies = []
        for step in range(1, count + 1):
            source, target = data.draw(st.permutations(range(4)))[:2]
            copies.append((step, source, target, 16 * data.draw(st.integers(0, 2)), 16))
        program = with_edges(copy_program(*copies).build())
        assert pairs(program, "auto") == pairs(program, "off")
        assert unordered(program) == unordered(program, jit="off") == []
        place = allowed_order(program, count, data)
        again = renumbered(program, place)
        assert unordered(again) == unordered(again, jit="off") == []


def allowed_order(program: Program, count: int, data: st.DataObject) -> np.ndarray:
    """A random place of each step that respects the program's dependences."""
    waits = {step: set() for step in range(1, count + 1)}
    for before, after in program.depends[["before", "after"]].tolist():
        waits[after].add(before)
    place, done = np.zeros(count, np.int64), set()
    for number in range(count):
        ready = [step for step in waits if step not in done and waits[step] <= done]
        step = data.draw(st.sampled_from(ready))
        place[step - 1] = number
        done.add(step)
    return place


class TestOrder:
    def test_keeps_bytes_and_takes_no_longer(self) -> None:
        from snc.compiler.driver import compile

        executable = compile(small_model(), mapping="kelber2020")
        clocks = clocks_of(load_machine("spinn2-2020"))
        ordered = dataflow_order(executable.program, clocks)
        assert verify(ordered) == [] and unordered(ordered) == []
        x = [np.random.default_rng(3).standard_normal(port.shape).astype(port.dtype) for port in executable.inputs]
        before = executable.run(x, integers=True)
        after = attrs.evolve(executable, program=ordered).run(x, integers=True)
        for ours, theirs in zip(after, before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert time_program(ordered, clocks).total_clocks < time_program(executable.program, clocks).total_clocks

    def test_is_the_same_each_time(self) -> None:
        from snc.compiler.driver import compile

        program = compile(small_model(), mapping="kelber2020").program
        clocks = clocks_of(load_machine("spinn2-2020"))
        first, second = dataflow_order(program, clocks), dataflow_order(program, clocks)
        assert all(
            a.tobytes() == b.tobytes() for a, b in zip(first.tables().values(), second.tables().values(), strict=True)
        )
