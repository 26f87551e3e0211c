"""Tables that break the contract are refused; whatever is accepted runs without touching foreign bytes."""

from __future__ import annotations

from itertools import product

import attrs
import numpy as np
import pytest

from snc.ir.dialects.spinn2_tables import NO_BUFFER, TABLES, Kernel, Packing
from snc.runtime.spinn2.executor import Executor
from snc.runtime.spinn2.program import Program, ProgramError
from snc.runtime.spinn2.verify import verify

from .spinn2_cases import CASES
from .spinn2_networks import random_network
from .spinn2_programs import Builder, Case

EXTREMES = (0, 1, 2, 3, 5, 15, 16, 63, 64, 127, 128, 255, 256, 4096, 65535, 1 << 20, (1 << 31) - 1)


def mutated(program: Program, rng: np.random.Generator) -> Program:
    """The program with one field of one row changed."""
    names = [name for name in TABLES if len(getattr(program, name))]
    name = str(rng.choice([*names, "shapes" if len(program.shapes) else names[0]]))
    table = getattr(program, name).copy()
    column = str(rng.choice(list(table.dtype.names)))
    row, info = int(rng.integers(len(table))), np.iinfo(table.dtype[column])
    old = int(table[column][row])
    way = int(rng.integers(4))
    new = (
        int(rng.choice(EXTREMES)),
        -int(rng.choice(EXTREMES)),
        old + int(rng.integers(-3, 4)),
        int(rng.integers(info.min, int(info.max) + 1)),
    )[way]
    table[column][row] = min(max(new, int(info.min)), int(info.max))
    return attrs.evolve(program, **{name: table})


def survives(program: Program, data: list[np.ndarray]) -> bool:
    """Whether a program is accepted; then it runs, in every way to the same bytes behind every operand."""
    try:
        program.validate()
    except ProgramError:
        return False
    auto = Executor(program, jit="auto", threads=1)
    auto.load()
    if any(array.nbytes == 0 for array in data):
        data = []
    try:
        auto.run(data)
    except ProgramError:
        return False
    verify(program, jit="auto")
    return True


class TestValidate:
    @pytest.mark.parametrize("kernel", Kernel, ids=lambda kernel: kernel.name)
    def test_mutated_tasks_are_refused_or_run(self, kernel: Kernel) -> None:
        outcome = []
        for seed in range(5):
            rng = np.random.default_rng((kernel, seed))
            case = CASES[kernel](rng)
            outcome += [survives(mutated(case.program, rng), []) for _ in range(10)]
        assert 0 < sum(outcome) < len(outcome)

    @pytest.mark.parametrize("kernel", Kernel, ids=lambda kernel: kernel.name)
    def test_what_survives_gives_the_same_bytes_without_machine_code(self, kernel: Kernel) -> None:
        for seed in range(12):
            rng = np.random.default_rng((kernel, seed, 1))
            program = mutated(CASES[kernel](rng).program, rng)
            shape = program.shapes[0]
            small = int(shape["channels"]) * int(shape["height"]) * int(shape["width"]) < 1 << 14
            if small and survives(program, []):
                images = []
                for way in ("off", "auto", "portable"):
                    executor = Executor(program, jit=way, threads=1)
                    image = executor.load()
                    executor.run([])
                    images.append(image[: program.memory_starts()[-1]].copy())
                np.testing.assert_array_equal(images[0], images[1], err_msg=f"seed {seed}")
                np.testing.assert_array_equal(images[0], images[2], err_msg=f"seed {seed}")

    def test_mutated_networks_are_refused_or_run(self) -> None:
        outcome = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            program, data = random_network(rng, steps=3, rows=4)
            outcome += [survives(mutated(program, rng), [data]) for _ in range(10)]
        assert 0 < sum(outcome) < len(outcome)

    def case(self) -> Case:
        return CASES[Kernel.REQUANTIZE](np.random.default_rng(3))

    @pytest.mark.parametrize(
        ("table", "column", "value", "says"),
        [
            ("buffers", "memory", 99, r"buffers\[0\].memory"),
            ("buffers", "bytes", 0xFFFF_FFFF, "inside the memory"),
            ("shapes", "kernel", 77, "a Kernel"),
            ("shapes", "a_type", 9, "an? Element|a Element"),
            ("shapes", "height", 0, "at least 1"),
            ("shapes", "a_row", -8, "at least 0"),
            ("shapes", "a_column", 3, "element size"),
            ("shapes", "width", 1 << 30, "at most"),
            ("tasks", "shape", 5, r"tasks\[0\].shape"),
            ("tasks", "y", NO_BUFFER, "a buffer below"),
            ("tasks", "step", 0, "at least 1"),
            ("tasks", "y_address", 0xFFFF_FFFF, "leaves its buffer"),
            ("tasks", "p_address", 0xFFFF_FFFF, "leaves its buffer"),
            ("constants", "array", 40, r"constants\[0\].array"),
            ("constants", "packing", Packing.FILTER, "4 axes"),
        ],
    )
    def test_says_which_row_and_what_was_expected(self, table: str, column: str, value: int, says: str) -> None:
        program = self.case().program
        changed = getattr(program, table).copy()
        changed[column][0] = value
        with pytest.raises(ProgramError, match=says):
            attrs.evolve(program, **{table: changed}).validate()

    def test_refuses_tables_of_another_type(self) -> None:
        program = self.case().program
        with pytest.raises(ProgramError, match="wrong type"):
            attrs.evolve(
                program, tasks=program.tasks.astype([(n, "<i8") for n in program.tasks.dtype.names])
            ).validate()

    def test_refuses_absurd_memories(self) -> None:
        for fields in ({"sram_bytes": 1 << 40}, {"processing_elements": 0}, {"dram_bytes": (-1,)}):
            with pytest.raises(ProgramError):
                attrs.evolve(self.case().program, **fields).validate()

    def test_refuses_dependence_on_later_steps(self) -> None:
        builder = Builder()
        builder.add("depends", before=3, after=3)
        with pytest.raises(ProgramError, match="behind"):
            builder.build().validate()

    def test_accepts_operands_between_the_rows_of_a_result_and_none_that_meets_it(self) -> None:
        accepted = between = 0
        rng = np.random.default_rng(0)
        for _ in range(600):
            channels, height, width = (int(rng.integers(1, most)) for most in (4, 4, 6))
            row = width + int(rng.integers(0, 2 * width + 1))
            channel = (height - 1) * row + width + int(rng.integers(0, row + 1))
            offset = int(rng.integers(-channel, channel + 1))
            shape = {"kernel": Kernel.MAXIMUM, "channels": channels, "height": height, "width": width}
            shape |= {f"{name}_channel": channel for name in "aby"} | {f"{name}_row": row for name in "aby"}
            builder = Builder()
            buffer = builder.buffer(0, 256)
            builder.task(1, builder.add("shapes", **shape, a_column=1, b_column=1), a=buffer, b=buffer, y=buffer)
            start = builder.address(buffer) + 128
            builder.rows["tasks"][0] |= {"a_address": start, "b_address": start + offset, "y_address": start}
            own = {c * channel + i * row + j for c, i, j in product(range(channels), range(height), range(width))}
            try:
                builder.build().validate()
            except ProgramError:
                continue
            assert offset == 0 or own.isdisjoint({place + offset for place in own})
            accepted += 1
            between += 0 < abs(offset) <= max(own)
        assert 0 < between < accepted < 600
