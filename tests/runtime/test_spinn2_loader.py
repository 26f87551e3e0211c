"""Constants, inputs and outputs lie in memory as the tables say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.dialects.spinn2_tables import Packing
from snc.runtime.spinn2.executor import Executor
from snc.runtime.spinn2.loader import POISON
from snc.runtime.spinn2.program import ProgramError

from .spinn2_programs import Builder

DTYPES = (np.int8, np.uint8, np.int16, np.int32)


def packed(array: np.ndarray, packing: Packing, size: int, count: int = 1, **slices: int) -> np.ndarray:
    """The bytes of a buffer of `size` bytes that holds a packed constant (the last of `count` equal ones)."""
    builder = Builder()
    builder.arrays.append(array)
    for _ in range(count):
        buffer = builder.buffer(3, size)
        place = builder.address(buffer)
        builder.add("constants", buffer=buffer, address=place, array=0, packing=packing, **slices)
    return Executor(builder.build(), jit="off").read_buffer(buffer)


class TestConstants:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=40, deadline=None)
    def test_filters_come_in_blocks_of_four_by_four(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = tuple(int(n) for n in rng.integers(1, 9, 4))
        dtype = np.dtype(DTYPES[rng.integers(3)])
        array = rng.integers(1, 100, shape).astype(dtype)
        o0, c0 = (int(rng.integers(0, n)) for n in shape[:2])
        o1, c1 = int(rng.integers(o0, shape[0])) + 1, int(rng.integers(c0, shape[1])) + 1
        groups = -(-(o1 - o0) // 4), -(-(c1 - c0) // 4)
        expected = np.zeros((groups[0], shape[2], shape[3], groups[1], 4, 4), dtype)
        for o, c, u, v in product(range(o1 - o0), range(c1 - c0), range(shape[2]), range(shape[3])):
            expected[o // 4, u, v, c // 4, o % 4, c % 4] = array[o0 + o, c0 + c, u, v]
        found = packed(array, Packing.FILTER, expected.nbytes, int(rng.integers(1, 4)), o0=o0, o1=o1, c0=c0, c1=c1)
        np.testing.assert_array_equal(found.view(dtype), expected.reshape(-1))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("count", [1, 3])
    def test_matrices_come_in_rows_of_whole_16_bytes(self, dtype: type, count: int) -> None:
        array = np.arange(70, dtype=dtype).reshape(7, 10)
        item = array.dtype.itemsize
        pitch = -(-5 * item // 16) * 16
        size = 2 * pitch + 5 * item
        found = packed(array, Packing.MATRIX, size + 3, count, o0=4, o1=9, c0=2, c1=5)
        for row in range(3):
            part = found[row * pitch : row * pitch + 5 * item]
            np.testing.assert_array_equal(part.view(dtype), array[2 + row, 4:9])
        assert set(found[size:]) == {POISON}

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_rows_and_raw_bytes_come_as_they_are(self, dtype: type) -> None:
        array = np.arange(60, dtype=dtype).reshape(5, 3, 4)
        rows = packed(array, Packing.ROWS, array[1:4].nbytes, 2, o0=1, o1=4)
        np.testing.assert_array_equal(rows.view(dtype), array[1:4].reshape(-1))
        np.testing.assert_array_equal(packed(array, Packing.RAW, array.nbytes).view(dtype), array.reshape(-1))

    def test_refuses_floats(self) -> None:
        with pytest.raises(ProgramError, match="integers"):
            packed(np.ones(4, np.float32), Packing.RAW, 16)


class TestPorts:
    def test_inputs_and_outputs_are_dealt_to_rows(self) -> None:
        builder = Builder()
        buffer = builder.buffer(0, 100)
        place = builder.address(buffer)
        for output in (0, 1):
            fields = {"buffer": buffer, "index": 0, "output": output}
            builder.add("ports", address=place + 1, n0=3, bytes=4, pitch=9, at=0, **fields)
            builder.add("ports", address=place + 40, n0=1, bytes=8, pitch=0, at=12, **fields)
            builder.add(
                "ports", buffer=buffer, address=place + 60, index=1, output=output, n0=1, bytes=2, pitch=2, at=0
            )
        executor = Executor(builder.build(), jit="off")
        first, second = np.arange(5, dtype=np.int32), np.array([-7], np.int16)
        outputs = executor.run([first, second])
        np.testing.assert_array_equal(outputs[0].view(np.int32), first)
        np.testing.assert_array_equal(outputs[1].view(np.int16), second)
        memory = executor.read_buffer(buffer)
        for row in range(3):
            np.testing.assert_array_equal(memory[1 + 9 * row :][:4], first.view(np.uint8)[4 * row :][:4])
        assert set(memory[5:10]) == {POISON}

    def test_refuses_ports_beyond_their_bytes(self) -> None:
        builder = Builder()
        builder.port(builder.buffer(0, 10), output=True)
        builder.rows["ports"][0]["at"] = 1
        with pytest.raises(ProgramError, match=r"ports\[0\].at"):
            Executor(builder.build())
