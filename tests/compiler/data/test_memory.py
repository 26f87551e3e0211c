"""Only a batch of a file is in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from snc.compiler.data.open import open_data
from snc.compiler.data.text_labels import read_numbers
from snc.ir.diagnostics import UnsafeInput

from .files import idx, npy, npz, written, zipped

BITS = Path(__file__).resolve().parents[2] / "data" / "mnist_test_bits.npz"


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """10,000 digits as float32 [10000, 28, 28], 30 MiB, and their labels."""
    with np.load(BITS) as held:
        pixels = np.unpackbits(held["bits"], axis=1).reshape(-1, 28, 28).astype(np.float32)
        return pixels, held["labels"]


class TestMemory:
    def test_of_small_files_only_what_is_in_them(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        written(tmp_path / "images" / "x.png", b"no image")
        tracemalloc.start()
        try:
            read_numbers(written(tmp_path / "x.txt", b"1\n2\n"))
            with pytest.raises(UnsafeInput):
                open_data(tmp_path / "images")
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("kind", ["npz", "compressed.npz", "npy", "idx", "gz"])
    @pytest.mark.parametrize("preprocess", [None, "scale=0.5 flatten"])
    def test_of_30_mib_of_digits_two_are_in_memory(
        self, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], kind: str, preprocess: str | None
    ) -> None:
        pixels, labels = digits
        arrays = {"image": pixels, "labels": labels}
        content = {
            "npz": lambda: npz(arrays),
            "compressed.npz": lambda: npz(arrays, compressed=True),
            "npy": lambda: npy(pixels),
            "idx": lambda: idx(pixels),
            "gz": lambda: zipped(idx(pixels)),
        }[kind]
        path = written(tmp_path / f"digits.{kind}", content())
        tracemalloc.start()
        try:
            count = sum(len(next(iter(b.inputs.values()))) for b in open_data(path, preprocess=preprocess).batches(64))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count == len(pixels)
        # A batch is 196 KiB; a piece of a stream, which is read at once, 1 MiB at most.
        assert peak < 2 << 20
