"""Every kernel gives the values of its formula, however it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from snc.ir.dialects.spinn2_tables import ELEMENT_DTYPES, Element, Kernel
from snc.runtime.jit.features import features
from snc.runtime.spinn2 import machine_code
from snc.runtime.spinn2.executor import Executor
from snc.runtime.spinn2.verify import verify

from .spinn2_cases import CASES
from .spinn2_programs import Builder

WAYS = ("off", "portable", "auto")
SEEDS = range(40)


def test_every_kernel_has_a_case() -> None:
    assert set(CASES) == set(Kernel)


@pytest.mark.parametrize("kernel", Kernel, ids=lambda kernel: kernel.name)
class TestKernel:
    @pytest.mark.parametrize("way", WAYS)
    def test_gives_the_values_of_its_formula(self, kernel: Kernel, way: str) -> None:
        for seed in SEEDS:
            case = CASES[kernel](np.random.default_rng((kernel, seed)))
            executor = Executor(case.program, jit=way, threads=1)
            before = executor.read_buffer(case.buffer)
            executor.run([])
            after = executor.read_buffer(case.buffer)
            found = after[case.position].view(case.dtype)[..., 0]
            np.testing.assert_array_equal(found, case.expected.astype(case.dtype), err_msg=f"seed {seed}")
            touched = np.zeros(len(after), bool)
            touched[case.position] = True
            np.testing.assert_array_equal(after[~touched], before[~touched], err_msg=f"gaps, seed {seed}")


class TestRowsBetween:
    """Operand b lies between the rows of a, in whose place y is computed."""

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("element", [Element.I8, Element.I32], ids=lambda element: element.name)
    def test_pairs_of_rows_leave_the_greater_in_the_place_of_one(self, element: Element, way: str) -> None:
        dtype = ELEMENT_DTYPES[element]
        for seed in range(10):
            rng = np.random.default_rng(seed)
            channels, height, width = (int(rng.integers(1, most)) for most in (5, 9, 70))
            tile = rng.integers(-128, 128, (channels, 2 * height, width)).astype(dtype)
            builder, row, place = Builder(rng=rng), tile.strides[1], int(rng.integers(0, 2))
            buffer = builder.constant(0, tile)
            shape = {"kernel": Kernel.MAXIMUM, "channels": channels, "height": height, "width": width}
            shape |= {f"{name}_type": element for name in "aby"}
            shape |= {f"{name}_channel": tile.strides[0] for name in "aby"} | {f"{name}_row": 2 * row for name in "aby"}
            shape |= {f"{name}_column": dtype.itemsize for name in "ab"}
            builder.task(1, builder.add("shapes", **shape), a=buffer, b=buffer, y=buffer)
            start = builder.address(buffer)
            own, other = start + place * row, start + (1 - place) * row
            builder.rows["tasks"][0] |= {"a_address": own, "b_address": other, "y_address": own}
            program = builder.build()
            assert verify(program) == []
            executor = Executor(program, jit=way, threads=1)
            executor.run([])
            expected = tile.copy()
            expected[:, place::2] = tile.reshape(channels, height, 2, width).max(axis=2)
            found = executor.read_buffer(buffer).view(dtype).reshape(tile.shape)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not features("auto").dot256, reason="needs 256 bit dot products")
@pytest.mark.parametrize("kernel", [Kernel.CONV, Kernel.MATMUL], ids=lambda kernel: kernel.name)
class TestHalfWidth:
    def test_gives_the_same_values(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        host = features("auto")
        monkeypatch.setattr(machine_code, "features", lambda mode: evolve(host, dot512=False))
        machine_code._walker.cache_clear()
        for seed in SEEDS:
            case = CASES[kernel](np.random.default_rng((kernel, seed)))
            executor = Executor(case.program, jit="auto", threads=1)
            executor.run([])
            found = executor.read_buffer(case.buffer)[case.position].view(case.dtype)[..., 0]
            np.testing.assert_array_equal(found, case.expected.astype(case.dtype), err_msg=f"seed {seed}")
        machine_code._walker.cache_clear()
