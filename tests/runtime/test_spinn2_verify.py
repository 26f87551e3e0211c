"""The verifier is silent about sound programs and names every planted fault."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.runtime.spinn2.verify import Fault, Finding, verify

from .spinn2_cases import CASES
from .spinn2_networks import random_network
from .spinn2_programs import copy_program

WAYS = ("off", "auto")


def only(found: list[Finding]) -> Finding:
    """The one finding."""
    assert len(found) == 1, [str(finding) for finding in found]
    return found[0]


@pytest.mark.parametrize("way", WAYS)
class TestVerify:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=20, deadline=None)
    def test_finds_nothing_in_sound_programs(self, way: str, seed: int) -> None:
        program, _ = random_network(np.random.default_rng(seed))
        assert verify(program, jit=way) == []

    @pytest.mark.parametrize("kernel", CASES, ids=lambda kernel: kernel.name)
    def test_finds_nothing_in_one_task_of_any_kernel(self, way: str, kernel: int) -> None:
        for seed in range(15):
            case = CASES[kernel](np.random.default_rng((kernel, seed)))
            assert verify(case.program, jit=way) == []

    def test_finds_a_read_of_bytes_that_nobody_wrote(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 40), (2, 1, 2, 0, 64))
        finding = only(verify(builder.build(), jit=way))
        assert (finding.fault, finding.row, finding.operand) == (Fault.UNWRITTEN, 1, "src")
        assert finding.address == builder.address(1) + 40

    def test_finds_a_read_of_bytes_that_another_buffer_overwrote(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 64), (2, 0, 2, 8, 8), (3, 1, 3, 0, 64), last={1: 1})
        builder.rows["buffers"][2]["address"] = builder.address(1)
        builder.rows["transfers"][1]["dst_address"] = builder.address(1) + 8
        found = verify(builder.build(), jit=way)
        assert {finding.fault for finding in found} == {Fault.OVERWRITTEN, Fault.EXPIRED}
        finding = next(finding for finding in found if finding.fault == Fault.OVERWRITTEN)
        assert (finding.row, finding.other) == (2, "transfers[1]")

    def test_allows_a_write_over_bytes_that_nobody_reads_again(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 64), (2, 0, 2, 0, 64), last={1: 5})
        builder.rows["buffers"][2]["address"] = builder.address(1)
        builder.rows["transfers"][1]["dst_address"] = builder.address(1)
        assert verify(builder.build(), jit=way) == []

    def test_allows_memory_to_be_used_again(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 64), (2, 1, 3, 0, 64), (3, 0, 2, 0, 64), last={1: 2})
        builder.rows["buffers"][2] |= {"address": builder.address(1), "first": 3}
        builder.rows["transfers"][2]["dst_address"] = builder.address(1)
        assert verify(builder.build(), jit=way) == []

    def test_finds_two_rows_of_a_step_that_write_one_byte(self, way: str) -> None:
        found = verify(copy_program((1, 0, 1, 0, 33), (1, 0, 1, 32, 32)).build(), jit=way)
        assert {(finding.fault, finding.address) for finding in found} == {(Fault.RACE, copy_program().address(1) + 32)}

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_finds_a_row_that_reads_what_its_step_writes(self, way: str, order: tuple[int, int]) -> None:
        rows = ((1, 0, 1, 0, 64), (2, 0, 1, 8, 1), (2, 1, 2, 0, 64))
        found = verify(copy_program(rows[0], *(rows[1 + n] for n in order)).build(), jit=way)
        assert only(found).fault == Fault.RACE

    def test_finds_an_output_that_nobody_wrote(self, way: str) -> None:
        builder = copy_program((1, 0, 1, 0, 63))
        builder.port(1, output=True)
        finding = only(verify(builder.build(), jit=way))
        assert (finding.fault, finding.table) == (Fault.UNWRITTEN, "ports")

    def test_finds_planted_faults_in_networks(self, way: str) -> None:
        missed = 0
        for seed in range(15):
            rng = np.random.default_rng(seed)
            program, _ = random_network(rng)
            read = np.isin(
                np.arange(len(program.transfers)), np.flatnonzero(program.transfers["step"] == 1), invert=True
            )
            sources = program.transfers["src"][read]
            # Without the rows of step 1, whoever reads their results reads what nobody wrote.
            written = program.transfers["dst"][program.transfers["step"] == 1]
            program.transfers["step"][program.transfers["step"] == 1] = 0xFFFF_FFFE
            late = verify(program, jit=way)
            if np.isin(written, sources).any():
                missed += not any(finding.fault == Fault.UNWRITTEN for finding in late)
        assert missed == 0

    def test_says_where_and_what(self, way: str) -> None:
        text = str(only(verify(copy_program((1, 0, 1, 0, 40), (2, 1, 2, 0, 64)).build(), jit=way)))
        assert text.startswith("transfers[1].src in step 2 (buffer 1) reads bytes that nobody wrote: memory 0, byte ")
