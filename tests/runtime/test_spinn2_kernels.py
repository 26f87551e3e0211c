"""Every kernel gives the values of its formula, however it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from snc.ir.dialects.spinn2_tables import Kernel
from snc.runtime.jit.features import features
from snc.runtime.spinn2 import machine_code
from snc.runtime.spinn2.executor import Executor

from .spinn2_cases import CASES

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
