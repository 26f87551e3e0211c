"""Reading 10,000 digits in batches, beside numpy.load, which has all of them in memory."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from snc.compiler.data.open import open_data

BITS = Path(__file__).resolve().parents[1] / "tests" / "data" / "mnist_test_bits.npz"
BATCH = 100
ROUNDS = 5


def read_by_snc(path: Path) -> None:
    """All batches of the file."""
    for _ in open_data(path).batches(BATCH):
        pass


def read_by_numpy(path: Path) -> None:
    """All arrays of the file."""
    with np.load(path) as held:
        for name in held:
            held[name]


def measured(read: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Seconds of the best round, and MiB at the peak of another."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        read(path)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(seconds), peak / 2**20


def main() -> None:
    """Prints a line for each kind of file."""
    with np.load(BITS) as held:
        pixels, labels = np.unpackbits(held["bits"], axis=1), held["labels"]
    with tempfile.TemporaryDirectory() as folder:
        for kind in (np.uint8, np.float32):
            for save in (np.savez, np.savez_compressed):
                path = Path(folder) / "digits.npz"
                save(path, image=pixels.astype(kind), labels=labels)
                (ours, our_peak), (theirs, their_peak) = measured(read_by_snc, path), measured(read_by_numpy, path)
                print(
                    f"{np.dtype(kind).name:8} {save.__name__:17} snc {ours * 1e3:4.0f} ms, {our_peak:5.2f} MiB; "
                    f"numpy {theirs * 1e3:4.0f} ms, {their_peak:5.2f} MiB; {theirs / ours:.1f} times as fast"
                )


if __name__ == "__main__":
    main()
