"""A packed tile is used again exactly as long as nobody wrote to the tile."""

from __future__ import annotations

import numpy as np
import pytest

from snc.ir.dialects.spinn2_tables import Copy, Element, Kernel
from snc.runtime.spinn2.commands import task_addresses, transfer_addresses
from snc.runtime.spinn2.executor import Executor
from snc.runtime.spinn2.packed_tiles import packed_tiles
from snc.runtime.spinn2.program import Program

from .spinn2_programs import Builder

TILE_BYTES = 64


def two_convolutions(*, write_between: str) -> Program:
    """Steps 1 and 5 convolve one tile; step 3 writes to it (`tile`), beside it (`other`) or nowhere."""
    builder = Builder(rng=np.random.default_rng(3))
    values = np.arange(-32, 32, dtype=np.int8)
    tile, source = builder.constant(0, values), builder.constant(0, values[::-1].copy())
    other = builder.buffer(0, TILE_BYTES)
    weights = builder.constant(0, np.arange(16, dtype=np.int8))
    results = [builder.buffer(0, 16 * 4 * 4, align=4) for _ in range(2)]
    shape = builder.add(
        "shapes",
        kernel=Kernel.CONV,
        a_type=Element.I8,
        b_type=Element.I8,
        y_type=Element.I32,
        channels_in=4,
        height_in=1,
        width_in=16,
        channels=4,
        height=1,
        width=16,
        kernel_h=1,
        kernel_w=1,
        stride_h=1,
        stride_w=1,
        dilation_h=1,
        dilation_w=1,
        a_channel=16,
        a_row=16,
        a_column=1,
        y_channel=64,
        y_row=64,
    )
    for step, result in zip((1, 5), results, strict=True):
        builder.task(step, shape, a=tile, b=weights, y=result)
    if write_between:
        box = builder.add("boxes", copy=Copy.BOX, n0=1, n1=1, n2=1, bytes=TILE_BYTES, element=1)
        builder.transfer(3, box, {"tile": tile, "other": other}[write_between], source)
    for index, result in enumerate(results):
        builder.port(result, output=True, index=index)
    return builder.build()


def kept(program: Program) -> list[bool]:
    found = packed_tiles(program, task_addresses(program), transfer_addresses(program)[:, 1], 4096)
    return found.kept.tolist()


class TestPackedTiles:
    @pytest.mark.parametrize(
        ("write_between", "expected"), [("", [False, True]), ("other", [False, True]), ("tile", [False, False])]
    )
    def test_lasts_until_the_tile_is_written(self, write_between: str, expected: list[bool]) -> None:
        assert kept(two_convolutions(write_between=write_between)) == expected

    @pytest.mark.parametrize("write_between", ["", "other", "tile"])
    def test_gives_the_bits_of_the_numpy_reference(self, write_between: str) -> None:
        program = two_convolutions(write_between=write_between)
        found, expected = (Executor(program, jit=way).run([]) for way in ("auto", "off"))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert np.array_equal(expected[0], expected[1]) == (write_between != "tile")
