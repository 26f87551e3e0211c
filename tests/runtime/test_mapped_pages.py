"""Pages of a mapped file are let go and come back; memory that is in no file keeps what it holds."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from snc.runtime.mapped_pages import release

KILOBYTE = 1024


def resident(word: str) -> int:
    """Bytes of this process that are in memory, by the name in /proc/self/status."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(word))
    return int(line.split()[1]) * KILOBYTE


class TestRelease:
    @pytest.mark.skipif(sys.platform != "linux", reason="resident pages are read from /proc")
    def test_pages_of_a_mapped_file_leave_and_come_back(self, tmp_path: Path) -> None:
        path = tmp_path / "numbers"
        numbers = np.arange(1 << 21, dtype=np.uint64)
        path.write_bytes(b"12345678" + numbers.tobytes())
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        found = np.frombuffer(mapped[8:], np.uint64)
        np.testing.assert_array_equal(found, numbers)
        before = resident("RssFile")
        release(found[1000:-1000])
        assert before - resident("RssFile") > numbers.nbytes // 2
        np.testing.assert_array_equal(found, numbers)

    def test_other_memory_keeps_what_it_holds(self) -> None:
        plain, anonymous = np.arange(1 << 16), mmap.mmap(-1, 1 << 19)
        shared = np.frombuffer(anonymous, np.int64)
        shared[:] = plain
        frozen = shared.view()
        frozen.flags.writeable = False
        for each in (plain, shared, frozen, plain[:0]):
            release(each)
        np.testing.assert_array_equal(plain, np.arange(1 << 16))
        np.testing.assert_array_equal(shared, plain)
